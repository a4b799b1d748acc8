//! Whether what a run targets is still there.

use std::{
    fs::{self, Metadata},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::PathBuf,
};

use super::process;
use crate::{cgroup, plan::Scope};

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The process ended.
    #[error("process {0} has ended")]
    Process(i32),
    /// The process was moved out of the cgroup by which it was hit, and who is left there was not meant.
    #[error("process {pid} has left the cgroup {}, by which it was hit", .cgroup.display())]
    Left {
        /// Its number.
        pid: i32,
        /// Where it was.
        cgroup: PathBuf,
    },
    /// The cgroup was removed.
    #[error("the cgroup {} was removed", .0.display())]
    Cgroup(PathBuf),
    /// The namespace lost the name by which it was found.
    #[error("the network namespace {} was deleted", .0.display())]
    Netns(PathBuf),
}

impl Scope {
    /// Says what of the target is gone. A few system calls: cheap enough for every tick.
    ///
    /// A network namespace lives while this scope holds it open, deleted or not; its kernel goes on
    /// answering. So one that was found by a name is gone with that name.
    pub fn alive(&self) -> Result<(), Gone> {
        if let (Some(pid), Some(process)) = (self.pid, &self.process)
            && !process::runs(process.as_fd())
        {
            return Err(Gone::Process(pid));
        }
        if let Some(cgroup) = &self.cgroup
            && !cgroup::exists(cgroup)
        {
            return Err(Gone::Cgroup(cgroup.path.clone()));
        }
        if let (Some(pid), Some(process), Some(cgroup)) = (self.pid, &self.process, &self.cgroup)
            && process::cgroups(process.as_fd()).is_some_and(|now| !cgroup::holds(cgroup, &now))
        {
            return Err(Gone::Left {
                pid,
                cgroup: cgroup.path.clone(),
            });
        }
        // A path below /proc is that of a process, which may leave while the namespace stays.
        let netns = &self.netns;
        let named = !netns.path.starts_with("/proc");
        let same = |m: Metadata| (m.dev(), m.ino()) == (netns.dev, netns.ino);
        if named && !fs::metadata(&netns.path).is_ok_and(same) {
            return Err(Gone::Netns(netns.path.clone()));
        }
        Ok(())
    }

    /// False when its cgroup has no process any more, which a container that was stopped may leave behind.
    pub fn has_processes(&self) -> bool {
        let cgroup = self.cgroup.as_ref();
        cgroup.is_none_or(|cgroup| !cgroup::pids(cgroup).is_ok_and(|pids| pids.is_empty()))
    }
}
