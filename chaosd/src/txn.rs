//! Record, change, verify; undone in reverse unless committed.
//!
//! Nothing outside a `Txn` changes the system. Each step writes its undo to the journal, makes
//! the change, and reads it back. If any of that fails, everything the transaction did is undone,
//! newest first. A transaction that is dropped, by an error or a panic, undoes itself.

use std::{error::Error, sync::Arc};

use crate::{
    journal::{Journal, JournalError},
    undo::{RevertReport, System, Undo, chain},
};

/// What a change or its verification may fail with.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A transaction under way.
#[must_use = "a transaction that is dropped undoes itself"]
pub struct Txn {
    /// None once it is over.
    changes: Option<Changes>,
}

/// A transaction that stands: everything it did is in force, until it is reverted.
///
/// Dropping it reverts nothing: the journal stays, for the watchdog or `chaosd revert --all`.
#[must_use = "what was applied must be reverted"]
pub struct Applied {
    changes: Changes,
}

struct Changes {
    journal: Journal,
    system: Arc<dyn System>,
    /// What to undo, oldest first.
    undos: Vec<(u64, Undo)>,
}

/// Why a step was not done. Everything before it is undone too, but for what `left` says.
#[derive(Debug, thiserror::Error)]
pub enum TxnError {
    /// It could not be recorded, so it was not tried.
    #[error("failed to record how to {undo}{}", left_over(left))]
    Record {
        /// What would have undone it.
        undo: String,
        /// Why.
        #[source]
        source: JournalError,
        /// What could not be undone.
        left: Box<RevertReport>,
    },
    /// The change was refused.
    #[error("failed to make the change{}", left_over(left))]
    Change {
        /// Why.
        #[source]
        source: Cause,
        /// What could not be undone.
        left: Box<RevertReport>,
    },
    /// The change was accepted and is not in force.
    #[error("the change was made and is not in force{}", left_over(left))]
    Verify {
        /// What was read back.
        #[source]
        source: Cause,
        /// What could not be undone.
        left: Box<RevertReport>,
    },
    /// An earlier step has failed, and the transaction is undone.
    #[error("the transaction is over: an earlier step failed")]
    Over,
}

impl TxnError {
    /// What came of undoing the steps before; `failed` is empty when nothing is left.
    pub fn reverted(&self) -> Option<&RevertReport> {
        match self {
            Self::Record { left, .. } | Self::Change { left, .. } | Self::Verify { left, .. } => {
                Some(left)
            }
            Self::Over => None,
        }
    }
}

fn left_over(report: &RevertReport) -> String {
    report
        .failed
        .iter()
        .fold(String::new(), |mut text, failure| {
            text.push_str("; then ");
            text.push_str(&failure.to_string());
            text
        })
}

impl Txn {
    /// A transaction that records in `journal`, which is deleted when all is undone.
    pub fn begin(journal: Journal, system: Arc<dyn System>) -> Self {
        Self {
            changes: Some(Changes {
                journal,
                system,
                undos: Vec::new(),
            }),
        }
    }

    /// Records `undo`, makes the change, and verifies it. On failure of any the whole transaction
    /// is undone and over.
    pub fn step<T>(
        &mut self,
        undo: Undo,
        change: impl FnOnce() -> Result<T, Cause>,
        verify: impl FnOnce(&T) -> Result<(), Cause>,
    ) -> Result<T, TxnError> {
        let changes = self.changes.as_mut().ok_or(TxnError::Over)?;
        let seq = match changes.journal.will(&undo) {
            Ok(seq) => seq,
            Err(source) => {
                return Err(TxnError::Record {
                    undo: undo.to_string(),
                    source,
                    left: self.undo_all().into(),
                });
            }
        };
        changes.undos.push((seq, undo));
        let made = match change() {
            Ok(made) => made,
            Err(source) => {
                let left = self.undo_all().into();
                return Err(TxnError::Change { source, left });
            }
        };
        if let Err(source) = verify(&made) {
            let left = self.undo_all().into();
            return Err(TxnError::Verify { source, left });
        }
        if let Some(changes) = &mut self.changes
            && let Err(error) = changes.journal.did(seq)
        {
            // A replay undoes an announced change in any case.
            tracing::warn!(error = chain(&error), "a change was made and not noted");
        }
        Ok(made)
    }

    /// The machine that it changes. None: the transaction is over.
    pub(crate) fn system(&self) -> Option<Arc<dyn System>> {
        Some(Arc::clone(&self.changes.as_ref()?.system))
    }

    /// Everything stands from here, until [`Applied::revert`].
    pub fn commit(mut self) -> Result<Applied, TxnError> {
        let mut changes = self.changes.take().ok_or(TxnError::Over)?;
        if let Err(error) = changes.journal.commit() {
            // Whether it was committed makes no difference to a replay.
            tracing::warn!(
                error = chain(&error),
                "a transaction stands and is not noted"
            );
        }
        Ok(Applied { changes })
    }

    /// Undoes everything, newest first, and says what came of it.
    pub fn abort(mut self) -> RevertReport {
        self.undo_all()
    }

    fn undo_all(&mut self) -> RevertReport {
        self.changes.take().map(Changes::revert).unwrap_or_default()
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        for failure in self.undo_all().failed {
            tracing::error!("{failure}");
        }
    }
}

impl Applied {
    /// Undoes everything, newest first, to the end whatever fails. The journal is deleted; with a
    /// failure it is kept, so that `chaosd revert --all` can try again.
    pub fn revert(self) -> RevertReport {
        self.changes.revert()
    }

    /// What would be undone, newest first.
    pub fn undos(&self) -> impl Iterator<Item = &Undo> {
        self.changes.undos.iter().rev().map(|(_, undo)| undo)
    }
}

impl Changes {
    fn revert(mut self) -> RevertReport {
        let mut report = RevertReport::default();
        for (seq, undo) in self.undos.iter().rev() {
            if let Ok(outcome) = report.revert(undo, &*self.system) {
                // Saves a replay the work; without it, the replay finds nothing to do.
                let _noted = self.journal.undone(*seq, outcome);
            }
        }
        if report.is_clean() {
            let path = self.journal.path().display().to_string();
            if let Err(error) = self.journal.end() {
                let what = format!("delete journal {path}");
                report.fail(what, &error, format!("rm {path}"));
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::{fs, io, thread};

    use nix::{
        mount::{MsFlags, mount},
        sched::{CloneFlags, unshare},
    };

    use super::*;
    use crate::{
        journal::testing::{TempDir, begin},
        undo::fake::Fake,
    };

    const KEYS: [&str; 3] = ["net/a", "net/b", "net/c"];

    struct Bench {
        dir: TempDir,
        fake: Arc<Fake>,
    }

    impl Bench {
        fn new() -> Self {
            let fake = Arc::new(Fake::default());
            for key in KEYS {
                fake.set(key, "prior");
            }
            Self {
                dir: TempDir::new(),
                fake,
            }
        }

        fn txn(&self) -> Txn {
            let journal = Journal::create(self.dir.path().join("a.journal"), begin()).unwrap();
            Txn::begin(journal, self.fake.clone())
        }

        fn set(&self, txn: &mut Txn, key: &str) -> Result<(), TxnError> {
            txn.step(
                Undo::Sysctl(self.fake.sysctl(key, "prior", "ours")),
                || {
                    self.fake.set(key, "ours");
                    Ok(())
                },
                |()| Ok(()),
            )
        }

        fn values(&self) -> Vec<String> {
            KEYS.iter().map(|key| self.fake.get(key).unwrap()).collect()
        }

        fn journals(&self) -> usize {
            fs::read_dir(self.dir.path()).unwrap().count()
        }
    }

    #[test]
    fn what_is_committed_stands_until_it_is_reverted() {
        let bench = Bench::new();
        let mut txn = bench.txn();
        for key in KEYS {
            bench.set(&mut txn, key).unwrap();
        }
        let applied = txn.commit().unwrap();
        assert_eq!(bench.values(), ["ours"; 3]);
        let report = applied.revert();
        assert_eq!(report.undone.len(), 3);
        assert!(report.undone[0].contains("net/c"), "newest first: {report}");
        assert_eq!(bench.values(), ["prior"; 3]);
        assert_eq!(bench.journals(), 0);
    }

    #[test]
    fn a_transaction_that_is_dropped_undoes_itself() {
        let bench = Bench::new();
        let mut txn = bench.txn();
        bench.set(&mut txn, KEYS[0]).unwrap();
        drop(txn);
        assert_eq!(bench.values(), ["prior"; 3]);
        assert_eq!(bench.journals(), 0);
    }

    #[test]
    fn a_refused_change_undoes_the_ones_before_and_ends_the_transaction() {
        let bench = Bench::new();
        let mut txn = bench.txn();
        bench.set(&mut txn, KEYS[0]).unwrap();
        let undo = Undo::Sysctl(bench.fake.sysctl(KEYS[1], "prior", "ours"));
        let refused = || Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
        let error = txn.step::<()>(undo, refused, |()| Ok(())).unwrap_err();
        assert!(matches!(error, TxnError::Change { .. }));
        assert_eq!(error.reverted().unwrap().undone.len(), 1);
        assert_eq!(bench.values(), ["prior"; 3]);
        assert!(matches!(bench.set(&mut txn, KEYS[2]), Err(TxnError::Over)));
        assert_eq!(bench.values(), ["prior"; 3]);
        assert!(matches!(txn.commit(), Err(TxnError::Over)));
    }

    #[test]
    fn a_change_that_does_not_take_is_undone() {
        let bench = Bench::new();
        let mut txn = bench.txn();
        let error = txn
            .step(
                Undo::Sysctl(bench.fake.sysctl(KEYS[0], "prior", "ours")),
                || {
                    bench.fake.set(KEYS[0], "ours");
                    Ok(())
                },
                |()| Err("it reads something else".into()),
            )
            .unwrap_err();
        assert!(matches!(error, TxnError::Verify { .. }));
        assert_eq!(bench.values(), ["prior"; 3]);
    }

    #[test]
    fn what_cannot_be_undone_is_told_with_the_error_and_kept_in_the_journal() {
        let bench = Bench::new();
        let mut txn = bench.txn();
        bench.set(&mut txn, KEYS[0]).unwrap();
        bench.fake.refuse_writes();
        let undo = Undo::Sysctl(bench.fake.sysctl(KEYS[1], "prior", "ours"));
        let error = txn
            .step::<()>(undo, || Err("no".into()), |()| Ok(()))
            .unwrap_err();
        assert_eq!(error.reverted().unwrap().failed.len(), 1, "{error}");
        assert!(error.to_string().contains("by hand: nsenter"), "{error}");
        assert_eq!(bench.journals(), 1);
    }

    #[test]
    fn a_full_disk_refuses_the_change_before_it_is_made() {
        let bench = Bench::new();
        let dir = bench.dir.path();
        // The mount is seen by this thread alone, and goes with it.
        thread::scope(|scope| {
            let work = || {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
                mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
                let none = MsFlags::empty();
                mount(Some("none"), dir, Some("tmpfs"), none, Some("size=4k")).unwrap();
                let mut txn = bench.txn();
                let refused = (0..1000).find_map(|n| {
                    let key = format!("net/{n}");
                    bench.fake.set(&key, "prior");
                    Some((key.clone(), bench.set(&mut txn, &key).err()?))
                });
                let (key, error) = refused.unwrap();
                assert!(matches!(error, TxnError::Record { .. }), "{error}");
                assert!(error.reverted().unwrap().is_clean(), "{error}");
                assert_eq!(bench.fake.get(&key).unwrap(), "prior");
                assert_eq!(bench.fake.get("net/0").unwrap(), "prior");
                assert_eq!(bench.journals(), 0);
            };
            scope.spawn(work).join().unwrap();
        });
        assert_eq!(bench.values(), ["prior"; 3]);
    }
}
