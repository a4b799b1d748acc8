//! The processes of a cgroup.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::CgroupError;
use crate::plan::Cgroup;

/// The processes of a cgroup and its subtree, in order. Cgroups that vanish meanwhile are skipped.
pub fn pids(cgroup: &Cgroup) -> Result<Vec<i32>, CgroupError> {
    below(&cgroup.path)
}

/// The processes of the cgroup with this directory, in any hierarchy, and of its subtree.
pub(super) fn below(root: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(directory) = queue.pop() {
        match members(&directory) {
            Ok(pids) => found.extend(pids),
            Err(source) if is_gone(&source) => continue,
            Err(source) => {
                return Err(CgroupError::Read {
                    path: directory,
                    source,
                });
            }
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                queue.push(entry.path());
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn members(directory: &Path) -> io::Result<Vec<i32>> {
    let text = match fs::read_to_string(directory.join("cgroup.procs")) {
        // A threaded cgroup lists threads only (Documentation/admin-guide/cgroup-v2.rst).
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            fs::read_to_string(directory.join("cgroup.threads"))
        }
        result => result,
    }?;
    // 0 stands for a process of another pid namespace, which cannot be looked at from here.
    Ok(text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != 0)
        .collect())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
