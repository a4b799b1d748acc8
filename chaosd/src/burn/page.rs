//! The page that parent and burner share: an order one way, progress the other.
//!
//! Progress takes several words, so there are two copies: the burner writes the one that is not
//! published and then publishes it, by a number that counts up. A burner that is killed while it
//! writes leaves the published one whole.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use super::{
    Progress,
    demand::Order,
    progress::{self, WORDS},
};
use crate::sys::shared::{self, Shared};

const ORDER: usize = 0;
const EDITION: usize = 1;
const COPIES: [usize; 2] = [2, 2 + WORDS];
const _: () = assert!(COPIES[1] + WORDS <= shared::WORDS);

/// A burner publishes once a slice, so a reader is overtaken twice only when it is preempted.
const TRIES: usize = 16;

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
    pub(super) fn order(&self, order: Order) {
        self.0.words()[ORDER].store(order.word(), SeqCst);
    }

    pub(super) fn ordered(&self) -> Order {
        Order::from_word(self.0.words()[ORDER].load(SeqCst))
    }

    /// For the burner alone.
    pub(super) fn publish(&self, progress: Progress) {
        let next = self.0.words()[EDITION].load(SeqCst) + 1;
        for (place, word) in self.copy(next).iter().zip(progress.to_words()) {
            place.store(word, SeqCst);
        }
        self.0.words()[EDITION].store(next, SeqCst);
    }

    /// None: it was overtaken each time.
    pub(super) fn progress(&self) -> Option<Progress> {
        (0..TRIES).find_map(|_| {
            let edition = self.0.words()[EDITION].load(SeqCst);
            let mut words = [0; progress::WORDS];
            for (word, place) in words.iter_mut().zip(self.copy(edition)) {
                *word = place.load(SeqCst);
            }
            let same = self.0.words()[EDITION].load(SeqCst) == edition;
            same.then(|| Progress::from_words(words))
        })
    }

    fn copy(&self, edition: u64) -> &[AtomicU64] {
        let first = COPIES[usize::from(edition % 2 == 1)];
        &self.0.words()[first..first + WORDS]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        time::Duration,
    };

    use super::*;

    #[test]
    fn an_order_goes_one_way_and_progress_the_other() {
        let (parent, fd) = Page::create().unwrap();
        let burner = Page::adopt(&fd).unwrap();
        assert_eq!(parent.progress(), Some(Progress::default()));
        let order = Order::new(1 << 40, 0.25);
        parent.order(order);
        assert_eq!(burner.ordered(), order);
        let mut progress = Progress {
            at_work: Duration::from_secs(3),
            cpu_asked: Duration::from_millis(1500),
            cpu_used: Duration::from_millis(1499),
            cpu_given_up: Duration::from_nanos(1),
            bytes_asked: 5,
            bytes_held: 6,
            bytes_resident: 7,
            held_back: true,
            ..Progress::default()
        };
        progress.slices.add(0.5);
        progress.slices.add(0.25);
        burner.publish(progress);
        assert_eq!(parent.progress(), Some(progress));
        assert!((progress.load_asked() - 0.5).abs() < 1e-9);
        assert!(progress.load_reached() < 0.5);
    }

    #[test]
    fn a_reader_never_sees_half_of_a_report() {
        let (page, _fd) = Page::create().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200_000 {
                    let time = Duration::from_nanos(n);
                    page.publish(Progress {
                        at_work: time,
                        cpu_given_up: time,
                        ..Progress::default()
                    });
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                if let Some(seen) = page.progress() {
                    assert_eq!(seen.at_work, seen.cpu_given_up);
                }
            }
        });
        let last = page.progress().map(|p| p.at_work);
        assert_eq!(last, Some(Duration::from_nanos(199_999)));
    }
}
