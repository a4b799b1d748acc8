//! The listener's own process: one thread, no runtime, nothing of the parent's but a socket and a page.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::ExitCode,
};

use nix::{
    errno::Errno,
    sys::{
        prctl::{set_pdeathsig, set_timerslack},
        signal::Signal,
        socket::{MsgFlags, recv, send},
    },
    unistd::{getppid, setsid},
};

use super::{
    COMM, Work,
    answers::Listening,
    listener::{READY, UNABLE},
    page::Page,
};
use crate::sys::process::{close_all_but, ignore_signals, inherited, renice, share_time};

/// Before everybody else: they wait for us.
const NICE: i8 = -20;

/// The listener. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Nobody reads what it says: its standard error is none.
    let Some((line, work)) = begin(&args) else {
        return ExitCode::from(2);
    };
    match Listening::begin(&line, work) {
        Ok(mut listening) => {
            line.say(READY, "");
            // Whoever waits goes on when our descriptors close.
            listening.run();
            ExitCode::SUCCESS
        }
        Err(what) => {
            line.say(UNABLE, &what);
            ExitCode::from(2)
        }
    }
}

fn begin(args: &[OsString]) -> Option<(Line, Work)> {
    let [work, socket, page, parent] = args else {
        return None;
    };
    let number = |word: &OsString| word.to_str()?.parse::<i32>().ok();
    let socket = inherited(number(socket)?).ok()?;
    let page = inherited(number(page)?).ok()?;
    close_all_but(&[socket.as_fd(), page.as_fd()]).ok()?;
    let line = Line {
        page: Page::adopt(&page).ok()?,
        socket,
    };
    let work = serde_json::from_str::<Work>(work.to_str()?).ok()?;
    if let Err(error) = settle_in(number(parent)?) {
        line.say(UNABLE, &format!("settle in: {error}"));
        return None;
    }
    Some((line, work))
}

/// Becomes what outlives no parent and keeps nobody waiting for its turn.
fn settle_in(parent: i32) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It died before we asked to be told.
    if getppid().as_raw() != parent {
        return Err(Errno::ESRCH.into());
    }
    ignore_signals();
    // Ctrl-C is for the parent. It fails for the leader of a process group, who then has left the
    // parent's already.
    let _own_session = setsid();
    std::env::set_current_dir("/")?;
    let _named = fs::write("/proc/self/comm", COMM);
    share_time()?;
    // Both take rights that whoever may listen usually has.
    let _before_others = renice(std::process::id(), NICE);
    let _session_too = fs::write("/proc/self/autogroup", NICE.to_string());
    // 0 would be the default of 50 us.
    set_timerslack(1)?;
    Ok(())
}

/// The listener's end of what joins it to its parent.
pub(super) struct Line {
    pub(super) page: Page,
    pub(super) socket: OwnedFd,
}

impl Line {
    /// One message: a byte that says what it is, and words.
    fn say(&self, what: u8, words: &str) {
        let message = [&[what], words.as_bytes()].concat();
        // If nobody reads it, the next look at the socket shows why.
        let _heard = send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
    }

    /// Takes what the parent sent, which is only to wake us. False: the parent is gone.
    pub(super) fn hear(&self) -> bool {
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
}
