//! The keeper's own process: one thread, no runtime.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::set_child_subreaper,
        signal::Signal,
        signalfd::SignalFd,
        socket::{MsgFlags, recv, send},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout},
};

use super::{
    COMM, tree,
    words::{LENGTH, Order, Said},
};
use crate::sys::process::{children, close_all_but, dies_with_its_starter, inherited};

/// Who is left alone with a command gives it this long to act on SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// Who is born while all are killed is killed after this long.
const KILL_EVERY: Duration = Duration::from_millis(20);

/// The keeper. `args` is what followed [`super::VERB`]: the number of the socket to its starter, and the
/// command's words.
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let number = args.next().and_then(|word| word.to_str()?.parse().ok());
    let Some(Ok(socket)) = number.map(inherited) else {
        return ExitCode::from(2);
    };
    let words: Vec<OsString> = args.collect();
    match Keeper::begin(&words, socket) {
        Ok(keeper) => keeper.keep(),
        Err((socket, error)) => {
            let errno = error.raw_os_error().unwrap_or(Errno::EINVAL as i32);
            say(&socket, Said::Unable(errno));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

struct Keeper {
    socket: OwnedFd,
    /// Readable when a child has ended.
    ends: SignalFd,
    command: Pid,
    ending: Ending,
}

/// How it comes to its end.
enum Ending {
    /// Not before somebody says so.
    No,
    /// By what was sent already, or else by SIGKILL then.
    Until(Instant),
    /// Whoever is left is killed.
    Now,
}

impl Keeper {
    fn begin(words: &[OsString], socket: OwnedFd) -> Result<Self, (OwnedFd, io::Error)> {
        match start(words) {
            Ok((ends, command)) => Ok(Self {
                socket,
                ends,
                command,
                ending: Ending::No,
            }),
            Err(error) => Err((socket, error)),
        }
    }

    /// Until nobody is left, or it is to leave them be.
    fn keep(mut self) {
        self.let_go_of_all_else();
        say(&self.socket, Said::Started);
        while self.is_anybody_left() {
            self.wait();
            if self.hear() {
                return;
            }
            match self.ending {
                Ending::Until(then) if Instant::now() >= then => self.ending = Ending::Now,
                _ => {}
            }
            if matches!(self.ending, Ending::Now) {
                tree::signal(Signal::SIGKILL);
            }
        }
    }

    /// Nobody else's pipe, terminal, file or directory is kept open by us.
    fn let_go_of_all_else(&self) {
        let _named = fs::write("/proc/self/comm", COMM);
        let _busy = std::env::set_current_dir("/");
        let null = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null");
        if let Ok(null) = null {
            let _replaced = (dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null));
        }
        let _kept = close_all_but(&[self.socket.as_fd(), self.ends.as_fd()]);
    }

    /// Takes note of who has ended.
    fn is_anybody_left(&self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return true,
                Ok(status) => {
                    if let Some((_, code)) = over(status).filter(|(pid, _)| *pid == self.command) {
                        say(&self.socket, Said::Over(code));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Until something happens, or it is time to kill.
    fn wait(&self) {
        let timeout = match self.ending {
            Ending::No => PollTimeout::NONE,
            Ending::Until(then) => {
                let left = then.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            Ending::Now => PollTimeout::try_from(KILL_EVERY).unwrap_or(PollTimeout::ZERO),
        };
        let mut fds = [
            PollFd::new(self.ends.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
        ];
        // When its other end has closed, the socket is readable for ever, and nothing more is to be heard.
        let heard = match self.ending {
            Ending::No => &mut fds[..],
            _ => &mut fds[..1],
        };
        // An error is an interruption: the caller looks again.
        let _count = poll(heard, timeout);
        while let Ok(Some(_)) = self.ends.read_signal() {}
    }

    /// Does what it is told. True: it is to leave.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; LENGTH];
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN | Errno::EINTR) => return false,
                Ok(length @ 1..) => match Order::decode(&bytes[..length]) {
                    Some(Order::Leave) => return true,
                    Some(Order::Signal(Signal::SIGKILL)) => self.ending = Ending::Now,
                    Some(Order::Signal(signal)) => send_all(signal),
                    None => {}
                },
                // Nobody is there any more.
                Ok(0) | Err(_) => {
                    if matches!(self.ending, Ending::No) {
                        send_all(Signal::SIGTERM);
                        self.ending = Ending::Until(Instant::now() + GRACE);
                    }
                    return false;
                }
            }
        }
    }
}

/// One that is stopped acts on a signal when it goes on.
fn send_all(signal: Signal) {
    tree::signal(signal);
    tree::signal(Signal::SIGCONT);
}

/// The command, and how to learn who below us ends.
fn start(words: &[OsString]) -> io::Result<(SignalFd, Pid)> {
    let (program, arguments) = words.split_first().ok_or(Errno::EINVAL)?;
    set_child_subreaper(true)?;
    // What the terminal sends is for the command.
    let ends = children()?;
    let mut command = Command::new(program);
    command.args(arguments);
    dies_with_its_starter(&mut command);
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok((ends, Pid::from_raw(pid)))
}

fn say(socket: &OwnedFd, what: Said) {
    // Who is gone hears nothing.
    let _heard = send(socket.as_raw_fd(), &what.encode(), MsgFlags::MSG_NOSIGNAL);
}

/// Who has ended, and with what a shell calls its exit code.
fn over(status: WaitStatus) -> Option<(Pid, u8)> {
    let (pid, code) = match status {
        WaitStatus::Exited(pid, code) => (pid, code),
        WaitStatus::Signaled(pid, signal, _) => (pid, 128 + signal as i32),
        _ => return None,
    };
    Some((pid, u8::try_from(code).unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_as_a_shell_does() {
        let pid = Pid::from_raw(7);
        assert_eq!(over(WaitStatus::Exited(pid, 3)), Some((pid, 3)));
        let killed = WaitStatus::Signaled(pid, Signal::SIGKILL, false);
        assert_eq!(over(killed), Some((pid, 137)));
        assert_eq!(over(WaitStatus::Continued(pid)), None);
    }
}
