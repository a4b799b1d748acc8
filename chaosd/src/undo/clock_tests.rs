//! Clocks in memory: what is taken back is what was added, once, whenever its maker died.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::super::{Undo, fake::Fake};
use super::*;

const HOUR: i64 = 3_600_000_000;
const SECOND: i64 = 1_000_000;

fn clock(fake: &Fake, offset_us: i64, drift_ppb: i64) -> Clock {
    let mut now = None;
    let mut look = |standing: &Standing| {
        now = Some(standing.clone());
        None
    };
    fake.step_clock(&mut look).unwrap();
    Clock::new(now.unwrap(), offset_us, drift_ppb)
}

fn step(fake: &Fake, by: i64) {
    fake.step_clock(&mut |_| Some(by)).unwrap();
}

#[test]
fn a_step_is_taken_back_once_and_one_that_was_never_made_is_not() {
    for offset in [HOUR, -HOUR, 1_000] {
        let fake = Fake::default();
        let undo = Undo::Clock(clock(&fake, offset, 0));
        let before = fake.clock();
        fake.wait(10 * SECOND);
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
        assert_eq!(fake.clock(), before);
        step(&fake, offset);
        fake.wait(10 * SECOND);
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::Done);
        assert_eq!(fake.clock(), before);
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
        assert_eq!(fake.clock(), before);
    }
}

#[test]
fn a_drift_is_taken_back_as_far_as_it_came() {
    // 1 ms per second.
    for (drift, gained) in [(1_000_000, 9_000), (-1_000_000, -4_321)] {
        let fake = Fake::default();
        let undo = Undo::Clock(clock(&fake, 0, drift));
        let before = fake.clock();
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
        fake.wait(10 * SECOND);
        step(&fake, gained);
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::Done);
        assert_eq!(fake.clock(), before);
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
    }
}

#[test]
fn a_clock_that_somebody_else_has_set_is_left_alone() {
    for drift in [0, 1_000_000] {
        let fake = Fake::default();
        let undo = Undo::Clock(clock(&fake, HOUR, drift));
        step(&fake, HOUR);
        step(&fake, 24 * HOUR);
        let theirs = fake.clock();
        let outcome = undo.revert(&fake).unwrap();
        let Outcome::LeftAlone { found } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(found.starts_with("+1day 1h"), "{found}");
        assert_eq!(fake.clock(), theirs);
    }
}

#[test]
fn a_small_correction_by_somebody_else_stays() {
    let fake = Fake::default();
    let undo = Undo::Clock(clock(&fake, HOUR, 0));
    let before = fake.clock();
    step(&fake, HOUR);
    step(&fake, 30_000);
    assert_eq!(undo.revert(&fake).unwrap(), Outcome::Done);
    assert_eq!(fake.clock(), before + 30_000);
}

#[test]
fn a_boot_clears_it() {
    let fake = Fake::default();
    let undo = Undo::Clock(clock(&fake, HOUR, 0));
    step(&fake, HOUR);
    let before = fake.clock();
    fake.boot("another");
    assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
    assert_eq!(fake.clock(), before);
}

#[test]
fn this_machine_s_standing_is_read_to_some_microseconds() {
    let first = Standing::read().unwrap();
    let second = Standing::read().unwrap();
    assert_eq!(first.boot, second.boot);
    assert!(second.up_us >= first.up_us);
    // Two readings of one standing, unless somebody sets the clock right now.
    assert!((second.apart_us - first.apart_us).abs() < SLACK_US);
}

#[test]
fn the_line_for_the_shell_says_the_time_that_it_is_in_truth() {
    let standing = Standing::read().unwrap();
    let clock = Clock::new(standing, HOUR, 0);
    let line = clock.by_hand().replacen("date -s", "date +%s -d", 1);
    let output = std::process::Command::new("sh")
        .args(["-c", &line])
        .output()
        .unwrap();
    let said: i64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    let now = Standing::read().unwrap();
    let seconds = (now.apart_us + now.up_us) / SECOND;
    assert!((said - seconds).abs() <= 2, "{line}: {said}, {seconds}");
}
