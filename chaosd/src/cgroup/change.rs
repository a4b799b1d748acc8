//! One change of a control file, as a step of a transaction.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::file::read_control;
use crate::{
    txn::{Cause, Txn, TxnError},
    undo::{Control, Part, System, Undo},
};

/// How long tasks may take to freeze. One in an uninterruptible sleep freezes when that ends.
/// Well within the lease, which whoever applies a change may have to renew.
const FREEZE_WITHIN: Duration = Duration::from_millis(500);
/// Between two looks at a freezer.
const FREEZE_LOOK: Duration = Duration::from_millis(2);

/// A control file, what will be written to it, and how that is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file and what of it is ours.
    pub control: Control,
    /// When the change is in force.
    pub settled: Settled,
}

/// What proves that a change is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The file reads what we wrote.
    ReadsBack,
    /// All tasks have stopped: `frozen 1` in `cgroup.events`, or `FROZEN` in `freezer.state`.
    Frozen,
}

impl Change {
    /// A change that is in force when its file reads back.
    pub(super) fn new(cgroup: &Path, file: &str, part: Part) -> io::Result<Self> {
        Ok(Self {
            control: Control {
                cgroup: cgroup.to_owned(),
                id: fs::metadata(cgroup)?.ino(),
                file: file.to_owned(),
                part,
            },
            settled: Settled::ReadsBack,
        })
    }

    /// What is written where.
    pub fn write(&self) -> (PathBuf, String) {
        (self.control.path(), self.control.ours())
    }

    fn make(&self, system: &dyn System) -> Result<(), Cause> {
        let Control {
            cgroup, id, file, ..
        } = &self.control;
        let text = self.control.ours();
        system
            .write_control(cgroup, *id, file, &text)
            .map_err(|source| {
                let path = self.control.path();
                ChangeError::Write { path, text, source }.into()
            })
    }

    fn verify(&self) -> Result<(), Cause> {
        match self.settled {
            Settled::ReadsBack => self.reads_back(),
            Settled::Frozen => self.is_frozen(),
        }
    }

    fn reads_back(&self) -> Result<(), Cause> {
        let found = self.read(&self.control.file)?.unwrap_or_default();
        if self.control.stands_in(&found) {
            return Ok(());
        }
        let path = self.control.path();
        let text = self.control.ours();
        Err(ChangeError::NotInForce { path, text, found }.into())
    }

    fn is_frozen(&self) -> Result<(), Cause> {
        let until = Instant::now() + FREEZE_WITHIN;
        loop {
            let frozen = if self.control.file == super::limits::freeze::V1 {
                self.read(super::limits::freeze::V1)?.as_deref() == Some("FROZEN")
            } else {
                let events = self.read("cgroup.events")?.unwrap_or_default();
                events.lines().any(|line| line == "frozen 1")
            };
            if frozen {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(ChangeError::NotFrozen {
                    cgroup: self.control.cgroup.clone(),
                    busy: super::limits::freeze::uninterruptible(&self.control.cgroup),
                }
                .into());
            }
            thread::sleep(FREEZE_LOOK);
        }
    }

    fn read(&self, file: &str) -> io::Result<Option<String>> {
        read_control(&self.control.cgroup, self.control.id, file)
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("failed to write {text} to {}", path.display())]
    Write {
        path: PathBuf,
        text: String,
        #[source]
        source: io::Error,
    },
    #[error("wrote {text} to {}, but it reads {found}", path.display())]
    NotInForce {
        path: PathBuf,
        text: String,
        found: String,
    },
    #[error(
        "{} is not frozen after {} ms{}", cgroup.display(), FREEZE_WITHIN.as_millis(),
        busy.map_or_else(String::new, |pid| format!(
            ": process {pid} is in an uninterruptible sleep (state D)"
        ))
    )]
    NotFrozen { cgroup: PathBuf, busy: Option<i32> },
}

/// Makes one change as a step of a transaction: recorded, written, verified.
pub fn apply(txn: &mut Txn, change: &Change) -> Result<(), TxnError> {
    let undo = Undo::Control(change.control.clone());
    let system = txn.system().ok_or(TxnError::Over)?;
    txn.step(undo, || change.make(&*system), |()| change.verify())
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
