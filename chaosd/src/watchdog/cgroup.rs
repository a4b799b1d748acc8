//! A cgroup of the watchdog's own.
//!
//! A service manager that kills a unit kills every process of its cgroup (`systemd.kill(5)`), the
//! watchdog with its parent. So a watchdog that finds itself in a service moves to a cgroup beside
//! all units, and removes that when it leaves. Where it cannot, `ExecStopPost` does its work.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
};

use crate::mounts;

/// The cgroup we are in.
pub(super) struct Refuge {
    path: PathBuf,
    root: PathBuf,
}

impl Refuge {
    /// Moves this process. None: nobody would kill it with its parent.
    pub(super) fn take(number: u32) -> io::Result<Option<Self>> {
        let table = fs::read_to_string("/proc/self/cgroup")?;
        if env::var_os("INVOCATION_ID").is_none() && !in_service(&table) {
            return Ok(None);
        }
        let root =
            unified(&mounts::read("/proc/self/mountinfo")?).ok_or(io::ErrorKind::NotFound)?;
        let name = format!("chaosd-watchdog-{number}-{}.scope", process::id());
        let refuge = Self {
            path: root.join(name),
            root,
        };
        fs::create_dir(&refuge.path)?;
        if let Err(error) = enter(&refuge.path) {
            let _gone = fs::remove_dir(&refuge.path);
            return Err(error);
        }
        Ok(Some(refuge))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves this process to the root, and removes the cgroup: an inhabited one cannot be.
    pub(super) fn leave(&self) {
        // If either fails, an empty directory is left, until the instance's is cleared.
        let _moved = enter(&self.root);
        let _gone = fs::remove_dir(&self.path);
    }
}

fn enter(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), process::id().to_string())
}

/// `/proc/self/cgroup` (cgroups(7)): `0::/system.slice/chaosd.service`.
fn in_service(table: &str) -> bool {
    table
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .any(|part| part.ends_with(".service"))
}

/// Where the unified hierarchy's root is mounted: `proc_pid_mountinfo(5)`.
pub(super) fn unified(table: &str) -> Option<PathBuf> {
    mounts::parse(table)
        .find(|mount| mount.kind == "cgroup2" && mount.is_whole())
        .map(|mount| mount.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_from_a_session() {
        assert!(in_service("0::/system.slice/chaosd.service\n"));
        assert!(in_service(
            "1:name=systemd:/system.slice/a.service/b\n0::/\n"
        ));
        assert!(!in_service("0::/user.slice/user-0.slice/session-1.scope\n"));
    }

    #[test]
    fn the_unified_tree_is_found_on_hybrid_hosts_too() {
        let hybrid = "30 25 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      41 30 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found = unified(hybrid);
        assert_eq!(found.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(unified("30 25 0:27 / / rw - ext4 /dev/vda rw\n"), None);
    }
}
