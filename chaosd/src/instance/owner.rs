//! Who holds a lock: a process, told from a later one with the same number.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
    process,
};

use serde::{Deserialize, Serialize};

use crate::process::Stat;

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `chaosd serve`
    Daemon,
    /// A foreground `chaosd run` or `chaosd inject` without a daemon.
    Run,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `proc_pid_stat(5)`.
    pub started: u64,
    /// What it is; None for a watchdog.
    pub kind: Option<Kind>,
}

impl Owner {
    /// This process.
    pub fn this(kind: Option<Kind>) -> io::Result<Self> {
        let pid = process::id();
        let started = Stat::read(pid)?.who.started;
        Ok(Self { pid, started, kind })
    }

    /// True while that very process runs. A zombie does not: it holds nothing any more.
    pub fn is_alive(&self) -> bool {
        self.state().is_some_and(|state| state != 'Z')
    }

    /// True while that very process is suspended (SIGSTOP, Ctrl-Z), or held by a debugger: it does
    /// nothing that it is asked for.
    pub fn is_stopped(&self) -> bool {
        self.state().is_some_and(|state| matches!(state, 'T' | 't'))
    }

    /// None: it is gone.
    fn state(&self) -> Option<char> {
        let stat = Stat::read(self.pid).ok()?;
        (stat.who.started == self.started).then_some(stat.state)
    }

    pub(super) fn write(&self, mut file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(serde_json::to_string(self)?.as_bytes())
    }

    /// None: nobody has signed, or not yet.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{process::Command, thread::sleep, time::Duration};

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    use super::*;

    #[test]
    fn a_process_is_stopped_until_it_goes_on() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let started = Stat::read(child.id()).unwrap().who.started;
        let owner = Owner {
            pid: child.id(),
            started,
            kind: None,
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        let becomes = |stopped| {
            (0..500).any(|_| {
                sleep(Duration::from_millis(10));
                owner.is_stopped() == stopped
            })
        };
        let before = owner.is_stopped();
        kill(pid, Signal::SIGSTOP).unwrap();
        let (stops, alive) = (becomes(true), owner.is_alive());
        kill(pid, Signal::SIGCONT).unwrap();
        let goes_on = becomes(false);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!before && stops && alive && goes_on && !owner.is_alive());
    }
}
