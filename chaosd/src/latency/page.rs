//! The page that chaosd and the listener share: an order one way, counts the other. Neither ever waits
//! for the other.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::Ordering::{Relaxed, SeqCst},
};

use crate::sys::shared::Shared;

const VOUCHED_NS: usize = 0;
const INTENSITY: usize = 1;
/// Each count is right by itself; together they are as of about the same moment.
const COUNTS: usize = 2;
const OPENS: usize = COUNTS;
const READS: usize = COUNTS + 1;
const ASKED_NS: usize = COUNTS + 2;
const WAITED_NS: usize = COUNTS + 3;
const HURRIED: usize = COUNTS + 4;
const PASSED: usize = COUNTS + 5;

/// What a listener has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Opens that waited to the end of their time.
    pub opens: u64,
    /// Reads that waited to the end of their time.
    pub reads: u64,
    /// How long all these were to wait, in ns.
    pub asked_ns: u64,
    /// How long they did, from when the listener heard of them, in ns.
    pub waited_ns: u64,
    /// Opens and reads that were let go before their time, or at once since too many waited.
    pub hurried: u64,
    /// Opens and reads of others, which were let through at once.
    pub passed: u64,
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            opens: self.opens + other.opens,
            reads: self.reads + other.reads,
            asked_ns: self.asked_ns + other.asked_ns,
            waited_ns: self.waited_ns + other.waited_ns,
            hurried: self.hurried + other.hurried,
            passed: self.passed + other.passed,
        }
    }
}

#[derive(Debug)]
pub(super) struct Page(Shared);

impl Page {
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let (shared, fd) = Shared::create()?;
        Ok((Self(shared), fd))
    }

    pub(super) fn adopt(fd: &OwnedFd) -> io::Result<Self> {
        Shared::adopt(fd).map(Self)
    }

    /// For the parent alone.
    pub(super) fn order(&self, now_ns: u64, intensity: f64) {
        self.0.words()[INTENSITY].store(intensity.clamp(0.0, 1.0).to_bits(), SeqCst);
        self.0.words()[VOUCHED_NS].store(now_ns, SeqCst);
    }

    pub(super) fn vouched_ns(&self) -> u64 {
        self.0.words()[VOUCHED_NS].load(SeqCst)
    }

    /// From 0 to 1.
    pub(super) fn intensity(&self) -> f64 {
        f64::from_bits(self.0.words()[INTENSITY].load(SeqCst))
    }

    pub(super) fn counts(&self) -> Counts {
        let word = |at: usize| self.0.words()[at].load(Relaxed);
        Counts {
            opens: word(OPENS),
            reads: word(READS),
            asked_ns: word(ASKED_NS),
            waited_ns: word(WAITED_NS),
            hurried: word(HURRIED),
            passed: word(PASSED),
        }
    }

    /// For the listener alone.
    pub(super) fn waited(&self, open: bool, asked_ns: u64, waited_ns: u64) {
        self.add(if open { OPENS } else { READS }, 1);
        self.add(ASKED_NS, asked_ns);
        self.add(WAITED_NS, waited_ns);
    }

    /// For the listener alone.
    pub(super) fn hurried(&self) {
        self.add(HURRIED, 1);
    }

    /// For the listener alone.
    pub(super) fn passed(&self) {
        self.add(PASSED, 1);
    }

    fn add(&self, at: usize, n: u64) {
        self.0.words()[at].fetch_add(n, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn an_order_goes_one_way_and_counts_the_other() {
        let (parent, fd) = Page::create().unwrap();
        let listener = Page::adopt(&fd).unwrap();
        assert_eq!(listener.vouched_ns(), 0);
        parent.order(7, 0.25);
        assert_eq!(listener.vouched_ns(), 7);
        assert!((listener.intensity() - 0.25).abs() < f64::EPSILON);
        listener.waited(true, 50, 51);
        listener.waited(false, 20, 22);
        listener.passed();
        listener.hurried();
        let counts = Counts {
            opens: 1,
            reads: 1,
            asked_ns: 70,
            waited_ns: 73,
            hurried: 1,
            passed: 1,
        };
        assert_eq!(parent.counts(), counts);
        assert_eq!((counts + counts).waited_ns, 146);
    }
}
