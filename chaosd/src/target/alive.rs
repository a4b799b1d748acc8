//! Whether what a run targets is still there.

use std::{os::fd::AsFd, path::PathBuf};

use super::process;
use crate::{cgroup, plan::Scope};

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The process ended.
    #[error("process {0} has ended")]
    Process(i32),
    /// The cgroup was removed.
    #[error("the cgroup {} was removed", .0.display())]
    Cgroup(PathBuf),
}

impl Scope {
    /// Says what of the target is gone. Two system calls or so: cheap enough for every tick.
    ///
    /// A network namespace cannot go: this scope holds it open. Once nothing else uses it, no
    /// packet crosses it either.
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
        Ok(())
    }
}
