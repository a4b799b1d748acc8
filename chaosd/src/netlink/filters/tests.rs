//! Filters that come and go, on the loopback device of a namespace of its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    process::Command,
    sync::Arc,
};

use super::*;
use crate::{
    bpf::{Plane, Spare},
    netlink::{in_netns, tests::scratch_netns},
    plan::Netns,
};

const LO: u32 = 1;

/// Loaded programs, and somewhere to hang them.
struct Bench {
    netns: OwnedFd,
    plane: Plane,
}

impl Bench {
    fn new(number: u32) -> Self {
        Self::beside(scratch_netns(), number)
    }

    fn beside(netns: OwnedFd, number: u32) -> Self {
        let fd = netns.try_clone().unwrap();
        let meta = std::fs::File::from(fd.try_clone().unwrap())
            .metadata()
            .unwrap();
        let scope = Netns {
            path: "/proc/0/ns/net".into(),
            dev: meta.dev(),
            ino: meta.ino(),
            fd: Arc::new(fd),
        };
        let plane = Plane::open(number, scope, Spare::load().unwrap()).unwrap();
        Self { netns, plane }
    }

    /// Another plane in the same namespace.
    fn other(&self, number: u32) -> Self {
        Self::beside(self.netns.try_clone().unwrap(), number)
    }

    /// Hangs both programs at lo; returns the filters, and whether clsact goes with them.
    fn hang(&self) -> Result<(Vec<Filter>, bool), NetlinkError> {
        let programs = self.plane.programs().unwrap();
        let number = self.plane.number();
        let prepared = prepare(self.netns.as_fd(), LO, "lo", number, &programs)?;
        let made = (prepared.filters().to_vec(), prepared.clsact());
        prepared.make()?;
        assert!(all_hang(self.netns.as_fd(), LO, &made.0).unwrap());
        Ok(made)
    }

    fn remove(&self, (filters, clsact): &(Vec<Filter>, bool)) -> Outcome {
        remove(self.netns.as_fd(), LO, filters, *clsact).unwrap()
    }

    /// What `tc(8)` prints inside.
    fn tc(&self, words: &str) -> String {
        let run = || Command::new("tc").args(words.split(' ')).output();
        let output = in_netns(self.netns.as_fd(), run).unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tc {words}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A filter of somebody else's: one instruction that returns 0, which matches nothing.
    fn add_theirs(&self, place: &str) {
        let run = || {
            Command::new("tc")
                .args(["filter", "add", "dev", "lo"])
                .args(place.split(' '))
                .args(["bpf", "bytecode", "1,6 0 0 0", "flowid", "1:1"])
                .output()
        };
        let output = in_netns(self.netns.as_fd(), run).unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {error}");
    }

    fn has_clsact(&self) -> bool {
        self.tc("qdisc show dev lo").contains("clsact")
    }
}

#[test]
fn filters_come_with_clsact_and_go_with_it() {
    let bench = Bench::new(3);
    let made = bench.hang().unwrap();
    for hook in ["ingress", "egress"] {
        let shown = bench.tc(&format!("filter show dev lo {hook}"));
        for said in [
            "pref 1 bpf",
            "handle 0xc4a05d00",
            "chaosd plane 3",
            "direct-action",
        ] {
            assert!(shown.contains(said), "{said} is not in {shown}");
        }
    }
    assert_eq!(bench.remove(&made), Outcome::Done);
    assert!(!bench.has_clsact());
    assert_eq!(bench.remove(&made), Outcome::AlreadyGone);
}

#[test]
fn what_was_announced_and_never_made_needs_no_undoing() {
    let bench = Bench::new(3);
    let programs = bench.plane.programs().unwrap();
    let prepared = prepare(bench.netns.as_fd(), LO, "lo", 3, &programs).unwrap();
    let announced = (prepared.filters().to_vec(), prepared.clsact());
    drop(prepared);
    assert_eq!(bench.remove(&announced), Outcome::AlreadyGone);
}

#[test]
fn clsact_without_a_filter_goes_when_it_is_ours() {
    let bench = Bench::new(3);
    let made = bench.hang().unwrap();
    bench.tc("filter del dev lo ingress");
    bench.tc("filter del dev lo egress");
    assert_eq!(bench.remove(&made), Outcome::Done);
    assert!(!bench.has_clsact());
}

#[test]
fn clsact_of_somebody_else_stays() {
    let bench = Bench::new(3);
    bench.tc("qdisc add dev lo clsact");
    let made = bench.hang().unwrap();
    assert!(!made.1);
    assert_eq!(bench.remove(&made), Outcome::Done);
    assert!(bench.has_clsact());
    assert_eq!(bench.tc("filter show dev lo ingress"), "");
}

#[test]
fn our_clsact_stays_when_somebody_else_has_hung_a_filter_there() {
    let bench = Bench::new(3);
    let made = bench.hang().unwrap();
    bench.add_theirs("egress prio 7 protocol all");
    let Outcome::LeftAlone { found } = bench.remove(&made) else {
        panic!("their filter would be gone");
    };
    assert!(found.contains("bpf filter of somebody else"), "{found}");
    assert!(bench.tc("filter show dev lo egress").contains("pref 7 bpf"));
    assert_eq!(bench.tc("filter show dev lo ingress"), "");
}

#[test]
fn a_filter_that_somebody_put_in_our_place_is_left_alone() {
    let bench = Bench::new(3);
    let made = bench.hang().unwrap();
    let address = "ingress prio 1 handle 0xc4a05d00 protocol all";
    bench.tc(&format!("filter del dev lo {address} bpf"));
    bench.add_theirs(address);
    assert!(matches!(bench.remove(&made), Outcome::LeftAlone { .. }));
    let theirs = bench.tc("filter show dev lo ingress");
    assert!(theirs.contains("handle 0xc4a05d00"), "{theirs}");
    assert_eq!(bench.tc("filter show dev lo egress"), "");
}

#[test]
fn our_filters_stand_before_those_at_the_same_priority() {
    let bench = Bench::new(3);
    bench.tc("qdisc add dev lo clsact");
    bench.add_theirs("ingress prio 1 protocol all");
    bench.hang().unwrap();
    let shown = bench.tc("filter show dev lo ingress");
    let ours = shown.find("0xc4a05d00").unwrap();
    assert!(ours < shown.find("handle 0x1 ").unwrap(), "{shown}");
}

#[test]
fn of_two_chaosds_the_last_takes_clsact_along() {
    let first = Bench::new(3);
    let second = first.other(70);
    let made = first.hang().unwrap();
    let also = second.hang().unwrap();
    assert_eq!(also.0[0].handle, made.0[0].handle + 1);
    assert_eq!(first.remove(&made), Outcome::Done);
    assert!(first.has_clsact());
    assert!(all_hang(second.netns.as_fd(), LO, &also.0).unwrap());
    assert_eq!(second.remove(&also), Outcome::Done);
    assert!(!first.has_clsact());
}

#[test]
fn a_place_that_is_taken_is_refused_by_name() {
    let bench = Bench::new(3);
    bench.tc("qdisc add dev lo clsact");
    bench.add_theirs("egress prio 1 protocol ip");
    let error = bench.hang().unwrap_err().to_string();
    assert!(error.ends_with("holds priority 1 of egress"), "{error}");
    let bench = Bench::new(3);
    bench.tc("qdisc add dev lo ingress");
    let error = bench.hang().unwrap_err().to_string();
    assert!(error.contains("ingress qdisc"), "{error}");
}

#[test]
fn an_interface_that_is_gone_has_taken_its_filters_along() {
    let bench = Bench::new(3);
    let (filters, _) = bench.hang().unwrap();
    let outcome = remove(bench.netns.as_fd(), 4711, &filters, true).unwrap();
    assert_eq!(outcome, Outcome::AlreadyGone);
}

#[test]
fn what_is_left_is_found_by_its_name() {
    let bench = Bench::new(3);
    let (filters, _) = bench.hang().unwrap();
    bench.add_theirs("egress prio 7 protocol all");
    let found = left(bench.netns.as_fd()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].interface.as_str(), found[0].plane, found[0].pid),
        ("lo", 3, std::process::id())
    );
    assert!(found[0].clsact);
    assert_eq!(found[0].filters.len(), filters.len());
}

#[test]
fn a_name_tells_the_plane_and_the_process() {
    assert_eq!(label("chaosd plane 3 of pid 7"), Some((3, 7, false)));
    let ours = label("chaosd plane 3 of pid 7, clsact too");
    assert_eq!(ours, Some((3, 7, true)));
    assert_eq!(label("cilium"), None);
}
