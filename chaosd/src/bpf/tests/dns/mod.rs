//! Queries for names: which are hit, and what they are answered.
//!
//! The planes here have an Ethernet device of their own beside loopback: what leaves by it is answered
//! by a packet that comes in by it.

mod answers;
mod names;
mod sockets;
mod tcp;

use std::os::fd::AsFd as _;

use chaosd_ebpf::{
    Fault, Kind, ONE,
    dns::{ANSWER_DROP, ANSWER_NXDOMAIN, DnsRule as Program},
};

use super::{
    Bench, Matcher, NEXT, REDIRECT, SkbContext, TestRun, Way, any, lose_all, on_a_plane,
    packets::{Packet, TCP, UDP, v4, v6},
};
use crate::{
    bpf::{DnsRule, Name, NameSet},
    netlink::detour::{self, Spec},
    plan::Interface,
};

const A: u16 = 1;
const AAAA: u16 = 28;

/// A plane's loopback device.
const LO: SkbContext = SkbContext {
    ifindex: 0,
    ingress_ifindex: 0,
    gso_segs: 0,
    gso_size: 0,
    mark: 0,
    priority: 0,
};

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It goes on as it is.
    Passed,
    /// It is gone, and its sender is not told.
    Lost,
    /// This comes in in its place.
    Answered(Vec<u8>),
}
use Outcome::{Answered, Lost, Passed};

/// A plane with an Ethernet device, on which packets are run.
struct Wire<'a> {
    bench: &'a mut Bench,
    on: SkbContext,
}

/// Runs `test` on a plane with a device of its own.
fn on_a_wire(test: impl FnOnce(&mut Wire<'_>) + Send) {
    on_a_plane(|bench| {
        let netns = bench.plane.netns().clone();
        let pair = detour::create(netns.fd.as_fd(), 0, 8, &Spec::segment(1500)).unwrap();
        test(&mut Wire::at(bench, pair.tx, &pair.tx_name));
    });
}

impl<'a> Wire<'a> {
    /// Attaches the plane to an Ethernet device of its namespace.
    fn at(bench: &'a mut Bench, index: u32, name: &str) -> Self {
        let ethernet = Interface {
            index,
            name: name.into(),
            mtu: 1500,
            ethernet: true,
            loopback: false,
            default: true,
        };
        bench.plane.attach(&ethernet).unwrap();
        let on = SkbContext {
            ifindex: index,
            ..LO
        };
        Self { bench, on }
    }

    fn install(&mut self, rule: &DnsRule) -> u8 {
        self.install_as(matching(), fault(), rule)
    }

    fn install_as(&mut self, matcher: Matcher, fault: Fault, rule: &DnsRule) -> u8 {
        let run = self.bench.run;
        let plane = &mut self.bench.plane;
        let n = plane.install_dns(matcher, Fault { run, ..fault }, rule);
        plane.refresh();
        n.unwrap()
    }

    fn uninstall(&mut self, n: u8) {
        self.bench.uninstall(n);
    }

    fn run(&self, frame: &[u8]) -> TestRun {
        self.bench.run(Way::Out, frame, &self.on, 1).unwrap()
    }

    /// What becomes of a frame that leaves.
    #[track_caller]
    fn outcome(&self, frame: &[u8]) -> Outcome {
        let run = self.run(frame);
        match run.retval {
            NEXT => {
                assert_eq!(run.packet, frame, "what passes stays as it is");
                Passed
            }
            REDIRECT if run.packet == frame => Lost,
            REDIRECT => Answered(run.packet),
            other => panic!("verdict {other}"),
        }
    }

    /// What becomes of a query of type A by UDP.
    #[track_caller]
    fn ask(&self, name: &str) -> Outcome {
        self.outcome(&asks(v4(UDP), query(name, A)).bytes(Way::Out))
    }

    fn affected(&self, n: u8) -> (u64, u64) {
        let count = self.bench.count(n, Way::Out);
        (count.matched, count.affected)
    }
}

/// What leaves for port 53.
fn matching() -> Matcher {
    Matcher {
        directions: [true, false],
        ports: super::ports(&[(53, 53)]),
        protocols: Some(vec![TCP, UDP]),
        ..any()
    }
}

fn fault() -> Fault {
    Fault {
        kind: Kind::Dns as u32,
        rate: ONE,
        ..lose_all()
    }
}

/// `*.` in front of a zone.
fn name(text: &str) -> Name {
    let zone = text.strip_prefix("*.");
    Name {
        wire: wire(zone.unwrap_or(text)),
        zone: zone.is_some(),
    }
}

/// A rule for names: to be answered.
fn rule(answer: u32, names: &[&str], not_names: &[&str]) -> DnsRule {
    DnsRule {
        names: NameSet {
            names: names.iter().copied().map(name).collect(),
            not_names: not_names.iter().copied().map(name).collect(),
        },
        program: Program {
            answer,
            ..Program::default()
        },
    }
}

/// A name in wire form, of RFC 1035.
fn wire(name: &str) -> Vec<u8> {
    let mut wire = vec![];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A query with recursion desired.
fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(wire(name));
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// The same with EDNS, a cookie, and the wish for signatures.
fn with_edns(mut message: Vec<u8>) -> Vec<u8> {
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 12]);
    message.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    message
}

/// A packet that asks.
fn asks(packet: Packet, payload: Vec<u8>) -> Packet {
    Packet {
        remote_port: 53,
        payload,
        flags: 0x18,
        ..packet
    }
}
