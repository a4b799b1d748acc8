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
    /// Looks that began before do not tell how it stands.
    counts_from: Option<Instant>,
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
            counts_from: None,
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

    /// Counts from then on.
    pub(super) fn forget(&mut self, now: Instant) {
        self.counts_from = Some(now);
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

    /// A later look is over already.
    fn is_past(&self, at: Instant) -> bool {
        self.last.as_ref().is_some_and(|last| at < last.at)
    }

    /// The look that was due then is late. False: that is past, and does not tell how it stands.
    pub(super) fn be_late(&mut self, at: Instant) -> bool {
        if self.is_past(at) {
            return false;
        }
        self.late = true;
        self.good_since = None;
        true
    }

    /// A look that is over; `start`: of the experiment. Returns it as this probe judges it; `None`: it is
    /// past, and does not tell how it stands.
    pub(super) fn saw(&mut self, mut sight: Sight, start: Instant) -> Option<Sight> {
        if self.role == (Role::Condition { comes: true }) {
            sight.why = match (&sight.why, sight.value) {
                // Not within its bound, or nothing was measured: it has not come.
                (Some(_), _) | (None, None) => None,
                (None, Some(_)) => Some(format!("it is {}", sight.told(self.spec.kind.unit()))),
            };
        }
        let ok = sight.why.is_none();
        if self.is_of_steady_state() {
            let sample = Sample {
                at: sight.at.saturating_duration_since(start).as_secs_f64(),
                took: sight.took.as_secs_f64(),
                value: sight.value,
                ok,
                why: sight.why.clone(),
            };
            // One that lags comes after others that began later.
            let place = self.samples.partition_point(|other| other.at <= sample.at);
            self.samples.insert(place, sample);
        }
        if self.is_past(sight.at) {
            return None;
        }
        self.looks += 1;
        if ok {
            self.good += 1;
            if self.counts_from.is_none_or(|from| sight.at >= from) {
                self.good_since.get_or_insert(sight.at);
            }
        } else {
            self.good_since = None;
        }
        self.late = false;
        self.last = Some(sight.clone());
        Some(sight)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::profile::{Address, ProbeKind, units::Percent};

    #[test]
    fn an_answer_that_comes_late_is_kept_in_its_place_and_changes_nothing_else() {
        let address = Address {
            host: "a".into(),
            port: 1,
        };
        let spec = ProbeSpec {
            name: "tcp".into(),
            kind: ProbeKind::Tcp {
                address,
                within: None,
            },
            weight: 1.0,
            at_least: Percent::ALL,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let sight = |ms, why: Option<&str>| Sight {
            at: at(ms),
            took: Duration::ZERO,
            value: None,
            why: why.map(str::to_owned),
        };
        let mut looked = Looked::new(spec, Role::Steady);
        assert!(looked.saw(sight(0, None), start).is_some());
        looked.forget(at(100));
        // It began under the faults, and has no say in whether all is well.
        assert!(looked.saw(sight(50, None), start).is_some());
        assert_eq!(looked.good_since(), None);
        assert!(looked.saw(sight(200, None), start).is_some());
        assert_eq!(looked.good_since(), Some(at(200)));
        assert!(looked.saw(sight(80, Some("late")), start).is_none());
        assert!(!looked.be_late(at(90)));
        assert_eq!(looked.good_since(), Some(at(200)));
        assert_eq!(looked.is_good(), Some(true));
        let record = looked.into_record();
        let samples = record.map(|probe| probe.samples).unwrap_or_default();
        let order: Vec<_> = samples.iter().map(|s| (s.at, s.ok)).collect();
        assert_eq!(
            order,
            [(0.0, true), (0.05, true), (0.08, false), (0.2, true)]
        );
    }
}
