//! A running `chaosd serve`.

use std::fs::File;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::instance::Instance;
use crate::node::Node;
use crate::wait_until;

const STARTS: Duration = Duration::from_secs(15);

/// How to start it.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The namespace it lives in; none: the test's own.
    pub netns: Option<&'a Node>,
    /// More arguments after `serve`.
    pub args: Vec<String>,
    /// More variables.
    pub env: Vec<(String, String)>,
}

/// A daemon and the [`Instance`] it serves; dropped, it is ended and everything is undone.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    instance: Instance,
}

impl Daemon {
    /// Starts a daemon of a new instance and waits until its socket answers.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        Self::start_in(Instance::new()?, options)
    }

    /// Starts a daemon of an instance that exists, such as one whose daemon has died.
    pub fn start_in(instance: Instance, options: &Options<'_>) -> Result<Self> {
        let mut command = instance.command()?;
        let log =
            File::create(instance.file("daemon.log", "")?).context("failed to open the log")?;
        // What nobody takes would be loaded beside what a test measures.
        let spares = ["--spares".to_owned(), "1".to_owned()];
        let spares = spares.iter().filter(|_| !options.args.contains(&spares[0]));
        command
            .arg("serve")
            .arg("--state-dir")
            .arg(instance.state_dir())
            .arg("--socket")
            .arg(instance.socket())
            .args(spares)
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .stdout(log.try_clone().context("failed to share the log")?)
            .stderr(log);
        let child = spawn(&mut command, options.netns)?;
        // From here on, an early return ends the process.
        let mut daemon = Self { child, instance };
        let mut ended = None;
        let answers = wait_until(STARTS, || {
            ended = daemon.child.try_wait().ok().flatten();
            ended.is_some() || UnixStream::connect(daemon.socket()).is_ok()
        });
        match ended {
            Some(status) => bail!("chaosd serve ended at once ({status}): {}", daemon.log()),
            None if !answers => bail!("chaosd serve does not answer: {}", daemon.log()),
            None => Ok(daemon),
        }
    }

    /// The daemon's process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The process id of its watchdog, as `chaosd status` tells it.
    pub fn watchdog(&self) -> Result<Pid> {
        let status = self.cli(["status", "-o", "json"])?.json()?;
        // 0 while another is being started: a signal to that number would hit the caller's own group.
        let pid = status["daemon"]["watchdog_pid"]
            .as_i64()
            .filter(|pid| *pid > 0)
            .context("no watchdog_pid in the status")?;
        Ok(Pid::from_raw(
            i32::try_from(pid).context("watchdog_pid is no process id")?,
        ))
    }

    /// Sends the daemon a signal, and does not wait for what it does.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("failed to send {signal}"))
    }

    /// Waits for the daemon's end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut status = None;
        if !wait_until(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        }) {
            bail!("the daemon still runs: {}", self.log());
        }
        status.context("the daemon's end has no status")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state_dir().with_file_name("daemon.log")).unwrap_or_default()
    }
}

impl Deref for Daemon {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("chaosd serve logged:\n{}", self.log());
        }
        // A daemon that has ended stays visible as a zombie, with no arguments to be found by.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.end_processes();
        }
        drop(self.child.wait());
    }
}

fn spawn(command: &mut Command, netns: Option<&Node>) -> Result<Child> {
    match netns {
        Some(node) => node.enter(|| command.spawn())?,
        None => command.spawn(),
    }
    .context("failed to start chaosd serve")
}
