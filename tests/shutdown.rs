//! `shutdown`: a host is stopped after its notice, if its configuration allows that, and not when it is
//! called off. Only in a guest of the laboratory, and there in a pid namespace, which reboot(2) stops
//! as it stops a machine: its first process dies of a signal that tells how (`pid_namespaces(7)`).

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use support::{Daemon, Instance, Options, Run, wait_until};

use crate::limits::{LONG, refused};

const ALLOWED: &str = "/etc/chaosd/allow-shutdown";

static TURN: Mutex<()> = Mutex::new(());

/// A host that may be shut down, until this is dropped.
pub struct Allowed {
    _turn: MutexGuard<'static, ()>,
}

impl Allowed {
    pub fn new() -> Result<Option<Self>> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if !support::is_laboratory() {
            return Ok(None);
        }
        let allowed = Self { _turn: turn };
        std::fs::create_dir_all("/etc/chaosd")?;
        std::fs::write(ALLOWED, "")?;
        Ok(Some(allowed))
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        std::fs::remove_file(ALLOWED).ok();
    }
}

/// Ends a test on a machine that must go on.
macro_rules! allowed {
    () => {
        match $crate::shutdown::Allowed::new()? {
            Some(allowed) => allowed,
            None => support::skip!(Ok(()), "this machine must go on"),
        }
    };
}

pub(crate) use allowed;

#[test]
fn what_is_stopped_ends_after_its_notice_and_in_the_way_it_was_to() -> Result<()> {
    let _allowed = allowed!();
    let instance = Instance::new()?;
    for (action, signal) in [("power-off", libc::SIGINT), ("reboot", libc::SIGHUP)] {
        let chaosd = instance.command()?;
        let program = chaosd.get_program().to_string_lossy().into_owned();
        // The shell is the namespace's first process, and would end well.
        let script = format!(
            "{program} inject shutdown --host --action {action} --notice 2s --for 30s; exit 0"
        );
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]);
        for (name, value) in chaosd.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let since = Instant::now();
        let output = command.stdin(Stdio::null()).output()?;
        ensure!(
            output.status.signal() == Some(signal),
            "{action}: {output:?}"
        );
        ensure!(since.elapsed() > Duration::from_secs(2), "{output:?}");
    }
    Ok(())
}

/// A terminal as somebody who is logged in has one.
struct Terminal(nix::pty::PtyMaster);

impl Terminal {
    fn new() -> Result<Self> {
        let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
        nix::pty::grantpt(&master)?;
        nix::pty::unlockpt(&master)?;
        fcntl(master.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self(master))
    }

    fn says(&mut self, words: &str) -> bool {
        let mut seen = String::new();
        wait_until(LONG, || {
            let mut bytes = [0; 1024];
            let length = self.0.read(&mut bytes).unwrap_or(0);
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
            seen.contains(words)
        })
    }
}

#[test]
fn a_shutdown_is_announced_and_called_off_by_a_revert() -> Result<()> {
    let _allowed = allowed!();
    let mut terminal = Terminal::new()?;
    let daemon = Daemon::start(&Options::default())?;
    let words = ["inject", "shutdown", "--host", "--action", "power-off"];
    let run = Run::start(
        &daemon,
        words.into_iter().chain(["--notice", "5m", "--for", "10m"]),
    )?;
    ensure!(terminal.says(&format!("chaosd revert {}", run.id())));
    let told = run.report()?.0.to_string();
    ensure!(told.contains("unless this run ends before"), "{told}");
    let told = run.revert()?;
    ensure!(terminal.says("called off"));
    ensure!(told.word("/faults/0/verdict") == "ineffective", "{told:?}");
    // One that stood still when the moment came could not be told to call it off.
    let run = Run::start(
        &daemon,
        words.into_iter().chain(["--notice", "1s", "--for", "10m"]),
    )?;
    daemon.kill(nix::sys::signal::Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_millis(3500));
    daemon.kill(nix::sys::signal::Signal::SIGCONT)?;
    ensure!(terminal.says("called off"));
    drop(run);
    // One that stood still when the moment came could not be told to call it off.
    let run = Run::start(
        &daemon,
        words.into_iter().chain(["--notice", "1s", "--for", "10m"]),
    )?;
    daemon.kill(Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_secs(4));
    daemon.kill(Signal::SIGCONT)?;
    ensure!(terminal.says("called off"));
    drop(run);
    // The same where the daemon dies: nobody is there to do it.
    let run = Run::start(
        &daemon,
        words.into_iter().chain(["--notice", "3s", "--for", "10m"]),
    )?;
    daemon.kill(Signal::SIGKILL)?;
    drop(run);
    std::thread::sleep(Duration::from_secs(5));
    Ok(())
}

#[test]
fn a_host_that_does_not_allow_it_goes_on() -> Result<()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(!Path::new(ALLOWED).exists(), "{ALLOWED} is there");
    let instance = Instance::new()?;
    for (fault, said) in [
        ("shutdown: reboot", "does not let chaosd shut it down"),
        ("shutdown: halt", "is not reboot or power-off"),
        ("shutdown: {notice: 5s}", "needs an action"),
        ("shutdown: {action: reboot, notice: 10ms}", "at least 1s"),
        ("shutdown: {action: reboot, notice: 1m}", "calls it off"),
        (
            "{shutdown: reboot, pulse: {on: 10s, off: 1s}}",
            "calls it off",
        ),
        ("{shutdown: reboot, ramp: 1s}", "ramp beside shutdown"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    drop(turn);
    Ok(())
}
