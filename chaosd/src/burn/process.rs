//! The burner's own process: one thread, no runtime, nothing of the parent's but a socket and a
//! page.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::ExitCode,
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

use super::{
    COMM, Work,
    burner::{READY, UNABLE},
    cpu,
    io::Stream,
    memory::Hoard,
    page::Page,
    weight::Weight,
};
use crate::sys::process::{close_all_but, ignore_signals, inherited, share_time};

/// The burner. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Nobody reads what it says: its standard error is none.
    let Some((line, work)) = begin(&args) else {
        return ExitCode::from(2);
    };
    match work {
        Work::Cpu {
            slice,
            load,
            nice,
            insist,
            ..
        } => {
            line.say(READY, "");
            cpu::burn(&line, slice, load, insist.then(|| Weight::new(nice)));
        }
        Work::Memory {
            bytes,
            lock,
            guards,
        } => match Hoard::new(bytes, lock, &guards) {
            Ok(hoard) => {
                line.say(READY, "");
                hoard.keep(&line);
            }
            Err(what) => {
                line.say(UNABLE, &what);
                return ExitCode::from(2);
            }
        },
        Work::Io {
            directory,
            write,
            direct,
            block,
            bytes_per_second,
        } => match Stream::new(&directory, write, direct, block, bytes_per_second) {
            Ok(stream) => {
                line.say(READY, "");
                if stream.flow(&line).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            Err(what) => {
                line.say(UNABLE, &what);
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
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

/// Becomes what outlives no parent and outlasts no shortage.
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
    // No directory is kept busy by us.
    std::env::set_current_dir("/")?;
    let _named = fs::write("/proc/self/comm", COMM);
    // Raising it takes no right (proc_pid_oom_score_adj(5)).
    fs::write("/proc/self/oom_score_adj", "1000")?;
    // Nobody else would run beside one of a real-time policy.
    share_time()?;
    // 0 would be the default of 50 us.
    set_timerslack(1)?;
    Ok(())
}

/// The burner's end of what joins it to its parent.
pub(super) struct Line {
    pub(super) page: Page,
    socket: OwnedFd,
}

impl Line {
    /// One message: a byte that says what it is, and words.
    pub(super) fn say(&self, what: u8, words: &str) {
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

    /// Waits until the parent sends something or dies, or for so long.
    pub(super) fn wait(&self, time: Option<Duration>) {
        let timeout = time.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        // An error is an interruption: the caller looks again.
        let _count = poll(
            &mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)],
            timeout,
        );
    }
}
