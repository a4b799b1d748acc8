//! A file without a name that one of our processes holds open.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System};
use crate::process::Identity;

/// Empty a file that exists only as long as its holder has it open: its blocks go with that process
/// by themselves, and with a loss of power. What is left to do is to take them from a holder that
/// lives and is late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Held {
    /// Who has it open.
    pub holder: Identity,
    /// The number of its descriptor.
    pub fd: i32,
    /// The file's device number: with `ino` its identity.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
}

impl Held {
    /// Where it can be opened (`proc_pid_fd(5)`).
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", self.holder.pid, self.fd).into()
    }

    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        Ok(if system.empty_file(self)? {
            Outcome::Done
        } else {
            Outcome::AlreadyGone
        })
    }

    pub(super) fn by_hand(&self) -> String {
        format!(": > {}", self.path().display())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "empty the file that process {} holds", self.holder)
    }
}
