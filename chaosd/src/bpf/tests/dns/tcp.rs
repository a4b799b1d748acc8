//! Queries over TCP: lost, or answered by a reset of the connection.

use chaosd_ebpf::{EGRESS, Mark};

use super::*;
use crate::sys::test_run::{Prelude, test_run};

/// RFC 1035 §4.2.2: the length comes first.
fn over_tcp(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap();
    [&len.to_be_bytes()[..], message].concat()
}

#[test]
fn a_segment_that_begins_with_a_query_is_lost() {
    on_a_wire(|wire| {
        let n = wire.install(&rule(ANSWER_DROP, &["db.internal"], &[]));
        let message = over_tcp(&query("db.internal", A));
        let mut asked = 0;
        for packet in [v4(TCP), v6(TCP)] {
            let segment = |payload| asks(packet.clone(), payload).bytes(Way::Out);
            assert_eq!(wire.outcome(&segment(message.clone())), Lost);
            let two = [&message[..], &over_tcp(&query("x", A))].concat();
            assert_eq!(wire.outcome(&segment(two)), Lost, "another one behind it");
            let other = over_tcp(&query("elsewhere.example", A));
            for (payload, why) in [
                (vec![], "nothing but an acknowledgement"),
                (message[..2].to_vec(), "the length alone"),
                (message[..20].to_vec(), "the beginning of a query"),
                (message[2..].to_vec(), "what follows the length"),
                (other, "another name"),
            ] {
                assert_eq!(wire.outcome(&segment(payload)), Passed, "{why}");
            }
            asked += 2;
        }
        assert_eq!(wire.affected(n), (asked, asked));
        assert_eq!(wire.bench.plane.dns_over_tcp(n).unwrap(), asked);
        let hits = wire.bench.plane.dns_hits();
        assert!(hits.iter().all(|hit| hit.name == "db.internal"));
    });
}

#[test]
fn each_of_the_first_four_queries_of_a_segment_is_seen() {
    on_a_wire(|wire| {
        let by_type = DnsRule {
            program: Program {
                types: [AAAA, 0, 0, 0, 0, 0, 0, 0],
                type_count: 1,
                ..rule(ANSWER_DROP, &[], &[]).program
            },
            ..rule(ANSWER_DROP, &["db.internal"], &[])
        };
        let n = wire.install(&by_type);
        let other = over_tcp(&query("elsewhere.example", AAAA));
        let wanted = over_tcp(&query("db.internal", AAAA));
        let unwanted = over_tcp(&query("db.internal", A));
        let garbled = over_tcp(&[7; 30]);
        let too_long = over_tcp(&[7; 600]);
        let mut lost = 0;
        for (messages, outcome, why) in [
            (vec![&unwanted, &wanted], Lost, "as glibc asks"),
            (
                vec![&other, &unwanted, &garbled, &wanted],
                Lost,
                "the fourth",
            ),
            (vec![&too_long, &wanted], Lost, "behind what is no query"),
            (
                vec![&other, &unwanted, &other, &other, &wanted],
                Passed,
                "the fifth",
            ),
            (vec![&unwanted, &other], Passed, "none of them"),
        ] {
            let payload: Vec<u8> = messages.into_iter().flatten().copied().collect();
            for packet in [v4(TCP), v6(TCP)] {
                let got = wire.outcome(&asks(packet, payload.clone()).bytes(Way::Out));
                assert_eq!(got, outcome, "{why}");
                lost += u64::from(outcome == Lost);
            }
        }
        let cut = [&unwanted[..], &wanted[..wanted.len() - 1]].concat();
        let got = wire.outcome(&asks(v4(TCP), cut).bytes(Way::Out));
        assert_eq!(got, Passed, "the second is not whole");
        assert_eq!(wire.affected(n), (lost, lost));
        assert_eq!(wire.bench.plane.dns_over_tcp(n).unwrap(), lost);
        let hits = wire.bench.plane.dns_hits();
        assert_eq!(hits.len() as u64, lost);
        for hit in hits {
            assert_eq!((hit.name.as_str(), hit.qtype), ("db.internal", AAAA));
        }
    });
}

#[test]
fn where_no_connection_can_be_reset_a_query_passes_and_is_not_counted_as_hit() {
    on_a_wire(|wire| {
        let n = wire.install(&rule(ANSWER_NXDOMAIN, &[], &[]));
        let frame = asks(v4(TCP), over_tcp(&query("db.internal", A))).bytes(Way::Out);
        assert_eq!(wire.outcome(&frame), Passed);
        assert_eq!(wire.affected(n), (1, 0));
        assert_eq!(wire.bench.plane.dns_hits(), []);
    });
}

/// Runs the detour's program on packets that it gets as steered there from the wire.
fn out_of_the_detour(wire: &Wire<'_>) -> Prelude {
    let from = Mark::Steered {
        direction: EGRESS,
        slot: wire.on.ifindex,
        chunk: 0,
    };
    let detour = wire.bench.plane.program("detour").unwrap();
    Prelude::new(from.encode(), detour).unwrap()
}

#[test]
fn in_the_detour_the_connection_of_a_query_is_reset() {
    on_a_wire(|wire| {
        let n = wire.install(&rule(ANSWER_NXDOMAIN, &["db.internal"], &[]));
        let prelude = out_of_the_detour(wire);
        for packet in [v4(TCP), v6(TCP)] {
            let run = |name: &str| {
                let frame = asks(packet.clone(), over_tcp(&query(name, A))).bytes(Way::Out);
                let run = test_run(prelude.program(), &frame, &wire.on, 1).unwrap();
                assert_eq!(
                    run.retval, REDIRECT,
                    "back to its interface, one way or the other"
                );
                (run.packet == frame, run.packet)
            };
            let (whole, answer) = run("db.internal");
            assert!(!whole);
            // A bare header, to who asked, with RST and ACK (RFC 9293 §3.5.2).
            assert_eq!(answer.len(), packet.layer4_at() + 20);
            assert_eq!(answer[packet.layer4_at() + 13], 0x14);
            let back = asks(packet.clone(), vec![]);
            assert!(back.checksum_holds(&answer, Way::In));
            let (whole, _) = run("elsewhere.example");
            assert!(whole, "what is not hit goes back as it is");
        }
        assert_eq!(wire.affected(n), (2, 2));
        assert_eq!(wire.bench.plane.dns_over_tcp(n).unwrap(), 2);
    });
}

#[test]
fn in_the_detour_a_datagram_is_answered_too() {
    on_a_wire(|wire| {
        wire.install(&rule(ANSWER_NXDOMAIN, &["db.internal"], &[]));
        let prelude = out_of_the_detour(wire);
        let packet = asks(v6(UDP), query("db.internal", A));
        let run = test_run(prelude.program(), &packet.bytes(Way::Out), &wire.on, 1).unwrap();
        assert_eq!(run.retval, REDIRECT);
        let mut answer = packet.clone();
        answer.payload[2..4].copy_from_slice(&[0x81, 0x83]);
        assert_eq!(run.packet, answer.bytes(Way::In));
    });
}
