//! Limits of cgroups, room on a disk and the host's clock when the parent, its watchdog or both die at any
//! step: all that each fault of a table has changed is as before.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{env, fs, os::unix::process::ExitStatusExt, time::Duration};

use nix::sys::signal::Signal;

use super::{
    fuse::{REPLAY_DIES, Victim},
    scene::{Scene, is_gone, signal, within},
    subjects::{CASES, Clock, Filled, Limited, Subject},
};
use crate::{
    instance::revert_abandoned,
    netlink::tests::skipped,
    undo::{RevertReport, fake::real},
};

/// No fault takes more.
const MOST_STEPS: usize = 100;

fn is_emulated() -> bool {
    env::var_os("CHAOSD_EMULATED").is_some()
}

/// The promise, and what a processor that is computed takes for it.
fn soon() -> Duration {
    Duration::from_secs(if is_emulated() { 5 } else { 1 })
}

fn assert_as_before(subject: &dyn Subject, scene: &Scene, when: &str) {
    if let Some(changed) = subject.changed() {
        panic!("{when}: {changed}");
    }
    let report = revert_abandoned(&scene.state(), &real());
    assert_eq!(report, RevertReport::default(), "{when}");
    assert!(scene.nothing_left(), "{when}");
}

/// One life of a parent. True: nobody died.
fn live(subject: &dyn Subject, victim: Victim, step: usize, name: &str) -> bool {
    let when = format!("{name}: {victim:?} at step {step}");
    let mut scene = Scene::new();
    scene.start_with(&victim.role(step), &subject.told());
    let status = scene.parent().wait().unwrap();
    let alone = || scene.state().live().unwrap().is_empty();
    within(soon(), alone);
    if victim == Victim::Both && !status.success() {
        // The next start does it.
        let report = revert_abandoned(&scene.state(), &real());
        assert!(
            report.is_clean() && report.left_alone.is_empty(),
            "{when}: {report}"
        );
    }
    if victim == Victim::Watchdog {
        assert!(status.success(), "{when}: {status}");
    }
    assert_as_before(subject, &scene, &when);
    if !status.success() {
        assert_eq!(status.signal(), Some(9), "{when}");
    }
    status.success()
}

/// A watchdog dies at a step of what it does for a dead parent. True: it was done before.
fn replay(subject: &dyn Subject, step: usize, name: &str) -> bool {
    let when = format!("{name}: the watchdog at step {step} of its replay");
    let mut scene = Scene::new();
    let told = [&subject.told()[..], &[(REPLAY_DIES, step.to_string())]].concat();
    let watchdog = scene.start_with("stay", &told).unwrap();
    assert!(subject.changed().is_some(), "{when}: nothing is in force");
    let pid = i32::try_from(scene.parent().id()).unwrap();
    signal(pid, Signal::SIGKILL);
    scene.parent().wait().unwrap();
    within(soon(), || is_gone(watchdog));
    within(soon(), || scene.state().live().unwrap().is_empty());
    let done = scene.nothing_left();
    let report = revert_abandoned(&scene.state(), &real());
    assert!(
        report.is_clean() && report.left_alone.is_empty(),
        "{when}: {report}"
    );
    assert_as_before(subject, &scene, &when);
    done
}

/// All deaths there are.
fn die_everywhere(subject: &dyn Subject, name: &str) {
    let steps = (0..MOST_STEPS)
        .find(|step| live(subject, Victim::Parent, *step, name))
        .unwrap();
    // Before and after each record, each change and each undoing.
    assert!(steps >= 6, "{name}: only {steps} steps");
    // What is left of them does not depend on the kernel: under an emulator some are enough.
    let stride = if is_emulated() { 4 } else { 1 };
    for victim in [Victim::Watchdog, Victim::Both] {
        for step in (0..steps).step_by(stride) {
            assert!(live(subject, victim, step, name) == (victim == Victim::Watchdog));
        }
    }
    let replayed = (0..MOST_STEPS)
        .find(|step| replay(subject, *step, name))
        .unwrap();
    assert!(replayed > 0, "{name}: nothing was replayed");
    println!("{name}: {steps} steps, {replayed} of a replay");
}

#[test]
fn limits_are_as_before_whoever_dies_at_any_step() {
    for case in &CASES {
        if let Some(limited) = Limited::new(case) {
            die_everywhere(&limited, case.name);
        }
    }
}

#[test]
fn v1_s_freezer_thaws_whoever_dies_at_any_step() {
    match Limited::frozen_by_v1() {
        Some(frozen) => die_everywhere(&frozen, "v1's freezer"),
        None => skipped("this machine has no freezer of v1"),
    }
}

#[test]
fn a_full_disk_has_its_room_again_whoever_dies_at_any_step() {
    die_everywhere(&Filled::new(), "a full disk");
}

#[test]
fn the_clock_is_as_before_whoever_dies_at_any_step() {
    let words = fs::read_to_string("/proc/cmdline").unwrap();
    if !words.contains("lab.kernel=") {
        skipped("the clock of this machine is everybody's");
        return;
    }
    for fault in [
        "clock: {offset: 5m}",
        "clock: {offset: -1h}",
        "clock: {offset: 3s, drift: 10ms/s}",
    ] {
        die_everywhere(&Clock::new(fault), fault);
    }
}
