//! What a profile's faults become for the programs, and in words.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use chaosd_ebpf::{BY_PEER, HOLDS, KEEP_ORDER, PER_FLOW, PER_SEGMENT};

use super::*;
use crate::{
    plan::Cgroup,
    profile::{self, Overrides, Profile},
    target::Reach,
};

fn load(fault: &str) -> Profile {
    let text = format!("version: 1\nfaults:\n  - {fault}\n");
    profile::load("test", &text, &Overrides::default()).unwrap()
}

fn compile(fault: &str) -> Rule {
    let scope = Scope::of_a_test();
    let cgroup = Cgroup {
        path: "/x".into(),
        id: 77,
        level: 3,
        fd: Arc::clone(&scope.netns.fd),
    };
    let scope = Scope {
        cgroup: Some(cgroup),
        reach: Reach::Sockets,
        ..scope
    };
    let profile = load(fault);
    rule(&profile.faults[0], &scope, 1, profile.seed.is_some(), 0)
        .unwrap()
        .unwrap()
}

#[test]
fn every_kind_of_a_profile_is_compiled_under_its_own_name() {
    for name in KINDS {
        let resources = [
            "process",
            "freeze",
            "cpu-quota",
            "disk",
            "disk-fill",
            "cpu",
            "memory",
            "disk-error",
            "pids",
            "clock",
            "shutdown",
            "disk-latency",
            "disk-burn",
        ];
        if resources.contains(name) {
            continue;
        }
        let spec = match *name {
            "partition" | "reset" => format!("{name}: {{}}"),
            "delay" => "delay: 5ms".into(),
            "bandwidth" => "bandwidth: 5mbit".into(),
            "netem" => "netem: {loss: 5%}".into(),
            "dns" => "dns: nxdomain".into(),
            _ => format!("{name}: {{rate: 5%}}"),
        };
        let profile = load(&spec);
        assert_eq!(packet(&profile.faults[0].kind).unwrap().name(), *name);
        assert_ne!(compile(&spec).fault.kind, 0, "{name} has no program");
    }
}

#[test]
fn what_needs_a_lone_segment_or_a_real_checksum_takes_the_detour() {
    let steering = |fault| compile(fault).matcher.steering;
    assert_eq!(steering("drop: {rate: 5%}"), Steering::Segments);
    assert_eq!(
        steering("drop: {rate: 5%, whole-skb: true}"),
        Steering::Never
    );
    assert_eq!(steering("drop: {rate: 100%}"), Steering::Never);
    assert_eq!(steering("corrupt: {rate: 5%}"), Steering::Always);
    assert_eq!(
        steering("corrupt: {rate: 5%, mode: undetected}"),
        Steering::Segments
    );
    assert_eq!(steering("partition: {}"), Steering::Never);
    assert_eq!(steering("reset: {}"), Steering::Always);
    assert_eq!(steering("delay: {time: 5ms, jitter: 1ms}"), Steering::Never);
    assert_eq!(
        steering("delay: {time: 5ms, keep-order: false}"),
        Steering::Never
    );
    for apart in [
        "delay: {time: 5ms, jitter: 1ms, keep-order: false}",
        "reorder: 5%",
        "duplicate: 5%",
        "bandwidth: 5mbit",
        "netem: {delay: 5ms}",
    ] {
        assert_eq!(steering(apart), Steering::Segments, "{apart}");
    }
}

#[test]
fn what_holds_packets_tells_the_programs_for_how_long() {
    let delay =
        compile("delay: {time: 80ms, jitter: 20ms, distribution: pareto, correlation: 60%}");
    let f = delay.fault;
    assert_eq!(f.rate, ONE);
    assert_eq!(f.flags, HOLDS | KEEP_ORDER);
    assert_eq!((f.hold.time_ns, f.hold.jitter_ns), (80_000_000, 20_000_000));
    assert_eq!(f.hold.table, chaosd_ebpf::PARETO);
    assert_eq!((f.hold.correlation, f.hold.independence), (39322, 52429));
    assert!(delay.matcher.holds && !delay.matcher.netem && delay.table.is_none());

    let f =
        compile("{delay: {time: 0, jitter: 20ms, distribution: uniform, keep-order: false}}").fault;
    assert_eq!(f.flags, HOLDS | PER_SEGMENT);
    assert_eq!((f.hold.table, f.hold.independence), (0, chaosd_ebpf::UNIT));

    let f = compile("{reorder: {rate: 5%, by: 30ms}}").fault;
    assert_eq!(f.flags, HOLDS | PER_SEGMENT);
    assert_eq!((f.rate, f.hold.time_ns), (ONE.div_ceil(20), 30_000_000));

    let copied = compile("duplicate: {rate: 5%, copies: 3}");
    assert_eq!((copied.fault.count, copied.fault.flags), (3, PER_SEGMENT));
    // A copy needs no queue.
    assert!(!copied.matcher.holds);

    let f = compile("bandwidth: {rate: 8mbit, burst: 10KB, queue: 20KB, per: flow}").fault;
    assert_eq!(f.flags, HOLDS | PER_SEGMENT | PER_FLOW);
    assert_eq!((f.rate, f.hold.ns_per_byte), (ONE, 1_000 << 20));
    assert_eq!((f.hold.burst_ns, f.hold.queue_ns), (10_000_000, 20_000_000));
}

#[test]
fn a_dns_fault_tells_the_programs_whose_queries_and_what_comes_back() {
    use chaosd_ebpf::dns::{ANSWER_ADDRESSES, ANSWER_NONE, ANSWER_NXDOMAIN, HAS_A, HAS_AAAA};
    let rule = compile(
        "dns: {names: ['*.A.b', c], not-names: x.a.b, types: [A, TYPE7], answer: {A: 192.0.2.1, ttl: 9s}, rate: 50%}",
    );
    assert_eq!(rule.fault.rate, ONE / 2);
    assert_eq!(rule.fault.flags & HOLDS, 0);
    let matcher = rule.matcher;
    assert_eq!(matcher.steering, Steering::Segments);
    assert_eq!(matcher.protocols, Some(vec![17, 6]));
    assert_eq!(matcher.directions, [true, false]);
    let dns = rule.dns.unwrap();
    let wires = |names: &[crate::bpf::Name]| -> Vec<(Vec<u8>, bool)> {
        names.iter().map(|n| (n.wire.clone(), n.zone)).collect()
    };
    assert_eq!(
        wires(&dns.names.names),
        [
            (b"\x01a\x01b\0".to_vec(), true),
            (b"\x01c\0".to_vec(), false)
        ]
    );
    assert_eq!(
        wires(&dns.names.not_names),
        [(b"\x01x\x01a\x01b\0".to_vec(), false)]
    );
    let program = dns.program;
    assert_eq!(
        (program.answer, program.has, program.ttl),
        (ANSWER_ADDRESSES, HAS_A, 9)
    );
    assert_eq!((program.type_count, &program.types[..2]), (2, &[1, 7][..]));
    assert_eq!(program.a, [192, 0, 2, 1]);

    let held = compile("dns: {delay: 2s}");
    assert_eq!(
        (held.fault.flags, held.fault.hold.time_ns),
        (HOLDS, 2_000_000_000)
    );
    assert!(held.matcher.holds && held.matcher.steering == Steering::Never);
    assert_eq!(held.dns.unwrap().program.answer, ANSWER_NONE);
    assert_eq!(
        compile("dns: nxdomain").dns.unwrap().program.answer,
        ANSWER_NXDOMAIN
    );
    let both = compile("dns: 'A=192.0.2.1,AAAA=2001:db8::1'").dns.unwrap();
    assert_eq!(both.program.has, HAS_A | HAS_AAAA);
    assert_eq!(compile("dns: drop").matcher.steering, Steering::Never);
    assert_eq!(
        compile("{dns: empty, match: {protocol: udp}}")
            .matcher
            .protocols,
        Some(vec![17])
    );
    assert!(compile("drop: 5%").dns.is_none());
}

#[test]
fn encrypted_dns_is_hit_by_faults_of_its_own() {
    let parts = |fault: &str| -> Vec<(String, String)> {
        let profile = load(fault);
        super::parts(&profile.faults[0])
            .iter()
            .map(|part| (part.spec.name.clone(), describe(&part.spec)))
            .collect()
    };
    assert_eq!(parts("drop: 5%").len(), 1);
    assert_eq!(
        parts("{dns: {answer: empty, encrypted: reset, resolvers: [1.1.1.1]}, name: x, match: {peers: 10.0.0.53}, after: 5s}"),
        [
            ("x", "answers no records to DNS queries leaving to 10.0.0.53, remote port 53, after 5s"),
            ("x.tls", "resets TCP connections at both ends leaving to 10.0.0.53, TCP, remote port 853, after 5s"),
            ("x.quic", "drops 100 % of packets leaving to 10.0.0.53, UDP, remote port 853, after 5s"),
            ("x.https", "resets TCP connections at both ends leaving to 1.1.1.1, TCP, remote port 443, after 5s"),
            ("x.http3", "drops 100 % of packets leaving to 1.1.1.1, UDP, remote port 443, after 5s"),
        ]
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
    );
    let only = parts("{dns: {encrypted: drop}, match: {protocol: udp}}");
    assert_eq!(
        only,
        [(
            "dns.quic".to_owned(),
            "drops 100 % of packets leaving, UDP, remote port 853".to_owned()
        )]
    );
    let said = |fault| notes(&load(fault).faults[0]).join("\n");
    assert!(said("dns: {encrypted: drop}").contains("lets DNS over HTTPS pass"));
    assert!(said("dns: {encrypted: drop, resolvers: 1.1.1.1}").contains("sees no names"));
    assert_eq!(said("dns: nxdomain"), "");
}

#[test]
fn a_netem_is_given_its_tables() {
    let rule = compile("netem: {delay: 5ms, jitter: 1ms, distribution: normal}");
    assert!(rule.matcher.netem && !rule.matcher.holds);
    let netem = rule.netem.unwrap();
    assert_eq!(netem.delay_table.unwrap().len(), TABLE_LEN);
    assert!(netem.slot_table.is_none());
    let uniform = compile("netem: {delay: 5ms, jitter: 1ms}").netem.unwrap();
    assert!(uniform.delay_table.is_none());
}

#[test]
fn what_a_jitter_cannot_do_and_what_a_delay_costs_is_said() {
    let said = |fault| notes(&load(fault).faults[0]).join("\n");
    assert_eq!(said("delay: {time: 80ms, jitter: 20ms}"), "");
    assert!(
        said("delay: {time: 10ms, jitter: 10ms}")
            .starts_with("fault `delay` would let 16 % of packets leave before they came")
    );
    assert!(said("delay: {time: 10ms, jitter: 20ms, distribution: uniform}").contains("25 %"));
    assert!(
        said("delay: {by-peer: {10.1.0.0/16: 10ms, 10.2.0.0/16: 80ms}, jitter: 10ms}")
            .contains("16 % of packets of its nearest peer leave before")
    );
    assert!(said("delay: {by-peer: {10.0.0.1: 1ms, 10.0.0.2: 2s}}").contains("up to 2s"));
    assert_eq!(
        said("delay: 2s"),
        "fault `delay` holds a packet for up to 2s: traffic of 1 Gbit/s fills 250 MB of kernel memory in each direction"
    );
    assert!(said("bandwidth: 10mbit").contains("takes TCP apart"));
    assert!(said("bandwidth: {rate: 10gbit, queue: 1s}").contains("up to 1.25 GB and direction"));
}

#[test]
fn a_match_becomes_the_classifier_s_terms() {
    let m = compile(
        "{drop: 5%, match: {peers: [10.0.0.7, 127.0.0.1], not-peers: 10.0.0.0/30, ports: 80, \
         protocol: tcp, flags: [syn, '!ack'], direction: in, interfaces: eth0}, unprotected: true}",
    )
    .matcher;
    assert_eq!(m.directions, [false, true]);
    assert_eq!(m.interfaces, ["eth0"]);
    assert_eq!(m.protocols, Some(vec![6]));
    assert_eq!(m.cgroup, Some((77, 3)));
    assert!(
        m.loopback && m.unprotected && m.flags.unwrap().holds(2) && !m.flags.unwrap().holds(18)
    );
    let peers = m.peers.unwrap();
    assert_eq!(peers.include.len(), 2);
    assert_eq!(peers.except.len(), 1);
}

#[test]
fn a_timeline_counts_from_the_run_s_start() {
    let f = compile("{drop: 5%, after: 10s, for: 5s, ramp: 1s, pulse: {on: 1s, off: 3s}}").fault;
    assert_eq!(f.after_ns, 10_000_000_000);
    assert_eq!(f.until_ns, 15_000_000_000);
    assert_eq!(f.ramp_ns, 1_000_000_000);
    assert_eq!(
        (f.pulse_on_ns, f.pulse_period_ns),
        (1_000_000_000, 4_000_000_000)
    );
    assert_eq!(f.rate, ONE.div_ceil(20));
    assert_eq!(f.flows, ONE);
}

#[test]
fn a_fault_is_told_in_one_line() {
    let profile = load(
        "{drop: 2%, match: {peers: 10.0.0.7, ports: [80, 8000-8100], direction: out}, after: 10s}",
    );
    assert_eq!(
        describe(&profile.faults[0]),
        "drops 2 % of packets leaving to 10.0.0.7, remote port 80, 8000-8100, after 10s"
    );
    for (fault, told) in [
        ("delay: 1s", "adds 1s to packets"),
        (
            "delay: {by-peer: {10.1.0.0/16: 2ms, 10.2.0.0/16: 80ms, 'fd00:2::/64': 90ms}}",
            "delays packets by 2ms to 90ms (by peer, 3 entries)",
        ),
        (
            "{delay: {by-peer: {10.1.0.0/16: 90ms}, jitter: 5ms}, match: {not-peers: 10.1.0.1}}",
            "delays packets by 90ms ± 5ms (by peer, 1 entry; normal; order within a flow kept) except 10.1.0.1",
        ),
        (
            "delay: {time: 1s, jitter: 1ms, correlation: 5%, keep-order: false}",
            "adds 1s ± 1ms (normal, correlation 5 %; order within a flow not kept) to packets",
        ),
        (
            "reorder: 5%",
            "holds back by 10ms, while others pass, 5 % of packets",
        ),
        ("duplicate: 5%", "sends twice 5 % of packets"),
        (
            "duplicate: {rate: 5%, copies: 2}",
            "sends 3 times 5 % of packets",
        ),
        (
            "bandwidth: 10mbit",
            "lets through 10 Mbit/s per direction (queue 100ms) of packets",
        ),
        (
            "bandwidth: {rate: 10mbit, burst: 3KB, queue: 64KiB, per: flow}",
            "lets through 10 Mbit/s per flow and direction (burst 3 KB, queue 64 KiB) of packets",
        ),
        (
            "netem: {delay: 5ms, loss: {rate: 1%, correlation: 5%}}",
            "sends through netem (delay 5ms, loss 1 % (correlation 5 %)) packets",
        ),
    ] {
        assert_eq!(describe(&load(fault).faults[0]), told);
    }
}

#[test]
fn delays_by_peer_come_with_their_peers_and_what_the_jitter_is_for_all() {
    let rule = compile(
        "{delay: {by-peer: {10.1.0.0/16: 2ms, 127.0.0.1: 0, 'fd00:2::/64': 90ms}, jitter: 5ms}, match: {not-peers: 10.1.0.1}}",
    );
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let times = [
        ("10.1.0.0/16", 2_000_000),
        ("127.0.0.1/32", 0),
        ("fd00:2::/64", 90_000_000),
    ];
    assert_eq!(rule.times, times.map(|(text, time)| (net(text), time)));
    let peers = rule.matcher.peers.unwrap();
    assert!(
        peers
            .include
            .into_iter()
            .eq(times.map(|(text, _)| net(text)))
    );
    assert!(peers.except.into_iter().eq([net("10.1.0.1/32")]));
    assert!(rule.matcher.loopback && rule.matcher.holds);
    assert_eq!(rule.fault.flags, HOLDS | KEEP_ORDER | BY_PEER);
    assert_eq!(
        (rule.fault.hold.time_ns, rule.fault.hold.jitter_ns),
        (0, 5_000_000)
    );
    let plain = compile("delay: 5ms");
    assert!(plain.times.is_empty() && plain.fault.flags & BY_PEER == 0);
}
