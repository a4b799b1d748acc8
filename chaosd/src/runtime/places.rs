//! Where runtimes are looked for: sockets, and directories in which crun and runc keep their containers.

use std::{
    env, fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::RuntimeKind;

/// Docker's socket.
const DOCKER: [&str; 2] = ["/run/docker.sock", "/var/run/docker.sock"];
/// podman's, where its service runs.
const PODMAN: [&str; 1] = ["/run/podman/podman.sock"];
/// Sockets of Kubernetes' interface, at containerd's of its own API too: containerd, CRI-O, k3s and RKE2, k0s, `MicroK8s`, Docker by an adapter.
const CRI: [&str; 6] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/cri-dockerd.sock",
];
/// A directory for each container, of plain bundles and of podman.
const OCI: [&str; 2] = ["/run/crun", "/run/runc"];
/// One more level above: containerd's namespaces, and Docker's.
const OCI_NAMESPACED: [&str; 2] = ["/run/containerd/runc", "/run/docker/runtime-runc"];
/// The bus at which systemd answers (D-Bus Specification, "System message bus").
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// Where to look. A test has its own.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Sockets, with what is expected there.
    pub sockets: Vec<(RuntimeKind, PathBuf)>,
    /// Directories with one for each container.
    pub oci: Vec<PathBuf>,
    /// Directories with a directory of that kind for each namespace.
    pub oci_namespaced: Vec<PathBuf>,
    /// The address of the bus at which systemd is asked.
    pub systemd: String,
}

/// A socket that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    pub(super) kind: RuntimeKind,
    pub(super) path: PathBuf,
}

impl Places {
    /// The usual ones, and those that the environment names: `DOCKER_HOST`, `CONTAINER_HOST` (podman's),
    /// `CONTAINER_RUNTIME_ENDPOINT` (crictl's), `CONTAINERD_ADDRESS` (nerdctl's and ctr's), `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn of_this_host() -> Self {
        Self::with(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with(variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = |kind, name: &str| {
            variable(name)
                .and_then(|address| unix_path(&address))
                .map(|path| (kind, path))
        };
        let usual = |kind, paths: &'static [&str]| {
            paths.iter().map(move |path| (kind, PathBuf::from(*path)))
        };
        let sockets = named(RuntimeKind::Docker, "DOCKER_HOST")
            .into_iter()
            .chain(usual(RuntimeKind::Docker, &DOCKER))
            .chain(named(RuntimeKind::Podman, "CONTAINER_HOST"))
            .chain(usual(RuntimeKind::Podman, &PODMAN))
            .chain(named(RuntimeKind::Cri, "CONTAINER_RUNTIME_ENDPOINT"))
            .chain(named(RuntimeKind::Cri, "CONTAINERD_ADDRESS"))
            .chain(usual(RuntimeKind::Cri, &CRI))
            .collect();
        let systemd = variable("DBUS_SYSTEM_BUS_ADDRESS");
        Self {
            sockets,
            oci: OCI.map(Into::into).into(),
            oci_namespaced: OCI_NAMESPACED.map(Into::into).into(),
            systemd: systemd.unwrap_or_else(|| SYSTEM_BUS.to_owned()),
        }
    }

    /// The sockets that are there, each once however many names it has.
    pub(super) fn present(&self) -> Vec<Socket> {
        let mut seen = Vec::new();
        let mut found = Vec::new();
        for (kind, path) in &self.sockets {
            let Some(identity) = identity(path) else {
                continue;
            };
            if !seen.contains(&identity) {
                seen.push(identity);
                found.push(Socket {
                    kind: *kind,
                    path: path.clone(),
                });
            }
        }
        found
    }

    /// The directories with one for each container that are there.
    pub(super) fn oci_roots(&self) -> Vec<PathBuf> {
        let namespaced = self
            .oci_namespaced
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()));
        self.oci
            .iter()
            .cloned()
            .chain(namespaced)
            .filter(|dir| dir.is_dir())
            .collect()
    }

    /// Every place of containers, for whoever is told that nothing is there.
    pub(super) fn looked(&self) -> Vec<PathBuf> {
        let sockets = self.sockets.iter().map(|(_, path)| path);
        // Two names of one socket help nobody.
        let sockets = sockets.filter(|path| !path.starts_with("/var/run"));
        let dirs = self.oci.iter().chain(&self.oci_namespaced);
        sockets.chain(dirs).cloned().collect()
    }
}

impl Places {
    /// Those at which pods are known.
    pub(super) fn looked_for_pods(&self) -> Vec<PathBuf> {
        let sockets = self.sockets.iter();
        let pods = [RuntimeKind::Cri, RuntimeKind::Podman];
        let sockets = sockets.filter(|(kind, _)| pods.contains(kind));
        sockets.map(|(_, path)| path.clone()).collect()
    }
}

/// Device and inode of a socket.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    metadata
        .file_type()
        .is_socket()
        .then(|| (metadata.dev(), metadata.ino()))
}

/// The path of a `unix://` address, or a bare path.
pub(super) fn unix_path(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_s_sockets_come_first_and_other_schemes_are_passed_over() {
        let places = Places::with(|name| match name {
            "DOCKER_HOST" => Some("unix:///tmp/d.sock".to_owned()),
            "CONTAINER_HOST" => Some("tcp://127.0.0.1:1".to_owned()),
            "CONTAINER_RUNTIME_ENDPOINT" => Some("/tmp/c.sock".to_owned()),
            _ => None,
        });
        assert_eq!(
            places.sockets[0],
            (RuntimeKind::Docker, "/tmp/d.sock".into())
        );
        let cri = places.sockets.iter().find(|(k, _)| *k == RuntimeKind::Cri);
        assert_eq!(cri, Some(&(RuntimeKind::Cri, "/tmp/c.sock".into())));
        let podman: Vec<_> = places
            .sockets
            .iter()
            .filter(|(kind, _)| *kind == RuntimeKind::Podman)
            .collect();
        assert_eq!(podman.len(), PODMAN.len());
        assert_eq!(places.systemd, SYSTEM_BUS);
    }

    #[test]
    fn two_names_of_one_socket_are_one_place() {
        let dir = std::env::temp_dir().join(format!("chaosd-places-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory of its own");
        let (first, second) = (dir.join("a.sock"), dir.join("b.sock"));
        let listener = std::os::unix::net::UnixListener::bind(&first);
        let linked = std::os::unix::fs::symlink(&first, &second);
        let file = fs::write(dir.join("file"), "");
        let places = Places {
            sockets: [&first, &second, &dir.join("file"), &dir.join("none")]
                .map(|path| (RuntimeKind::Docker, path.clone()))
                .into(),
            ..Places::default()
        };
        let present = places.present();
        let removed = fs::remove_dir_all(&dir);
        assert!(listener.is_ok() && linked.is_ok() && file.is_ok() && removed.is_ok());
        let paths: Vec<_> = present.into_iter().map(|socket| socket.path).collect();
        assert_eq!(paths, [first]);
    }
}
