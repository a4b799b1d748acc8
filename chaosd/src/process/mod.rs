//! The processes of this machine, as /proc tells of them: who they are, and whom no fault may hit.

mod list;
mod spared;

pub use list::{all, ancestry, numbers, of_cgroup};
pub use spared::{Spared, unstoppable, vital};

use std::{fs, io, os::fd::AsFd as _};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    printable::printable,
    sys::process::{pidfd_open, pidfd_send_signal},
};

/// A process, told from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `proc_pid_stat(5)`.
    pub started: u64,
    /// Its name, at most 15 bytes of its own: for people, `?` for what cannot be shown.
    pub name: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.pid, self.name)
    }
}

/// What /proc/PID/stat tells (`proc_pid_stat(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Who it is.
    pub who: Identity,
    /// `R`, `S`, `D`, `T`, `t`, `Z`, ...
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its session's first process.
    pub session: u32,
    /// It has a terminal.
    pub terminal: bool,
    /// It is a thread of the kernel's.
    pub kernel: bool,
}

/// `PF_KTHREAD` (`include/linux/sched.h`).
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Stat {
    /// Reads it.
    ///
    /// # Errors
    /// `NotFound` when there is no such process.
    pub fn read(pid: u32) -> io::Result<Self> {
        // A name may be any bytes, and is cut off in the middle of a character where it is long.
        let line = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&line))
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The second field is a name in parentheses, which may hold blanks and parentheses.
    fn parse(line: &str) -> Option<Self> {
        let (head, rest) = line.rsplit_once(") ")?;
        let (pid, name) = head.split_once(" (")?;
        let fields: Vec<&str> = rest.trim_end().split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        Some(Self {
            who: Identity {
                pid: pid.parse().ok()?,
                started: fields.get(19)?.parse().ok()?,
                name: printable(name),
            },
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(1)?).ok()?,
            session: u32::try_from(number(3)?).unwrap_or_default(),
            terminal: number(4)? != 0,
            kernel: number(6)?.cast_unsigned() & KERNEL_THREAD != 0,
        })
    }

    /// It is suspended by a signal, or by a debugger.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// It has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The file name of the program that a process was started as, which may be longer than its name, and
/// which interpreters leave theirs.
pub fn program(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    let name = first.rsplit(|byte| *byte == b'/').next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

impl Identity {
    /// How that very process stands; `None`: it is gone, or over.
    pub fn stat(&self) -> Option<Stat> {
        let stat = Stat::read(self.pid).ok()?;
        (stat.who.started == self.started && !stat.is_over()).then_some(stat)
    }

    /// Sends it a signal. False: that very process is gone.
    ///
    /// # Errors
    /// Those of `pidfd_send_signal(2)`.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Ok(pidfd) = pidfd_open(self.pid) else {
            return Ok(false);
        };
        // The descriptor is of who has the number now; if that is who was meant, it stays so.
        if self.stat().is_none() {
            return Ok(false);
        }
        pidfd_send_signal(pidfd.as_fd(), signal)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "7 (a) b (c) S 1 7 5 34816 7 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.who.pid, stat.who.started), (7, 4711));
        assert_eq!(stat.who.name, "a) b (c");
        assert_eq!((stat.state, stat.parent, stat.session), ('S', 1, 5));
        assert!(stat.terminal && !stat.kernel && !stat.is_stopped());
    }

    #[test]
    fn a_name_that_would_move_the_cursor_is_not_shown() {
        let line = "7 (\u{1b}[2Ja\nb) S 1 7 5 0 7 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9\n";
        assert_eq!(Stat::parse(line).unwrap().who.name, "?[2Ja?b");
    }

    #[test]
    fn this_very_process_is_told_from_another_of_its_number() {
        let stat = Stat::read(std::process::id()).unwrap();
        assert_eq!(stat.who.stat().unwrap().who, stat.who);
        let other = Identity {
            started: stat.who.started + 1,
            ..stat.who
        };
        assert_eq!(other.stat(), None);
    }

    #[test]
    fn the_kernel_s_threads_are_known() {
        let kernel = |pid| Stat::read(pid).is_ok_and(|stat| stat.kernel);
        assert!(!kernel(1));
        // kthreadd, unless this is a container's namespace of processes.
        if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
            assert!(kernel(2));
        }
    }
}
