//! What a burner has done so far, by its own clocks.

use std::time::Duration;

use super::Spread;

/// How many words it takes in the page.
pub(super) const WORDS: usize = 13;

/// What a burner has done since it was started. What it holds is as of its last slice or step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// The time in which an intensity above 0 was asked and vouched for.
    pub at_work: Duration,
    /// The CPU time that this came to.
    pub cpu_asked: Duration,
    /// The CPU time that it used (`CLOCK_THREAD_CPUTIME_ID`), without what rest takes.
    pub cpu_used: Duration,
    /// What is missing and will not be caught up with: it was too much for too long.
    pub cpu_given_up: Duration,
    /// Of slice to slice.
    pub slices: Spread,
    /// How much memory is wanted now.
    pub bytes_asked: u64,
    /// How much of it has been touched and not been given back.
    pub bytes_held: u64,
    /// How much memory is resident, by the kernel's own account: less than is held when some was
    /// swapped.
    pub bytes_resident: u64,
    /// It holds less than is asked, since a [`super::Guard`] has no room for more.
    pub held_back: bool,
}

impl Progress {
    /// The load that was asked, on average over its time at work: a share of the CPU.
    pub fn load_asked(&self) -> f64 {
        self.share(self.cpu_asked)
    }

    /// The load that it reached.
    pub fn load_reached(&self) -> f64 {
        self.share(self.cpu_used)
    }

    /// The sums of this one and of another that was before it, of the same work; what it holds, and its
    /// slices, are its own.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self {
            at_work: self.at_work + before.at_work,
            cpu_asked: self.cpu_asked + before.cpu_asked,
            cpu_used: self.cpu_used + before.cpu_used,
            cpu_given_up: self.cpu_given_up + before.cpu_given_up,
            bytes_asked: self.bytes_asked + before.bytes_asked,
            bytes_held: self.bytes_held + before.bytes_held,
            ..self
        }
    }

    fn share(&self, time: Duration) -> f64 {
        if self.at_work.is_zero() {
            return 0.0;
        }
        time.as_secs_f64() / self.at_work.as_secs_f64()
    }

    pub(super) fn to_words(self) -> [u64; WORDS] {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        [
            ns(self.at_work),
            ns(self.cpu_asked),
            ns(self.cpu_used),
            ns(self.cpu_given_up),
            self.slices.count,
            self.slices.mean.to_bits(),
            self.slices.squares.to_bits(),
            self.slices.least.to_bits(),
            self.slices.most.to_bits(),
            self.bytes_asked,
            self.bytes_held,
            self.bytes_resident,
            u64::from(self.held_back),
        ]
    }

    pub(super) fn from_words(words: [u64; WORDS]) -> Self {
        let [work, asked, used, given_up, rest @ ..] = words;
        let [count, mean, squares, least, most, rest @ ..] = rest;
        let [bytes_asked, bytes_held, bytes_resident, held_back] = rest;
        Self {
            at_work: Duration::from_nanos(work),
            cpu_asked: Duration::from_nanos(asked),
            cpu_used: Duration::from_nanos(used),
            cpu_given_up: Duration::from_nanos(given_up),
            slices: Spread {
                count,
                mean: f64::from_bits(mean),
                squares: f64::from_bits(squares),
                least: f64::from_bits(least),
                most: f64::from_bits(most),
            },
            bytes_asked,
            bytes_held,
            bytes_resident,
            held_back: held_back != 0,
        }
    }
}
