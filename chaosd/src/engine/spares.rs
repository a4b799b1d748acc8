//! Programs that are loaded ahead of the planes that take them: the verifier works for a tenth of a second
//! on a set, for which a container that is being made would wait.

use std::{
    collections::VecDeque,
    iter::repeat_with,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use crate::bpf::{PlaneError, Spare};

/// How many sets a daemon keeps, unless told otherwise: for as many containers that start one right after
/// another.
pub const SPARES: u32 = 5;
/// For so long after a set was taken, none is loaded to replace it: the verifier's work is not to weigh on what
/// has just begun.
const QUIET: Duration = Duration::from_secs(2);

/// A set that was taken. None: no thread could be started for it.
pub(super) struct Set(Option<Receiver<Result<Spare, PlaneError>>>);

impl Set {
    /// `None`: it is not loaded yet.
    pub fn within(&self, time: Duration) -> Option<Result<Spare, PlaneError>> {
        match self.0.as_ref().map(|set| set.recv_timeout(time)) {
            Some(Ok(Ok(spare))) => Some(Ok(spare)),
            Some(Err(RecvTimeoutError::Timeout)) => None,
            // What was refused ahead may not be now.
            None | Some(Ok(Err(_)) | Err(RecvTimeoutError::Disconnected)) => Some(Spare::load()),
        }
    }
}

/// Sets of programs that are loaded, or being loaded.
pub(super) struct Spares {
    /// The one that is ready first is the first.
    sets: VecDeque<Receiver<Result<Spare, PlaneError>>>,
    /// How many there are to be.
    kept: usize,
    /// When to load those that are missing.
    refill: Option<Instant>,
}

impl Spares {
    /// Loads one ahead, and the others when whoever wants that has been served.
    pub fn new(kept: u32) -> Self {
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        let mut spares = Self {
            sets: VecDeque::new(),
            kept,
            refill: None,
        };
        spares.load(kept.min(1));
        spares.refill_later();
        spares
    }

    /// Loads some, one after another, in a thread of its own.
    fn load(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let sets = repeat_with(|| mpsc::sync_channel(1)).take(count);
        let (done, sets): (Vec<_>, Vec<_>) = sets.unzip();
        let load = move || {
            for done in done {
                let spare = Spare::load();
                crate::sys::process::give_back_memory();
                if done.send(spare).is_err() {
                    break;
                }
            }
        };
        match std::thread::Builder::new()
            .name("loader".into())
            .spawn(load)
        {
            Ok(_) => self.sets.extend(sets),
            Err(e) => tracing::warn!("programs are not loaded ahead: {e}"),
        }
    }

    /// Takes one; of those that are being loaded the first, which is sooner done than begun anew. Whoever finds
    /// none may not be the last: others are loaded behind it.
    pub fn take(&mut self) -> Set {
        if self.sets.is_empty() {
            self.load(1 + self.kept);
        }
        self.refill_later();
        Set(self.sets.pop_front())
    }

    fn refill_later(&mut self) {
        if self.kept > 0 {
            self.refill.get_or_insert_with(|| Instant::now() + QUIET);
        }
    }

    /// How long until [`Spares::look`] has something to do.
    pub fn look_in(&self) -> Option<Duration> {
        self.refill
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Loads those that are missing, if it is time.
    pub fn look(&mut self) {
        if self.refill.is_some_and(|at| at <= Instant::now()) {
            self.refill = None;
            self.load(self.kept.saturating_sub(self.sets.len()));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Longer than the verifier takes on a busy machine.
    const LONG: Duration = Duration::from_mins(1);

    fn load(spares: &mut Spares) -> Spare {
        spares.take().within(LONG).unwrap().unwrap()
    }

    #[test]
    fn whoever_finds_none_gets_one_and_so_do_those_behind_it() {
        let mut spares = Spares::new(2);
        // More than are kept: one that was there, and one that was not, with others behind it.
        let taken: Vec<Spare> = (0..2).map(|_| load(&mut spares)).collect();
        assert_eq!((taken.len(), spares.sets.len()), (2, 2));
        // It is not postponed by whoever comes next, and nothing is missing then.
        let first = spares.refill.unwrap();
        drop(load(&mut spares));
        assert_eq!(spares.refill, Some(first));
        spares.refill = Some(Instant::now());
        spares.look();
        assert_eq!((spares.sets.len(), spares.refill), (2, None));
        drop(load(&mut spares));
    }

    #[test]
    fn where_none_is_kept_one_is_loaded_when_it_is_wanted() {
        let mut spares = Spares::new(0);
        assert!(spares.sets.is_empty() && spares.look_in().is_none());
        drop(load(&mut spares));
        assert!(spares.sets.is_empty() && spares.look_in().is_none());
    }
}
