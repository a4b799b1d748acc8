//! Packets in, verdicts out: the programs run by `BPF_PROG_TEST_RUN`, without a wire.
//!
//! Each test has a network namespace of its own, with a plane on its loopback device. Time is
//! driven by arming runs that began in the past or will begin in the future.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod by_peer;
mod corruption;
mod counting;
mod decisions;
mod dns;
mod holding;
mod loading;
mod matching;
mod packets;
mod parsing;
mod protected;
mod timeline;

use std::{
    fs::File, io, os::unix::fs::MetadataExt as _, panic::resume_unwind, sync::Arc, thread::scope,
};

use chaosd_ebpf::{Fault, Kind, ONE};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};

use super::{Matcher, Plane, Spare};
use crate::{
    // The programs' own: under a loaded emulator it may lag behind the exact one by many jiffies.
    clock::now_ns,
    plan::{Interface, Netns},
    profile::units::PortSet,
    report::Count,
    sys::test_run::{SkbContext, TestRun, test_run},
};
use packets::Packet;

const HERE: &str = "/proc/thread-self/ns/net";
/// linux/bpf.h: `TCX_NEXT`, `TCX_DROP`, `TCX_REDIRECT`.
const NEXT: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;

/// The direction of a packet, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

const BOTH: [Way; 2] = [Way::Out, Way::In];

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Lost,
}
use Verdict::{Lost, Passed};

/// A plane under test, and a run whose faults are armed.
struct Bench {
    plane: Plane,
    run: u32,
}

/// Runs `test` on a plane in a network namespace that both go with.
fn on_a_plane(test: impl FnOnce(&mut Bench) + Send) {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        test(&mut Bench::new());
    };
    scope(|threads| {
        let thread = threads.spawn(inside);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    });
}

impl Bench {
    fn new() -> Self {
        let file = File::open(HERE).unwrap();
        let meta = file.metadata().unwrap();
        let netns = Netns {
            path: HERE.into(),
            dev: meta.dev(),
            ino: meta.ino(),
            fd: Arc::new(file.into()),
        };
        let mut plane = Plane::open(7, netns, Spare::load().unwrap()).unwrap();
        let lo = Interface {
            index: 1,
            name: "lo".into(),
            mtu: 65536,
            ethernet: true,
            loopback: true,
            default: true,
        };
        plane.attach(&lo).unwrap();
        let run = plane.reserve_run().unwrap();
        let mut bench = Self { plane, run };
        bench.plane.lease(now_ns() + HOUR_NS);
        // The programs' clock moves in steps of a jiffy: it may not have reached this instant yet.
        bench.began(JIFFY_NS);
        bench
    }

    /// Arms the run as if it had begun `ago` ns ago.
    fn began(&mut self, ago: u64) {
        let now = now_ns();
        self.plane.arm(self.run, now - ago, now + HOUR_NS);
    }

    /// Puts a fault in.
    fn install(&mut self, matcher: Matcher, fault: Fault) -> u8 {
        self.install_by_peer(matcher, fault, &[])
    }

    /// The same with delays for peers, in ns.
    fn install_by_peer(&mut self, matcher: Matcher, fault: Fault, times: &[(IpNet, u64)]) -> u8 {
        let run = self.run;
        let n = self
            .plane
            .install(matcher, Fault { run, ..fault }, None, times)
            .unwrap();
        self.plane.refresh();
        n
    }

    fn uninstall(&mut self, n: u8) {
        self.plane.uninstall(n).unwrap();
    }

    /// Runs the hook's program `repeat` times.
    fn run(
        &self,
        way: Way,
        bytes: &[u8],
        context: &SkbContext,
        repeat: u32,
    ) -> io::Result<TestRun> {
        let name = match way {
            Way::Out => "egress",
            Way::In => "ingress",
        };
        test_run(self.plane.program(name).unwrap(), bytes, context, repeat)
    }

    /// The verdict on a packet; losses must be silent to a local sender.
    fn verdict(&self, way: Way, bytes: &[u8]) -> Verdict {
        let run = self.run(way, bytes, &SkbContext::default(), 1).unwrap();
        judge(way, &run)
    }

    /// Verdicts on `count` packets in a row: true is lost.
    fn losses(&self, way: Way, bytes: &[u8], count: usize) -> Vec<bool> {
        (0..count)
            .map(|_| self.verdict(way, bytes) == Lost)
            .collect()
    }

    /// Asserts what a fault that loses everything `matcher` matches does to `packet`, which leaves
    /// and arrives.
    #[track_caller]
    fn check(&mut self, packet: &Packet, matcher: Matcher, expected: Verdict) {
        self.check_ways(packet, matcher, [expected; 2]);
    }

    /// The same where the direction matters: leaving, arriving.
    #[track_caller]
    fn check_ways(&mut self, packet: &Packet, matcher: Matcher, expected: [Verdict; 2]) {
        let case = format!("leaving, arriving: {packet:?} by {matcher:?}");
        let n = self.install(matcher, lose_all());
        let got = BOTH.map(|way| self.verdict(way, &packet.bytes(way)));
        self.uninstall(n);
        assert_eq!(got, expected, "{case}");
    }

    fn count(&self, n: u8, way: Way) -> Count {
        self.plane.counts(n).unwrap()[way as usize]
    }
}

/// Reads the verdict of a hook.
#[track_caller]
fn judge(way: Way, run: &TestRun) -> Verdict {
    match (way, run.retval) {
        (_, NEXT) => Passed,
        // A redirect to no device: the sender is not told.
        (Way::Out, REDIRECT) | (Way::In, DROP) => Lost,
        (way, other) => panic!("verdict {other} on {way:?}"),
    }
}

const HOUR_NS: u64 = 3_600_000_000_000;
/// The longest there is (`CONFIG_HZ` of 100).
const JIFFY_NS: u64 = 10_000_000;

/// How many of `count` packets a test of shares takes: a tenth where the processor is emulated, each being a
/// system call there that takes as long as a hundred here.
fn repeats(count: usize) -> usize {
    if std::env::var_os("CHAOSD_EMULATED").is_some() {
        count / 10
    } else {
        count
    }
}

/// A fault that loses every packet it matches.
fn lose_all() -> Fault {
    lose(ONE)
}

/// A fault that loses packets at `rate`.
fn lose(rate: u64) -> Fault {
    Fault {
        kind: Kind::Drop as u32,
        until_ns: u64::MAX,
        flows: ONE,
        rate,
        ..Fault::default()
    }
}

/// As a rate.
const fn percent(n: u64) -> u64 {
    ONE * n / 100
}

/// Matches everything, in both directions.
fn any() -> Matcher {
    Matcher {
        directions: [true; 2],
        ..Matcher::default()
    }
}

fn ports(ranges: &[(u16, u16)]) -> Option<PortSet> {
    PortSet::new(ranges.iter().copied())
}

/// Asserts that `hits` of `count` is a share of `percent` within `sigmas` standard deviations of
/// independent draws.
#[track_caller]
fn assert_share(hits: usize, count: usize, percent: f64, sigmas: f64) {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap());
    let (p, hits, count) = (percent / 100.0, number(hits), number(count));
    let room = sigmas * (count * p * (1.0 - p)).sqrt();
    assert!(
        (hits - count * p).abs() <= room,
        "{hits} of {count} is not {percent} % (room {room})"
    );
}
