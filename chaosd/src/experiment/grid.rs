//! When a probe looks: on a fixed grid of times, whatever its looks take.
//!
//! Invariant: one look of a probe begins at a time, and each point of the grid is answered for.
//! A look that was due while the one before was still waiting has that one's answer, after the time
//! that it would have waited itself: else a service that stands still for ten seconds would be one slow
//! answer among many fast ones, though whoever came in those seconds had to wait.
//!
//! A look that is under way when the faults go *lags*: it says nothing about now, so that others begin
//! beside it, and its answer counts for the moment at which it began, as that of whoever asked then.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::probe::{Look, Looks, Seen, misses, short};
use crate::profile::{ProbeKind, ProbeSpec};

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
    /// Not any more. Those that lag are waited for, as long as it is open how they end.
    Over,
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

/// When the looks are due that a look answers for.
#[derive(Clone, Copy)]
struct Due {
    first: Instant,
    period: Duration,
}

/// A look under way: it comes to whoever looked and to what was seen, and knows whether it is late.
struct UnderWay<L> {
    due: Due,
    late: watch::Receiver<bool>,
    look: Pin<Box<dyn Future<Output = (L, Look)> + Send>>,
}

/// Who looks at one thing, until nobody listens.
pub(super) struct Grid {
    pub(super) probe: usize,
    pub(super) spec: ProbeSpec,
    pub(super) pace: watch::Receiver<Pace>,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Grid {
    /// `new`: makes who looks; a second one while the first lags.
    pub(super) async fn run<L: Looks + 'static>(self, new: impl Fn() -> L) {
        let grid = Arc::new(self);
        let mut paces = grid.pace.clone();
        let mut pace = *paces.borrow_and_update();
        let mut lagging = JoinSet::new();
        let mut looker = new();
        let mut next = Instant::now();
        while pace != Pace::Over {
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
            let mut under_way = grid.begin(looker, pace, next);
            let over = tokio::select! {
                biased;
                changed = paces.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    None
                }
                over = &mut under_way.look => Some(over),
            };
            let end = Instant::now();
            if let Some((same, answer)) = over {
                looker = same;
                next = grid.answered(under_way.due, end, end, &answer);
                continue;
            }
            let before = pace;
            pace = *paces.borrow_and_update();
            next = end;
            looker = new();
            if before == Pace::Own && pace == Pace::Fast {
                lagging.spawn(grid.clone().lag(under_way, end));
            } else if *under_way.late.borrow() {
                // If it was late already, that stays.
                grid.saw(
                    under_way.due.first,
                    end,
                    &Err("no answer in time".to_owned()),
                );
            }
        }
        while lagging.join_next().await.is_some() {}
    }

    fn period(&self, pace: Pace) -> Duration {
        let every = self.spec.every;
        if matches!(self.spec.kind, ProbeKind::Log { .. }) {
            // So many lines are well in that time, and in no other.
            return every;
        }
        match pace {
            Pace::Check => every.min(CHECK),
            Pace::Own | Pace::Over => every,
            Pace::Fast => every.min(FAST),
        }
    }

    fn begin<L: Looks + 'static>(
        self: &Arc<Self>,
        mut looker: L,
        pace: Pace,
        first: Instant,
    ) -> UnderWay<L> {
        let (late, is_late) = watch::channel(false);
        let grid = Arc::clone(self);
        UnderWay {
            due: Due {
                first,
                period: self.period(pace),
            },
            late: is_late,
            look: Box::pin(async move {
                let answer = grid.answer(pace, first, &late, looker.look()).await;
                (looker, answer)
            }),
        }
    }

    /// Waits for a look beside which others have begun since `until`.
    async fn lag<L>(self: Arc<Self>, under_way: UnderWay<L>, until: Instant) {
        let UnderWay { due, look, .. } = under_way;
        let (_looker, answer) = look.await;
        self.answered(due, Instant::now(), until, &answer);
    }

    /// Tells of a look that is over, and of those that were due before `until` while it waited. Returns
    /// when the next one is.
    fn answered(&self, due: Due, end: Instant, until: Instant, answer: &Look) -> Instant {
        self.saw(due.first, end, answer);
        let mut next = due.first + due.period;
        while next < until {
            if self.spec.kind.is_timed() || answer.is_err() {
                self.saw(next, end, answer);
            }
            next += due.period;
        }
        next
    }

    /// One look, which is told of when it is late, and given up when it takes too long.
    async fn answer(
        &self,
        pace: Pace,
        due: Instant,
        late: &watch::Sender<bool>,
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
        late.send_replace(true);
        self.tell(Event::Late {
            probe: self.probe,
            at: due,
        });
        // What is left to know is how long it takes. When another look may find all well again, or when
        // everything is over, nobody waits for that.
        let mut paces = self.pace.clone();
        let nobody_waits = async {
            if pace != Pace::Fast {
                paces.wait_for(|pace| *pace == Pace::Over).await.ok();
            }
        };
        tokio::select! {
            biased;
            answer = timeout(limit.saturating_sub(within), look) => {
                answer.unwrap_or_else(|_| given_up())
            }
            () = nobody_waits => {
                let within = humantime::format_duration(within);
                Err(format!("no answer within {within}"))
            }
        }
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
