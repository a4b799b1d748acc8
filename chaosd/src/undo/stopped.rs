//! A process that we stopped.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System};
use crate::process::Identity;

/// Let a process go on that we stopped by a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stopped(pub Identity);

impl Stopped {
    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        Ok(if system.go_on(&self.0)? {
            Outcome::Done
        } else {
            Outcome::AlreadyGone
        })
    }

    pub(super) fn by_hand(&self) -> String {
        format!("kill -CONT {}", self.0.pid)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "let process {} go on", self.0)
    }
}
