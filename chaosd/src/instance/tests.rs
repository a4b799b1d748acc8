//! Locks, numbers, and what is left of the dead.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    process::Command,
};

use super::*;
use crate::{
    journal::testing::TempDir,
    undo::{RevertReport, Undo, fake::Fake},
};

fn state() -> (TempDir, StateDir) {
    let dir = TempDir::new();
    let state = StateDir::new(dir.path().join("state"));
    (dir, state)
}

/// What a SIGKILL does: the lock goes, the files stay.
fn die(instance: Instance) {
    let dir = instance.dir().to_owned();
    let kept = dir.with_extension("kept");
    fs::rename(&dir, &kept).unwrap();
    drop(instance);
    fs::rename(&kept, &dir).unwrap();
}

/// Waits for a condition: a fork in another test holds our locks until its exec.
fn soon(condition: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !condition() {
        assert!(since.elapsed().as_secs() < 5, "it never came true");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn instances_take_the_lowest_free_number_and_leave_nothing() {
    let (_dir, state) = state();
    let zero = Instance::claim(&state, Kind::Run).unwrap();
    let one = Instance::claim(&state, Kind::Daemon).unwrap();
    assert_eq!((zero.number(), one.number()), (0, 1));
    let live = state.live().unwrap();
    assert_eq!(live.len(), 2);
    let owner = live[1].owner.as_ref().unwrap();
    assert_eq!(owner.pid, std::process::id());
    assert_eq!(owner.kind, Some(Kind::Daemon));
    assert!(owner.is_alive());
    drop(zero);
    assert!(!state.path().join("instances/0").exists());
    let again = Instance::claim(&state, Kind::Run).unwrap();
    assert_eq!(again.number(), 0);
}

#[test]
fn instances_that_come_and_go_at_once_never_share_a_number() {
    let (_dir, state) = state();
    let held = std::sync::Mutex::new(Vec::new());
    let come_and_go = || {
        for _ in 0..50 {
            let instance = Instance::claim(&state, Kind::Run).unwrap();
            let number = instance.number();
            {
                let mut held = held.lock().unwrap();
                assert!(!held.contains(&number), "{number} is held twice");
                held.push(number);
            }
            assert!(revert_abandoned(&state, &Fake::default()).is_clean());
            assert!(instance.dir().exists());
            held.lock().unwrap().retain(|n| *n != number);
            drop(instance);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(come_and_go);
        }
    });
    soon(|| state.live().unwrap().is_empty());
    revert_abandoned(&state, &Fake::default());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn the_directory_is_for_root_alone_and_one_that_others_can_write_is_refused() {
    let (_dir, state) = state();
    drop(Instance::claim(&state, Kind::Run).unwrap());
    let mode = fs::metadata(state.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = |result: Result<(), InstanceError>| {
        assert!(
            matches!(result, Err(InstanceError::Unsafe { .. })),
            "{result:?}"
        );
    };
    refused(Instance::claim(&state, Kind::Run).map(drop));
    refused(state.live().map(drop));
    refused(state.abandoned().map(drop));
    assert!(!revert_abandoned(&state, &Fake::default()).is_clean());
}

#[test]
fn a_planted_link_in_place_of_the_directory_is_refused() {
    let (dir, state) = state();
    let elsewhere = dir.path().join("elsewhere");
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&elsewhere)
        .unwrap();
    std::os::unix::fs::symlink(&elsewhere, state.path()).unwrap();
    let result = Instance::claim(&state, Kind::Run);
    assert!(matches!(result, Err(InstanceError::Unsafe { .. })));
}

#[test]
fn a_child_does_not_keep_an_instance_alive() {
    let (_dir, state) = state();
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let path = state.instance(instance.number()).join("lock");
    // Renamed, so that the drop leaves it and only the kernel lets go.
    fs::rename(&path, path.with_extension("kept")).unwrap();
    drop(instance);
    fs::rename(path.with_extension("kept"), &path).unwrap();
    soon(|| state.live().unwrap().is_empty());
    assert!(child.try_wait().unwrap().is_none(), "the child lives");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_lock_that_is_shared_outlives_its_owner() {
    let (_dir, state) = state();
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let _journal = instance.journal("run-1").unwrap();
    let shared = instance.share_lock().unwrap();
    drop(instance);
    assert_eq!(state.live().unwrap().len(), 1);
    assert_eq!(state.abandoned().unwrap(), []);
    drop(shared);
    soon(|| state.live().unwrap().is_empty());
    soon(|| state.abandoned().unwrap().len() == 1);
}

#[test]
fn what_the_dead_left_is_undone_newest_journal_first_and_removed() {
    let (_dir, state) = state();
    let fake = Fake::default();
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    // The same value twice: only undone in reverse does it come back to the first.
    for (owner, prior, ours) in [("z-first", "0", "1"), ("a-second", "1", "2")] {
        let mut journal = instance.journal(owner).unwrap();
        let undo = Undo::Sysctl(fake.sysctl("net/a", prior, ours));
        journal.will(&undo).unwrap();
        fake.set("net/a", ours);
    }
    die(instance);
    soon(|| state.live().unwrap().is_empty());
    assert_eq!(state.abandoned().unwrap()[0].journals.len(), 2);
    let other = Instance::claim(&state, Kind::Run).unwrap();
    assert_eq!(other.number(), 1, "a number with journals is not reused");
    let report = revert_abandoned(&state, &fake);
    assert_eq!(
        (report.undone.len(), report.failed.len()),
        (2, 0),
        "{report}"
    );
    assert_eq!(fake.get("net/a").unwrap(), "0");
    assert_eq!(state.live().unwrap().len(), 1, "the living are left alone");
    drop(other);
    soon(|| state.live().unwrap().is_empty());
    assert_eq!(revert_abandoned(&state, &fake), RevertReport::default());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_second_daemon_is_refused_and_told_of_the_first() {
    let (_dir, state) = state();
    let first = DaemonLock::take(&state).unwrap();
    let error = DaemonLock::take(&state).unwrap_err();
    let text = format!("a chaosd daemon runs already (pid {})", std::process::id());
    assert_eq!(error.to_string(), text);
    fs::write(state.socket(), "").unwrap();
    revert_abandoned(&state, &Fake::default());
    assert!(
        state.socket().exists(),
        "the living daemon keeps its socket"
    );
    drop(first);
    drop(DaemonLock::take(&state).unwrap());
    fs::write(state.path().join("daemon.lock"), "").unwrap();
    revert_abandoned(&state, &Fake::default());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_process_is_told_from_a_later_one_with_its_number() {
    let mut owner = Owner::this(None).unwrap();
    assert!(owner.is_alive());
    owner.started -= 1;
    assert!(!owner.is_alive());
    let mut child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    let status = loop {
        // A zombie until it is waited for.
        if fs::read_to_string(format!("/proc/{pid}/stat"))
            .unwrap()
            .contains(") Z ")
        {
            break fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        }
    };
    let started = status.split(' ').nth(21).unwrap().parse().unwrap();
    assert!(
        !Owner {
            pid,
            started,
            kind: None
        }
        .is_alive()
    );
    child.wait().unwrap();
}
