//! Control files put back, on a machine in memory and on this one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::super::{Undo, fake::Fake, fake::real};
use super::*;

const CGROUP: &str = "/cg/a";

fn control(file: &str, part: Part) -> Control {
    Control {
        cgroup: CGROUP.into(),
        id: 5,
        file: file.into(),
        part,
    }
}

fn value(file: &str, prior: &str, ours: &str) -> Control {
    let (prior, ours) = (prior.into(), ours.into());
    control(file, Part::Value { prior, ours })
}

fn fields(fields: &[(&str, &str, &str)]) -> Control {
    let field = |(name, prior, ours): &(&str, &str, &str)| Field {
        name: (*name).into(),
        prior: (*prior).into(),
        ours: (*ours).into(),
    };
    let part = Part::Fields {
        device: "8:0".into(),
        fields: fields.iter().map(field).collect(),
    };
    control("io.max", part)
}

/// A machine on which the change was made.
fn changed(control: &Control, found: &str) -> Fake {
    let fake = Fake::default();
    fake.set_control(control.path(), found);
    fake.write_control(&control.cgroup, control.id, &control.file, &control.ours())
        .unwrap();
    assert!(control.stands_in(&fake.control(control.path()).unwrap()));
    fake
}

fn revert(control: &Control, fake: &Fake) -> Outcome {
    Undo::Control(control.clone()).revert(fake).unwrap()
}

fn left_alone(found: &str) -> Outcome {
    Outcome::LeftAlone {
        found: found.into(),
    }
}

#[test]
fn a_value_of_ours_is_put_back_once() {
    let control = value("cpu.max", "max 100000", "50000 100000");
    let fake = changed(&control, "max 100000");
    assert_eq!(revert(&control, &fake), Outcome::Done);
    assert_eq!(fake.control(control.path()).unwrap(), "max 100000");
    assert_eq!(revert(&control, &fake), Outcome::AlreadyGone);
    assert_eq!(fake.writes(), 2);
}

#[test]
fn a_value_that_somebody_else_wrote_is_left_alone_and_told() {
    let control = value("cpu.max", "max 100000", "50000 100000");
    let fake = changed(&control, "max 100000");
    fake.set_control(control.path(), "20000 100000");
    assert_eq!(revert(&control, &fake), left_alone("20000 100000"));
    assert_eq!(fake.control(control.path()).unwrap(), "20000 100000");
}

#[test]
fn a_change_that_was_announced_and_not_made_needs_nothing() {
    let control = value("cgroup.freeze", "0", "1");
    let fake = Fake::default();
    fake.set_control(control.path(), "0");
    assert_eq!(revert(&control, &fake), Outcome::AlreadyGone);
    assert_eq!(fake.writes(), 0);
}

#[test]
fn a_cgroup_that_is_gone_needs_nothing() {
    let control = value("cgroup.freeze", "0", "1");
    assert_eq!(revert(&control, &Fake::default()), Outcome::AlreadyGone);
}

#[test]
fn a_freezer_on_its_way_is_as_we_made_it() {
    let control = value("freezer.state", "THAWED", "FROZEN");
    let fake = changed(&control, "THAWED");
    fake.set_control(control.path(), "FREEZING");
    assert_eq!(revert(&control, &fake), Outcome::Done);
    assert_eq!(fake.control(control.path()).unwrap(), "THAWED");
}

#[test]
fn only_our_fields_of_our_device_are_put_back() {
    let prior = "8:0 rbps=9 wbps=8 riops=max wiops=7\n8:16 rbps=1000 wbps=max";
    let control = fields(&[("rbps", "9", "2"), ("riops", "max", "3")]);
    let fake = changed(&control, prior);
    let now = fake.control(control.path()).unwrap();
    assert_eq!(line::field(&now, "8:0", "rbps"), Some("2"));
    // Somebody sets what we did not, meanwhile.
    fake.write_control(&control.cgroup, 5, "io.max", "8:0 wbps=66")
        .unwrap();
    assert_eq!(revert(&control, &fake), Outcome::Done);
    let now = fake.control(control.path()).unwrap();
    assert_eq!(
        line::value(&now, "8:0"),
        Some("rbps=9 wbps=66 riops=max wiops=7")
    );
    assert_eq!(line::value(&now, "8:16"), Some("rbps=1000 wbps=max"));
    assert_eq!(revert(&control, &fake), Outcome::AlreadyGone);
}

#[test]
fn a_field_that_somebody_else_changed_is_left_alone_and_the_rest_put_back() {
    let control = fields(&[("rbps", "max", "2"), ("wbps", "max", "3")]);
    let fake = changed(&control, "");
    fake.write_control(&control.cgroup, 5, "io.max", "8:0 wbps=77")
        .unwrap();
    let told = left_alone("wbps=77 (the rest was put back)");
    assert_eq!(revert(&control, &fake), told);
    let now = fake.control(control.path()).unwrap();
    assert_eq!(line::field(&now, "8:0", "rbps"), Some("max"));
    assert_eq!(line::field(&now, "8:0", "wbps"), Some("77"));
    assert_eq!(revert(&control, &fake), left_alone("wbps=77"));
}

#[test]
fn a_device_s_value_is_put_back_beside_those_of_others() {
    let part = |prior: &str| Part::Device {
        device: "7:0".into(),
        prior: prior.into(),
        ours: "4096".into(),
    };
    for (prior, before) in [("0", "8:0 5"), ("900", "8:0 5\n7:0 900")] {
        let control = control("blkio.throttle.read_bps_device", part(prior));
        let fake = changed(&control, before);
        assert_eq!(revert(&control, &fake), Outcome::Done);
        assert_eq!(fake.control(control.path()).unwrap(), before);
        assert_eq!(revert(&control, &fake), Outcome::AlreadyGone);
    }
}

#[test]
fn a_controller_that_we_enabled_is_disabled_unless_somebody_uses_it() {
    let controller = "cpu".into();
    let control = control("cgroup.subtree_control", Part::Enabled { controller });
    let fake = changed(&control, "memory pids");
    assert_eq!(
        fake.control(control.path()).unwrap(),
        "memory pids cpu".to_owned()
    );
    fake.use_controller("cpu", "b/cpu.max set to 5 10");
    assert_eq!(revert(&control, &fake), left_alone("b/cpu.max set to 5 10"));
    let other = changed(&control, "memory pids");
    assert_eq!(revert(&control, &other), Outcome::Done);
    assert_eq!(other.control(control.path()).unwrap(), "memory pids");
    assert_eq!(revert(&control, &other), Outcome::AlreadyGone);
}

#[test]
fn a_refused_write_says_what_to_do_by_hand() {
    let control = fields(&[("rbps", "max", "2")]);
    let fake = changed(&control, "");
    fake.refuse_writes();
    let error = Undo::Control(control).revert(&fake).unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to set io.max of /cg/a back to 8:0 rbps=max"
    );
    assert_eq!(error.by_hand, "echo '8:0 rbps=max' > /cg/a/io.max");
}

#[test]
fn a_frozen_cgroup_of_this_machine_is_thawed_and_its_successor_is_not_touched() {
    use std::{fs, os::unix::fs::MetadataExt};
    let scratch = crate::cgroup::tests::Scratch::new("undo-control");
    let undo = |prior: &str, ours: &str| {
        Undo::Control(Control {
            cgroup: scratch.0.clone(),
            id: fs::metadata(&scratch.0).unwrap().ino(),
            file: "cgroup.freeze".into(),
            part: Part::Value {
                prior: prior.into(),
                ours: ours.into(),
            },
        })
    };
    let before = undo("0", "1");
    let file = scratch.0.join("cgroup.freeze");
    fs::write(&file, "1").unwrap();
    assert_eq!(before.revert(&real()).unwrap(), Outcome::Done);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), "0");
    assert_eq!(before.revert(&real()).unwrap(), Outcome::AlreadyGone);
    fs::remove_dir(&scratch.0).unwrap();
    fs::create_dir(&scratch.0).unwrap();
    fs::write(&file, "1").unwrap();
    assert_eq!(before.revert(&real()).unwrap(), Outcome::AlreadyGone);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), "1");
}
