//! Process slots: how many tasks, threads included, a cgroup and its subtree may have (`pids.max`, in
//! both versions).
//!
//! Lowering the limit is what running out of slots is: fork(2) and clone(2) fail with `EAGAIN`, and
//! those that run go on (Documentation/admin-guide/cgroup-v2.rst, "PID").

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Controller, LimitError, check_vital, descendants, read, value};
use crate::{cgroup::Change, plan::Cgroup};

const MAX: &str = "pids.max";
const CURRENT: &str = "pids.current";
/// Since 6.11 the events of a cgroup include those below it, and this file has its own
/// (kernel/cgroup/pids.c, `pids_event`).
const EVENTS_LOCAL: &str = "pids.events.local";
const EVENTS: &str = "pids.events";
/// As the kernel writes it.
const NO_LIMIT: &str = "max";

/// What leaves a cgroup `leave` slots beyond those that are taken now. Slots that become free are its
/// own again.
///
/// # Errors
/// [`LimitError::NotLower`] when it, or a cgroup above it, has no more left already;
/// [`LimitError::Vital`] when it holds the init process, this one, or one of `spared`: who must start
/// others to end the fault.
pub fn prepare(
    cgroup: &Cgroup,
    leave: u64,
    spared: &[(i32, &str)],
) -> Result<Vec<Change>, LimitError> {
    let place = Controller::Pids.place(cgroup)?;
    let directory = place.directory.as_path();
    check_vital(directory, spared)?;
    for path in directory.ancestors().take_while(|path| *path != place.root) {
        if let (Some(max), Some(taken)) = (max_of(path)?, number(path, CURRENT)?)
            && max.saturating_sub(taken) <= leave
        {
            return Err(LimitError::NotLower {
                path: path.to_owned(),
                found: slots(max.saturating_sub(taken)),
                asked: slots(leave),
            });
        }
    }
    // Without the controller nobody has counted them yet.
    let taken = match number(directory, CURRENT)? {
        Some(taken) => taken,
        None if place.enable.is_empty() => {
            return Err(LimitError::NotBuilt {
                path: directory.join(CURRENT),
                option: "CONFIG_CGROUP_PIDS",
            });
        }
        None => tasks(directory),
    };
    let prior = read(directory, MAX)?.unwrap_or_else(|| NO_LIMIT.to_owned());
    let mut changes = place.enable;
    let ours = taken.saturating_add(leave).to_string();
    changes.push(value(directory, MAX, prior, ours)?);
    Ok(changes)
}

/// How often somebody of a cgroup has been refused a slot since it was made.
#[derive(Clone, Debug)]
pub struct Refusals(Option<PathBuf>);

impl Refusals {
    /// Of a cgroup and its subtree.
    pub fn of(cgroup: &Cgroup) -> Self {
        let place = Controller::Pids.place(cgroup).ok();
        Self(place.map(|place| place.directory))
    }

    /// So far. What cannot be read counts as none.
    pub fn count(&self) -> u64 {
        let Some(directory) = &self.0 else {
            return 0;
        };
        let all = descendants(directory)
            .into_iter()
            .chain([directory.clone()]);
        all.map(|path| refused(&path)).sum()
    }
}

/// Before 6.11, and in v1, whoever forks counts it; since then, whose limit it was.
fn refused(directory: &Path) -> u64 {
    let text = [EVENTS_LOCAL, EVENTS]
        .into_iter()
        .find_map(|file| fs::read_to_string(directory.join(file)).ok());
    let text = text.unwrap_or_default();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("max "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// None: no limit, or no controller.
fn max_of(directory: &Path) -> Result<Option<u64>, LimitError> {
    match read(directory, MAX)? {
        Some(text) if text == NO_LIMIT => Ok(None),
        Some(text) => parse(directory, &text).map(Some),
        None => Ok(None),
    }
}

fn number(directory: &Path, file: &str) -> Result<Option<u64>, LimitError> {
    let text = read(directory, file)?;
    text.map(|text| parse(directory, &text)).transpose()
}

fn parse(directory: &Path, text: &str) -> Result<u64, LimitError> {
    text.parse().map_err(|_| LimitError::Strange {
        path: directory.to_owned(),
        text: text.to_owned(),
        what: "number of processes",
    })
}

/// Threads of a cgroup and its subtree, by their lists.
fn tasks(directory: &Path) -> u64 {
    let all = descendants(directory)
        .into_iter()
        .chain([directory.to_owned()]);
    let lists = all.filter_map(|path| fs::read_to_string(path.join("cgroup.threads")).ok());
    lists.map(|list| list.lines().count() as u64).sum()
}

fn slots(count: u64) -> String {
    match count {
        1 => "1 process slot left".to_owned(),
        count => format!("{count} process slots left"),
    }
}

#[cfg(test)]
#[path = "pids_tests.rs"]
mod tests;
