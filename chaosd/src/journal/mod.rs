//! The write-ahead log of undos: one file per transaction owner, in the instance's directory.
//!
//! Each line is written whole, in one write, before the change it tells of; a write that fails
//! leaves the file as it was, and the change is not made. A line proves by its CRC that it is
//! whole, so a reader takes every record that survived and no record that was not written.
//!
//! Nothing is synced to a disk: a journal must outlive processes, not the machine. A reboot takes
//! the kernel's state and the journal in /run together.

mod read;
mod record;
mod replay;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub use self::{
    read::{Contents, Damage, read},
    record::{Begin, Record},
    replay::{fence, replay},
};
use crate::undo::{Outcome, Undo};

/// What names of journals end with.
pub const EXTENSION: &str = "journal";

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    next: u64,
    /// Bytes that hold whole records.
    len: u64,
}

/// Why a journal could not be kept. The change it was about has not been made.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be made, opened or read.
    #[error("failed to open journal {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record could not be written: the disk is full, say.
    #[error("failed to write to journal {path}")]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be deleted.
    #[error("failed to delete journal {path}")]
    Delete {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Journal {
    /// Makes the journal at `path`, which must not exist, and writes its first record.
    pub fn create(path: impl Into<PathBuf>, begin: Begin) -> Result<Self, JournalError> {
        let path = path.into();
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| open_error(&path, source))?;
        let mut journal = Self {
            path,
            file,
            next: 1,
            len: 0,
        };
        if let Err(error) = journal.append(&Record::Begin(begin)) {
            // An empty journal would be reported as left over, and there is nothing in it.
            let _nothing_lost = fs::remove_file(&journal.path);
            return Err(error);
        }
        Ok(journal)
    }

    /// Opens a journal that another process has left, and reads what is in it. A torn last record
    /// is cut off: its change was never made.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<(Self, Contents), JournalError> {
        let path = path.into();
        let contents = read(&path).map_err(|source| open_error(&path, source))?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|source| open_error(&path, source))?;
        let journal = Self {
            next: contents.last_seq() + 1,
            len: contents.whole_len,
            path,
            file,
        };
        if contents.torn() {
            // If it cannot be cut, records still prove themselves; the tail is reported again.
            let _cut = journal.file.set_len(journal.len);
        }
        Ok((journal, contents))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records an undo, before the change; returns the record's number.
    pub fn will(&mut self, undo: &Undo) -> Result<u64, JournalError> {
        self.append(&Record::Will(undo.clone()))
    }

    /// Records that the change of `seq` was made and verified.
    pub fn did(&mut self, seq: u64) -> Result<u64, JournalError> {
        self.append(&Record::Did { of: seq })
    }

    /// Records that the change of `seq` was undone.
    pub fn undone(&mut self, seq: u64, outcome: Outcome) -> Result<u64, JournalError> {
        self.append(&Record::Undone { of: seq, outcome })
    }

    /// Records that the whole transaction stands.
    pub fn commit(&mut self) -> Result<u64, JournalError> {
        self.append(&Record::Commit)
    }

    /// Deletes the journal: everything in it is undone.
    pub fn end(mut self) -> Result<(), JournalError> {
        // Another process may be reading: tell it. On a full disk the deletion tells it as well.
        let _told = self.append(&Record::End);
        match fs::remove_file(&self.path) {
            // Whoever replayed it meanwhile came to the same end.
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(JournalError::Delete {
                path: self.path,
                source,
            }),
            _ => Ok(()),
        }
    }

    fn append(&mut self, record: &Record) -> Result<u64, JournalError> {
        let seq = self.next;
        let written = record::encode(seq, record).and_then(|line| {
            self.file.write_all(&line)?;
            Ok(line.len() as u64)
        });
        match written {
            Ok(bytes) => {
                self.next += 1;
                self.len += bytes;
                Ok(seq)
            }
            Err(source) => {
                // Half a line may stand there. It would not prove itself, but a clean file is
                // easier to trust.
                let _cut = self.file.set_len(self.len);
                Err(JournalError::Append {
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }
}

fn open_error(path: &Path, source: io::Error) -> JournalError {
    JournalError::Open {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A directory for journals that goes with the test.

    use std::{
        env, fs,
        path::{Path, PathBuf},
        process,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::Begin;

    pub(crate) struct TempDir(PathBuf);

    impl TempDir {
        pub fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("chaosd-test-{}-{n}", process::id()));
            fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            Self(path)
        }

        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    pub(crate) fn begin() -> Begin {
        Begin::now("run-1", 1)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::{
        testing::{TempDir, begin},
        *,
    };
    use crate::undo::Map;

    fn undo(id: u32) -> Undo {
        Undo::Map(Map {
            id,
            name: "CONTROL".into(),
        })
    }

    #[test]
    fn what_is_written_is_read_again_in_order() {
        let dir = TempDir::new();
        let path = dir.path().join("a.journal");
        let mut journal = Journal::create(&path, begin()).unwrap();
        let first = journal.will(&undo(1)).unwrap();
        journal.did(first).unwrap();
        let second = journal.will(&undo(2)).unwrap();
        journal.commit().unwrap();
        let contents = read(&path).unwrap();
        assert!(contents.damage.is_empty());
        assert_eq!(contents.begin().unwrap().owner, "run-1");
        assert_eq!(
            contents.pending(),
            [(second, &undo(2)), (first, &undo(1))],
            "newest first"
        );
        journal.undone(second, Outcome::Done).unwrap();
        assert_eq!(read(&path).unwrap().pending(), [(first, &undo(1))]);
        journal.end().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_journal_is_never_written_over_another() {
        let dir = TempDir::new();
        let path = dir.path().join("a.journal");
        let _first = Journal::create(&path, begin()).unwrap();
        assert!(matches!(
            Journal::create(&path, begin()),
            Err(JournalError::Open { .. })
        ));
    }

    #[test]
    fn a_torn_tail_is_cut_before_more_is_written() {
        let dir = TempDir::new();
        let path = dir.path().join("a.journal");
        let mut journal = Journal::create(&path, begin()).unwrap();
        journal.will(&undo(1)).unwrap();
        let whole = fs::metadata(&path).unwrap().len();
        journal.will(&undo(2)).unwrap();
        journal.file.set_len(whole + 9).unwrap();
        let (mut again, contents) = Journal::reopen(&path).unwrap();
        assert!(contents.torn());
        assert_eq!(again.undone(2, Outcome::Done).unwrap(), 3);
        let contents = read(&path).unwrap();
        assert!(contents.damage.is_empty());
        assert!(contents.pending().is_empty());
    }
}
