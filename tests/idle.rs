//! A daemon with nothing to do does nothing and takes little.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::engine::SPARES;
use nix::unistd::Pid;
use support::{Daemon, Options, wait_until};

use crate::scene::{Fault, LONG, Scene};

/// How much a daemon may take, its code included.
const RSS_KIB: u64 = 15 << 10;
/// How much of that may be memory of its own. An unoptimised build has several times the code, so
/// that this alone is judged of it.
const OWN_KIB: u64 = 5 << 10;
/// How much it may grow over a hundred runs: what the allocator keeps, and the reports of runs
/// that are over.
const GROWTH_KIB: u64 = 3 << 10;
/// Programs that are loaded for a plane, at least.
const IN_A_SET: u32 = 10;
const WATCHED: Duration = Duration::from_secs(10);

#[test]
fn with_no_fault_neither_daemon_nor_watchdog_wakes_and_both_are_small() -> Result<()> {
    let daemon = Daemon::start(&Options {
        args: vec!["--spares".to_owned(), SPARES.to_string()],
        ..Options::default()
    })?;
    let watchdog = daemon.watchdog()?;
    // Programs are loaded ahead in the first seconds, and the threads of it end.
    let loaded = || programs(daemon.pid()).is_ok_and(|programs| programs >= IN_A_SET * SPARES);
    ensure!(wait_until(LONG, loaded), "programs are not loaded ahead");
    ensure!(
        wait_until(LONG, || is_quiet(daemon.pid())),
        "the daemon does not come to rest"
    );
    let before = (wake_ups(daemon.pid())?, wake_ups(watchdog)?);
    sleep(WATCHED);
    let after = (wake_ups(daemon.pid())?, wake_ups(watchdog)?);
    println!("wake-ups before and after {WATCHED:?}, daemon and watchdog: {before:?} {after:?}");
    // A thread that ends takes its own along.
    let [daemons, watchdogs] = [(after.0, before.0), (after.1, before.1)]
        .map(|(after, before)| after.saturating_sub(before));
    ensure!(daemons <= 1, "the daemon woke {daemons} times");
    ensure!(watchdogs <= 1, "the watchdog woke {watchdogs} times");
    for (who, pid) in [("daemon", daemon.pid()), ("watchdog", watchdog)] {
        let (rss, own) = (kib(pid, "VmRSS")?, kib(pid, "RssAnon")?);
        println!("{who}: {rss} KiB, {own} of its own");
        ensure!(own < OWN_KIB, "the {who} takes {own} KiB of its own");
        let unoptimised = cfg!(debug_assertions);
        ensure!(unoptimised || rss < RSS_KIB, "the {who} takes {rss} KiB");
    }
    Ok(())
}

#[test]
fn after_a_hundred_runs_the_daemon_is_as_small_and_as_quiet_as_before() -> Result<()> {
    let scene = Scene::new("hundred", Fault::Drop)?;
    let daemon = Daemon::start(&Options {
        args: vec!["--linger".to_owned(), "1s".to_owned()],
        ..Options::default()
    })?;
    let run = || -> Result<()> {
        let id = scene.arm_only(&daemon)?;
        let said = daemon.cli(["revert", &id])?;
        ensure!(said.status == Some(0), "{said:?}");
        Ok(())
    };
    // What is made once is made now.
    for _ in 0..10 {
        run()?;
    }
    let (rss, fds) = (kib(daemon.pid(), "VmRSS")?, descriptors(daemon.pid())?);
    for _ in 0..100 {
        run()?;
    }
    // The last of them may still be written down.
    let as_few = || descriptors(daemon.pid()).is_ok_and(|now| now <= fds);
    let let_go = wait_until(LONG, as_few);
    let (rss_now, fds_now) = (kib(daemon.pid(), "VmRSS")?, descriptors(daemon.pid())?);
    println!("{rss} KiB, then {rss_now} KiB; {fds} descriptors, then {fds_now}");
    ensure!(
        rss_now < rss + GROWTH_KIB,
        "grew from {rss} to {rss_now} KiB"
    );
    ensure!(let_go, "{fds} descriptors have become {fds_now}");
    // Once it has let go of the namespace, it sleeps again.
    ensure!(
        wait_until(LONG, || is_quiet(daemon.pid())),
        "the daemon does not come to rest"
    );
    scene.assert_clean_after_revert(&daemon)
}

/// True when two seconds have passed without a wake-up.
fn is_quiet(pid: Pid) -> bool {
    let before = wake_ups(pid);
    sleep(Duration::from_secs(2));
    let after = wake_ups(pid);
    matches!((before, after), (Ok(before), Ok(after)) if before == after)
}

/// Context switches of all its threads, of their own will or not. A thread that has ended since
/// takes its own along, so that only a process at rest is to be compared.
fn wake_ups(pid: Pid) -> Result<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    let mut sum = 0;
    for task in tasks.flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        sum += status
            .lines()
            .filter(|line| line.contains("voluntary_ctxt_switches"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(sum)
}

/// A line of `proc_pid_status(5)`, in KiB.
fn kib(pid: Pid, name: &str) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.with_context(|| format!("no {name}"))?.parse()?)
}

/// How many programs it has.
fn programs(pid: Pid) -> Result<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).context("the process is gone")?;
    let links = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    let programs = links.filter(|link| link.ends_with("anon_inode:bpf-prog"));
    Ok(u32::try_from(programs.count())?)
}

fn descriptors(pid: Pid) -> Result<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).context("the process is gone")?;
    Ok(entries.count())
}
