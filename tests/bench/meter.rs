//! The time of a program, as a multiple of the empty program's.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use chaosd::sys::test_run::{SkbContext, empty_classifier, test_run};

/// Runs of a program in one round.
const REPEAT: u32 = 25_000;
/// Rounds: a million runs in all.
const ROUNDS: usize = 40;

/// Measures programs against the empty one.
pub struct Meter {
    empty: OwnedFd,
}

/// What one program costs.
#[expect(clippy::struct_field_names, reason = "each says its unit")]
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// ns of the fastest round.
    pub min_ns: f64,
    /// ns of the median round.
    pub median_ns: f64,
    /// ns of the empty program's fastest round.
    pub empty_ns: f64,
}

impl Cost {
    /// As a multiple of the empty program.
    pub fn ratio(&self) -> f64 {
        self.min_ns / self.empty_ns
    }
}

impl Meter {
    pub fn new() -> Result<Self> {
        let empty = empty_classifier().context("failed to load the empty program")?;
        Ok(Self { empty })
    }

    /// The cost of `program` on `packet`.
    pub fn cost(&self, program: BorrowedFd<'_>, packet: &[u8]) -> Result<Cost> {
        let (mut ours, mut empties) = (Vec::new(), Vec::new());
        // The first round warms the caches and is not counted.
        for round in 0..=ROUNDS {
            let ns = round_ns(program, packet)?;
            let empty = round_ns(self.empty.as_fd(), packet)?;
            if round > 0 {
                ours.push(ns);
                empties.push(empty);
            }
        }
        ours.sort_by(f64::total_cmp);
        empties.sort_by(f64::total_cmp);
        Ok(Cost {
            min_ns: ours[0],
            median_ns: ours[ROUNDS / 2],
            empty_ns: empties[0],
        })
    }
}

/// ns of one run. The call is timed as a whole: the kernel's own figure is in whole ns, too coarse
/// for an empty program, and what the call adds is shared by all the runs in it.
fn round_ns(program: BorrowedFd<'_>, packet: &[u8]) -> Result<f64> {
    let started = Instant::now();
    test_run(program, packet, &SkbContext::default(), REPEAT).context("failed to run a program")?;
    let took: Duration = started.elapsed();
    Ok(took.as_secs_f64() * 1e9 / f64::from(REPEAT))
}
