//! Where the unified hierarchy is mounted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::CgroupError;

/// The mount point of the unified (v2) hierarchy: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a
/// hybrid host, or wherever it is.
pub fn unified() -> Result<PathBuf, CgroupError> {
    let file = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(file).map_err(|source| CgroupError::Read {
        path: file.to_owned(),
        source,
    })?;
    let tree = find(&mounts)?;
    // Only the true root lacks this file (Documentation/admin-guide/cgroup-v2.rst). The depth of a
    // cgroup, by which the programs look it up, counts from there.
    if tree.join("cgroup.events").exists() {
        return Err(CgroupError::Partial(tree));
    }
    Ok(tree)
}

/// The first mount of the whole tree in a mountinfo (`proc_pid_mountinfo(5)`).
fn find(mounts: &str) -> Result<PathBuf, CgroupError> {
    let mut partial = None;
    for line in mounts.lines() {
        let Some((mount, source)) = line.split_once(" - ") else {
            continue;
        };
        if source.split(' ').next() != Some("cgroup2") {
            continue;
        }
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else {
            continue;
        };
        let point = PathBuf::from(unescape(point));
        if root == "/" {
            return Ok(point);
        }
        partial = Some(point);
    }
    Err(partial.map_or(CgroupError::NoUnified, CgroupError::Partial))
}

/// Where the v1 hierarchy of a controller is mounted as a whole, in a mountinfo.
pub(super) fn v1(mounts: &str, controller: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut source = source.split(' ');
        let (kind, options) = (source.next()?, source.nth(1)?);
        let mut place = mount.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let named = options.split(',').any(|option| option == controller);
        (kind == "cgroup" && root == "/" && named).then(|| unescape(point).into())
    })
}

/// Undoes the octal escapes of mountinfo: space, tab, newline, backslash.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
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
