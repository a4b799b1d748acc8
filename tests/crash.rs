//! chaosd dies in every way there is, in mid-fault: what a peer sees of it, and what is left.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use support::{Instance, wait_until};

use crate::scene::{CALM, Fault, LONG, Scene, runs};

/// The promise (P3).
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// The aim where links die with the process, whatever else the machine does meanwhile.
fn at_once() -> Duration {
    Duration::from_millis(if support::is_emulated() { 100 } else { 10 })
}

/// Deaths that no handler sees, then those that chaosd hears of.
const DEATHS: [Signal; 6] = [
    Signal::SIGKILL,
    Signal::SIGABRT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
];

/// Under an emulator, where each death takes ten times as long, the one that nothing can catch and
/// the one that is the usual way to end: what the others run is the code of these.
fn deaths() -> &'static [Signal] {
    if support::is_emulated() {
        &[Signal::SIGKILL, Signal::SIGTERM]
    } else {
        &DEATHS
    }
}

#[test]
fn whatever_kills_the_daemon_its_faults_are_gone_within_a_second_and_so_is_all_else() -> Result<()>
{
    for fault in Fault::all() {
        let scene = Scene::new("daemon", fault)?;
        for &signal in deaths() {
            let mut daemon = scene.daemon()?;
            let watchdog = daemon.watchdog()?;
            daemon.kill(signal)?;
            let killed = Instant::now();
            let outlived = scene
                .stream
                .outlived(killed, CALM, LONG)
                .context("still lossy")?;
            println!("{fault:?}, {signal} of the daemon: gone after {outlived:?}");
            ensure!(outlived < GONE_WITHIN, "{fault:?}, {signal}: {outlived:?}");
            daemon.wait(LONG)?;
            ensure!(
                wait_until(LONG, || !runs(watchdog)),
                "the watchdog still runs"
            );
            // Before any command: the watchdog has done it, or the daemon itself.
            scene.assert_unchanged()?;
            scene.assert_clean_after_next_command(&daemon)?;
        }
    }
    Ok(())
}

#[test]
fn whatever_kills_a_foreground_run_its_faults_are_gone_within_a_second_and_so_is_all_else()
-> Result<()> {
    for fault in Fault::all() {
        let scene = Scene::new("foreground", fault)?;
        for &signal in deaths() {
            let mut run = scene.foreground(Instance::new()?)?;
            let watchdog = run.watchdog()?;
            run.kill(signal)?;
            let killed = Instant::now();
            let outlived = scene
                .stream
                .outlived(killed, CALM, LONG)
                .context("still lossy")?;
            println!("{fault:?}, {signal} of inject: gone after {outlived:?}");
            ensure!(outlived < GONE_WITHIN, "{fault:?}, {signal}: {outlived:?}");
            let status = run.wait()?;
            ensure!(
                wait_until(LONG, || !runs(watchdog)),
                "the watchdog still runs"
            );
            if [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].contains(&signal) {
                ensure!(
                    status.code() == Some(130),
                    "{signal}: {status}: {}",
                    run.log()
                );
            }
            // With no further command: nobody types one after a run that has ended.
            scene.assert_clean(&run.instance)?;
        }
    }
    Ok(())
}

#[test]
fn with_daemon_and_watchdog_killed_in_the_same_instant_the_fault_is_gone_at_once() -> Result<()> {
    let (many, few) = if support::is_emulated() {
        (6, 3)
    } else {
        (20, 5)
    };
    for (fault, kills) in [
        (Fault::Drop, many),
        (Fault::Partition, few),
        (Fault::Loopback, few),
    ] {
        let scene = Scene::new("both", fault)?;
        let mut outlived = Vec::new();
        for _ in 0..kills {
            let mut daemon = scene.daemon()?;
            let watchdog = daemon.watchdog()?;
            kill(watchdog, Signal::SIGKILL)?;
            daemon.kill(Signal::SIGKILL)?;
            let killed = Instant::now();
            outlived.push(
                scene
                    .stream
                    .outlived(killed, CALM, LONG)
                    .context("still lossy")?,
            );
            daemon.wait(LONG)?;
            scene.assert_clean_after_next_command(&daemon)?;
        }
        outlived.sort();
        let (median, worst) = (outlived[kills / 2], outlived[kills - 1]);
        println!("{fault:?}, both killed: gone after {median:?} (median), {worst:?} (worst)");
        ensure!(worst < GONE_WITHIN, "{fault:?}: {outlived:?}");
        ensure!(median < at_once(), "{fault:?}: {outlived:?}");
    }
    Ok(())
}

#[test]
fn with_a_foreground_run_and_its_watchdog_killed_the_next_run_puts_everything_back() -> Result<()> {
    for fault in Fault::all() {
        let scene = Scene::new("fgboth", fault)?;
        let mut instance = Instance::new()?;
        for _ in 0..3 {
            let mut run = scene.foreground(instance)?;
            let watchdog = run.watchdog()?;
            kill(watchdog, Signal::SIGKILL)?;
            run.kill(Signal::SIGKILL)?;
            let killed = Instant::now();
            let outlived = scene
                .stream
                .outlived(killed, CALM, LONG)
                .context("still lossy")?;
            ensure!(outlived < GONE_WITHIN, "{fault:?}: {outlived:?}");
            run.wait()?;
            instance = run.into_instance();
        }
        // Each of them has begun by undoing what the one before had left.
        let said = instance.cli(scene.inject_for("200ms"))?;
        ensure!([Some(0), Some(5)].contains(&said.status), "{said:?}");
        scene.assert_clean(&instance)?;
    }
    Ok(())
}

#[test]
fn a_killed_watchdog_is_replaced_in_mid_fault_and_the_next_one_watches() -> Result<()> {
    let scene = Scene::new("watchdog", Fault::Drop)?;
    let mut daemon = scene.daemon()?;
    let mut watchdog = daemon.watchdog()?;
    for _ in 0..3 {
        kill(watchdog, Signal::SIGKILL)?;
        let killed = Instant::now();
        let replaced = wait_until(LONG, || {
            daemon
                .watchdog()
                .is_ok_and(|now| now != watchdog && now.as_raw() != 0 && runs(now))
        });
        ensure!(replaced, "no watchdog: {}", daemon.log());
        watchdog = daemon.watchdog()?;
        println!("another watchdog after {:?}", killed.elapsed());
        ensure!(
            scene.stream.suffers(LONG),
            "the fault has gone with the watchdog"
        );
    }
    daemon.kill(Signal::SIGKILL)?;
    let killed = Instant::now();
    let outlived = scene
        .stream
        .outlived(killed, CALM, LONG)
        .context("still lossy")?;
    ensure!(outlived < GONE_WITHIN, "{outlived:?}");
    daemon.wait(LONG)?;
    ensure!(
        wait_until(LONG, || !runs(watchdog)),
        "the watchdog still runs"
    );
    scene.assert_unchanged()?;
    scene.assert_clean_after_next_command(&daemon)
}

#[test]
fn a_daemon_that_inherits_blocked_signals_ends_by_them_all_the_same() -> Result<()> {
    let scene = Scene::new("deaf", Fault::Drop)?;
    let all = SigSet::all();
    all.thread_block()?;
    let daemon = scene.daemon();
    all.thread_unblock()?;
    let mut daemon = daemon?;
    daemon.kill(Signal::SIGTERM)?;
    let status = daemon.wait(LONG)?;
    ensure!(status.code() == Some(0), "{status}: {}", daemon.log());
    scene.assert_clean(&daemon)
}

#[test]
fn a_daemon_that_is_stopped_by_its_user_reverts_before_it_ends() -> Result<()> {
    let scene = Scene::new("ends", Fault::Drop)?;
    let mut daemon = scene.daemon()?;
    daemon.kill(Signal::SIGTERM)?;
    let status = daemon.wait(LONG)?;
    ensure!(status.code() == Some(0), "{status}: {}", daemon.log());
    scene.assert_clean(&daemon)
}
