//! A timer that kills its own process unless it is wound up again.
//!
//! The kernel runs it and SIGKILL is what it sends, so it works while the process is stopped, while it
//! hangs in a system call that can be killed, and while each of chaosd's other processes is stopped
//! too. Nobody has to look, and nobody has to be told.

use std::time::Duration;

use nix::sys::{
    signal::{SigEvent, SigevNotify, Signal},
    timer::{Expiration, Timer, TimerSetTimeFlags},
};
use nix::time::ClockId;

/// Not wound up for so long: the process is killed.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is to be wound up.
pub(super) const BEAT: Duration = Duration::from_millis(200);

const _: () = assert!(BEAT.as_millis() * 4 < PATIENCE.as_millis());

/// The timer (`timer_create(2)`), which runs.
#[derive(Debug)]
pub(super) struct Deadman {
    timer: Timer,
    wound_ns: u64,
}

impl Deadman {
    pub(super) fn start(now_ns: u64) -> nix::Result<Self> {
        let kill = SigEvent::new(SigevNotify::SigevSignal {
            signal: Signal::SIGKILL,
            si_value: 0,
        });
        let mut deadman = Self {
            timer: Timer::new(ClockId::CLOCK_MONOTONIC, kill)?,
            wound_ns: now_ns,
        };
        deadman.wind_up(now_ns)?;
        Ok(deadman)
    }

    /// To be called at every turn: it winds the timer up when a [`BEAT`] has passed.
    pub(super) fn beat(&mut self, now_ns: u64) -> nix::Result<()> {
        if u128::from(now_ns.saturating_sub(self.wound_ns)) < BEAT.as_nanos() {
            return Ok(());
        }
        self.wind_up(now_ns)
    }

    fn wind_up(&mut self, now_ns: u64) -> nix::Result<()> {
        let end = Expiration::OneShot(PATIENCE.into());
        self.timer.set(end, TimerSetTimeFlags::empty())?;
        self.wound_ns = now_ns;
        Ok(())
    }
}
