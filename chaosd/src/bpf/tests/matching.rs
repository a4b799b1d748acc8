//! Which packets a fault matches: every dimension of a matcher, both ways.

use ipnet::IpNet;

use super::{
    Lost, Passed, any, lose, lose_all, on_a_plane,
    packets::{ACK, ICMP, ICMP6, Packet, SCTP, SYN, TCP, UDP, v4, v6},
    ports,
};
use crate::{
    bpf::{
        Matcher, PeerSet,
        tests::{BOTH, Bench, Verdict, Way},
    },
    profile::units::TcpFlags,
};

/// Packets of every family and protocol.
fn all_sorts() -> Vec<Packet> {
    let four = [TCP, UDP, ICMP, SCTP, 47].map(v4);
    let six = [TCP, UDP, ICMP6, SCTP, 47].map(v6);
    four.into_iter().chain(six).collect()
}

fn peers(include: &[&str], except: &[&str]) -> Matcher {
    let parse = |list: &[&str]| {
        list.iter()
            .map(|net| net.parse::<IpNet>().unwrap())
            .collect()
    };
    Matcher {
        peers: Some(PeerSet {
            include: parse(include),
            except: parse(except),
        }),
        ..any()
    }
}

/// Asserts one matcher on many packets.
#[track_caller]
fn check_all(bench: &mut Bench, matcher: &Matcher, rows: &[(Packet, Verdict)]) {
    for (packet, expected) in rows {
        bench.check(packet, matcher.clone(), *expected);
    }
}

#[test]
fn a_plane_without_faults_passes_everything_unchanged() {
    on_a_plane(|bench| {
        for packet in all_sorts() {
            for way in BOTH {
                let bytes = packet.bytes(way);
                let run = bench
                    .run(way, &bytes, &super::SkbContext::default(), 1)
                    .unwrap();
                assert_eq!((run.retval, run.packet), (super::NEXT, bytes));
            }
        }
    });
}

#[test]
fn a_fault_that_names_nothing_hits_everything_in_its_directions() {
    on_a_plane(|bench| {
        for packet in all_sorts() {
            bench.check(&packet, any(), Lost);
            for (directions, expected) in [
                ([true, false], [Lost, Passed]),
                ([false, true], [Passed, Lost]),
                ([false; 2], [Passed; 2]),
            ] {
                bench.check_ways(
                    &packet,
                    Matcher {
                        directions,
                        ..any()
                    },
                    expected,
                );
            }
        }
    });
}

#[test]
fn a_fault_of_a_protocol_leaves_the_others_alone() {
    on_a_plane(|bench| {
        for named in [vec![TCP], vec![UDP], vec![ICMP, ICMP6], vec![SCTP]] {
            for packet in all_sorts() {
                let expected = if named.contains(&packet.protocol) {
                    Lost
                } else {
                    Passed
                };
                let protocols = Some(named.clone());
                bench.check(&packet, Matcher { protocols, ..any() }, expected);
            }
        }
    });
}

#[test]
fn ports_are_the_remote_ones_and_packets_without_ports_have_none() {
    on_a_plane(|bench| {
        for packet in all_sorts() {
            let has_ports = [TCP, UDP, SCTP].contains(&packet.protocol);
            for (ranges, inside) in [
                (&[(443, 443)][..], true),
                (&[(440, 443)], true),
                (&[(443, 450)], true),
                (&[(1, 65535)], true),
                (&[(1, 80), (442, 444), (8000, 8100)], true),
                (&[(444, 65535)], false),
                (&[(1, 442)], false),
                (&[(40_000, 40_000)], false),
            ] {
                let expected = if inside && has_ports { Lost } else { Passed };
                let ports = ports(ranges);
                bench.check(&packet, Matcher { ports, ..any() }, expected);
            }
        }
    });
}

#[test]
fn local_ports_are_ours_and_both_kinds_must_hold() {
    on_a_plane(|bench| {
        for packet in [TCP, UDP, SCTP].map(v4).into_iter().chain([v6(TCP)]) {
            for (remote, local, expected) in [
                (None, Some((40_000, 40_000)), Lost),
                (None, Some((443, 443)), Passed),
                (Some((443, 443)), Some((39_000, 41_000)), Lost),
                (Some((443, 443)), Some((40_001, 41_000)), Passed),
                (Some((444, 444)), Some((40_000, 40_000)), Passed),
            ] {
                let ports = remote.and_then(|range| ports(&[range]));
                let local_ports = local.and_then(|range| super::ports(&[range]));
                let matcher = Matcher {
                    ports,
                    local_ports,
                    ..any()
                };
                bench.check(&packet, matcher, expected);
            }
        }
    });
}

#[test]
fn peers_are_remote_addresses_prefixes_and_exceptions() {
    on_a_plane(|bench| {
        for (include, except, expected4, expected6) in [
            (&["192.0.2.9/32"][..], &[][..], Lost, Passed),
            (&["192.0.2.0/24"], &[], Lost, Passed),
            (&["192.0.2.8/31"], &[], Lost, Passed),
            (&["192.0.2.10/31"], &[], Passed, Passed),
            (&["0.0.0.0/0"], &[], Lost, Passed),
            (&["10.0.0.1/32"], &[], Passed, Passed),
            (&["2001:db8::9/128"], &[], Passed, Lost),
            (&["2001:db8::/32"], &[], Passed, Lost),
            (&["2001:db8::8/127"], &[], Passed, Lost),
            (&["2001:db8:0:1::/64"], &[], Passed, Passed),
            (&["::/0"], &[], Passed, Lost),
            (&["fd00::1/128"], &[], Passed, Passed),
            (&["192.0.2.0/24", "2001:db8::/32"], &[], Lost, Lost),
            (&["192.0.2.0/24"], &["192.0.2.9/32"], Passed, Passed),
            (&["192.0.2.0/24"], &["192.0.2.8/32"], Lost, Passed),
            (&["192.0.2.9/32"], &["192.0.0.0/16"], Passed, Passed),
            (&[], &["192.0.2.0/24"], Passed, Lost),
            (&[], &["2001:db8::/32"], Lost, Passed),
            (&[], &["198.51.100.0/24"], Lost, Lost),
        ] {
            let matcher = peers(include, except);
            let rows = [TCP, UDP, ICMP].map(|p| (v4(p), expected4));
            check_all(bench, &matcher, &rows);
            let rows = [TCP, UDP, ICMP6].map(|p| (v6(p), expected6));
            check_all(bench, &matcher, &rows);
        }
    });
}

#[test]
fn peers_that_change_take_effect_at_once() {
    on_a_plane(|bench| {
        let n = bench.install(peers(&["192.0.2.9/32"], &[]), lose_all());
        let [here, there] = [
            v4(TCP),
            Packet {
                remote: "192.0.2.10".parse().unwrap(),
                ..v4(TCP)
            },
        ]
        .map(|p| p.bytes(Way::Out));
        let both = |bench: &Bench| [&here, &there].map(|p| bench.verdict(Way::Out, p));
        assert_eq!(both(bench), [Lost, Passed]);
        let moved = peers(&["192.0.2.10/32"], &[]).peers.unwrap();
        bench.plane.change_peers(n, moved).unwrap();
        assert_eq!(both(bench), [Passed, Lost]);
        bench.plane.change_peers(n, PeerSet::default()).unwrap();
        assert_eq!(both(bench), [Lost, Lost]);
    });
}

#[test]
fn tcp_flags_must_be_set_and_must_not() {
    on_a_plane(|bench| {
        for (set, clear, hit) in [
            (SYN, 0, &[SYN, SYN | ACK][..]),
            (SYN, ACK, &[SYN]),
            (SYN | ACK, 0, &[SYN | ACK]),
            (0, ACK, &[0, SYN, 4]),
            (4, 0, &[4, 4 | ACK]),
        ] {
            for base in [v4(TCP), v6(TCP)] {
                for flags in [0, SYN, ACK, SYN | ACK, 4, 4 | ACK] {
                    let packet = Packet {
                        flags,
                        ..base.clone()
                    };
                    let expected = if hit.contains(&flags) { Lost } else { Passed };
                    let matcher = Matcher {
                        protocols: Some(vec![TCP]),
                        flags: Some(TcpFlags { set, clear }),
                        ..any()
                    };
                    bench.check(&packet, matcher, expected);
                }
            }
        }
    });
}

#[test]
fn every_dimension_must_hold() {
    on_a_plane(|bench| {
        let whole = || Matcher {
            protocols: Some(vec![TCP]),
            flags: Some(TcpFlags {
                set: ACK,
                clear: SYN,
            }),
            ports: ports(&[(443, 443)]),
            local_ports: ports(&[(40_000, 40_000)]),
            ..peers(&["192.0.2.0/24"], &[])
        };
        let fits = v4(TCP);
        let rows = [
            (fits.clone(), Lost),
            (
                Packet {
                    flags: SYN | ACK,
                    ..fits.clone()
                },
                Passed,
            ),
            (
                Packet {
                    remote_port: 80,
                    ..fits.clone()
                },
                Passed,
            ),
            (
                Packet {
                    local_port: 80,
                    ..fits.clone()
                },
                Passed,
            ),
            (
                Packet {
                    remote: "192.0.3.9".parse().unwrap(),
                    ..fits.clone()
                },
                Passed,
            ),
            (
                Packet {
                    protocol: UDP,
                    ..fits
                },
                Passed,
            ),
            (v6(TCP), Passed),
        ];
        check_all(bench, &whole(), &rows);
    });
}

#[test]
fn each_of_256_overlapping_faults_is_matched_and_the_last_one_decides() {
    on_a_plane(|bench| {
        let even = |n: u16| n.is_multiple_of(2);
        for n in 0..256_u16 {
            let port = if even(n) { 443 } else { 80 };
            let matcher = Matcher {
                ports: ports(&[(port, port)]),
                ..any()
            };
            let rate = if n == 254 { chaosd_ebpf::ONE } else { 0 };
            bench.install(matcher, lose(rate));
        }
        let refused = bench
            .plane
            .install(any(), lose_all(), None, &[])
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a plane holds at most 256 faults at once"
        );

        let packet = v4(TCP);
        let other = Packet {
            remote_port: 80,
            ..v4(TCP)
        };
        for way in BOTH {
            assert_eq!(bench.verdict(way, &packet.bytes(way)), Lost);
            assert_eq!(bench.verdict(way, &other.bytes(way)), Passed);
            for n in 0..=255 {
                let count = bench.count(n, way);
                let expected = (1, u64::from(n == 254));
                assert_eq!((count.matched, count.affected), expected, "fault {n}");
            }
        }
    });
}

#[test]
fn a_fault_that_goes_leaves_nothing_for_the_next_in_its_place() {
    on_a_plane(|bench| {
        let narrow = Matcher {
            protocols: Some(vec![UDP]),
            ports: ports(&[(53, 53)]),
            ..peers(&["10.0.0.0/8"], &[])
        };
        let first = bench.install(narrow, lose_all());
        bench.uninstall(first);
        let second = bench.install(any(), lose_all());
        assert_eq!(first, second);
        for packet in all_sorts() {
            assert_eq!(bench.verdict(Way::Out, &packet.bytes(Way::Out)), Lost);
        }
        bench.uninstall(second);
        for packet in all_sorts() {
            assert_eq!(bench.verdict(Way::Out, &packet.bytes(Way::Out)), Passed);
        }
    });
}

#[test]
fn a_fault_on_another_interface_does_not_act_here() {
    on_a_plane(|bench| {
        for (interfaces, expected) in [
            (vec!["eth0".to_owned()], Passed),
            (vec!["eth0".to_owned(), "lo".to_owned()], Lost),
        ] {
            bench.check(
                &v4(TCP),
                Matcher {
                    interfaces,
                    ..any()
                },
                expected,
            );
        }
    });
}
