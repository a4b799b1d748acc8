//! The burner's weight beside others on its CPU. Where it gets less than it is to burn, for others want
//! the CPU too, it takes more weight, step by step and never less again: it burns no more than it is
//! asked for, whatever its weight.

use std::{fs, process};

use crate::sys::process::renice;

/// What it may be owed before it takes more: schedulers owe a task some tens of ms at times.
const OWED_NS: f64 = 40e6;
/// What it may be owed all the time: where its share is all but enough, it would be paid only now and then.
const LASTING_NS: f64 = 5e6;
/// That it lasts is seen after so many looks.
const LOOKS: u32 = 10;
/// From one step to the next, so that the first one shows before.
const STEP_NS: u64 = 100_000_000;
/// A step of 2 is a factor of 1.56 (kernel/sched/core.c, `sched_prio_to_weight`).
const STEP: i8 = 2;
const MOST: i8 = -20;

/// Follows what the burner is owed.
#[derive(Debug)]
pub(super) struct Weight {
    nice: i8,
    looked_ns: u64,
    owed_ns: f64,
    /// The least that it was owed at the last looks, which are so many.
    least: (f64, u32),
}

impl Weight {
    /// That of a process with this nice value.
    pub(super) fn new(nice: i8) -> Self {
        Self {
            nice,
            looked_ns: 0,
            owed_ns: 0.0,
            least: (f64::MAX, 0),
        }
    }

    /// Takes more if it is owed so much, and no less than at the last look.
    pub(super) fn follow(&mut self, now_ns: u64, owed_ns: f64) {
        if let Some(nice) = self.next(now_ns, owed_ns) {
            take(nice);
        }
    }

    fn next(&mut self, now_ns: u64, owed_ns: f64) -> Option<i8> {
        if now_ns.saturating_sub(self.looked_ns) < STEP_NS {
            return None;
        }
        let falls = owed_ns < self.owed_ns;
        self.looked_ns = now_ns;
        self.owed_ns = owed_ns;
        let lasts = self.lasts(owed_ns);
        let grows = owed_ns >= OWED_NS && !falls;
        if !(grows || lasts) || self.nice == MOST {
            return None;
        }
        self.nice = (self.nice - STEP).max(MOST);
        Some(self.nice)
    }

    fn lasts(&mut self, owed_ns: f64) -> bool {
        let (least, looks) = self.least;
        self.least = (least.min(owed_ns), looks + 1);
        if self.least.1 < LOOKS {
            return false;
        }
        let (least, _) = std::mem::replace(&mut self.least, (f64::MAX, 0));
        least >= LASTING_NS
    }
}

/// What cannot be raised stays: what was reached is reported.
fn take(nice: i8) {
    let _refused = renice(process::id(), nice);
    // Where time is shared between sessions first (sched(7), "autogroup"), this is what counts.
    let _not_there = fs::write("/proc/self/autogroup", nice.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The nice values that it takes when it is owed so many ms, looked at every 100 ms.
    fn taken(owed: &[f64]) -> Vec<i8> {
        let mut weight = Weight::new(0);
        let steps = owed.iter().zip(1..);
        steps
            .filter_map(|(owed, n)| weight.next(n * 100 * MS, owed * 1e6))
            .collect()
    }

    #[test]
    fn who_is_owed_more_and_more_takes_more_up_to_the_most() {
        assert_eq!(taken(&[10.0, 45.0, 90.0, 150.0]), [-2, -4, -6]);
        assert_eq!(taken(&[250.0; 20]).last(), Some(&-20));
    }

    #[test]
    fn who_is_paid_back_takes_no_more() {
        assert_eq!(taken(&[250.0, 200.0, 100.0, 30.0, 0.0, 0.0]), [-2]);
        assert_eq!(taken(&[0.0, 39.0, 20.0, 39.0]), [] as [i8; 0]);
    }

    #[test]
    fn who_is_owed_a_little_all_the_time_takes_more() {
        assert_eq!(taken(&[20.0; 9]), [] as [i8; 0]);
        assert_eq!(taken(&[20.0; 20]), [-2, -4]);
        let mut once_paid = [30.0; 20];
        (once_paid[4], once_paid[15]) = (0.0, 1.0);
        assert_eq!(taken(&once_paid), [] as [i8; 0]);
    }

    #[test]
    fn a_step_is_given_time_to_show() {
        let mut weight = Weight::new(0);
        assert_eq!(weight.next(200 * MS, 100e6), Some(-2));
        assert_eq!(weight.next(250 * MS, 120e6), None);
        assert_eq!(weight.next(300 * MS, 120e6), Some(-4));
    }
}
