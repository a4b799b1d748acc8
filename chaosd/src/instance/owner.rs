//! Who holds a lock: a process, told from a later one with the same number.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
    process,
};

use serde::{Deserialize, Serialize};

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
        let (started, _) = stat(pid)?;
        Ok(Self { pid, started, kind })
    }

    /// True while that very process runs. A zombie does not: it holds nothing any more.
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_ok_and(|(started, state)| started == self.started && state != 'Z')
    }

    /// True while that very process is suspended (SIGSTOP, Ctrl-Z), or held by a debugger: it does
    /// nothing that it is asked for.
    pub fn is_stopped(&self) -> bool {
        stat(self.pid)
            .is_ok_and(|(started, state)| started == self.started && matches!(state, 'T' | 't'))
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

/// Start time and state of a process.
fn stat(pid: u32) -> io::Result<(u64, char)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may hold blanks and parentheses.
    let fields = line.rsplit_once(") ").map(|(_, rest)| rest);
    let parsed = fields.and_then(|fields| {
        let state = fields.chars().next()?;
        Some((fields.split(' ').nth(19)?.parse().ok()?, state))
    });
    parsed.ok_or_else(|| io::ErrorKind::InvalidData.into())
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
        let (started, _) = stat(child.id()).unwrap();
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
