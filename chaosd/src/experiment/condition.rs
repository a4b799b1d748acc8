//! Conditions that end an experiment early: something has been wrong for so long, without a break.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::looked::Looked;

/// One condition of `abort-when`.
#[derive(Debug)]
pub(super) struct Condition {
    /// In one line.
    pub(super) what: String,
    /// Any of these probes.
    probes: Vec<usize>,
    lasting: Duration,
    /// Since when each of them fails.
    since: BTreeMap<usize, Instant>,
    /// What was seen last, of those that fail.
    seen: String,
}

impl Condition {
    pub(super) fn new(what: String, probes: Vec<usize>, lasting: Duration) -> Self {
        Self {
            what,
            probes,
            lasting,
            since: BTreeMap::new(),
            seen: String::new(),
        }
    }

    /// A look that began then. `why`: it failed.
    /// The probe of the steady state that it watches; `None`: one of its own.
    pub(super) fn of_steady_state(&self, looked: &[Looked]) -> Option<String> {
        let mut watched = self.probes.iter().filter_map(|probe| looked.get(*probe));
        let found = watched.find(|looked| looked.is_of_steady_state());
        found.map(|looked| looked.spec.name.clone())
    }

    pub(super) fn saw(&mut self, probe: usize, at: Instant, why: Option<&str>) {
        if !self.probes.contains(&probe) {
            return;
        }
        match why {
            None => {
                self.since.remove(&probe);
            }
            Some(why) => {
                self.since.entry(probe).or_insert(at);
                why.clone_into(&mut self.seen);
            }
        }
    }

    /// When it comes true, if nothing gets better until then.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(*self.since.values().min()? + self.lasting)
    }

    /// Which, and what was seen.
    pub(super) fn told(&self) -> String {
        if self.seen.is_empty() {
            return self.what.clone();
        }
        format!("{}: {}", self.what, self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn condition(seconds: u32) -> Condition {
        Condition::new("a fails".into(), vec![0, 2], seconds * S)
    }

    #[test]
    fn it_counts_from_the_first_failed_look_and_from_anew_after_a_good_one() {
        let start = Instant::now();
        let mut condition = condition(10);
        assert_eq!(condition.due(), None);
        condition.saw(0, start, Some("refused"));
        condition.saw(0, start + S, Some("late"));
        assert_eq!(condition.due(), Some(start + 10 * S));
        assert_eq!(condition.told(), "a fails: late");
        condition.saw(0, start + 2 * S, None);
        assert_eq!(condition.due(), None);
        condition.saw(0, start + 3 * S, Some("refused"));
        assert_eq!(condition.due(), Some(start + 13 * S));
    }

    #[test]
    fn any_of_its_probes_will_do_and_no_other() {
        let start = Instant::now();
        let mut condition = condition(0);
        condition.saw(1, start, Some("refused"));
        assert_eq!(condition.due(), None);
        condition.saw(0, start + S, Some("refused"));
        condition.saw(2, start, Some("refused"));
        assert_eq!(condition.due(), Some(start));
        condition.saw(2, start + S, None);
        assert_eq!(condition.due(), Some(start + S));
    }
}
