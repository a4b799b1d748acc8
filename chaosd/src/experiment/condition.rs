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
    /// Those that fail.
    failing: BTreeMap<usize, Failing>,
    /// The one that made it come true.
    culprit: Option<usize>,
}

/// A probe that fails.
#[derive(Debug)]
struct Failing {
    since: Instant,
    /// What was seen last.
    seen: String,
}

impl Condition {
    pub(super) fn new(what: String, probes: Vec<usize>, lasting: Duration) -> Self {
        Self {
            what,
            probes,
            lasting,
            failing: BTreeMap::new(),
            culprit: None,
        }
    }

    /// The probe of the steady state that made it come true, or else the first that it watches; `None`: one
    /// of its own.
    pub(super) fn of_steady_state(&self, looked: &[Looked]) -> Option<String> {
        let probe = self.culprit.or_else(|| self.probes.first().copied())?;
        let found = looked.get(probe)?;
        found.is_of_steady_state().then(|| found.spec.name.clone())
    }

    /// A look that began then. `why`: it failed.
    pub(super) fn saw(&mut self, probe: usize, at: Instant, why: Option<&str>) {
        if !self.probes.contains(&probe) {
            return;
        }
        match why {
            None => {
                self.failing.remove(&probe);
            }
            Some(why) => {
                let failing = self.failing.entry(probe).or_insert_with(|| Failing {
                    since: at,
                    seen: String::new(),
                });
                why.clone_into(&mut failing.seen);
            }
        }
    }

    /// When it comes true, if nothing gets better until then.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.first()?.1.since + self.lasting)
    }

    /// It came true now: whoever has been failing for the longest is to blame.
    pub(super) fn came_true(&mut self) {
        self.culprit = self.first().map(|(probe, _)| probe);
    }

    /// Which, and what was seen.
    pub(super) fn told(&self) -> String {
        match self.first() {
            Some((_, failing)) => format!("{}: {}", self.what, failing.seen),
            None => self.what.clone(),
        }
    }

    fn first(&self) -> Option<(usize, &Failing)> {
        let failing = self
            .failing
            .iter()
            .map(|(probe, failing)| (*probe, failing));
        failing.min_by_key(|(_, failing)| failing.since)
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
        condition.came_true();
        assert_eq!(condition.culprit, Some(2));
        condition.saw(2, start + S, None);
        assert_eq!(condition.due(), Some(start + S));
    }
}
