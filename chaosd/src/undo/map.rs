//! Disarms a plane from outside, by the control map its programs read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System};

/// A control map to fence. It dies with the process that loaded it, unless somebody holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its id, which the kernel does not give twice while it is up.
    pub id: u32,
    /// Its name.
    pub name: String,
}

impl Map {
    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        Ok(if system.fence(self.id, &self.name)? {
            Outcome::Done
        } else {
            Outcome::AlreadyGone
        })
    }

    pub(super) fn by_hand(&self) -> String {
        format!(
            "bpftool map show id {} # then end the process it names: its programs go with it",
            self.id
        )
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disarm map {} (id {})", self.name, self.id)
    }
}
