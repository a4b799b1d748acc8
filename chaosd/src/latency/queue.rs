//! Who waits, and until when. Any number wait side by side.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Something that is to be let go at `due_ns`.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub due_ns: u64,
    pub since_ns: u64,
    pub what: T,
    number: u64,
}

/// Waiters, the one that is due first at hand.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Waiter<T>>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }

    pub(super) fn push(&mut self, since_ns: u64, due_ns: u64, what: T) {
        self.pushed += 1;
        self.heap.push(Waiter {
            due_ns,
            since_ns,
            what,
            number: self.pushed,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// When the first is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|waiter| waiter.due_ns)
    }

    /// The first that is due; of those due together the one that came first.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Option<Waiter<T>> {
        self.next_ns().filter(|due| *due <= now_ns)?;
        self.heap.pop()
    }
}

/// The heap has its greatest first: what is due sooner is greater.
impl<T> Ord for Waiter<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due_ns, other.number).cmp(&(self.due_ns, self.number))
    }
}

impl<T> PartialOrd for Waiter<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiter<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Waiter<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_due_first_goes_first_and_nobody_sooner() {
        let mut queue = Queue::new();
        for (due, name) in [(30, "c"), (10, "a"), (20, "b"), (10, "a, too")] {
            queue.push(0, due, name);
        }
        assert_eq!(queue.next_ns(), Some(10));
        assert!(queue.take_due(9).is_none());
        let mut gone = Vec::new();
        while let Some(waiter) = queue.take_due(20) {
            gone.push(waiter.what);
        }
        assert_eq!(gone, ["a", "a, too", "b"]);
        assert_eq!((queue.len(), queue.next_ns()), (1, Some(30)));
    }
}
