//! How much a fault acts at a moment of its run: what `after`, `for`, `ramp` and `pulse` come to.

use std::time::Duration;

use crate::profile::Timeline;

/// How often a growing intensity is looked at: not longer than the shortest slice that shows it.
const GRAIN: Duration = Duration::from_millis(10);

/// A moment of a fault's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Since the run began.
    pub since: Duration,
    /// From 0, it rests, to 1.
    pub intensity: f64,
}

impl Timeline {
    /// How much it acts `since` the run began.
    pub(crate) fn at(&self, since: Duration) -> Now {
        Now {
            since,
            intensity: self.intensity(since),
        }
    }

    fn intensity(&self, since: Duration) -> f64 {
        let Some(acting) = since.checked_sub(self.after) else {
            return 0.0;
        };
        if self.lasts.is_some_and(|lasts| acting >= lasts) {
            return 0.0;
        }
        if let Some(pulse) = self.pulse
            && into(acting, pulse.on + pulse.off) >= pulse.on
        {
            return 0.0;
        }
        if acting < self.ramp {
            acting.as_secs_f64() / self.ramp.as_secs_f64()
        } else {
            1.0
        }
    }

    /// When it changes next, as time from now; `None`: it stays as it is.
    pub(crate) fn changes_in(&self, since: Duration) -> Option<Duration> {
        let Some(acting) = since.checked_sub(self.after) else {
            return Some(self.after.saturating_sub(since));
        };
        let end = self.lasts.map(|lasts| lasts.saturating_sub(acting));
        if end == Some(Duration::ZERO) {
            return None;
        }
        let edge = self.pulse.map(|pulse| {
            let into = into(acting, pulse.on + pulse.off);
            if into < pulse.on {
                pulse.on.saturating_sub(into)
            } else {
                (pulse.on + pulse.off).saturating_sub(into)
            }
        });
        let grows = (acting < self.ramp).then_some(GRAIN);
        [end, edge, grows].into_iter().flatten().min()
    }
}

fn into(acting: Duration, period: Duration) -> Duration {
    let period = period.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(acting.as_nanos() % period).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Pulse;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_plain_fault_acts_from_beginning_to_end() {
        let plain = Timeline::default();
        assert!(plain.intensity(s(0)) >= 1.0);
        assert_eq!(plain.changes_in(s(0)), None);
    }

    #[test]
    fn it_waits_grows_and_ends() {
        let timeline = Timeline {
            after: s(10),
            lasts: Some(s(20)),
            ramp: s(10),
            pulse: None,
        };
        let percent = |t| format!("{:.0}", timeline.intensity(s(t)) * 100.0);
        assert_eq!(
            [0, 9, 10, 15, 20, 29, 30].map(percent),
            ["0", "0", "0", "50", "100", "100", "0"]
        );
        let next = |t| timeline.changes_in(s(t));
        assert_eq!(
            [0, 12, 25, 30].map(next),
            [Some(s(10)), Some(GRAIN), Some(s(5)), None]
        );
    }

    #[test]
    fn a_pulse_turns_it_on_and_off() {
        let timeline = Timeline {
            after: s(1),
            pulse: Some(Pulse {
                on: s(2),
                off: s(3),
            }),
            ..Timeline::default()
        };
        let at = |t| timeline.intensity(s(t)) > 0.0;
        assert_eq!(
            [0, 1, 2, 3, 5, 6, 7, 8].map(at),
            [false, true, true, false, false, true, true, false]
        );
        assert_eq!(timeline.changes_in(s(1)), Some(s(2)));
        assert_eq!(timeline.changes_in(s(4)), Some(s(2)));
    }
}
