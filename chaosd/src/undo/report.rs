//! What came of undoing a list of changes.

use std::{error::Error, fmt};

use serde::Serialize;

use super::{Outcome, Undo, UndoError};

/// The sum of a revert: it never stops at the first failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RevertReport {
    /// What was undone now, newest first.
    pub undone: Vec<String>,
    /// What somebody else has changed meanwhile: not touched.
    pub left_alone: Vec<String>,
    /// What is perhaps still as we made it.
    pub failed: Vec<Failure>,
}

/// One thing that could not be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// What it is, in words.
    pub what: String,
    /// What stood in the way.
    pub why: String,
    /// A line for the shell that puts it right.
    pub by_hand: String,
}

impl RevertReport {
    /// Undoes one change and notes what came of it.
    pub fn revert(
        &mut self,
        undo: &Undo,
        system: &dyn super::System,
    ) -> Result<Outcome, UndoError> {
        let result = undo.revert(system);
        match &result {
            Ok(Outcome::Done) => self.undone.push(undo.to_string()),
            Ok(Outcome::AlreadyGone) => {}
            Ok(Outcome::LeftAlone { found }) => self
                .left_alone
                .push(format!("{undo}: changed by somebody else to {found}")),
            Err(error) => {
                self.fail(error.what.clone(), &*error.source, error.by_hand.clone());
            }
        }
        result
    }

    /// Notes something else that went wrong.
    pub(crate) fn fail(&mut self, what: String, why: &dyn Error, by_hand: String) {
        let why = chain(why);
        self.failed.push(Failure { what, why, by_hand });
    }

    /// Adds what another revert did.
    pub fn merge(&mut self, other: Self) {
        self.undone.extend(other.undone);
        self.left_alone.extend(other.left_alone);
        self.failed.extend(other.failed);
    }

    /// True when nothing of ours is left.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for RevertReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} undone", self.undone.len())?;
        for line in &self.left_alone {
            write!(f, "; left alone: {line}")?;
        }
        for failure in &self.failed {
            write!(f, "; {failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "failed to {}: {} (by hand: {})",
            self.what, self.why, self.by_hand
        )
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
