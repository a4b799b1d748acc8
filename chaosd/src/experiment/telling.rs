//! What a user is told while an experiment runs.

use crate::report::RunReport;

/// Something that a user wants to know when it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The steady state is being looked at.
    Looking,
    /// It holds.
    Steady,
    /// A stage has begun.
    Stage {
        /// From 0.
        number: usize,
        /// What was asked of its faults came to be in so many milliseconds.
        armed_ms: Option<f64>,
        /// Notes of its run.
        notes: Vec<String>,
    },
    /// A probe fails that did not, or does not that did.
    Probe {
        /// Which.
        name: String,
        /// Why it fails; `None`: it is well again.
        why: Option<String>,
    },
    /// It is over early, and is being reverted.
    Ending {
        /// Why.
        why: String,
    },
    /// The faults of a stage are over, and nobody here ended them.
    Broken {
        /// Why.
        why: String,
    },
    /// Nothing acts any more.
    Reverted {
        /// Seconds since the reason for it.
        after: f64,
    },
    /// The steady state holds again.
    Recovered {
        /// Seconds since the last fault.
        after: f64,
    },
    /// It did not hold again while it was looked at.
    NotRecovered,
    /// The load is over.
    Load {
        /// Its exit code.
        code: u8,
    },
}

/// How it stands.
#[derive(Debug)]
pub struct Now<'a> {
    /// The stage: also a recovery that no stage of the profile was meant for.
    pub stage: &'a str,
    /// Seconds that it may last.
    pub lasts: f64,
    /// Seconds that it has to go.
    pub left: f64,
    /// The probes of the steady state.
    pub probes: Vec<ProbeNow>,
    /// The run of the stage's faults.
    pub run: Option<&'a RunReport>,
}

/// How one probe stands.
#[derive(Debug)]
pub struct ProbeNow {
    /// Which.
    pub name: String,
    /// `None`: it has not looked yet.
    pub good: Option<bool>,
    /// What it saw last.
    pub value: String,
}

/// Who tells the user.
pub trait Shows {
    /// Something has happened.
    fn news(&mut self, news: &News);
    /// True when [`Shows::draw`] is wanted.
    fn is_live(&self) -> bool;
    /// True when standard output is for programs, so that a load's goes beside it.
    fn has_stdout(&self) -> bool;
    /// Time has passed.
    fn draw(&mut self, now: &Now<'_>);
}
