//! A file that we made.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System, quoted};

/// Delete a file of a name that nobody else has, from the very directory in which we made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileOf {
    /// The directory, absolute.
    pub directory: PathBuf,
    /// Its device number: with `ino` its identity.
    pub dev: u64,
    /// Its inode.
    pub ino: u64,
    /// The file's name in it.
    pub name: String,
}

impl FileOf {
    /// How its name begins.
    pub const PREFIX: &str = ".chaosd-";

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        Ok(if system.delete_file(self)? {
            Outcome::Done
        } else {
            Outcome::AlreadyGone
        })
    }

    pub(super) fn by_hand(&self) -> String {
        format!("rm {}", quoted(&self.path().to_string_lossy()))
    }
}

impl fmt::Display for FileOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delete {}", self.path().display())
    }
}
