//! The daemon of a runtime.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait_until;

/// Starting one takes ten seconds on a processor that is computed, and several times that on a busy one.
const STARTS: Duration = Duration::from_mins(3);
const ENDS: Duration = Duration::from_mins(1);

/// A process that listens at a socket. Dropped, it is told to end.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it listens.
    pub fn start(command: &mut Command, socket: &Path, place: &Path) -> Result<Self> {
        let log = place.join("daemon.log");
        let said = File::create(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let mut daemon = Self { child, log };
        let mut over = None;
        let listens = wait_until(STARTS, || {
            over = daemon.child.try_wait().ok().flatten();
            over.is_some() || UnixStream::connect(socket).is_ok()
        });
        if over.is_some() || !listens {
            bail!("{command:?} does not listen ({over:?}): {}", daemon.said());
        }
        Ok(daemon)
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = said.len().saturating_sub(2000);
        said.get(from..).unwrap_or(&said).to_owned()
    }

    /// At once, as the kernel does when there is no memory left.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("failed to kill a daemon")?;
        self.child.wait().context("failed to wait for a daemon")?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        if let Ok(pid) = pid {
            // What it started it ends itself.
            kill(pid, Signal::SIGTERM).ok();
        }
        if !wait_until(ENDS, || matches!(self.child.try_wait(), Ok(Some(_)))) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
