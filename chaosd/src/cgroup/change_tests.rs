//! Changes that go wrong half-way, and changes whose maker has died.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use super::*;
use crate::{
    cgroup::{
        Controller, Version,
        limits::{cpu, freeze},
        testing::Target,
    },
    journal::{
        Journal, replay,
        testing::{TempDir, begin},
    },
    undo::fake::real,
};

fn txn(directory: &TempDir) -> (Txn, PathBuf) {
    let path = directory.path().join("a.journal");
    let journal = Journal::create(&path, begin()).unwrap();
    (Txn::begin(journal, Arc::new(real())), path)
}

#[test]
fn the_journal_of_a_dead_process_puts_everything_back() {
    let mut target = Target::new("replay", Controller::Cpu);
    let inner = target.make_below("inner");
    let cgroup = crate::cgroup::resolve(&target.cgroup.path.join("inner")).unwrap();
    let quota = match target.version {
        Version::V1 => inner.join("cpu.cfs_quota_us"),
        Version::V2 => target.cgroup.path.join("cgroup.subtree_control"),
    };
    let before = fs::read_to_string(&quota).unwrap();
    let directory = TempDir::new();
    let (mut txn, path) = txn(&directory);
    let mut changes = cpu::prepare(&cgroup, 2000).unwrap();
    changes.extend(freeze::prepare(&cgroup, &[]).unwrap());
    for change in &changes {
        apply(&mut txn, change).unwrap();
    }
    assert_ne!(fs::read_to_string(&quota).unwrap(), before);
    // Its maker dies: nothing is left of it but the journal.
    drop(txn.commit().unwrap());
    let report = replay(&path, &real());
    assert!(
        report.is_clean() && report.left_alone.is_empty(),
        "{report}"
    );
    assert_eq!(report.undone.len(), changes.len(), "{report}");
    assert_eq!(fs::read_to_string(&quota).unwrap(), before);
    let frozen = fs::read_to_string(cgroup.path.join("cgroup.freeze")).unwrap();
    assert_eq!(frozen.trim(), "0");
    assert!(!path.exists());
}

#[test]
fn a_change_that_the_kernel_refuses_undoes_those_before_it() {
    let target = Target::new("refused", Controller::Freezer);
    let directory = TempDir::new();
    let (mut txn, path) = txn(&directory);
    let good = freeze::prepare(&target.cgroup, &[]).unwrap().remove(0);
    let mut bad = good.clone();
    bad.control.part = Part::Value {
        prior: "0".into(),
        ours: "7".into(),
    };
    apply(&mut txn, &good).unwrap();
    assert_eq!(target.file("cgroup.freeze"), "1");
    let error = apply(&mut txn, &bad).unwrap_err();
    let text = crate::undo::chain(&error);
    assert!(text.contains("failed to write 7 to "), "{text}");
    assert_eq!(target.file("cgroup.freeze"), "0");
    assert!(!path.exists());
}

#[test]
fn what_does_not_read_back_is_not_in_force() {
    let target = Target::new("unread", Controller::Freezer);
    let directory = TempDir::new();
    let (mut txn, _path) = txn(&directory);
    let mut change = freeze::prepare(&target.cgroup, &[]).unwrap().remove(0);
    // The kernel reads a number, and prints it in its own way.
    change.settled = Settled::ReadsBack;
    change.control.part = Part::Value {
        prior: "0".into(),
        ours: "0x1".into(),
    };
    let error = apply(&mut txn, &change).unwrap_err();
    let text = crate::undo::chain(&error);
    assert!(text.contains("but it reads 1"), "{text}");
}
