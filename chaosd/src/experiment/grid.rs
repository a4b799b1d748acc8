//! When a probe looks: on a fixed grid of times, whatever its looks take.
//!
//! Invariant: one look of a probe is under way at a time, and each point of the grid is answered for.
//! A look that was due while the one before was still waiting has that one's answer, after the time
//! that it would have waited itself: else a service that stands still for ten seconds would be one slow
//! answer among many fast ones, though whoever came in those seconds had to wait.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::probe::{Look, Looks, Seen, misses, short};
use crate::profile::ProbeSpec;

/// Looks of a probe that waits for something to be over.
pub(super) const FAST: Duration = Duration::from_millis(50);
/// Looks of the check before anything is done.
const CHECK: Duration = Duration::from_millis(250);

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As asked, but no less than four times a second: is all well before we begin?
    Check,
    /// As asked.
    Own,
    /// As often as makes sense: when is all well again?
    Fast,
}

/// What a probe has to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The look that was due then takes longer than it may: it has failed, whatever comes.
    Late {
        /// Which probe.
        probe: usize,
        /// When it was due.
        at: Instant,
    },
    /// A look is over.
    Saw {
        /// Which probe.
        probe: usize,
        /// What it saw.
        sight: Sight,
    },
}

/// A look that is over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    /// When it was due.
    pub at: Instant,
    /// From then to its end.
    pub took: Duration,
    /// What was measured.
    pub value: Option<f64>,
    /// Why it is not as expected; `None`: it is.
    pub why: Option<String>,
}

/// Who looks at one thing, until nobody listens.
pub(super) struct Grid {
    pub(super) probe: usize,
    pub(super) spec: ProbeSpec,
    pub(super) pace: watch::Receiver<Pace>,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Grid {
    pub(super) async fn run(self, mut looker: impl Looks) {
        let mut paces = self.pace.clone();
        let mut pace = *paces.borrow_and_update();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                changed = paces.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    pace = *paces.borrow_and_update();
                    next = Instant::now();
                    continue;
                }
                () = sleep_until(next) => {}
            }
            let due = next;
            let period = self.period(pace);
            let mut late = false;
            let answer = tokio::select! {
                biased;
                changed = paces.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    None
                }
                answer = self.answer(pace, due, &mut late, looker.look()) => Some(answer),
            };
            let end = Instant::now();
            let Some(answer) = answer else {
                // What was asked before says nothing about now. If it was late already, that stays.
                pace = *paces.borrow_and_update();
                next = end;
                if late {
                    self.saw(due, end, &Err("no answer in time".to_owned()));
                }
                continue;
            };
            self.saw(due, end, &answer);
            next = due + period;
            while next < end {
                if self.spec.kind.is_timed() || answer.is_err() {
                    self.saw(next, end, &answer);
                }
                next += period;
            }
        }
    }

    fn period(&self, pace: Pace) -> Duration {
        let every = self.spec.every;
        match pace {
            Pace::Check => every.min(CHECK),
            Pace::Own => every,
            Pace::Fast => every.min(FAST),
        }
    }

    /// One look, which is told of when it is late, and given up when it takes too long.
    async fn answer(
        &self,
        pace: Pace,
        due: Instant,
        late: &mut bool,
        look: impl Future<Output = Look>,
    ) -> Look {
        tokio::pin!(look);
        let limit = self.spec.timeout;
        let given_up = || {
            Err(format!(
                "no answer within {}",
                humantime::format_duration(limit)
            ))
        };
        let Some(within) = self.spec.kind.within() else {
            return timeout(limit, look).await.unwrap_or_else(|_| given_up());
        };
        if let Ok(answer) = timeout(within, &mut look).await {
            return answer;
        }
        *late = true;
        self.tell(Event::Late {
            probe: self.probe,
            at: due,
        });
        let late = || {
            let within = humantime::format_duration(within);
            Err(format!("no answer within {within}"))
        };
        if pace == Pace::Fast {
            // Another look may find it well again.
            return late();
        }
        let left = limit.saturating_sub(within);
        timeout(left, look).await.unwrap_or_else(|_| given_up())
    }

    fn saw(&self, at: Instant, end: Instant, look: &Look) {
        let took = end.saturating_duration_since(at);
        let ms = took.as_secs_f64() * 1e3;
        let (value, why) = match look {
            Err(why) => (None, Some(why.clone())),
            Ok(Seen::Answered) => (Some(ms), misses(&self.spec.kind, ms)),
            Ok(Seen::Measured(value)) => (Some(*value), misses(&self.spec.kind, *value)),
        };
        self.tell(Event::Saw {
            probe: self.probe,
            sight: Sight {
                at,
                took,
                value,
                why,
            },
        });
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the experiment is over.
        self.events.send(event).ok();
    }
}

impl Sight {
    /// Its value for people.
    pub(super) fn told(&self, unit: &str) -> String {
        match self.value {
            Some(value) if unit.is_empty() => short(value),
            Some(value) => format!("{} {unit}", short(value)),
            None => String::new(),
        }
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
