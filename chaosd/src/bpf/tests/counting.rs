//! What is counted: wire segments, matched and affected, each direction for itself.

use std::os::fd::AsFd as _;

use chaosd_ebpf::{EGRESS, Fault, Mark, ONE};

use super::{
    BOTH, Bench, HOUR_NS, Lost, REDIRECT, SkbContext, Way, any, judge, lose, lose_all, on_a_plane,
    packets::{Packet, TCP, UDP, v4, v6},
};
use crate::{
    bpf::Matcher,
    netlink::detour::{self, Spec},
    sys::test_run::{Prelude, test_run},
};

/// Matched and affected, leaving and arriving.
#[track_caller]
fn assert_counts(bench: &Bench, n: u8, expected: [(u64, u64); 2]) {
    let got = BOTH.map(|way| {
        let count = bench.count(n, way);
        (count.matched, count.affected)
    });
    assert_eq!(got, expected);
}

/// Payload in segments of 1,000 bytes; the kernel may leave their number out.
fn send_large(bench: &Bench, way: Way, packet: &Packet, gso_segs: u32) {
    let context = SkbContext {
        gso_segs,
        gso_size: 1000,
        ..SkbContext::default()
    };
    let run = bench.run(way, &packet.bytes(way), &context, 1).unwrap();
    judge(way, &run);
}

#[test]
fn matched_and_affected_are_counted_each_way() {
    on_a_plane(|bench| {
        let udp = Matcher {
            protocols: Some(vec![UDP]),
            ..any()
        };
        let spared = bench.install(udp.clone(), lose(0));
        let hit = bench.install(udp, lose(ONE));
        for (way, count) in [(Way::Out, 3), (Way::In, 5)] {
            bench.losses(way, &v4(UDP).bytes(way), count);
            bench.losses(way, &v4(TCP).bytes(way), 7);
        }
        assert_counts(bench, spared, [(3, 0), (5, 0)]);
        assert_counts(bench, hit, [(3, 3), (5, 5)]);
    });
}

#[test]
fn a_lost_packet_does_not_reach_the_faults_behind() {
    on_a_plane(|bench| {
        let first = bench.install(any(), lose_all());
        let behind = bench.install(any(), lose_all());
        for way in BOTH {
            bench.verdict(way, &v6(TCP).bytes(way));
        }
        assert_counts(bench, first, [(1, 1); 2]);
        assert_counts(bench, behind, [(0, 0); 2]);
    });
}

#[test]
fn a_fault_that_does_not_act_yet_matches_nothing() {
    on_a_plane(|bench| {
        let later = Fault {
            after_ns: HOUR_NS,
            ..lose_all()
        };
        let n = bench.install(any(), later);
        for way in BOTH {
            bench.verdict(way, &v4(TCP).bytes(way));
        }
        assert_counts(bench, n, [(0, 0); 2]);
    });
}

#[test]
fn a_fault_starts_from_0_in_a_used_place() {
    on_a_plane(|bench| {
        let first = bench.install(any(), lose_all());
        bench.losses(Way::Out, &v4(TCP).bytes(Way::Out), 4);
        bench.uninstall(first);
        let second = bench.install(any(), lose_all());
        assert_eq!(first, second);
        assert_counts(bench, second, [(0, 0); 2]);
    });
}

#[test]
fn a_super_packet_counts_for_its_segments() {
    on_a_plane(|bench| {
        let n = bench.install(any(), lose_all());
        let packet = Packet {
            payload: vec![1; 3500],
            ..v4(TCP)
        };
        for way in BOTH {
            send_large(bench, way, &packet, 4);
        }
        assert_counts(bench, n, [(4, 4); 2]);
        assert_eq!(bench.plane.seen(n).unwrap(), [4; 2]);
    });
}

#[test]
fn segments_are_counted_when_the_sender_did_not() {
    on_a_plane(|bench| {
        for packet in [v4(TCP), v6(TCP), v4(UDP), v6(UDP)] {
            for (len, segments) in [
                (1, 1),
                (1000, 1),
                (1001, 2),
                (2999, 3),
                (3000, 3),
                (3001, 4),
            ] {
                let payload = vec![1; len];
                let n = bench.install(any(), lose(0));
                let packet = Packet {
                    payload,
                    ..packet.clone()
                };
                for way in BOTH {
                    send_large(bench, way, &packet, 0);
                }
                assert_counts(bench, n, [(segments, 0); 2]);
                bench.uninstall(n);
            }
        }
    });
}

#[test]
fn packets_are_seen_whether_they_match_or_not_while_the_plane_is_armed() {
    on_a_plane(|bench| {
        let udp = Matcher {
            protocols: Some(vec![UDP]),
            directions: [true, false],
            ..any()
        };
        let n = bench.install(udp, lose_all());
        for way in BOTH {
            bench.losses(way, &v4(UDP).bytes(way), 2);
            bench.losses(way, &v4(TCP).bytes(way), 3);
        }
        // Only those of the direction that the fault is for.
        assert_eq!(bench.plane.seen(n).unwrap(), [5, 0]);
        bench.plane.lease(0);
        bench.verdict(Way::Out, &v4(UDP).bytes(Way::Out));
        assert_eq!(bench.plane.seen(n).unwrap(), [5, 0]);
    });
}

#[test]
fn one_run_of_many_packets_counts_them_all() {
    on_a_plane(|bench| {
        let n = bench.install(any(), lose_all());
        let bytes = v4(UDP).bytes(Way::In);
        let context = SkbContext::default();
        let run = bench.run(Way::In, &bytes, &context, 1_000_000).unwrap();
        assert_eq!(judge(Way::In, &run), Lost);
        assert_counts(bench, n, [(0, 0), (1_000_000, 1_000_000)]);
    });
}

#[test]
fn what_the_last_netem_still_held_is_not_counted_as_a_segment_of_the_detour() {
    on_a_plane(|bench| {
        let netns = bench.plane.netns().clone();
        // Which queue is on it is nothing to the program at its far end.
        let pair = detour::create(netns.fd.as_fd(), 0, 7, &Spec::segment(1500)).unwrap();
        let with_a_netem = Matcher {
            netem: true,
            ..any()
        };
        let n = bench.install(with_a_netem, lose(0));
        bench.plane.use_netem(n, &pair).unwrap();
        bench.plane.leave_netem(n);
        bench.uninstall(n);
        let mark = Mark::Steered {
            direction: EGRESS,
            slot: 1,
            chunk: 0,
        };
        let comes_out = |ifindex| {
            let program = bench.plane.program("detour").unwrap();
            let prelude = Prelude::new(mark.encode(), program).unwrap();
            let context = SkbContext {
                ifindex,
                ..SkbContext::default()
            };
            let bytes = v4(UDP).bytes(Way::Out);
            let run = test_run(prelude.program(), &bytes, &context, 1).unwrap();
            assert_eq!(run.retval, REDIRECT);
            bench.plane.detoured().unwrap().1
        };
        assert_eq!(comes_out(pair.rx), 0);
        // One of the detour is.
        assert_eq!(comes_out(pair.tx), 1);
    });
}
