//! Shells that fork, with slots and without.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::cgroup::testing::{Standing, Target};

fn max(target: &Target) -> Option<u64> {
    target.file(MAX).parse().ok()
}

#[test]
fn what_runs_goes_on_and_so_many_more_may_come() {
    let mut target = Target::new("pids", Controller::Pids);
    let inner = target.make_below("inner");
    let pid = target.start("sleep", &["60"]).id();
    fs::write(inner.join("cgroup.procs"), pid.to_string()).unwrap();
    let changes = prepare(&target.cgroup, 2, &[]).unwrap();
    let refusals = Refusals::of(&target.cgroup);
    let standing = Standing::of(&changes);
    assert_eq!(max(&target), Some(3));
    assert_eq!(refusals.count(), 0);
    let error = prepare(&target.cgroup, 2, &[]).unwrap_err();
    assert!(
        error.to_string().contains("2 process slots left"),
        "{error}"
    );
    let lower = Standing::of(&prepare(&target.cgroup, 0, &[]).unwrap());
    assert_eq!(max(&target), Some(1));
    lower.revert();
    assert_eq!(max(&target), Some(3));
    standing.revert();
    assert_eq!(max(&target), None);
}

#[test]
fn whoever_must_end_it_may_not_be_in_it() {
    let mut target = Target::new("pids-vital", Controller::Pids);
    let pid = i32::try_from(target.start("sleep", &["60"]).id()).unwrap();
    let error = prepare(&target.cgroup, 0, &[(pid, "the watchdog")]).unwrap_err();
    assert!(matches!(error, LimitError::Vital { .. }), "{error}");
}
