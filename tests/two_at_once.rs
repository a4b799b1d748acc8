//! Several runs at once, in one namespace: each does its own, and ends without the others.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::{Daemon, Instance, Options};

use crate::scene::{CALM, Fault, LONG, Scene, become_armed};

#[test]
fn two_foreground_runs_in_one_namespace_end_apart_and_leave_nothing() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let scene = Scene::new("twofg", Fault::Loopback)?;
        let instance = Instance::new()?;
        // They share the state directory, as two terminals of one machine do.
        let mut first = scene.start(&instance)?;
        ensure!(scene.stream.suffers(LONG), "the first has no effect");
        let mut second = scene.start(&instance)?;
        ensure!(become_armed(&instance, 2), "the second does not come up");
        first.kill(signal)?;
        first.wait()?;
        std::thread::sleep(Duration::from_secs(1));
        ensure!(
            scene.stream.suffers(LONG),
            "{signal}: the second has ended with the first"
        );
        ensure!(
            share(&scene) < 0.9,
            "{signal}: the second's detour loses everything"
        );
        second.kill(signal)?;
        let killed = Instant::now();
        let outlived = scene
            .stream
            .outlived(killed, CALM, LONG)
            .context("still lossy")?;
        ensure!(outlived < Duration::from_secs(1), "{signal}: {outlived:?}");
        second.wait()?;
        scene.assert_clean_after_next_command(&instance)?;
    }
    Ok(())
}

#[test]
fn instances_of_two_state_directories_do_not_harm_each_other_in_one_namespace() -> Result<()> {
    let scene = Scene::new("twodirs", Fault::Loopback)?;
    let (one, other) = (Instance::new()?, Instance::new()?);
    let mut first = scene.start(&one)?;
    ensure!(scene.stream.suffers(LONG), "the first has no effect");
    // Both are instance 0 of their directory. Whether the second is let in or refused, the first
    // goes on, and is nobody else's left-over.
    let said = other.cli(scene.inject_for("500ms"))?;
    println!("the second: {:?} {}", said.status, said.stderr.trim());
    ensure!(
        [Some(0), Some(3), Some(5)].contains(&said.status),
        "{said:?}"
    );
    ensure!(scene.stream.suffers(LONG), "the first has ended: {said:?}");
    let netns = format!("netns {}", scene.lab.target().netns());
    let doctor = other.cli(["doctor"])?;
    ensure!(!doctor.stdout.contains(&netns), "{doctor:?}");
    let said = other.cli(["revert", "--all"])?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(
        scene.stream.suffers(LONG),
        "the first was reverted by the other's command"
    );
    ensure!(share(&scene) < 0.9, "the first's detour loses everything");
    first.kill(Signal::SIGTERM)?;
    first.wait()?;
    scene.assert_clean(&one)
}

#[test]
fn reverting_one_of_two_equal_runs_leaves_the_other_in_force() -> Result<()> {
    let scene = Scene::new("twins", Fault::Drop)?;
    let daemon = Daemon::start(&Options::default())?;
    let (first, second) = (scene.arm(&daemon)?, scene.arm(&daemon)?);
    ensure!(first != second, "one id for two runs: {first}");
    let said = daemon.cli(["revert", &first])?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(scene.stream.suffers(LONG), "the other has ended too");
    let said = daemon.cli(["revert", &second])?;
    ensure!(said.status == Some(0), "{said:?}");
    let reverted = Instant::now();
    let outlived = scene
        .stream
        .outlived(reverted, CALM, LONG)
        .context("still lossy")?;
    ensure!(
        outlived == Duration::ZERO,
        "{outlived:?} after revert had returned"
    );
    // Once more changes nothing.
    let said = daemon.cli(["revert", &second])?;
    ensure!(said.status == Some(0), "{said:?}");
    scene.assert_clean_after_revert(&daemon)
}

#[test]
fn a_daemon_s_run_and_a_foreground_run_live_side_by_side() -> Result<()> {
    let scene = Scene::new("mixed", Fault::Loopback)?;
    let instance = Instance::new()?;
    // In the foreground first: with a daemon there, it would be the daemon's.
    let mut foreground = scene.start(&instance)?;
    ensure!(
        scene.stream.suffers(LONG),
        "the foreground run has no effect"
    );
    let daemon = Daemon::start_in(instance, &Options::default())?;
    ensure!(
        scene.stream.suffers(LONG),
        "the daemon's start has ended the foreground run"
    );
    let id = scene.arm(&daemon)?;
    foreground.kill(Signal::SIGKILL)?;
    foreground.wait()?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(
        scene.stream.suffers(LONG),
        "the daemon's run has ended with the other"
    );
    ensure!(share(&scene) < 0.9, "the daemon's detour loses everything");
    let said = daemon.cli(["revert", &id])?;
    ensure!(said.status == Some(0), "{said:?}");
    scene.assert_clean_after_revert(&daemon)
}

/// What share of the stream is lost now: two faults of 50 % come to 75.
fn share(scene: &Scene) -> f64 {
    let since = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let (lost, all) = scene.stream.lost_since(since);
    #[expect(clippy::cast_precision_loss, reason = "a thousand datagrams")]
    let share = lost as f64 / all.max(1) as f64;
    share
}
