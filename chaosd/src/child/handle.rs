//! The parent's handle.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
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
use serde::Serialize;

use super::{READY, UNABLE, WAKE};
use crate::sys::process::{inherit, pidfd_open, pidfd_send_signal, wait_readable};

/// How long we wait for its death, in which nobody else is looked after: giving back memory takes the
/// kernel a second for some 20 GiB.
const DEATH_TIME: Duration = Duration::from_millis(500);

/// A child. Dropped, it is killed.
///
/// It dies with the *thread* that started it (`PR_SET_PDEATHSIG`, prctl(2)), so that should be one
/// which lives as long as what the child is for.
#[derive(Debug)]
#[must_use = "a child that is dropped is killed"]
pub struct Handle {
    /// None once it is reaped.
    child: Option<Child>,
    pid: u32,
    pidfd: OwnedFd,
    socket: OwnedFd,
}

/// What a child has said of its start.
#[derive(Debug)]
pub enum Heard {
    /// Nothing yet.
    Nothing,
    /// It waits for orders.
    Ready,
    /// It failed to do what the words say, and ends.
    Unable(String),
    /// It has died, or made no sense.
    Gone,
}

impl Handle {
    /// A command that runs `program` under the name of the product.
    pub fn command(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg0("chaosd");
        command
    }

    /// Starts it. Behind `verb` the command's arguments are what [`super::Line::begin`] takes: the work,
    /// the child's descriptors, and our process id.
    pub fn start(
        mut command: Command,
        verb: &str,
        work: &impl Serialize,
        page: OwnedFd,
    ) -> io::Result<Self> {
        // Packets, of which the end is heard (unix(7)).
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg(verb)
            .arg(serde_json::to_string(work)?);
        for fd in inherit(&mut command, vec![theirs, page]) {
            command.arg(fd.to_string());
        }
        let mut child = command.arg(std::process::id().to_string()).spawn()?;
        // Its end of the socket: while we have it too, we cannot see it close.
        drop(command);
        let pid = child.id();
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            child: Some(child),
            pid,
            pidfd,
            socket: ours,
        })
    }

    /// Waits for so long that it says something of its start, or dies. False: it did neither.
    pub fn speaks_within(&self, time: Duration) -> bool {
        wait_readable(self.socket.as_fd(), time)
    }

    /// What it has to say of its start, without waiting for it.
    pub fn hear(&self) -> Heard {
        let mut message = [0; 512];
        let length = match recv(
            self.socket.as_raw_fd(),
            &mut message,
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return Heard::Nothing,
            Err(_) => return Heard::Gone,
        };
        match message.get(..length) {
            Some([READY, ..]) => Heard::Ready,
            Some([UNABLE, words @ ..]) => {
                Heard::Unable(String::from_utf8_lossy(words).into_owned())
            }
            _ => Heard::Gone,
        }
    }

    /// Tells it to look at the page. Never blocks. False: it is gone.
    pub fn wake(&self) -> bool {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            return match send(self.socket.as_raw_fd(), &[WAKE], flags) {
                Err(Errno::EINTR) => continue,
                // Enough wait in there to wake it: it is stopped or frozen, and will look at the
                // page, where the last order stands.
                Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => true,
                Err(_) => false,
            };
        }
    }

    /// Kills it, and does not wait for that: dropping it does.
    pub fn kill(&self) {
        let _gone_by_itself = pidfd_send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable when it has died.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.kill();
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
