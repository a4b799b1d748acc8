//! Real container runtimes with a store of their own: started, given an image that is made here, and ended
//! with all their containers when they are dropped.
//!
//! In a guest of the laboratory alone: there they have the cgroups and the rights that they need, and
//! whatever one of them leaves goes with the machine.

mod bundle;
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    dead_code,
    reason = "generated"
)]
mod cri;
mod ctr;
mod daemon;
pub mod hooked;
mod image;
mod pods;

pub use pods::{PodSpec, Pods};

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::{Mount, is_laboratory, run};
use daemon::Daemon;

/// What a command said last.
const SAID: &str = "said";
/// What a container does unless it is ended.
const SLEEP: [&str; 2] = ["/bin/sleep", "36000"];

/// Which runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain bundles.
    Crun,
    /// The same.
    Runc,
    /// Its service and its command line.
    Podman,
    /// dockerd with a containerd of its own.
    Docker,
    /// containerd without Kubernetes' interface.
    Containerd,
}

/// The network of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// A namespace of its own.
    Own,
    /// The host's.
    Host,
    /// That of a container by this name.
    Of(&'a str),
    /// That of a pod of podman's.
    Pod(&'a str),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crun => "crun",
            Self::Runc => "runc",
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
        })
    }
}

impl Kind {
    /// Why it cannot be started here.
    pub fn missing(self) -> Option<String> {
        let programs: &[&str] = match self {
            Self::Crun => &["/usr/bin/crun"],
            Self::Runc => &["/usr/sbin/runc"],
            Self::Podman => &["/usr/bin/podman", "/usr/bin/conmon", "/usr/bin/crun"],
            Self::Docker => &["/usr/sbin/dockerd", "/usr/bin/docker", "/usr/sbin/runc"],
            Self::Containerd => &[
                "/usr/bin/containerd",
                "/usr/bin/containerd-shim-runc-v2",
                "/usr/bin/ctr",
                "/usr/sbin/runc",
            ],
        };
        lacking(programs)
    }

    /// It has a daemon that answers for it.
    pub fn has_daemon(self) -> bool {
        matches!(self, Self::Podman | Self::Docker | Self::Containerd)
    }

    /// The variable by which clients, and chaosd, are told of its socket.
    pub fn variable(self) -> &'static str {
        if self == Self::Containerd {
            "CONTAINERD_ADDRESS"
        } else {
            "DOCKER_HOST"
        }
    }

    /// How it calls a container of this name.
    pub fn full_name(self, name: &str) -> String {
        if self == Self::Containerd {
            format!("{}/{name}", ctr::NAMESPACE)
        } else {
            name.to_owned()
        }
    }
}

/// What an engine at this place calls its containers' `app`.
fn app(place: &Path) -> String {
    let name = place.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Why something that takes these programs cannot be started here.
fn lacking(programs: &[&str]) -> Option<String> {
    if !is_laboratory() {
        return Some("container runtimes start in a guest of the laboratory alone".to_owned());
    }
    let absent = programs
        .iter()
        .find(|program| !Path::new(program).exists())?;
    Some(format!(
        "there is no {absent}: `cargo xtask setup` brings it"
    ))
}

/// A runtime with an image, and what runs in it.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    containers: Mutex<Vec<String>>,
    pods: Mutex<Vec<String>>,
    daemon: Option<Daemon>,
    // Last: everything above has files there.
    place: Mount,
}

impl Engine {
    /// Starts it. A daemon listens when this returns.
    pub fn start(kind: Kind) -> Result<Self> {
        names_of_namespaces()?;
        let place = Mount::tmpfs()?;
        image::root(&place.path().join("root"))?;
        let mut engine = Self {
            kind,
            containers: Mutex::default(),
            pods: Mutex::default(),
            daemon: None,
            place,
        };
        if kind.has_daemon() {
            let archive = image::archive(engine.place.path())?;
            let mut daemon = match kind {
                Kind::Podman => {
                    let mut podman = engine.podman();
                    podman
                        .args(["system", "service", "--time=0"])
                        .arg(engine.address());
                    podman
                }
                Kind::Containerd => {
                    let config = ctr::configuration(engine.place.path(), &engine.socket());
                    let config = engine.place.file("config.toml", &config)?;
                    let mut containerd = Command::new("/usr/bin/containerd");
                    containerd.arg("--config").arg(config);
                    containerd
                }
                _ => engine.dockerd(),
            };
            let socket = engine.socket();
            engine.daemon = Some(Daemon::start(&mut daemon, &socket, engine.place.path())?);
            let archive = archive.display().to_string();
            let load: &[&str] = match kind {
                Kind::Containerd => &["images", "import"],
                _ => &["load", "-q", "-i"],
            };
            engine.run(&[load, &[&archive]].concat())?;
        }
        Ok(engine)
    }

    /// Where its API is served.
    pub fn socket(&self) -> PathBuf {
        self.place.path().join("api.sock")
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Where chaosd finds it, and nothing else of this machine.
    pub fn places(&self) -> chaosd::runtime::Places {
        use chaosd::runtime::{Places, RuntimeKind};
        if self.kind == Kind::Containerd {
            return Places {
                sockets: vec![(RuntimeKind::Cri, self.socket())],
                // Where its shims have runc write: what is there is not to count twice.
                oci_namespaced: vec!["/run/containerd/runc".into()],
                ..Places::default()
            };
        }
        let kind = match self.kind {
            Kind::Podman => RuntimeKind::Podman,
            _ => RuntimeKind::Docker,
        };
        Places {
            sockets: vec![(kind, self.socket())],
            oci: ["/run/crun", "/run/runc"].map(Into::into).into(),
            ..Places::default()
        }
    }

    /// The label `app` of its containers: other tests' lie beside them.
    pub fn app(&self) -> String {
        app(self.place.path())
    }

    /// Starts a container that sleeps, with the label `app`.
    pub fn start_container(&self, name: &str, network: Network<'_>) -> Result<()> {
        self.known().push(name.to_owned());
        if !self.kind.has_daemon() {
            return bundle::start(self.kind, self.place.path(), name, network);
        }
        if self.kind == Kind::Containerd {
            return ctr::start(self.place.path(), name, network);
        }
        let at = match network {
            Network::Own => "bridge".to_owned(),
            Network::Host => "host".to_owned(),
            Network::Of(other) => format!("container:{other}"),
            Network::Pod(pod) => pod.to_owned(),
        };
        let place = if matches!(network, Network::Pod(_)) {
            "--pod"
        } else {
            "--network"
        };
        let label = format!("app={}", self.app());
        let options = ["run", "-d", "--name", name, "--label", &label, place, &at];
        // No profile of AppArmor is loaded, and none is looked for.
        let security = ["--security-opt", "apparmor=unconfined", image::NAME];
        self.run(&[&options[..], &security, &SLEEP].concat())
    }

    /// Makes a pod of podman's, with its name as the label `app`, which holds a namespace for containers to come.
    pub fn make_pod(&self, name: &str) -> Result<()> {
        self.pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.to_owned());
        // With cgroupfs podman 4.3 makes no cgroup for a pod.
        let parent = ["pod", "create", "--share-parent=false", "--name", name];
        let label = format!("app={name}");
        let rest = ["--label", &label, "--infra-image", image::NAME];
        self.run(&[&parent[..], &rest].concat())
    }

    /// Ends all processes of a pod and starts it again, with a namespace that is made anew.
    pub fn restart_pod(&self, name: &str) -> Result<()> {
        self.run(&["pod", "kill", name])?;
        self.run(&["pod", "start", name])
    }

    /// The whole id of a container, and its first process.
    pub fn identity(&self, name: &str) -> Result<(String, i32)> {
        let words = ["inspect", "--format", "{{.Id}} {{.State.Pid}}", name];
        self.run(&words)?;
        let said = std::fs::read_to_string(self.place.path().join(SAID))?;
        let (id, pid) = said.trim().split_once(' ').context("no id and process")?;
        Ok((id.to_owned(), pid.parse()?))
    }

    /// Ends its process and starts it again.
    pub fn restart(&self, name: &str) -> Result<()> {
        if self.kind == Kind::Containerd {
            return ctr::restart(self.place.path(), name);
        }
        if self.kind.has_daemon() {
            return self.run(&["restart", "-t", "0", name]);
        }
        bundle::remove(self.kind, name)?;
        bundle::start(self.kind, self.place.path(), name, Network::Own)
    }

    /// Ends its process and keeps the container.
    pub fn stop(&self, name: &str) -> Result<()> {
        if self.kind == Kind::Containerd {
            return ctr::stop(self.place.path(), name);
        }
        if self.kind.has_daemon() {
            return self.run(&["stop", "-t", "0", name]);
        }
        bundle::kill(self.kind, name)
    }

    /// Ends its process and forgets the container.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.known().retain(|known| known != name);
        if self.kind == Kind::Containerd {
            return ctr::remove(self.place.path(), name);
        }
        if self.kind.has_daemon() {
            return self.run(&["rm", "-f", name]);
        }
        bundle::remove(self.kind, name)
    }

    /// SIGKILL to the daemon; its containers go on.
    pub fn kill_daemon(&mut self) -> Result<()> {
        match self.daemon.take() {
            Some(daemon) => daemon.kill(),
            None => bail!("{} has no daemon", self.kind),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        if self.kind == Kind::Containerd {
            return ctr::run(self.place.path(), args);
        }
        let mut command = match self.kind {
            Kind::Docker => {
                let mut docker = Command::new("/usr/bin/docker");
                docker.arg("-H").arg(self.address());
                docker
            }
            _ => self.podman(),
        };
        quietly(command.args(args), self.place.path())
    }

    /// podman with a store of its own.
    fn podman(&self) -> Command {
        let at = |name: &str| self.place.path().join(name);
        let mut podman = Command::new("/usr/bin/podman");
        podman.arg("--root").arg(at("store"));
        podman.arg("--runroot").arg(at("run"));
        podman.arg("--tmpdir").arg(at("tmp"));
        podman.arg("--network-config-dir").arg(at("networks"));
        podman.args(["--cgroup-manager", driver(), "--events-backend", "file"]);
        podman.args(["--runtime", "/usr/bin/crun", "--storage-driver", "overlay"]);
        podman
    }

    fn dockerd(&self) -> Command {
        let at = |name: &str| self.place.path().join(name);
        let mut dockerd = Command::new("/usr/sbin/dockerd");
        dockerd.arg("--data-root").arg(at("store"));
        dockerd.arg("--exec-root").arg(at("run"));
        dockerd.arg("--pidfile").arg(at("pid"));
        dockerd.arg("--host").arg(self.address());
        // No container here talks to anybody outside.
        dockerd.args(["--iptables=false", "--ip-masq=false"]);
        dockerd.arg(format!("--exec-opt=native.cgroupdriver={}", driver()));
        dockerd
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let names = std::mem::take(&mut *self.known());
        for name in names {
            // A test may have ended it, or the daemon.
            if self.daemon.is_some() || !self.kind.has_daemon() {
                self.remove(&name).ok();
            }
        }
        let pods = std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner));
        for name in pods {
            self.run(&["pod", "rm", "-f", &name]).ok();
        }
    }
}

/// Makes a mount of the directory of namespaces' names (ip-netns(8)) before anybody names one there: done
/// later, by whoever is the first to use `ip netns` or podman, it would hide from a runtime the mounts that it
/// has made below.
fn names_of_namespaces() -> Result<()> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !*done {
        let name = format!("first-{}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        run("ip", &["netns", "delete", &name])?;
        *done = true;
    }
    Ok(())
}

/// Who makes cgroups: systemd where it is process 1, as distributions have it.
fn driver() -> &'static str {
    if Path::new("/run/systemd/system").exists() {
        "systemd"
    } else {
        "cgroupfs"
    }
}

/// Runs a command whose children keep its output open; what it says is told when it fails.
fn quietly(command: &mut Command, place: &Path) -> Result<()> {
    let log = place.join(SAID);
    let said = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
    let status = command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .status()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !status.success() {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("{command:?}: {status}: {}", said.trim());
    }
    Ok(())
}
