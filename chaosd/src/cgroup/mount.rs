//! Where the unified hierarchy is mounted.

use std::path::{Path, PathBuf};

use crate::mounts;

use super::CgroupError;

/// Hierarchies of v1 in which runtimes make a cgroup for each container, and systemd for each unit first of all.
const EVERYWHERE: [&str; 4] = ["name=systemd", "pids", "memory", "cpu"];

/// The mount point of the unified (v2) hierarchy: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a
/// hybrid host, or wherever it is.
pub fn unified() -> Result<PathBuf, CgroupError> {
    let file = Path::new("/proc/self/mountinfo");
    let table = mounts::read(file).map_err(|source| CgroupError::Read {
        path: file.to_owned(),
        source,
    })?;
    let tree = find(&table)?;
    // Only the true root lacks this file (Documentation/admin-guide/cgroup-v2.rst). The depth of a
    // cgroup, by which the programs look it up, counts from there.
    if tree.join("cgroup.events").exists() {
        return Err(CgroupError::Partial(tree));
    }
    Ok(tree)
}

/// A tree in which every container is a directory: the unified one, else a hierarchy of v1.
///
/// # Errors
/// Those of [`unified`], where there is neither.
pub fn any_tree() -> Result<PathBuf, CgroupError> {
    match unified() {
        Err(CgroupError::NoUnified) => {
            let table = mounts::read("/proc/self/mountinfo").unwrap_or_default();
            let known = EVERYWHERE.iter().find_map(|name| v1(&table, name));
            known.ok_or(CgroupError::NoUnified)
        }
        tree => tree,
    }
}

/// The first mount of the whole tree in a mountinfo (`proc_pid_mountinfo(5)`).
fn find(table: &str) -> Result<PathBuf, CgroupError> {
    let mut partial = None;
    for mount in mounts::parse(table).filter(|mount| mount.kind == "cgroup2") {
        if mount.is_whole() {
            return Ok(mount.point);
        }
        partial = Some(mount.point);
    }
    Err(partial.map_or(CgroupError::NoUnified, CgroupError::Partial))
}

/// Where the v1 hierarchy of a controller is mounted as a whole, in a mountinfo.
pub(super) fn v1(table: &str, controller: &str) -> Option<PathBuf> {
    mounts::parse(table)
        .find(|mount| {
            let named = mount.options.split(',').any(|option| option == controller);
            mount.kind == "cgroup" && mount.is_whole() && named
        })
        .map(|mount| mount.point)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";

    #[test]
    fn a_hybrid_host_has_its_tree_beside_the_controllers() {
        let mounts =
            format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n");
        assert_eq!(find(&mounts).unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_host_with_v1_alone_is_told_what_is_missing() {
        let error = find(V1).unwrap_err();
        assert!(error.to_string().contains("mount -t cgroup2"), "{error}");
    }

    #[test]
    fn a_controller_of_v1_is_found_by_its_mount_option() {
        let both = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        let found = v1(both, "cpuacct");
        assert_eq!(
            found.as_deref(),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(v1(both, "cpuset"), None);
        assert_eq!(v1(&both.replace(" / /", " /docker/x /"), "cpu"), None);
    }

    #[test]
    fn a_mount_of_a_subtree_counts_only_when_there_is_no_other() {
        let part = "41 31 0:38 /docker/x /a\\040b rw - cgroup2 cgroup2 rw\n";
        let whole = "42 31 0:38 / /whole rw - cgroup2 cgroup2 rw\n";
        let error = find(part).unwrap_err();
        assert!(matches!(error, CgroupError::Partial(path) if path == Path::new("/a b")));
        assert_eq!(
            find(&format!("{part}{whole}")).unwrap(),
            Path::new("/whole")
        );
    }
}
