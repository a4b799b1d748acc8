//! From the first process of a container to the container's cgroup and network namespace, as /proc tells
//! of them: no runtime's own word for them holds for every driver and version.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    cgroup::{self, CgroupError},
    process,
};

use super::{Member, lines::Lines};

/// What a person has to know of a pod without a cgroup.
pub(super) const BY_ITS_NETWORK: &str = "it has no cgroup of its own in the unified hierarchy, so it is told apart by its network namespace alone";

/// Fills in what /proc tells of the container `id` whose first process is `pid`. `false`: that process has
/// ended.
pub(super) fn place(member: &mut Member, pid: i32, id: &str) -> Result<bool, CgroupError> {
    let Some(lines) = Lines::of(pid) else {
        return Ok(false);
    };
    match own_dir(&lines, tree()?.as_deref(), id) {
        Ok(dir) => member.cgroups = vec![dir],
        Err(note) => member.notes.push(note),
    }
    network(member, pid);
    Ok(true)
}

/// The unified tree; `None`: this host has cgroup v1 alone.
pub(super) fn tree() -> Result<Option<PathBuf>, CgroupError> {
    match cgroup::unified() {
        Err(CgroupError::NoUnified) => Ok(None),
        tree => tree.map(Some),
    }
}

/// The cgroup that is named for a container, or what a person has to know of one that has none.
fn own_dir(lines: &Lines, tree: Option<&Path>, id: &str) -> Result<PathBuf, String> {
    let below = container_dir(lines.unified(), id);
    let dir = tree.zip(below).map(|(tree, below)| tree.join(below));
    dir.filter(|dir| dir.is_dir()).ok_or_else(|| {
        let why = match tree {
            Some(_) => "it has no cgroup of its own in the unified hierarchy",
            None => "this host has cgroup v1 alone",
        };
        let shown = lines.shown();
        format!("{why} (its processes are in {shown}), so it is told apart by its network namespace alone")
    })
}

/// The cgroups of these containers, each with its first process.
pub(super) fn cgroups_of_each(known: &[(i32, String)]) -> Result<Vec<PathBuf>, CgroupError> {
    let mut found = Vec::new();
    for (pid, id) in known {
        let mut one = Member::default();
        place(&mut one, *pid, id)?;
        found.extend(one.cgroups);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Fills in the process and its network namespace.
pub(super) fn network(member: &mut Member, pid: i32) {
    let netns = netns_of(pid);
    member.pid = Some(pid);
    member.host_network = netns.is_some() && netns == host_netns();
    member.netns = netns.map(|_| PathBuf::from(format!("/proc/{pid}/ns/net")));
}

/// The number of a process's network namespace.
pub(super) fn netns_of(pid: i32) -> Option<u64> {
    inode(&format!("/proc/{pid}/ns/net"))
}

/// That of the host: of process 1, for chaosd itself may run in a container.
fn host_netns() -> Option<u64> {
    inode("/proc/1/ns/net").or_else(|| inode("/proc/self/ns/net"))
}

fn inode(path: &str) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// The path of a process in the unified hierarchy; `/` on a host without one. `None`: no such process.
pub(super) fn unified_line(pid: i32) -> Option<String> {
    Lines::of(pid).map(|lines| lines.unified().to_owned())
}

/// The cgroup of the container or pod `id`, of which a process is in `line`: there or below, for podman puts
/// the process into a child of the scope, and a container with systemd inside has a whole tree.
pub(super) fn container_dir(line: &str, id: &str) -> Option<PathBuf> {
    let path = Path::new(line.trim_start_matches('/'));
    let is_named = |dir: &&Path| {
        let name = dir.file_name().unwrap_or_default();
        is_named_for(&name.to_string_lossy(), id)
    };
    let mut named = path.ancestors().filter(is_named);
    // A container may have a tree within that looks like the host's. A name that somebody gave may be that of
    // a slice or of containerd's namespace too, above the container.
    let dir = if is_drawn(id) {
        named.last()
    } else {
        named.next()
    };
    dir.map(Path::to_owned)
}

/// A directory of a container: `ID`, `docker-ID.scope`, `crun-ID.scope`.
fn is_named_for(dir: &str, id: &str) -> bool {
    if is_drawn(id) {
        return dir.contains(id);
    }
    let of_scope = || dir.strip_suffix(".scope")?.strip_suffix(id);
    !id.is_empty() && (dir == id || of_scope().is_some_and(|front| front.ends_with('-')))
}

/// An id that no person gave: that of a container or pod of whoever manages many.
pub(super) fn is_drawn(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Which processes are in which network namespace: one look at /proc, when it is first asked for, and for all
/// that one answer is made of.
#[derive(Debug, Default)]
pub(super) struct Networks(OnceLock<HashMap<u64, Vec<i32>>>);

impl Networks {
    /// The cgroups, beside those of the container `id` itself, of processes in its network namespace.
    pub(super) fn neighbours(&self, member: &Member, id: &str) -> Vec<String> {
        let Some((first, wanted)) = member.pid.and_then(|pid| Some((pid, netns_of(pid)?))) else {
            return Vec::new();
        };
        if member.host_network {
            return Vec::new();
        }
        let tree = cgroup::unified().unwrap_or_default();
        // Without a cgroup of the unified tree it may still have one of v1.
        let lines = || Lines::of(first).filter(|_| member.cgroups.is_empty());
        let named = lines().map_or_else(Vec::new, |lines| lines.of_container(id));
        let is_own = |pid: i32, lines: &Lines| {
            if member.cgroups.is_empty() {
                return is_below(pid, first) || lines.is_within(&named);
            }
            let dir = tree.join(lines.unified().trim_start_matches('/'));
            member.cgroups.iter().any(|own| dir.starts_with(own))
        };
        let within = self.0.get_or_init(look).get(&wanted);
        let mut found: Vec<String> = within
            .into_iter()
            .flatten()
            // Its number may be another's by now.
            .filter(|pid| netns_of(**pid) == Some(wanted))
            .filter_map(|pid| Some((*pid, Lines::of(*pid)?)))
            .filter(|(pid, lines)| !is_own(*pid, lines))
            .map(|(_, lines)| lines.shown().to_owned())
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

fn look() -> HashMap<u64, Vec<i32>> {
    let mut networks: HashMap<u64, Vec<i32>> = HashMap::new();
    for pid in process::numbers().into_iter().flatten() {
        if let Some(netns) = netns_of(pid) {
            networks.entry(netns).or_default().push(pid);
        }
    }
    networks
}

/// True for a process, and for those that it started, they started, and so on.
fn is_below(pid: i32, first: i32) -> bool {
    let (pid, first) = (pid.cast_unsigned(), first.cast_unsigned());
    process::ancestry(pid).any(|above| above.who.pid == first)
}

/// A whole id within the path of a cgroup, the outermost first.
pub(super) fn id_within(line: &str) -> Option<&str> {
    line.split('/')
        .flat_map(|part| part.split(['-', '.', ':']))
        .find(|word| is_drawn(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::lines::tests::{ID, V1};

    #[test]
    fn the_container_s_cgroup_is_found_with_every_driver() {
        for (line, expected) in [
            ("/docker/ID", "docker/ID"),
            (
                "/system.slice/docker-ID.scope",
                "system.slice/docker-ID.scope",
            ),
            (
                "/machine.slice/libpod-ID.scope/container",
                "machine.slice/libpod-ID.scope",
            ),
            ("/libpod_parent/libpod-ID", "libpod_parent/libpod-ID"),
            (
                "/kubepods/burstable/pod1-2/ID",
                "kubepods/burstable/pod1-2/ID",
            ),
            (
                "/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-ID.scope",
                "kubepods.slice/kubepods-pod1_2.slice/cri-containerd-ID.scope",
            ),
            ("/docker/ID/docker/other", "docker/ID"),
        ] {
            let (line, expected) = (line.replace("ID", ID), expected.replace("ID", ID));
            assert_eq!(
                container_dir(&line, ID),
                Some(PathBuf::from(expected)),
                "{line}"
            );
        }
    }

    #[test]
    fn a_name_that_somebody_gave_is_a_whole_one_and_the_innermost() {
        for (line, id, expected) in [
            (
                "/apps.slice/crun-app.scope",
                "app",
                Some("apps.slice/crun-app.scope"),
            ),
            (
                "/apps.slice/crun-app.scope/container",
                "app",
                Some("apps.slice/crun-app.scope"),
            ),
            ("/web/web", "web", Some("web/web")),
            ("/web/web/init.scope", "web", Some("web/web")),
            (
                "/system.slice/runc-system.scope",
                "system",
                Some("system.slice/runc-system.scope"),
            ),
            ("/lab/a-b", "a-b", Some("lab/a-b")),
            ("/lab/a-b", "b", None),
            ("/apps.slice/x", "apps", None),
            ("/user.slice/user-0.slice/session-1.scope", "0", None),
            ("/lab/webb", "web", None),
        ] {
            let expected = expected.map(PathBuf::from);
            assert_eq!(container_dir(line, id), expected, "{id} in {line}");
        }
    }

    #[test]
    fn a_cgroup_that_others_are_in_is_not_the_container_s() {
        for line in ["/", "/system.slice/containerd.service", "/user.slice"] {
            assert_eq!(container_dir(line, ID), None, "{line}");
        }
        assert_eq!(container_dir("/docker/x", ""), None);
    }

    #[test]
    fn without_a_unified_tree_nobody_has_a_cgroup_and_it_is_said_why() {
        for text in V1 {
            let lines = Lines::new(text.replace("ID", ID)).expect("lines");
            let told = own_dir(&lines, None, ID).expect_err("a cgroup");
            assert!(told.starts_with("this host has cgroup v1 alone"), "{told}");
            assert!(told.contains(ID), "{told}");
        }
    }

    #[test]
    fn on_a_hybrid_host_the_directory_of_the_unified_tree_counts() {
        let tree = crate::journal::testing::TempDir::new();
        let lines = format!("4:memory:/docker/{ID}\n0::/lab/{ID}\n");
        let lines = Lines::new(lines).expect("lines");
        let told = own_dir(&lines, Some(tree.path()), ID).expect_err("a cgroup");
        assert!(told.starts_with("it has no cgroup of its own in the unified"));
        let dir = tree.path().join("lab").join(ID);
        fs::create_dir_all(&dir).expect("a directory");
        assert_eq!(own_dir(&lines, Some(tree.path()), ID), Ok(dir));
    }

    #[test]
    fn an_id_is_read_from_the_names_of_every_driver() {
        for line in [
            "/docker/ID",
            "/m.slice/libpod-ID.scope/container",
            "/a/cri-containerd-ID.scope",
        ] {
            assert_eq!(id_within(&line.replace("ID", ID)), Some(ID), "{line}");
        }
        assert_eq!(id_within("/system.slice/ssh.service"), None);
    }

    #[test]
    fn this_very_process_has_a_namespace_that_it_shares_with_others_or_with_none() {
        let pid = i32::try_from(std::process::id()).expect("a number of a process");
        let mut member = Member::default();
        network(&mut member, pid);
        assert_eq!(member.pid, Some(pid));
        assert!(member.netns.is_some_and(|path| path.exists()));
        assert_eq!(unified_line(i32::MAX), None);
    }
}
