//! The parent's handle of one listener.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Counts, LatencyError, VERB, Work, answers::now_ns, page::Page};
use crate::child::{Handle, Heard};

/// How long we wait for it to be ready. The watchdog takes us for late after a second: on a machine
/// that is busy it may come up while others are served.
const SOON: Duration = Duration::from_millis(400);
/// How long it may take to start, on such a machine.
pub(super) const READY_TIME: Duration = Duration::from_secs(10);
/// A listener. Dropped, it is killed, and whoever waits goes on.
///
/// It dies with the *thread* that started it (`PR_SET_PDEATHSIG`, prctl(2)).
#[derive(Debug)]
#[must_use = "a listener that is dropped is killed"]
pub struct Listener {
    child: Handle,
    page: Page,
    /// When it was started, until it has said that it is ready.
    starting: Option<Instant>,
}

impl Listener {
    /// Starts a listener. Nobody waits for long until [`Listener::vouch`] says so. It may come up
    /// later, on a machine that is busy.
    pub fn start(work: &Work) -> Result<Self, LatencyError> {
        // The very binary that runs, even if its file has been replaced.
        Self::start_by(Path::new("/proc/self/exe"), work)
    }

    /// As [`Listener::start`], by another binary, of which the first argument [`VERB`] leads to
    /// [`super::main`].
    pub fn start_by(program: &Path, work: &Work) -> Result<Self, LatencyError> {
        let start = LatencyError::Start;
        let (page, page_fd) = Page::create().map_err(start)?;
        let child = Handle::start(Handle::command(program), VERB, work, page_fd).map_err(start)?;
        let mut listener = Self {
            child,
            page,
            starting: Some(Instant::now()),
        };
        if listener.child.speaks_within(SOON) {
            listener.hear()?;
        }
        Ok(listener)
    }

    /// What it has to say of its start, if it has said it.
    fn hear(&mut self) -> Result<(), LatencyError> {
        let Some(since) = self.starting else {
            return Ok(());
        };
        match self.child.hear() {
            Heard::Nothing if since.elapsed() < READY_TIME => Ok(()),
            Heard::Nothing => Err(LatencyError::NotReady),
            Heard::Ready => {
                self.starting = None;
                Ok(())
            }
            Heard::Unable(what) => Err(LatencyError::Unable(what)),
            Heard::Gone => Err(LatencyError::Gone),
        }
    }

    /// Says that we live, and how long they wait from now on: 0 not at all, 1 for all of their time.
    /// Never blocks. To be called well within every [`super::LEASE`], or the listener leaves.
    ///
    /// # Errors
    /// Why it did not come up, or that it is gone.
    pub fn vouch(&mut self, intensity: f64) -> Result<(), LatencyError> {
        self.hear()?;
        self.page.order(now_ns(), intensity);
        if self.child.wake() {
            Ok(())
        } else {
            Err(LatencyError::Gone)
        }
    }

    /// What it has done so far, also when it is dead.
    pub fn counts(&self) -> Counts {
        self.page.counts()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}
