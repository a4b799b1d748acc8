//! `disk-error`, checked.

use std::{fmt, path::PathBuf};

use chaosd_ebpf::file_error as place;
use serde::{Serialize, Serializer};

use super::units::{ErrorName, Percent};

/// `disk-error`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskError {
    /// A file, or a directory with all below it on the same file system; absolute.
    pub path: PathBuf,
    /// What calls return (default EIO).
    pub errno: ErrorName,
    /// Which calls, in a fixed order (default: read and write).
    pub operations: Vec<Operation>,
    /// How many of them, at full intensity; not 0 (default: all).
    pub rate: Percent,
}

/// What a program does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Operation {
    /// `open(2)`, also of a directory, or of a program to run.
    Open = place::OPEN,
    /// `read(2)`, `getdents(2)` and what else reads through a descriptor.
    Read = place::READ,
    /// `write(2)`, `fallocate(2)` and what else writes through a descriptor.
    Write = place::WRITE,
    /// A new file, by `open(2)` or `mknod(2)`.
    Create = place::CREATE,
    /// `mkdir(2)`
    Mkdir = place::MKDIR,
    /// `unlink(2)`
    Unlink = place::UNLINK,
    /// `rmdir(2)`
    Rmdir = place::RMDIR,
    /// `rename(2)`, into the place, out of it or within.
    Rename = place::RENAME,
    /// `link(2)`
    Link = place::LINK,
    /// `symlink(2)`
    Symlink = place::SYMLINK,
    /// `truncate(2)`, `ftruncate(2)`, and `open(2)` with `O_TRUNC`.
    Truncate = place::TRUNCATE,
    /// `stat(2)`
    Stat = place::STAT,
}

impl Operation {
    /// All of them, by the place of their counters.
    pub const ALL: [Self; place::OPERATIONS as usize] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Mkdir,
        Self::Unlink,
        Self::Rmdir,
        Self::Rename,
        Self::Link,
        Self::Symlink,
        Self::Truncate,
        Self::Stat,
    ];

    /// As a profile says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Mkdir => "mkdir",
            Self::Unlink => "unlink",
            Self::Rmdir => "rmdir",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Symlink => "symlink",
            Self::Truncate => "truncate",
            Self::Stat => "stat",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_stand_at_their_own_places() {
        for (place, operation) in (0..).zip(Operation::ALL) {
            assert_eq!(operation as u32, place, "{operation}");
        }
    }
}
