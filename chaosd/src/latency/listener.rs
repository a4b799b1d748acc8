//! The parent's handle of one listener.

use std::{
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
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

/// How long it may take to start, on a machine that is busy.
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
}

impl Listener {
    /// Starts a listener. Nobody waits for long until [`Listener::vouch`] says so.
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
        let listener = Self {
            child: Some(child),
            pid,
            pidfd,
            socket: ours,
            page,
        };
        listener.await_ready()?;
        Ok(listener)
    }

    fn await_ready(&self) -> Result<(), LatencyError> {
        if !wait_readable(self.socket.as_fd(), READY_TIME) {
            return Err(LatencyError::NotReady);
        }
        let mut message = [0; 512];
        let length = recv(
            self.socket.as_raw_fd(),
            &mut message,
            MsgFlags::MSG_DONTWAIT,
        );
        match message.get(..length.unwrap_or(0)) {
            Some([READY, ..]) => Ok(()),
            Some([UNABLE, words @ ..]) => Err(LatencyError::Unable(
                String::from_utf8_lossy(words).into_owned(),
            )),
            _ => Err(LatencyError::Gone),
        }
    }

    /// Says that we live, and how long they wait from now on: 0 not at all, 1 for all of their time.
    /// Never blocks. To be called well within every [`super::LEASE`], or the listener leaves.
    pub fn vouch(&self, intensity: f64) -> Result<(), LatencyError> {
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
