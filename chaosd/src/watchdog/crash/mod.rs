//! What is left of a machine when chaosd dies at any point, with a real parent, a real watchdog
//! and real changes: sysctls in a namespace made for it, and what `resource` changes. Both are this test
//! binary, run again.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fuse;
mod parent;
mod resources;
mod scene;
mod subjects;

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitCode},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};

use self::{
    fuse::{Victim, watchdogs_machine},
    parent::{ROLE, parent, this_binary, watchdog_of},
    scene::{Scene, is_gone, signal, within},
};
use super::*;
use crate::{
    instance::{Kind, StateDir, revert_abandoned},
    journal::testing::TempDir,
    undo::{RevertReport, fake::real},
};

/// Where a process started by these tests begins: without a role it is the test itself, which
/// checks that the role of a watchdog refuses nonsense.
#[test]
fn entry() {
    let rest = || env::args_os().skip_while(|arg| arg != VERB).skip(1);
    match env::var(ROLE).ok().as_deref() {
        Some("watchdog") => {
            let _code = main(rest(), &watchdogs_machine());
        }
        Some(role) => parent(role),
        None => {
            let nonsense = ["/nowhere", "0", "x", "4", "5"].map(OsString::from);
            assert_eq!(
                format!("{:?}", main(nonsense, &watchdogs_machine())),
                format!("{:?}", ExitCode::from(2))
            );
        }
    }
}

#[test]
fn a_parent_killed_at_any_step_leaves_everything_as_before_within_a_second() {
    let mut deaths = 0;
    loop {
        let mut scene = Scene::new();
        scene.start(&Victim::Parent.role(deaths));
        let status = scene.parent().wait().unwrap();
        within(Duration::from_secs(1), || scene.as_before());
        within(Duration::from_secs(1), || {
            scene.state().live().unwrap().is_empty()
        });
        // The next command finds nothing to undo, and at most an empty directory.
        let report = revert_abandoned(&scene.state(), &real());
        assert_eq!(report, RevertReport::default(), "step {deaths}");
        assert!(scene.nothing_left(), "step {deaths}");
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "step {deaths}");
        deaths += 1;
    }
    // Around each write and each record, of the changes and of their undoing.
    assert!(deaths > 15, "only {deaths} steps");
}

#[test]
fn a_stopped_parent_is_fenced_after_one_second_and_killed_after_five() {
    let mut scene = Scene::new();
    scene.start("stop").unwrap();
    let since = Instant::now();
    within(Duration::from_millis(1500), || scene.fenced().exists());
    assert!(since.elapsed() > Duration::from_millis(700), "too early");
    assert_eq!(scene.values(), ["1"; 3], "only the planes are disarmed");
    let status = scene.parent().wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    let lived = since.elapsed();
    assert!((4500..6000).contains(&lived.as_millis()), "{lived:?}");
    within(Duration::from_secs(1), || scene.as_before());
    within(Duration::from_secs(1), || scene.nothing_left());
}

#[test]
fn a_parent_that_is_late_once_is_fenced_and_lives() {
    let mut scene = Scene::new();
    scene.start("stay").unwrap();
    let pid = i32::try_from(scene.parent().id()).unwrap();
    signal(pid, Signal::SIGSTOP);
    within(Duration::from_secs(3), || scene.fenced().exists());
    signal(pid, Signal::SIGCONT);
    let log = scene.state().path().join("instances/0/watchdog.log");
    let back = || fs::read_to_string(&log).is_ok_and(|text| text.contains("parent is back"));
    within(Duration::from_secs(2), back);
    assert_eq!(scene.values(), ["1"; 3]);
    signal(pid, Signal::SIGKILL);
    within(Duration::from_secs(1), || scene.as_before());
}

#[test]
fn with_parent_and_watchdog_killed_the_next_start_restores() {
    let mut scene = Scene::new();
    let watchdog = scene.start("stay").unwrap();
    signal(watchdog, Signal::SIGKILL);
    scene.parent().kill().unwrap();
    scene.parent().wait().unwrap();
    within(Duration::from_secs(1), || is_gone(watchdog));
    assert_eq!(scene.values(), ["1"; 3]);
    // A child that another test starts has the lock until it runs its own program.
    within(Duration::from_secs(2), || {
        !scene.state().abandoned().unwrap().is_empty()
    });
    let left = scene.state().abandoned().unwrap();
    assert_eq!(left[0].journals.len(), 1);
    let report = revert_abandoned(&scene.state(), &real());
    assert_eq!(
        (report.undone.len(), report.failed.len()),
        (3, 0),
        "{report}"
    );
    assert!(scene.as_before());
    assert!(scene.nothing_left());
}

#[test]
fn a_stopped_watchdog_of_a_dead_parent_is_replaced_by_the_next_start() {
    let mut scene = Scene::new();
    let watchdog = scene.start("stay").unwrap();
    signal(watchdog, Signal::SIGSTOP);
    scene.parent().kill().unwrap();
    scene.parent().wait().unwrap();
    assert_eq!(scene.state().abandoned().unwrap(), [], "its lock is held");
    let report = revert_abandoned(&scene.state(), &real());
    assert!(report.is_clean(), "{report}");
    assert!(is_gone(watchdog));
    assert!(scene.as_before());
    assert!(scene.nothing_left());
}

#[test]
fn the_watchdog_is_deaf_to_signals_and_in_a_session_of_its_own() {
    let mut scene = Scene::new();
    let watchdog = scene.start("stay").unwrap();
    for deadly in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
    ] {
        signal(watchdog, deadly);
    }
    sleep(Duration::from_millis(50));
    assert!(!is_gone(watchdog));
    let session = nix::unistd::getsid(Some(Pid::from_raw(watchdog))).unwrap();
    assert_eq!(session.as_raw(), watchdog);
    // Standard streams, the socket, the lock, the pidfd.
    let open = fs::read_dir(format!("/proc/{watchdog}/fd"))
        .unwrap()
        .count();
    assert_eq!(open, 6);
    scene.parent().kill().unwrap();
    within(Duration::from_secs(1), || scene.as_before());
}

#[test]
fn a_parent_that_unwinds_waits_until_everything_is_undone() {
    let mut scene = Scene::new();
    scene.start("panic").unwrap();
    assert!(scene.parent().wait().unwrap().success());
    assert!(scene.as_before());
    assert!(scene.nothing_left());
}

#[test]
fn a_watchdog_that_is_sent_away_undoes_nothing_even_when_it_does_not_listen() {
    let dir = TempDir::new();
    let state = StateDir::new(dir.path().join("state"));
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let journal = instance.journal("run-1").unwrap();
    for stopped in [false, true] {
        let watchdog = watchdog_of(&instance);
        let pid = i32::try_from(watchdog.pid()).unwrap();
        if stopped {
            signal(pid, Signal::SIGSTOP);
        }
        watchdog.goodbye();
        assert!(is_gone(pid));
        assert!(journal.path().exists());
    }
}

#[test]
fn a_dead_watchdog_is_noticed_and_talking_to_it_harms_nobody() {
    let dir = TempDir::new();
    let state = StateDir::new(dir.path().join("state"));
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let watchdog = watchdog_of(&instance);
    watchdog.idle().unwrap();
    signal(i32::try_from(watchdog.pid()).unwrap(), Signal::SIGKILL);
    assert!(wait_readable(watchdog.pidfd(), Duration::from_secs(1)));
    assert!(matches!(watchdog.heartbeat(), Err(WatchdogError::Gone)));
    drop(watchdog);
    let another = watchdog_of(&instance);
    another.heartbeat().unwrap();
    another.goodbye();
}

#[test]
fn a_watchdog_that_cannot_start_is_an_error_and_no_process() {
    let dir = TempDir::new();
    let state = StateDir::new(dir.path().join("state"));
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let nowhere = Watchdog::start_as(Command::new("/nonexistent"), &instance);
    assert!(matches!(nowhere, Err(WatchdogError::Start(_))));
    let silent = Watchdog::start_as(Command::new("true"), &instance);
    assert!(matches!(silent, Err(WatchdogError::NotReady)));
}

#[test]
fn in_a_service_the_watchdog_lives_in_a_cgroup_of_its_own() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = super::cgroup::unified(&mounts).unwrap();
    let dir = TempDir::new();
    let state = StateDir::new(dir.path().join("state"));
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let mut command = this_binary("watchdog");
    command.env("INVOCATION_ID", "0123456789abcdef");
    let watchdog = Watchdog::start_as(command, &instance).unwrap();
    let name = format!("chaosd-watchdog-0-{}.scope", watchdog.pid());
    let table = fs::read_to_string(format!("/proc/{}/cgroup", watchdog.pid())).unwrap();
    assert!(table.contains(&format!("0::/{name}\n")), "{table}");
    // Killed, it cannot tidy up: whoever clears its instance does.
    signal(i32::try_from(watchdog.pid()).unwrap(), Signal::SIGKILL);
    drop(watchdog);
    assert!(root.join(&name).exists());
    drop(instance);
    assert!(!root.join(&name).exists());
    assert!(!Path::new("/sys/fs/cgroup").join(&name).exists());
}
