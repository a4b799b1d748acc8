//! Answers: octet by octet, with the checksums of the packets that carry them.

use chaosd_ebpf::{
    HOLDS, Hold,
    dns::{
        ANSWER_ADDRESSES, ANSWER_EMPTY, ANSWER_NONE, ANSWER_REFUSED, ANSWER_SERVFAIL, HAS_A,
        HAS_AAAA,
    },
};

use super::super::{
    holding::MS,
    packets::{QINQ, VLAN},
};
use super::*;

/// A rule for every name.
fn all(program: Program) -> DnsRule {
    DnsRule {
        names: NameSet::default(),
        program,
    }
}

fn nxdomain() -> DnsRule {
    rule(ANSWER_NXDOMAIN, &[], &[])
}

/// The answer with a code and no record.
fn expected(query: &[u8], code: u8, edns: bool) -> Vec<u8> {
    let mut message = query.to_vec();
    if edns {
        // The cookie is gone, our size is in.
        message.truncate(message.len() - 12 - 11);
        message.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0]);
    }
    message[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    message
}

/// The frame that comes in with this answer.
fn comes(packet: &Packet, answer: Vec<u8>) -> Vec<u8> {
    let packet = Packet {
        payload: answer,
        ..packet.clone()
    };
    packet.bytes(Way::In)
}

#[test]
fn each_answer_comes_from_the_server_and_its_checksums_hold() {
    on_a_wire(|wire| {
        for (kind, code) in [
            (ANSWER_NXDOMAIN, 3),
            (ANSWER_SERVFAIL, 2),
            (ANSWER_REFUSED, 5),
            (ANSWER_EMPTY, 0),
        ] {
            let n = wire.install(&rule(kind, &[], &[]));
            let mut asked = 0;
            for packet in [v4(UDP), v6(UDP)] {
                // Of odd and even lengths, in several cases.
                for name in ["", "a", "db.internal", "dB.InTerNaLs", "a.b.c.d.e.f.g"] {
                    for edns in [false, true] {
                        let mut query = query(name, A);
                        if edns {
                            query = with_edns(query);
                        }
                        let packet = asks(packet.clone(), query.clone());
                        let frame = packet.bytes(Way::Out);
                        let answer = comes(&packet, expected(&query, code, edns));
                        assert_eq!(wire.outcome(&frame), Answered(answer), "{name} {packet:?}");
                        asked += 1;
                    }
                }
            }
            assert_eq!(wire.affected(n), (asked, asked));
            wire.uninstall(n);
        }
    });
}

#[test]
fn an_address_is_answered_to_those_who_ask_for_its_type() {
    on_a_wire(|wire| {
        let program = Program {
            answer: ANSWER_ADDRESSES,
            has: HAS_A | HAS_AAAA,
            ttl: 300,
            a: [192, 0, 2, 1],
            aaaa: "2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
            ..Program::default()
        };
        wire.install(&all(program));
        let record = |qtype: u16, data: &[u8]| {
            let mut record = vec![0xc0, 12];
            record.extend(qtype.to_be_bytes());
            record.extend([0, 1, 0, 0, 1, 44, 0]);
            record.push(u8::try_from(data.len()).unwrap());
            record.extend(data);
            record
        };
        for packet in [v4(UDP), v6(UDP)] {
            for (qtype, data) in [(A, &program.a[..]), (AAAA, &program.aaaa), (15, &[])] {
                for edns in [false, true] {
                    let plain = query("db.internal", qtype);
                    let mut answer = expected(&plain, 0, false);
                    if !data.is_empty() {
                        answer[7] = 1;
                        answer.extend(record(qtype, data));
                    }
                    let mut asked = plain;
                    if edns {
                        asked = with_edns(asked);
                        answer[11] = 1;
                        answer.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0]);
                    }
                    let packet = asks(packet.clone(), asked);
                    let got = wire.outcome(&packet.bytes(Way::Out));
                    assert_eq!(got, Answered(comes(&packet, answer)), "{qtype} {packet:?}");
                }
            }
        }
    });
}

#[test]
fn the_frame_of_an_answer_goes_to_who_asked() {
    on_a_wire(|wire| {
        wire.install(&nxdomain());
        for tags in [&[][..], &[VLAN], &[QINQ, VLAN]] {
            for packet in [v4(UDP), v6(UDP)] {
                let query = query("db.internal", A);
                let packet = Packet {
                    tags,
                    ..asks(packet, query.clone())
                };
                let mut frame = packet.bytes(Way::Out);
                frame[..12].copy_from_slice(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
                // A short frame is padded by the device that sends it.
                frame.extend([0; 7]);
                let mut answer = comes(&packet, expected(&query, 3, false));
                answer[..12].copy_from_slice(&[2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
                assert_eq!(wire.outcome(&frame), Answered(answer), "{packet:?}");
            }
        }
    });
}

#[test]
fn a_query_without_a_checksum_is_answered_without_one() {
    on_a_wire(|wire| {
        wire.install(&nxdomain());
        let packet = asks(v4(UDP), query("db.internal", A));
        let mut frame = packet.bytes(Way::Out);
        let checksum = packet.layer4_at() + 6;
        frame[checksum..checksum + 2].fill(0);
        let Answered(answer) = wire.outcome(&frame) else {
            panic!("no answer");
        };
        assert_eq!(answer[checksum..checksum + 2], [0, 0]);
    });
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    on_a_wire(|wire| {
        wire.install(&nxdomain());
        let packet = asks(v4(UDP), query("db.internal", A));
        let mut frame = packet.bytes(Way::Out);
        frame[packet.layer4_at() + 6] ^= 0x10;
        let Answered(answer) = wire.outcome(&frame) else {
            panic!("no answer");
        };
        let packet = asks(v4(UDP), answer[packet.layer4_at() + 8..].to_vec());
        assert!(!packet.checksum_holds(&answer, Way::In));
    });
}

#[test]
fn a_query_that_leaves_by_loopback_becomes_its_answer_and_goes_on() {
    on_a_wire(|wire| {
        wire.on = LO;
        let n = wire.install(&nxdomain());
        let query = query("db.internal", A);
        let packet = asks(v4(UDP), query.clone());
        let run = wire.run(&packet.bytes(Way::Out));
        assert_eq!(run.retval, NEXT);
        assert_eq!(run.packet, comes(&packet, expected(&query, 3, false)));
        assert_eq!(wire.affected(n), (1, 1));
    });
}

#[test]
fn what_is_not_understood_passes_and_is_not_counted() {
    on_a_wire(|wire| {
        let n = wire.install(&nxdomain());
        let message = query("db.internal", A);
        let packet = |payload: Vec<u8>| asks(v4(UDP), payload).bytes(Way::Out);
        let changed = |at: usize, octet: u8| {
            let mut message = message.clone();
            message[at] = octet;
            packet(message)
        };
        let mut frames = vec![
            changed(2, 0x81),  // an answer
            changed(2, 0x29),  // an update
            changed(5, 0),     // no question
            changed(5, 2),     // two
            changed(7, 1),     // an answer in it
            changed(11, 1),    // a record that is not there
            changed(12, 0xc0), // a pointer
            changed(28, 3),    // class CH
            packet(vec![]),
            packet(vec![0; 600]),
            packet([&message[..], &[0]].concat()),
            packet((0..=255).collect()),
            asks(v4(TCP), message.clone()).bytes(Way::Out), // without its length
        ];
        let whole = packet(message.clone());
        // Some kernels run no program on less than the headers that the frame speaks of.
        frames.extend((34..whole.len()).map(|len| whole[..len].to_vec()));
        for packet in [
            Packet {
                options: vec![1; 4],
                ..asks(v4(UDP), message.clone())
            },
            Packet {
                fragment: 0x2000,
                ..asks(v4(UDP), message.clone())
            },
            Packet {
                extensions: vec![(60, vec![0; 8])],
                ..asks(v6(UDP), message.clone())
            },
            Packet {
                remote_port: 54,
                ..asks(v4(UDP), message.clone())
            },
        ] {
            frames.push(packet.bytes(Way::Out));
        }
        for frame in frames {
            assert_eq!(wire.outcome(&frame), Passed, "{frame:02x?}");
        }
        assert_eq!(wire.affected(n), (0, 0));
        assert_eq!(wire.bench.plane.dns_hits(), []);
        assert!(matches!(wire.outcome(&whole), Answered(_)));
    });
}

#[test]
fn an_answer_that_comes_in_is_never_touched() {
    on_a_wire(|wire| {
        let both = Matcher {
            directions: [true; 2],
            ..matching()
        };
        wire.install_as(both, fault(), &nxdomain());
        let mut message = query("db.internal", A);
        message[2] |= 0x80;
        let frame = asks(v4(UDP), message).bytes(Way::In);
        let run = wire.bench.run(Way::In, &frame, &wire.on, 1).unwrap();
        assert_eq!((run.retval, run.packet), (NEXT, frame));
    });
}

#[test]
fn a_rate_answers_its_share() {
    on_a_wire(|wire| {
        let some = Fault {
            rate: super::super::percent(30),
            ..fault()
        };
        let n = wire.install_as(matching(), some, &nxdomain());
        let count = super::super::repeats(2000);
        let answered = (0..count)
            .filter(|_| wire.ask("db.internal") != Passed)
            .count();
        super::super::assert_share(answered, count, 30.0, 4.0);
        let count = u64::try_from(count).unwrap();
        assert_eq!(wire.affected(n).0, count);
    });
}

#[test]
fn a_query_that_another_fault_loses_or_corrupts_is_not_answered_whichever_comes_first() {
    let corrupt = Fault {
        kind: Kind::Corrupt as u32,
        count: 1,
        ..lose_all()
    };
    for other in [lose_all(), corrupt] {
        for dns_first in [true, false] {
            on_a_wire(|wire| {
                let nxdomain = rule(ANSWER_NXDOMAIN, &["db.internal"], &[]);
                let mut of_dns = dns_first.then(|| wire.install(&nxdomain));
                let of_other = wire.bench.install(matching(), other);
                let of_dns = *of_dns.get_or_insert_with(|| wire.install(&nxdomain));
                assert_eq!(wire.ask("db.internal"), Lost);
                assert_eq!(wire.affected(of_other), (1, 1));
                assert_eq!(wire.affected(of_dns).1, 0, "nobody got its answer");
                assert_eq!(wire.bench.plane.dns_hits(), []);
                wire.uninstall(of_other);
                assert!(matches!(wire.ask("db.internal"), Answered(_)));
                assert_eq!(wire.affected(of_dns).1, 1);
            });
        }
    }
}

#[test]
fn of_two_answers_a_query_gets_the_first_and_the_second_fault_did_nothing() {
    on_a_wire(|wire| {
        let first = wire.install(&rule(ANSWER_SERVFAIL, &["db.internal"], &[]));
        let second = wire.install(&nxdomain());
        let Answered(answer) = wire.ask("db.internal") else {
            panic!("not answered");
        };
        assert_eq!(answer[14 + 20 + 8 + 3] & 15, 2, "RCODE of SERVFAIL");
        assert_eq!(wire.affected(first), (1, 1));
        assert_eq!(wire.affected(second), (1, 0));
        let hits = wire.bench.plane.dns_hits();
        assert!(
            hits.iter()
                .all(|hit| hit.faults.has(first) && !hit.faults.has(second))
        );
        assert!(matches!(wire.ask("elsewhere.example"), Answered(_)));
        assert_eq!(wire.affected(second), (2, 1));
    });
}

#[test]
fn a_delay_holds_queries_for_its_names_and_no_others() {
    on_a_wire(|wire| {
        wire.bench.use_a_pair();
        let late = Fault {
            flags: HOLDS,
            hold: Hold {
                time_ns: 50 * MS,
                ..Hold::default()
            },
            ..fault()
        };
        let holds = Matcher {
            holds: true,
            ..matching()
        };
        for (answer, whole) in [(ANSWER_NONE, true), (ANSWER_NXDOMAIN, false)] {
            let rule = rule(answer, &["db.internal"], &[]);
            let n = wire.install_as(holds.clone(), late, &rule);
            let before = wire.bench.held();
            assert_eq!(wire.ask("elsewhere.example"), Passed);
            assert_eq!(wire.bench.held(), before);
            let packet = asks(v4(UDP), query("db.internal", A));
            let run = wire.run(&packet.bytes(Way::Out));
            // What is late is a clone; the sender is told that it is out.
            assert_eq!(run.retval, REDIRECT);
            assert_eq!(run.packet == packet.bytes(Way::Out), whole);
            assert_eq!(wire.bench.held() - before, 1);
            assert_eq!(wire.affected(n), (1, 1));
            assert!(wire.bench.plane.dns_hits().last().unwrap().faults.has(n));
            wire.uninstall(n);
        }
    });
}
