//! The parent's handle of one listener.

use std::{
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
    },
};

use super::{Counts, LatencyError, VERB, Work, answers::now_ns, page::Page};
use crate::sys::process::{inherit, pidfd_open, pidfd_send_signal, wait_readable};

/// How long we wait for it to be ready. The watchdog takes us for late after a second: on a machine
/// that is busy it may come up while others are served.
const SOON: Duration = Duration::from_millis(400);
/// How long it may take to start, on such a machine.
pub(super) const READY_TIME: Duration = Duration::from_secs(10);
/// How long we wait for its death: the kernel takes some 20 ms to take its marks away.
const DEATH_TIME: Duration = Duration::from_secs(1);

/// From the listener: the kernel asks it.
pub(super) const READY: u8 = b'R';
/// From the listener: it failed to do what the words say, and ends.
pub(super) const UNABLE: u8 = b'E';
/// From the parent: there is another order.
const WAKE: u8 = b'W';

/// A listener. Dropped, it is killed, and whoever waits goes on.
///
/// It dies with the *thread* that started it (`PR_SET_PDEATHSIG`, prctl(2)).
#[derive(Debug)]
#[must_use = "a listener that is dropped is killed"]
pub struct Listener {
    /// None once it is reaped.
    child: Option<Child>,
    pid: u32,
    pidfd: OwnedFd,
    socket: OwnedFd,
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
        // Packets, of which the end is heard (unix(7)).
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map_err(|errno| start(errno.into()))?;
        let (page, page_fd) = Page::create().map_err(start)?;
        let words = serde_json::to_string(work).map_err(|error| start(error.into()))?;
        let mut command = Command::new(program);
        command
            .arg0("chaosd")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg(VERB)
            .arg(words);
        for fd in inherit(&mut command, vec![theirs, page_fd]) {
            command.arg(fd.to_string());
        }
        let mut child = command
            .arg(std::process::id().to_string())
            .spawn()
            .map_err(start)?;
        // Its end of the socket: while we have it too, we cannot see it close.
        drop(command);
        let pid = child.id();
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(start(error));
            }
        };
        let mut listener = Self {
            child: Some(child),
            pid,
            pidfd,
            socket: ours,
            page,
            starting: Some(Instant::now()),
        };
        if wait_readable(listener.socket.as_fd(), SOON) {
            listener.hear()?;
        }
        Ok(listener)
    }

    /// What it has to say of its start, if it has said it.
    fn hear(&mut self) -> Result<(), LatencyError> {
        let Some(since) = self.starting else {
            return Ok(());
        };
        let mut message = [0; 512];
        let length = match recv(
            self.socket.as_raw_fd(),
            &mut message,
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) if since.elapsed() < READY_TIME => return Ok(()),
            Err(Errno::EAGAIN | Errno::EINTR) => return Err(LatencyError::NotReady),
            Err(_) => return Err(LatencyError::Gone),
        };
        match message.get(..length) {
            Some([READY, ..]) => {
                self.starting = None;
                Ok(())
            }
            Some([UNABLE, words @ ..]) => Err(LatencyError::Unable(
                String::from_utf8_lossy(words).into_owned(),
            )),
            _ => Err(LatencyError::Gone),
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
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            return match send(self.socket.as_raw_fd(), &[WAKE], flags) {
                Err(Errno::EINTR) => continue,
                // Enough wait in there to wake it.
                Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Ok(()),
                Err(_) => Err(LatencyError::Gone),
            };
        }
    }

    /// What it has done so far, also when it is dead.
    pub fn counts(&self) -> Counts {
        self.page.counts()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _gone_by_itself = pidfd_send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
        let dead = wait_readable(self.pidfd.as_fd(), DEATH_TIME);
        let Some(mut child) = self.child.take() else {
            return;
        };
        if dead {
            let _reaped = child.wait();
            return;
        }
        // In a cgroup that v1's freezer holds it dies when that lets go. Nobody is to wait for it.
        let reaper = thread::Builder::new().name("chaosd-reaper".into());
        let _unreaped_if_there_is_no_thread = reaper.spawn(move || child.wait());
    }
}
