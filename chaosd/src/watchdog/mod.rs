//! The second process, which reverts when the first cannot.
//!
//! It is the same binary, started before the first change, in a session of its own, deaf to every
//! signal it can be. It holds the instance's lock, a pidfd of its parent, and one end of a socket
//! on which the parent says in single bytes how it is. When the parent dies it replays the
//! parent's journals; when the parent is late it disarms the planes, and then kills the parent.
//!
//! This file is the parent's side; `process` is the other.

mod cgroup;
mod process;

#[cfg(test)]
mod crash;

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{MsgFlags, send},
    },
};

pub use self::process::main;
use crate::{
    instance::Instance,
    sys::process::{inherit, pidfd_open, pidfd_send_signal, wait_readable},
};

/// The hidden verb that [`main`] answers to: the binary's first argument.
pub const VERB: &str = "watchdog";
/// While armed, the parent speaks at least this often.
pub const HEARTBEAT: Duration = Duration::from_millis(250);
/// Silent for so long while armed: the planes are disarmed.
pub const FENCE_AFTER: Duration = Duration::from_secs(1);
/// Silent for so long: the parent is killed, and its journals replayed.
pub const KILL_AFTER: Duration = Duration::from_secs(5);

/// How long it may take to start, on a machine that is busy.
const READY_TIME: Duration = Duration::from_secs(10);
/// How long it may take to leave.
const LEAVE_TIME: Duration = Duration::from_secs(2);
/// How long it may take to undo everything.
const REVERT_TIME: Duration = Duration::from_secs(5);

/// Faults may be in force: expect a heartbeat.
const ARMED: u8 = b'A';
/// Still there.
const ALIVE: u8 = b'H';
/// Nothing is in force: sleep.
const IDLE: u8 = b'I';
/// Leaving in order, with everything undone that could be.
const GOODBYE: u8 = b'Q';
/// From the watchdog: it watches.
const READY: u8 = b'R';

/// The parent's hold on its watchdog.
///
/// Dropping it without [`Watchdog::goodbye`] closes the socket, which says that we have died: the
/// watchdog undoes everything. That is what a panic should do. The drop waits for it.
#[derive(Debug)]
#[must_use = "a watchdog that is dropped takes us for dead and undoes everything"]
pub struct Watchdog {
    child: Child,
    pidfd: OwnedFd,
    /// None once it is closed.
    channel: Option<UnixStream>,
}

/// Why there is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The process could not be started.
    #[error("failed to start the watchdog")]
    Start(#[source] io::Error),
    /// It was started and did not say that it watches.
    #[error("the watchdog did not come up within {} s", READY_TIME.as_secs())]
    NotReady,
    /// It has died.
    #[error("the watchdog is gone")]
    Gone,
    /// It does not listen: it is stopped, say. Send it away and start another.
    #[error("the watchdog does not listen")]
    Stuck,
}

impl Watchdog {
    /// Starts the watchdog of an instance, and returns when it watches.
    pub fn start(instance: &Instance) -> Result<Self, WatchdogError> {
        // The very binary that runs, even if its file has been replaced.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("chaosd");
        Self::start_as(command, instance)
    }

    /// As [`Watchdog::start`], by another command, which is to call [`main`] with what follows
    /// [`VERB`] among its arguments.
    fn start_as(mut command: Command, instance: &Instance) -> Result<Self, WatchdogError> {
        let start = WatchdogError::Start;
        let (ours, theirs) = UnixStream::pair().map_err(start)?;
        let parent = pidfd_open(std::process::id()).map_err(start)?;
        let lock = instance.share_lock().map_err(start)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .arg(VERB)
            .arg(instance.state().path())
            .arg(instance.number().to_string());
        for fd in inherit(&mut command, vec![theirs.into(), lock, parent]) {
            command.arg(fd.to_string());
        }
        let mut child = command.spawn().map_err(start)?;
        // Its end of the socket: while we have it too, we cannot see it close.
        drop(command);
        let pidfd = match pidfd_open(child.id()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(start(error));
            }
        };
        let mut watchdog = Self {
            child,
            pidfd,
            channel: Some(ours),
        };
        if watchdog.await_ready() {
            return Ok(watchdog);
        }
        watchdog.kill();
        Err(WatchdogError::NotReady)
    }

    fn await_ready(&self) -> bool {
        use std::io::Read;
        let Some(mut channel) = self.channel.as_ref() else {
            return false;
        };
        let mut byte = [0];
        wait_readable(channel.as_fd(), READY_TIME)
            && channel.read_exact(&mut byte).is_ok()
            && byte == [READY]
    }

    /// Says that faults are about to be in force: from now on a heartbeat is due every
    /// [`HEARTBEAT`].
    pub fn armed(&self) -> Result<(), WatchdogError> {
        self.say(ARMED)
    }

    /// Says that we are well. Never blocks.
    pub fn heartbeat(&self) -> Result<(), WatchdogError> {
        self.say(ALIVE)
    }

    /// Says that nothing is in force: no heartbeat is due, and the watchdog sleeps.
    pub fn idle(&self) -> Result<(), WatchdogError> {
        self.say(IDLE)
    }

    /// Sends the watchdog away, and waits until it is gone: it undoes nothing. If it does not
    /// listen it is killed.
    pub fn goodbye(mut self) {
        if self.say(GOODBYE).is_err() || !wait_readable(self.pidfd.as_fd(), LEAVE_TIME) {
            self.kill();
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Readable when it has died.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn say(&self, what: u8) -> Result<(), WatchdogError> {
        let channel = self.channel.as_ref().ok_or(WatchdogError::Gone)?;
        // No signal if the other end is closed, and no wait if it does not read.
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            return match send(channel.as_raw_fd(), &[what], flags) {
                Ok(_) => Ok(()),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Err(WatchdogError::Stuck),
                Err(_) => Err(WatchdogError::Gone),
            };
        }
    }

    /// Before its socket closes, so that it does not take that for our death.
    fn kill(&mut self) {
        let _gone_by_itself = pidfd_send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
        wait_readable(self.pidfd.as_fd(), LEAVE_TIME);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.channel.take());
        if wait_readable(self.pidfd.as_fd(), REVERT_TIME) {
            let _reaped = self.child.wait();
        }
    }
}
