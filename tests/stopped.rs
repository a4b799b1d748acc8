//! A chaosd that stands still (SIGSTOP, a debugger, a frozen cgroup) does not keep its faults up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::{Instance, hangs_filters, wait_until};

use crate::scene::{CALM, Fault, LONG, Scene, runs};

/// The lease that a running daemon renews (P2), and what the issue grants beyond it.
const LEASE: Duration = Duration::from_millis(2_250);

#[test]
fn a_stopped_daemon_s_fault_is_gone_within_the_lease_and_reported_as_fenced_when_it_wakes()
-> Result<()> {
    for fault in Fault::all() {
        let scene = Scene::new("stopped", fault)?;
        let daemon = scene.daemon()?;
        daemon.kill(Signal::SIGSTOP)?;
        let stopped = Instant::now();
        let outlived = scene
            .stream
            .outlived(stopped, CALM, LONG)
            .context("still lossy")?;
        println!("{fault:?}, SIGSTOP of the daemon: gone after {outlived:?}");
        ensure!(outlived <= LEASE, "{fault:?}: {outlived:?}");

        daemon.kill(Signal::SIGCONT)?;
        let woken = Instant::now();
        let fenced = wait_until(LONG, || {
            let status = daemon
                .cli(["status", "-o", "json"])
                .and_then(|said| said.json());
            status.is_ok_and(|status| status["runs"][0]["ended"] == "fenced")
        });
        ensure!(
            fenced,
            "{:?}\n{}",
            daemon.cli(["status", "-o", "json"])?,
            daemon.log()
        );
        let again = scene
            .stream
            .outlived(woken, CALM, LONG)
            .context("lossy again")?;
        // With the last filter clsact goes, for which the kernel stops the interface for an instant.
        let granted = if hangs_filters() {
            CALM
        } else {
            Duration::ZERO
        };
        ensure!(again <= granted, "the fault came back for {again:?}");
        // What was fenced does not stand in the way of the next run.
        scene.arm(&daemon)?;
        scene.assert_clean_after_revert(&daemon)?;
    }
    Ok(())
}

#[test]
fn a_daemon_that_stays_stopped_is_ended_and_everything_is_put_back() -> Result<()> {
    let scene = Scene::new("staysstopped", Fault::Loopback)?;
    let mut daemon = scene.daemon()?;
    let watchdog = daemon.watchdog()?;
    daemon.kill(Signal::SIGSTOP)?;
    // No command in between: the watchdog kills it after five seconds.
    daemon.wait(LONG)?;
    ensure!(
        wait_until(LONG, || !runs(watchdog)),
        "the watchdog still runs"
    );
    scene.assert_unchanged()?;
    scene.assert_clean_after_next_command(&daemon)
}

#[test]
fn with_daemon_and_watchdog_stopped_the_kernel_ends_the_fault_and_revert_gets_through() -> Result<()>
{
    let scene = Scene::new("bothstopped", Fault::Loopback)?;
    let mut daemon = scene.daemon()?;
    let watchdog = daemon.watchdog()?;
    kill(watchdog, Signal::SIGSTOP)?;
    daemon.kill(Signal::SIGSTOP)?;
    let stopped = Instant::now();
    let outlived = scene
        .stream
        .outlived(stopped, CALM, LONG)
        .context("still lossy")?;
    println!("both stopped: gone after {outlived:?}");
    ensure!(outlived <= LEASE, "{outlived:?}");
    scene.assert_clean_after_next_command(&daemon)?;
    daemon.wait(LONG)?;
    ensure!(
        wait_until(LONG, || !runs(watchdog)),
        "the watchdog still runs"
    );
    Ok(())
}

#[test]
fn a_stopped_foreground_run_is_fenced_ends_as_interrupted_when_it_wakes_and_leaves_nothing()
-> Result<()> {
    let scene = Scene::new("fgstopped", Fault::Loopback)?;
    let mut run = scene.foreground(Instance::new()?)?;
    run.kill(Signal::SIGSTOP)?;
    let stopped = Instant::now();
    let outlived = scene
        .stream
        .outlived(stopped, CALM, LONG)
        .context("still lossy")?;
    ensure!(outlived <= LEASE, "{outlived:?}");
    run.kill(Signal::SIGCONT)?;
    let status = run.wait()?;
    ensure!(status.code() == Some(130), "{status}: {}", run.log());
    scene.assert_clean(&run.instance)
}
