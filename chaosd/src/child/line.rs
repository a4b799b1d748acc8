//! The child's end: how it settles in, and what joins it to its parent.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::{set_pdeathsig, set_timerslack},
        signal::Signal,
        socket::{MsgFlags, recv, send},
    },
    unistd::{getppid, setsid},
};
use serde::de::DeserializeOwned;

use super::{READY, UNABLE};
use crate::sys::process::{close_all_but, ignore_signals, inherited, share_time};

/// The child's end of what joins it to its parent.
pub struct Line<P> {
    /// What both share.
    pub page: P,
    socket: OwnedFd,
}

impl<P> Line<P> {
    /// Takes what [`super::Handle::start`] handed over, and settles in as `name`; `settle` does what the
    /// work takes besides. None: there is no parent, or it has been told why this one ends.
    ///
    /// To be called before anything else in the process has opened a file.
    pub fn begin<W: DeserializeOwned>(
        args: &[OsString],
        adopt: impl FnOnce(&OwnedFd) -> io::Result<P>,
        name: &str,
        settle: impl FnOnce() -> io::Result<()>,
    ) -> Option<(Self, W)> {
        let [work, socket, page, parent] = args else {
            return None;
        };
        let number = |word: &OsString| word.to_str()?.parse::<i32>().ok();
        let socket = inherited(number(socket)?).ok()?;
        let page = inherited(number(page)?).ok()?;
        close_all_but(&[socket.as_fd(), page.as_fd()]).ok()?;
        let line = Self {
            page: adopt(&page).ok()?,
            socket,
        };
        let work = serde_json::from_str(work.to_str()?).ok()?;
        if let Err(error) = settle_in(number(parent)?, name).and_then(|()| settle()) {
            line.unable(&format!("settle in: {error}"));
            return None;
        }
        Some((line, work))
    }

    /// Says that it waits for orders.
    pub fn ready(&self) {
        self.say(READY, "");
    }

    /// Says what it failed to do, before it ends.
    pub fn unable(&self, what: &str) {
        self.say(UNABLE, what);
    }

    /// One message: a byte that says what it is, and words.
    fn say(&self, what: u8, words: &str) {
        let message = [&[what], words.as_bytes()].concat();
        // If nobody reads it, the next look at the socket shows why.
        let _heard = send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
    }

    /// Takes what the parent sent, which is only to wake us. False: the parent is gone.
    pub fn hear(&self) -> bool {
        let mut bytes = [0; 8];
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Readable when the parent sends something or dies.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits until the parent sends something or dies, or for so long.
    pub fn wait(&self, time: Option<Duration>) {
        let timeout = time.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        // An error is an interruption: the caller looks again.
        let _count = poll(
            &mut [PollFd::new(self.socket(), PollFlags::POLLIN)],
            timeout,
        );
    }
}

/// Becomes what outlives no parent and takes nobody else's place.
fn settle_in(parent: i32, name: &str) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It died before we asked to be told.
    if getppid().as_raw() != parent {
        return Err(Errno::ESRCH.into());
    }
    ignore_signals();
    // Ctrl-C is for the parent. It fails for the leader of a process group, who then has left the
    // parent's already.
    let _own_session = setsid();
    // No directory is kept busy by us.
    std::env::set_current_dir("/")?;
    let _named = fs::write("/proc/self/comm", name);
    // Nobody else would run beside one of a real-time policy.
    share_time()?;
    // 0 would be the default of 50 us.
    set_timerslack(1)?;
    Ok(())
}
