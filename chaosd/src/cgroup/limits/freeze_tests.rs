//! Real programs stopped and let go.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{thread, time::Duration};

use super::*;
use crate::cgroup::{
    Place, mount,
    testing::{self, Standing, Target},
    tests::Scratch,
};

const MOMENT: Duration = Duration::from_millis(200);

fn runs(pid: u32) -> bool {
    let before = testing::cpu_time(pid);
    thread::sleep(MOMENT);
    testing::cpu_time(pid) > before
}

#[test]
fn a_program_stops_at_once_and_goes_on_afterwards() {
    let mut target = Target::new("freeze", Controller::Freezer);
    target.make_below("inner");
    let pid = target.spin();
    assert!(runs(pid));
    let standing = Standing::of(&prepare(&target.cgroup, &[]).unwrap());
    assert!(!runs(pid));
    let error = prepare(&target.cgroup, &[]).unwrap_err();
    assert!(matches!(error, LimitError::AlreadyFrozen(_)), "{error}");
    standing.revert();
    assert!(runs(pid));
    assert_eq!(target.file(V2), "0");
}

#[test]
fn an_empty_cgroup_counts_as_frozen() {
    let target = Target::new("freeze-empty", Controller::Freezer);
    Standing::of(&prepare(&target.cgroup, &[]).unwrap()).revert();
}

#[test]
fn a_v1_freezer_stops_a_program_too() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let Some(root) = mount::v1(&mounts, Controller::Freezer.v1()) else {
        crate::netlink::tests::skipped("this machine has no v1 freezer");
        return;
    };
    let mut target = Target::new("freeze-v1", Controller::Freezer);
    let scratch = Scratch(root.join(target.cgroup.path.file_name().unwrap()));
    fs::create_dir(&scratch.0).unwrap();
    let pid = target.spin();
    fs::write(scratch.0.join("cgroup.procs"), pid.to_string()).unwrap();
    let place = Place {
        version: Version::V1,
        directory: scratch.0.clone(),
        root,
        enable: Vec::new(),
    };
    let standing = Standing::of(&prepare_at(&place, &[]).unwrap());
    let stopped = !runs(pid);
    standing.revert();
    assert!(stopped && runs(pid));
    drop(target);
}

#[test]
fn whoever_must_thaw_it_may_not_be_in_it() {
    let mut target = Target::new("freeze-vital", Controller::Freezer);
    let pid = i32::try_from(target.spin()).unwrap();
    let error = prepare(&target.cgroup, &[(pid, "it is the watchdog")]).unwrap_err();
    let who = format!("holds process {pid}, and it is the watchdog: name a cgroup without it");
    assert!(error.to_string().contains(&who), "{error}");
}
