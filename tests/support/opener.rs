//! A process that opens, reads and writes files when told to, and says how long each of that took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::Cgroup;

/// Bash, whose redirections and `read` are one system call each. Dropped, it is killed.
#[derive(Debug)]
pub struct Opener {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Opener {
    /// In a cgroup, or where the test is.
    pub fn start(cgroup: Option<&Cgroup>) -> Result<Self> {
        let mut command = match cgroup {
            Some(cgroup) => cgroup.command("bash"),
            None => Command::new("bash"),
        };
        command
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start bash")?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.context("bash has no pipes")?;
        let mut opener = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        // It is in its cgroup by then, and has read all that it needs.
        opener.begin(":")?;
        opener.time()?;
        Ok(opener)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long it takes to open a file.
    pub fn open(&mut self, path: &Path) -> Result<Duration> {
        self.begin_open(path)?;
        self.time()
    }

    /// Begins to open a file, which [`Opener::ended`] or [`Opener::time`] tells the end of.
    pub fn begin_open(&mut self, path: &Path) -> Result<()> {
        self.begin(&format!("exec 9< '{}'", path.display()))
    }

    /// How long it takes to read a line of the file that was opened last.
    pub fn read(&mut self) -> Result<Duration> {
        self.begin("read -r -u 9 line")?;
        self.time()
    }

    /// How long it takes to write to a file that is open already.
    pub fn write(&mut self, path: &Path) -> Result<Duration> {
        self.begin(&format!("exec 8>> '{}'", path.display()))?;
        self.time()?;
        self.begin("echo x >&8")?;
        self.time()
    }

    fn begin(&mut self, command: &str) -> Result<()> {
        let line = format!(
            "s=${{EPOCHREALTIME/./}}; {command}; r=$?; e=${{EPOCHREALTIME/./}}; echo $((e - s)) $r"
        );
        writeln!(self.stdin, "{line}").context("bash has ended")
    }

    /// Whether it has done within `limit` what it was told last.
    pub fn ended(&self, limit: Duration) -> Result<bool> {
        let limit = PollTimeout::try_from(limit).context("too long")?;
        let mut fds = [PollFd::new(
            self.stdout.get_ref().as_fd(),
            PollFlags::POLLIN,
        )];
        Ok(poll(&mut fds, limit)? == 1)
    }

    /// How long that took; it must have succeeded.
    pub fn time(&mut self) -> Result<Duration> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let words = line.trim().split_once(' ');
        let Some((time, "0")) = words else {
            bail!("bash says {line:?}");
        };
        Ok(Duration::from_micros(time.parse().context("no number")?))
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
