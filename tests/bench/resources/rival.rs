//! Other processes: stress-ng beside the burner, and one that takes all of a CPU that it gets.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::watch;

/// Before whatever else the machine does, as this process is; a burner may take more weight yet.
pub const NICE: i8 = -10;

/// Fails where stress-ng is not.
pub fn installed() -> Result<()> {
    match Command::new("stress-ng").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => bail!("stress-ng is not installed (cargo xtask setup brings it)"),
    }
}

/// Gives the session of a process precedence, as the process has it from us.
pub fn precede(pid: Pid) {
    // Not there without CONFIG_SCHED_AUTOGROUP, and then of no account.
    fs::write(format!("/proc/{pid}/autogroup"), NICE.to_string()).ok();
}

/// A process in a session of its own, killed in the end with all that it started.
#[derive(Debug)]
pub struct Rival(Child);

impl Rival {
    /// A session of its own has an equal share beside others, where the kernel shares time between
    /// sessions first (sched(7), "autogroup").
    fn start(words: &[&str]) -> Result<Self> {
        let child = Command::new("setsid")
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start setsid")?;
        let rival = Self(child);
        let own = || rival.session() == Some(rival.pid());
        if !support::wait_until(Duration::from_secs(5), own) {
            bail!("setsid made no session");
        }
        precede(rival.pid());
        Ok(rival)
    }

    /// Runs on a CPU whenever it may.
    pub fn hog(cpu: usize) -> Result<Self> {
        let hog = Self::start(&["sh", "-c", "while :; do :; done"])?;
        watch::pin(hog.pid(), cpu)?;
        Ok(hog)
    }

    /// `stress-ng --cpu-load`, with slices as long as ours: what it is told is how long it is busy
    /// in each.
    pub fn cpu(cpu: usize, load: u32, slice: Duration) -> Result<Self> {
        let busy = slice
            .mul_f64(f64::from(load) / 100.0)
            .as_millis()
            .to_string();
        let (load, cpu) = (load.to_string(), cpu.to_string());
        Self::start(&[
            "stress-ng",
            "-q",
            "--cpu",
            "1",
            "--cpu-load",
            &load,
            "--cpu-load-slice",
            &busy,
            "--taskset",
            &cpu,
        ])
    }

    /// `stress-ng --vm`, which keeps what it takes.
    pub fn memory(mib: u64) -> Result<Self> {
        let bytes = format!("{mib}m");
        Self::start(&[
            "stress-ng",
            "-q",
            "--vm",
            "1",
            "--vm-bytes",
            &bytes,
            "--vm-keep",
        ])
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().try_into().unwrap_or(i32::MAX))
    }

    fn session(&self) -> Option<Pid> {
        nix::unistd::getsid(Some(self.pid())).ok()
    }

    /// It and what it started.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        watch::tree(self.pid())
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // Children first: stress-ng starts others for those that die.
        let mut pids = self.pids().unwrap_or_else(|_| vec![self.pid()]);
        let _stopped = kill(self.pid(), Signal::SIGSTOP);
        pids.extend(self.pids().unwrap_or_default());
        for pid in pids {
            let _gone_already = kill(pid, Signal::SIGKILL);
        }
        let _reaped = self.0.wait();
    }
}
