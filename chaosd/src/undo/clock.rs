//! The host's clock, stepped.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System};
use crate::clock::Standing;

/// How well a standing is read, in microseconds.
const NOISE_US: i64 = 20;
/// So far from what we added, and it is not ours.
const SLACK_US: i64 = 1_000;
/// As [`SLACK_US`], for a single step of which we know the length: somebody else may have corrected the
/// clock meanwhile, by a leap second at most. Never more than a quarter of the step.
const CORRECTION_US: i64 = 1_500_000;

/// Step the clock back by what we have added to it, of which it keeps the monotonic time that has
/// passed since: never to a time that was remembered.
///
/// What we added is told by how far the clock is from `CLOCK_BOOTTIME`, so that it does not matter
/// whether the step was made when its maker died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// How it stood before.
    pub boot: String,
    /// See `Standing::apart_us`.
    pub apart_us: i64,
    /// See `Standing::up_us`.
    pub up_us: i64,
    /// Added at once, in microseconds.
    pub offset_us: i64,
    /// Added since, in billionths of the time that passes.
    pub drift_ppb: i64,
}

/// What stands of what we added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Nothing: the clock is as it was, or the machine has booted since.
    Nothing,
    /// So many microseconds.
    Ours(i64),
    /// The clock is so many microseconds off, and that was somebody else.
    Theirs(i64),
}

impl Clock {
    /// Before the change.
    pub fn new(now: Standing, offset_us: i64, drift_ppb: i64) -> Self {
        Self {
            boot: now.boot,
            apart_us: now.apart_us,
            up_us: now.up_us,
            offset_us,
            drift_ppb,
        }
    }

    /// What the clock has gained by its drift until then, in microseconds.
    pub fn drifted_us(&self, now: &Standing) -> i64 {
        let passed = i128::from((now.up_us - self.up_us).max(0));
        let gained = passed * i128::from(self.drift_ppb) / 1_000_000_000;
        i64::try_from(gained).unwrap_or(i64::MAX)
    }

    /// What of it stands.
    pub fn added(&self, now: &Standing) -> Added {
        if now.boot != self.boot {
            return Added::Nothing;
        }
        let found = now.apart_us - self.apart_us;
        if self.drift_ppb == 0 {
            let slack = (self.offset_us.abs() / 4).clamp(NOISE_US, CORRECTION_US);
            return if (found - self.offset_us).abs() <= slack {
                // Exactly that: a correction by somebody else stays.
                Added::Ours(self.offset_us)
            } else if found.abs() <= slack {
                Added::Nothing
            } else {
                Added::Theirs(found)
            };
        }
        if found.abs() <= NOISE_US {
            return Added::Nothing;
        }
        // It may have died anywhere on its way.
        let gained = self.drifted_us(now);
        let ends = [0, self.offset_us, gained, self.offset_us + gained];
        let least = ends.iter().min().map_or(0, |end| end - SLACK_US);
        let most = ends.iter().max().map_or(0, |end| end + SLACK_US);
        if (least..=most).contains(&found) {
            Added::Ours(found)
        } else {
            Added::Theirs(found)
        }
    }

    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        let mut seen = Added::Nothing;
        system.step_clock(&mut |now| {
            seen = self.added(now);
            match seen {
                Added::Ours(by) => Some(-by),
                Added::Nothing | Added::Theirs(_) => None,
            }
        })?;
        match seen {
            Added::Nothing => Ok(Outcome::AlreadyGone),
            Added::Theirs(found) => Ok(Outcome::LeftAlone {
                found: format!("{} from where it was", told(found)),
            }),
            Added::Ours(by) => {
                let mut left = Added::Nothing;
                system.step_clock(&mut |now| {
                    left = self.added(now);
                    None
                })?;
                match left {
                    Added::Ours(left) => {
                        let (by, left) = (told(-by), told(left));
                        Err(format!("stepped it by {by}, and it is {left} off").into())
                    }
                    Added::Nothing | Added::Theirs(_) => Ok(Outcome::Done),
                }
            }
        }
    }

    pub(super) fn by_hand(&self) -> String {
        // The first number of /proc/uptime is CLOCK_BOOTTIME (fs/proc/uptime.c).
        let apart = format!(
            "{}.{:06}",
            self.apart_us.div_euclid(1_000_000),
            self.apart_us.rem_euclid(1_000_000)
        );
        format!("date -s \"@$(awk '{{printf \"%.2f\", $1 + {apart}}}' /proc/uptime)\"")
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.offset_us, self.drift_ppb) {
            (offset, 0) => write!(f, "step the clock by {}", told(-offset)),
            (0, _) => f.write_str("step the clock back by what it drifted"),
            (offset, _) => write!(
                f,
                "step the clock by {} and back by what it drifted",
                told(-offset)
            ),
        }
    }
}

/// `+1h`, `-1ms 500us`.
pub fn told(us: i64) -> String {
    let sign = if us < 0 { '-' } else { '+' };
    let time = std::time::Duration::from_micros(us.unsigned_abs());
    format!("{sign}{}", humantime::format_duration(time))
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
