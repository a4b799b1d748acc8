//! Whatever becomes of chaosd's processes, nobody waits for a file for longer than the lease: each of
//! them, and each pair, and all of them, killed or stopped.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Daemon, Mount, Opener, Options, Run, is_emulated, wait_until};

use crate::disk_latency::{at_once, cgroup, start};
use crate::limits::LONG;

/// What a process has to let go who waits, when it dies.
fn freed_in() -> Duration {
    Duration::from_millis(if is_emulated() { 1_000 } else { 200 })
}

/// The lease, and time to be scheduled.
const LEASE: Duration = Duration::from_millis(2_500);

/// The listener of a daemon.
fn listener(daemon: &Daemon) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found = pids.find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let of_it = format!(" {} ", daemon.pid());
        stat.contains("(chaosd-let-wait)")
            && stat.rsplit_once(") ").is_some_and(|(_, rest)| {
                !rest.starts_with('Z') && rest.get(1..).is_some_and(|rest| rest.starts_with(&of_it))
            })
    })?;
    Some(Pid::from_raw(found))
}

/// Processes that are to go on, or to be gone, whatever becomes of the test.
struct Struck(Vec<Pid>);

impl Struck {
    fn by(signal: Signal, whom: &[Pid]) -> Result<Self> {
        let struck = Self(whom.to_vec());
        for pid in whom {
            kill(*pid, signal).with_context(|| format!("failed to send {signal} to {pid}"))?;
        }
        Ok(struck)
    }
}

impl Drop for Struck {
    fn drop(&mut self) {
        for pid in &self.0 {
            // Gone already, it is what it should be.
            kill(*pid, Signal::SIGCONT).ok();
        }
    }
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Daemon,
    Watchdog,
    Listener,
}

use Who::{Daemon as D, Listener as L, Watchdog as W};

/// The watchdog, when there is one: a daemon that starts another tells of number 0 meanwhile, which
/// kill(2) would take for all of us.
fn watchdog(daemon: &Daemon) -> Result<Pid> {
    let mut told = None;
    let lives = wait_until(LONG, || {
        told = daemon.watchdog().ok().filter(|pid| pid.as_raw() > 1);
        told.is_some()
    });
    ensure!(lives, "no watchdog");
    told.context("no watchdog")
}

fn pids(daemon: &Daemon, whom: &[Who]) -> Result<Vec<Pid>> {
    whom.iter()
        .map(|who| match who {
            D => Ok(daemon.pid()),
            W => watchdog(daemon),
            L => listener(daemon).context("no listener"),
        })
        .collect()
}

/// Somebody waits for a minute when `signal` hits `whom`: he goes on within `limit`, and so does a
/// stranger.
fn freed(signal: Signal, whom: &[Who], limit: Duration) -> Result<()> {
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut target = Opener::start(None)?;
    let mut stranger = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let pid = target.pid().to_string();
    let run: Run = start(&daemon, mount.path(), "--open 60s", &["--pid", &pid])?;
    target.begin_open(&file)?;
    ensure!(
        !target.ended(Duration::from_millis(300))?,
        "it does not wait"
    );
    let pids = pids(&daemon, whom)?;
    let since = Instant::now();
    let struck = Struck::by(signal, &pids)?;
    stranger.begin_open(&file)?;
    let goes_on = target.ended(LONG)?;
    let time = since.elapsed();
    ensure!(goes_on && time < limit, "{signal} {whom:?}: after {time:?}");
    target.time()?;
    let stranger = stranger.time()?;
    ensure!(
        stranger < limit,
        "{signal} {whom:?}: a stranger waited {stranger:?}"
    );
    drop(struck);
    drop(run);
    Ok(())
}

#[test]
fn who_waits_goes_on_when_processes_of_ours_are_killed() -> Result<()> {
    for whom in [&[D][..], &[L], &[D, W], &[D, L], &[W, L], &[D, W, L]] {
        freed(Signal::SIGKILL, whom, freed_in())?;
    }
    Ok(())
}

#[test]
fn who_waits_goes_on_when_processes_of_ours_are_stopped() -> Result<()> {
    for whom in [&[D][..], &[L], &[D, W], &[D, L], &[W, L], &[D, W, L]] {
        freed(Signal::SIGSTOP, whom, LEASE)?;
    }
    Ok(())
}

#[test]
fn a_listener_that_dies_is_replaced_and_a_watchdog_is_not_missed() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        mount.path(),
        "--open 200ms",
        &["--cgroup", cgroup.path()],
    )?;
    let slow = |target: &mut Opener| {
        let mut last = Ok(Duration::ZERO);
        let found = wait_until(LONG, || {
            last = target.open(&file);
            last.as_ref().map_or(true, |time| !at_once(*time))
        });
        ensure!(found, "{last:?}");
        last
    };
    slow(&mut target)?;
    for (signal, who) in [
        (Signal::SIGKILL, L),
        (Signal::SIGSTOP, L),
        (Signal::SIGKILL, W),
        (Signal::SIGSTOP, W),
    ] {
        let before = listener(&daemon).context("no listener")?;
        let struck = Struck::by(signal, &pids(&daemon, &[who])?)?;
        if who == L {
            let another = || listener(&daemon).is_some_and(|now| now != before);
            ensure!(wait_until(LONG, another), "{signal}: no other listener");
        }
        slow(&mut target).with_context(|| format!("{signal} {who:?}"))?;
        drop(struck);
    }
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    let said = told.word("/faults/0/effect/told");
    ensure!(said.contains("started again 2 times"), "{said}");
    ensure!(listener(&daemon).is_none(), "it outlives its run");
    Ok(())
}

#[test]
fn a_daemon_that_was_late_finds_its_run_over() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        mount.path(),
        "--open 200ms",
        &["--cgroup", cgroup.path()],
    )?;
    let struck = Struck::by(Signal::SIGSTOP, &[daemon.pid()])?;
    let gone = || listener(&daemon).is_none();
    ensure!(wait_until(LONG, gone), "it stays though nobody vouches");
    let free = target.open(&file)?;
    ensure!(at_once(free), "{free:?}");
    drop(struck);
    let over = || run.is_over() && listener(&daemon).is_none();
    ensure!(wait_until(LONG, over), "{:?}", run.report()?);
    let free = target.open(&file)?;
    ensure!(at_once(free), "{free:?} when it came back");
    Ok(())
}
