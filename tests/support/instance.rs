//! A chaosd of a test's own: its binary, its state directory, its socket.
//!
//! Instances do not see each other, so that tests run side by side and beside a real daemon.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::node::Node;
use crate::sys::take_signals;
use crate::{sweep, wait_until};

/// A daemon, a watchdog and the last revert are long gone by then.
const LEAVES_BY_ITSELF: Duration = Duration::from_secs(3);

static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// Where one chaosd lives. Dropped, its processes are ended, what they left is reverted, and the
/// directory is removed.
#[derive(Debug)]
pub struct Instance {
    directory: PathBuf,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; none when a signal ended it.
    pub status: Option<i32>,
    /// What it printed for its user or for programs.
    pub stdout: String,
    /// What it printed beside that.
    pub stderr: String,
}

impl Output {
    /// The command's standard output, which must be one JSON document.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }
}

impl Instance {
    /// A fresh one, with no daemon.
    pub fn new() -> Result<Self> {
        // State belongs on a tmpfs, as in production: a flush to a disk would cost milliseconds.
        let parent = if Path::new("/run").is_dir() {
            Path::new("/run")
        } else {
            Path::new("/tmp")
        };
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("chaosd-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// What would be `/run/chaosd`. chaosd makes it itself.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    /// Where its runs are kept. chaosd makes it itself.
    pub fn runs_dir(&self) -> PathBuf {
        self.directory.join("runs")
    }

    /// A file beside the state, such as a profile of the test's own.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// A chaosd of this instance, to be started.
    pub fn command(&self) -> Result<Command> {
        take_signals();
        let mut command = Command::new(binary()?);
        command
            .env("CHAOSD_STATE_DIR", self.state_dir())
            .env("CHAOSD_SOCKET", self.socket())
            .env("CHAOSD_RUNS_DIR", self.runs_dir())
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a chaosd to its end.
    pub fn cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output> {
        let args: Vec<S> = args.into_iter().collect();
        let _turn = sweep::turn(&args);
        run_to_end(self.command()?.args(args))
    }

    /// The same, inside a node's namespace: a child is born where the thread is that starts it.
    pub fn cli_in<S: AsRef<OsStr>>(
        &self,
        node: &Node,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output> {
        let args: Vec<S> = args.into_iter().collect();
        let _turn = sweep::turn(&args);
        let mut command = self.command()?;
        command.args(args);
        node.enter(|| run_to_end(&mut command))?
    }

    /// The reports of the runs that are armed.
    ///
    /// # Errors
    /// When `chaosd status` is not answered.
    pub fn armed(&self) -> Result<Vec<serde_json::Value>> {
        let mut status = self.cli(["status", "-o", "json"])?.json()?;
        let runs = status["runs"].as_array_mut().context("no runs")?;
        runs.retain(|run| run["phase"] == "armed");
        Ok(std::mem::take(runs))
    }

    /// The processes of this instance, found by the directory in their arguments or environment.
    pub fn processes(&self) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id().cast_signed() && self.owns(*pid))
            .map(Pid::from_raw)
            .collect()
    }

    fn owns(&self, pid: i32) -> bool {
        // A longer number that begins with ours belongs to another instance.
        let needle = format!("{}/", self.directory.display());
        ["cmdline", "environ"].iter().any(|file| {
            std::fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&needle))
        })
    }

    /// Ends what still runs: politely, then not. Returns whether all left by themselves.
    pub(crate) fn end_processes(&self) -> bool {
        let signal = |signal| {
            for pid in self.processes() {
                // One that has just ended is what we want.
                let _ = kill(pid, signal);
            }
        };
        if self.processes().is_empty() {
            return true;
        }
        // A stopped process answers no signal but these two.
        signal(Signal::SIGCONT);
        signal(Signal::SIGTERM);
        let left = wait_until(LEAVES_BY_ITSELF, || self.processes().is_empty());
        if !left {
            signal(Signal::SIGKILL);
            let gone = wait_until(LEAVES_BY_ITSELF, || self.processes().is_empty());
            eprintln!(
                "processes of {} had to be killed (gone: {gone})",
                self.directory.display()
            );
        }
        left
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end_processes();
        if self.state_dir().exists()
            && let Err(error) = self.cli(["revert", "--all"])
        {
            eprintln!("failed to revert what a test left: {error:#}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("failed to remove {}: {error}", self.directory.display());
        }
    }
}

fn run_to_end(command: &mut Command) -> Result<Output> {
    let output = command.output().context("failed to start chaosd")?;
    Ok(Output {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// `CHAOSD_BIN`, else the binary beside this test's own (`target/PROFILE/deps/NAME`).
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHAOSD_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().context("failed to find the test's own binary")?;
    let path = test
        .ancestors()
        .nth(2)
        .context("the test lies in no directory")?
        .join("chaosd");
    if !path.exists() {
        bail!("{} is missing; run: cargo xtask build", path.display());
    }
    Ok(path)
}
