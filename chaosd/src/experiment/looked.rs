//! What is known of each probe while it looks.

use tokio::time::Instant;

use super::{
    grid::Sight,
    record::{Probe, Sample},
};
use crate::profile::ProbeSpec;

/// Why it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// At the target's steady state.
    Steady,
    /// At the twin's.
    Control,
    /// For a condition of `abort-when`: it fails when the condition is there.
    Condition {
        /// The condition is that a value is within its bound, rather than that it is not.
        comes: bool,
    },
}

/// A probe and what it saw.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) spec: ProbeSpec,
    pub(super) role: Role,
    samples: Vec<Sample>,
    last: Option<Sight>,
    late: bool,
    /// When the first of its last good looks began, with no failed one since.
    good_since: Option<Instant>,
    /// Looks, and good ones, since they were counted from 0.
    pub(super) looks: u32,
    pub(super) good: u32,
}

impl Looked {
    pub(super) fn new(spec: ProbeSpec, role: Role) -> Self {
        Self {
            spec,
            role,
            samples: Vec::new(),
            last: None,
            late: false,
            good_since: None,
            looks: 0,
            good: 0,
        }
    }

    /// As users name it.
    pub(super) fn name(&self) -> String {
        match self.role {
            Role::Control => format!("{} (control)", self.spec.name),
            _ => self.spec.name.clone(),
        }
    }

    pub(super) fn is_of_steady_state(&self) -> bool {
        !matches!(self.role, Role::Condition { .. })
    }

    /// Counts from here on.
    pub(super) fn forget(&mut self) {
        self.good_since = None;
        self.looks = 0;
        self.good = 0;
    }

    /// Since when it has been well, without a break.
    pub(super) fn good_since(&self) -> Option<Instant> {
        self.good_since
    }

    /// `None`: it has not looked yet.
    pub(super) fn is_good(&self) -> Option<bool> {
        let last = self.last.as_ref()?;
        Some(!self.late && last.why.is_none())
    }

    /// What it saw last; `None`: nothing yet, or it has been waiting for too long since.
    pub(super) fn last(&self) -> Option<&Sight> {
        self.last.as_ref().filter(|_| !self.late)
    }

    pub(super) fn be_late(&mut self) {
        self.late = true;
        self.good_since = None;
    }

    /// A look that is over; `start`: of the experiment. Returns it as this probe judges it.
    pub(super) fn saw(&mut self, mut sight: Sight, start: Instant) -> Sight {
        if self.role == (Role::Condition { comes: true }) {
            sight.why = match (&sight.why, sight.value) {
                // Not within its bound, or nothing was measured: it has not come.
                (Some(_), _) | (None, None) => None,
                (None, Some(_)) => Some(format!("it is {}", sight.told(self.spec.kind.unit()))),
            };
        }
        let ok = sight.why.is_none();
        self.looks += 1;
        if ok {
            self.good += 1;
            self.good_since.get_or_insert(sight.at);
        } else {
            self.good_since = None;
        }
        self.late = false;
        if self.is_of_steady_state() {
            self.samples.push(Sample {
                at: sight.at.saturating_duration_since(start).as_secs_f64(),
                took: sight.took.as_secs_f64(),
                value: sight.value,
                ok,
                why: sight.why.clone(),
            });
        }
        self.last = Some(sight.clone());
        sight
    }

    pub(super) fn into_record(self) -> Option<Probe> {
        if !self.is_of_steady_state() {
            return None;
        }
        Some(Probe {
            kind: self.spec.kind.name().to_owned(),
            what: self.spec.kind.to_string(),
            control: self.role == Role::Control,
            weight: self.spec.weight,
            at_least: self.spec.at_least.get() / 100.0,
            unit: self.spec.kind.unit().to_owned(),
            limit: self.spec.kind.limit(),
            name: self.spec.name,
            samples: self.samples,
        })
    }
}
