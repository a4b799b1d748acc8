//! Limits that a cgroup is held to for a time: what `cpu-quota`, `disk` and `freeze` have in common.
//!
//! A limit holds or does not: it is set when the fault begins to act, in a transaction, and put back
//! when it rests, each time anew, for what was there may have changed meanwhile.

use std::{fmt::Debug, sync::Arc, time::Duration};

use crate::{
    cgroup::{self, Change, Hold, HoldError, limits::LimitError},
    report::Verdict,
    txn::Applied,
    undo::{Part, RevertReport},
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now};

/// A limit, bound to a cgroup of this host.
pub(super) trait Limit: Debug + Send + Sync {
    /// `hold`, as in "failed to hold the CPU".
    fn changes(&self) -> Result<Vec<Change>, LimitError>;
    /// How it is done, in one line.
    fn mechanism(&self) -> String;
    /// What escapes it, as sentences without subject.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// Begins to count what it does.
    fn watch(&self) -> Box<dyn Watch>;
}

/// Counts what a limit did.
pub(super) trait Watch: Send {
    /// A moment of it. Called at least every [`crate::engine::TICK`].
    fn look(&mut self, _holds: bool) {}
    /// Since it was made. `holds`: it is in force now; `ever`: it was.
    fn effect(&mut self, holds: bool, ever: bool) -> (Effect, Verdict);
}

#[derive(Debug)]
struct Limited {
    limit: Arc<dyn Limit>,
    /// What it will change, as things stand.
    changes: Vec<Change>,
}

/// Binds it: what it would change is found out, and nothing changed.
pub(super) fn bind(limit: impl Limit + 'static) -> Result<Arc<dyn Bound>, BindError> {
    let changes = limit
        .changes()
        .map_err(|e| BindError(crate::undo::chain(&e)))?;
    Ok(Arc::new(Limited {
        limit: Arc::new(limit),
        changes,
    }))
}

impl Bound for Limited {
    fn mechanism(&self) -> String {
        let files: Vec<String> = self
            .changes
            .iter()
            .map(|change| {
                let (path, text) = change.write();
                format!("{} = {text}", path.display())
            })
            .collect();
        format!("{}: {}", self.limit.mechanism(), files.join(", "))
    }

    fn undo(&self) -> String {
        let prior: Vec<String> = self
            .changes
            .iter()
            .rev()
            .map(|change| {
                format!(
                    "{} = {}",
                    change.control.path().display(),
                    change.control.prior()
                )
            })
            .collect();
        format!("written back, in reverse: {}", prior.join(", "))
    }

    fn notes(&self) -> Vec<String> {
        self.limit.notes()
    }

    fn claims(&self) -> Vec<String> {
        let limits = self.changes.iter().filter_map(|change| {
            let path = change.control.path().display().to_string();
            match &change.control.part {
                // Somebody else may need the same controller.
                Part::Enabled { .. } => None,
                Part::Value { .. } => Some(path),
                Part::Device { device, .. } | Part::Fields { device, .. } => {
                    Some(format!("{path} of {device}"))
                }
            }
        });
        limits.collect()
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        let mut limiting = Limiting {
            watch: self.limit.watch(),
            limit: Arc::clone(&self.limit),
            host,
            applied: None,
            holds: Vec::new(),
            ever: false,
        };
        limiting.hold(&self.changes)?;
        Ok(Box::new(limiting))
    }
}

struct Limiting {
    limit: Arc<dyn Limit>,
    watch: Box<dyn Watch>,
    host: Host,
    /// In force.
    applied: Option<Applied>,
    /// Also while it rests.
    holds: Vec<Hold>,
    ever: bool,
}

impl Limiting {
    /// Nobody else is to change these meanwhile.
    fn hold(&mut self, changes: &[Change]) -> Result<(), ActError> {
        for control in changes.iter().map(|change| &change.control) {
            if self.holds.iter().any(|hold| hold.is_of(control)) {
                continue;
            }
            let hold = Hold::take(control).map_err(|source: HoldError| ActError::Refused {
                what: "hold a limit".into(),
                source: crate::undo::chain(&source).into(),
            })?;
            self.holds.extend(hold);
        }
        Ok(())
    }

    fn set(&mut self) -> Result<(), ActError> {
        let changes = || {
            self.limit.changes().map_err(|source| ActError::Refused {
                what: "find the limits that there are".into(),
                source: source.into(),
            })
        };
        let mut txn = self.host.txn()?;
        let (enabling, mut limits): (Vec<_>, Vec<_>) = (changes()?.into_iter())
            .partition(|change| matches!(change.control.part, Part::Enabled { .. }));
        for change in &enabling {
            cgroup::apply(&mut txn, change)?;
        }
        if !enabling.is_empty() {
            // What the controller counts is there only now.
            limits = changes()?;
        }
        self.hold(&limits)?;
        for change in &limits {
            cgroup::apply(&mut txn, change)?;
        }
        self.applied = Some(txn.commit()?);
        self.ever = true;
        Ok(())
    }
}

impl Acting for Limiting {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        let wanted = now.intensity > 0.0;
        if wanted && self.applied.is_none() {
            self.set()?;
        } else if !wanted && let Some(applied) = self.applied.take() {
            ActError::of(&applied.revert())?;
        }
        self.watch.look(self.applied.is_some());
        Ok(None)
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        self.watch.effect(self.applied.is_some(), self.ever)
    }

    fn end(self: Box<Self>) -> RevertReport {
        self.applied
            .map_or_else(RevertReport::default, Applied::revert)
    }
}
