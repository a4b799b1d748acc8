//! Watches of real cgroups.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    os::fd::AsFd as _,
    process::Command,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::{
    cgroup::tests::Scratch,
    profile::Pattern,
    runtime::{Places, Runtimes},
};

/// What any change has to be told within.
const SOON: Duration = Duration::from_secs(1);

fn member(scratch: &Scratch) -> Member {
    Member {
        cgroups: vec![scratch.0.clone()],
        ..Member::default()
    }
}

fn watch(members: &[Member]) -> Watch {
    let asked = Asked::Container("x".to_owned());
    Watch::new(&asked, members).unwrap().0
}

/// Waits for the descriptor, as a loop that has others would.
fn is_told(watch: &mut Watch, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap();
        let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, left).unwrap() > 0 && watch.changed() {
            return true;
        }
    }
    false
}

/// Until nothing is said any more.
fn settle(watch: &mut Watch) {
    while is_told(watch, Duration::from_secs(2)) {}
}

#[test]
fn a_cgroup_that_is_removed_and_made_anew_is_told() {
    let scratch = Scratch::new("watched");
    let mut watch = watch(&[member(&scratch)]);
    settle(&mut watch);
    fs::remove_dir(&scratch.0).unwrap();
    assert!(is_told(&mut watch, SOON));
    watch.follow(&[member(&scratch)]).unwrap();
    settle(&mut watch);
    fs::create_dir(&scratch.0).unwrap();
    assert!(is_told(&mut watch, SOON));
    // Whose process runs a moment later is not missed.
    assert!(is_told(&mut watch, SOON));
    watch.follow(&[member(&scratch)]).unwrap();
}

#[test]
fn a_cgroup_that_gets_or_loses_its_processes_is_told() {
    let scratch = Scratch::new("populated");
    let mut watch = watch(&[member(&scratch)]);
    settle(&mut watch);
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let moved = fs::write(scratch.0.join("cgroup.procs"), child.id().to_string());
    let told = is_told(&mut watch, SOON);
    settle(&mut watch);
    child.kill().unwrap();
    child.wait().unwrap();
    moved.unwrap();
    assert!(told && is_told(&mut watch, SOON));
}

#[test]
fn whoever_comes_is_told_when_nobody_is_there() {
    let outer = Scratch::new("nobody");
    let mut watch = watch(&[]);
    settle(&mut watch);
    let inner = Scratch(outer.0.join("new"));
    fs::create_dir(&inner.0).unwrap();
    assert!(is_told(&mut watch, SOON));
}

#[test]
fn what_is_watched_is_forgotten_when_it_is_not_followed() {
    let (one, other) = (Scratch::new("one"), Scratch::new("other"));
    let mut watch = watch(&[member(&one)]);
    let parent = one.0.parent().unwrap().to_owned();
    let tree = watch.tree.as_ref().unwrap();
    assert!(tree.watches(&one.0) && tree.watches(&parent));
    watch.follow(&[member(&other)]).unwrap();
    let tree = watch.tree.as_ref().unwrap();
    assert!(!tree.watches(&one.0) && tree.watches(&other.0) && tree.watches(&parent));
}

#[test]
fn processes_are_looked_for_four_times_a_second() {
    let asked = Asked::Process {
        name: Pattern::new("x"),
        args: None,
    };
    let runtimes = Runtimes::new(Places::default());
    let mut watch = runtimes.watch(&asked, None, &[]).unwrap();
    assert!(is_told(&mut watch, SOON));
    assert!(is_told(&mut watch, SOON));
}
