//! Stops all tasks of a cgroup and its subtree (`cgroup.freeze`; v1: `freezer.state`).
//!
//! A task in an uninterruptible sleep stops when that ends. Frozen tasks of the unified tree can
//! be killed; those of v1 only once they are thawed.

use std::{fs, path::Path};

use super::{Controller, LimitError, check_vital, read, value};
use crate::{
    cgroup::{Change, Place, Settled, Version, processes},
    plan::Cgroup,
};

/// The file of the unified tree.
pub(in crate::cgroup) const V2: &str = "cgroup.freeze";
/// The file of v1.
pub(in crate::cgroup) const V1: &str = "freezer.state";

/// What stops a cgroup.
///
/// # Errors
/// [`LimitError::Vital`] when it holds the init process, this one, or one of `spared`: whoever thaws it must
/// not be in it.
pub fn prepare(cgroup: &Cgroup, spared: &[(i32, &str)]) -> Result<Vec<Change>, LimitError> {
    prepare_at(&Controller::Freezer.place(cgroup)?, spared)
}

fn prepare_at(place: &Place, spared: &[(i32, &str)]) -> Result<Vec<Change>, LimitError> {
    let directory = &place.directory;
    check_vital(directory, spared)?;
    let (file, thawed, frozen) = match place.version {
        Version::V2 => (V2, "0", "1"),
        Version::V1 => (V1, "THAWED", "FROZEN"),
    };
    match read(directory, file)?.as_deref() {
        None => Err(LimitError::NotBuilt {
            path: directory.join(file),
            option: "CONFIG_CGROUP_FREEZER",
        }),
        Some(found) if found != thawed => Err(LimitError::AlreadyFrozen(directory.clone())),
        Some(_) => Ok(vec![Change {
            settled: Settled::Frozen,
            ..value(directory, file, thawed, frozen)?
        }]),
    }
}

/// A process that cannot freeze now, if there is one.
pub(in crate::cgroup) fn uninterruptible(directory: &Path) -> Option<i32> {
    let members = processes::below(directory).ok()?;
    members.into_iter().find(|pid| {
        // `proc_pid_stat(5)`: the state follows the name, which may hold parentheses itself.
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('D')))
            .unwrap_or(false)
    })
}

#[cfg(test)]
#[path = "freeze_tests.rs"]
mod tests;
