//! Headers of every shape: tags, options, extension headers, fragments, packets cut short.

use super::{
    BOTH, Bench, Lost, Passed, SkbContext, Verdict, Way, any, judge, lose_all, on_a_plane,
    packets::{ICMP, ICMP6, Packet, QINQ, SCTP, TCP, UDP, VLAN, frame, v4, v6},
    ports,
};
use crate::{
    bpf::{Matcher, PeerSet},
    profile::units::TcpFlags,
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

const MORE_FRAGMENTS: u16 = 0x2000;

fn port_443() -> Matcher {
    Matcher {
        ports: ports(&[(443, 443)]),
        ..any()
    }
}

fn the_peer() -> Matcher {
    let include = [super::packets::REMOTE4, super::packets::REMOTE6]
        .map(|a| a.parse::<std::net::IpAddr>().unwrap().into())
        .into();
    let except = [].into();
    Matcher {
        peers: Some(PeerSet { include, except }),
        ..any()
    }
}

/// A header of 8 bytes, the length of which is said to be `words` times 8 bytes more.
fn extension(number: u8, words: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0, words, 1, 4];
    bytes.resize(8 + usize::from(words) * 8, 0);
    (number, bytes)
}

/// RFC 8200 §4.5: offset in units of 8 bytes, and whether more follow.
fn fragment(offset: u16, more: bool) -> (u8, Vec<u8>) {
    let mut bytes = vec![0, 0];
    bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
    bytes.extend([1, 2, 3, 4]);
    (FRAGMENT, bytes)
}

/// RFC 4302 §2: the length in words of 4 bytes, less 2.
fn authentication() -> (u8, Vec<u8>) {
    let mut bytes = vec![0, 4];
    bytes.resize(24, 9);
    (AUTHENTICATION, bytes)
}

/// Asserts that ports and addresses are found where they are.
#[track_caller]
fn is_understood(bench: &mut Bench, packet: &Packet) {
    let elsewhere = Packet {
        remote_port: 80,
        ..packet.clone()
    };
    bench.check(packet, port_443(), Lost);
    bench.check(&elsewhere, port_443(), Passed);
    bench.check(packet, the_peer(), Lost);
    let remote = match packet.remote {
        std::net::IpAddr::V4(_) => "192.0.2.10",
        std::net::IpAddr::V6(_) => "2001:db8::a",
    };
    let stranger = Packet {
        remote: remote.parse().unwrap(),
        ..packet.clone()
    };
    bench.check(&stranger, the_peer(), Passed);
}

#[test]
fn headers_are_found_behind_vlan_tags() {
    on_a_plane(|bench| {
        for tags in [&[VLAN][..], &[QINQ], &[QINQ, VLAN], &[VLAN, VLAN]] {
            for packet in [v4(TCP), v4(UDP), v6(TCP), v6(UDP)] {
                is_understood(bench, &Packet { tags, ..packet });
            }
        }
    });
}

#[test]
fn headers_are_found_behind_ipv4_options() {
    on_a_plane(|bench| {
        for words in 1..=10 {
            for packet in [v4(TCP), v4(UDP), v4(SCTP)] {
                let options = vec![1; words * 4];
                is_understood(bench, &Packet { options, ..packet });
            }
        }
    });
}

#[test]
fn headers_are_found_behind_ipv6_extension_headers() {
    on_a_plane(|bench| {
        for extensions in [
            vec![extension(HOP_BY_HOP, 0)],
            vec![extension(HOP_BY_HOP, 3)],
            vec![extension(DESTINATION, 1)],
            vec![extension(ROUTING, 2)],
            vec![fragment(0, true)],
            vec![authentication()],
            vec![
                extension(HOP_BY_HOP, 1),
                extension(DESTINATION, 0),
                extension(ROUTING, 2),
                fragment(0, false),
                authentication(),
                extension(DESTINATION, 4),
            ],
            vec![extension(DESTINATION, 0); 8],
        ] {
            for packet in [v6(TCP), v6(UDP), v6(SCTP)] {
                let extensions = extensions.clone();
                is_understood(
                    bench,
                    &Packet {
                        extensions,
                        ..packet
                    },
                );
            }
        }
    });
}

#[test]
fn a_chain_of_nine_extension_headers_has_no_ports() {
    on_a_plane(|bench| {
        let packet = Packet {
            extensions: vec![extension(DESTINATION, 0); 9],
            ..v6(TCP)
        };
        let of_tcp = Matcher {
            protocols: Some(vec![TCP]),
            ..any()
        };
        bench.check(&packet, port_443(), Passed);
        bench.check(&packet, of_tcp, Passed);
        bench.check(&packet, the_peer(), Lost);
    });
}

#[test]
fn a_first_fragment_has_ports_and_a_later_one_has_none() {
    on_a_plane(|bench| {
        for protocol in [TCP, UDP] {
            let with = |fragment| Packet {
                fragment,
                ..v4(protocol)
            };
            is_understood(bench, &with(MORE_FRAGMENTS));
            is_understood(bench, &with(0x4000));
            let six = |offset, more| Packet {
                extensions: vec![fragment(offset, more)],
                ..v6(protocol)
            };
            is_understood(bench, &six(0, true));
            for later in [
                with(1),
                with(0x1fff),
                with(MORE_FRAGMENTS | 0xb9),
                six(1, false),
                six(185, true),
            ] {
                // Its data look like a header with the port.
                bench.check(&later, port_443(), Passed);
                let local = Matcher {
                    local_ports: ports(&[(1, 65535)]),
                    ..any()
                };
                bench.check(&later, local, Passed);
                bench.check(&later, the_peer(), Lost);
                let protocols = Some(vec![protocol]);
                bench.check(&later, Matcher { protocols, ..any() }, Lost);
            }
        }
    });
}

#[test]
fn a_fragment_without_tcp_flags_is_not_of_a_fault_that_names_some() {
    on_a_plane(|bench| {
        let later = Packet {
            fragment: 185,
            ..v4(TCP)
        };
        for (set, clear) in [(16, 0), (0, 2), (0, 16), (16, 2)] {
            let flags = Some(TcpFlags { set, clear });
            let protocols = Some(vec![TCP]);
            let matcher = Matcher {
                protocols,
                flags,
                ..any()
            };
            bench.check(&later, matcher, Passed);
        }
    });
}

#[test]
fn what_is_not_ip_is_hit_by_unprotected_faults_that_name_nothing_of_ip() {
    on_a_plane(|bench| {
        // ARP, LLDP, MPLS, PPPoE
        for ethertype in [0x0806, 0x88cc, 0x8847, 0x8864] {
            let frame = frame(ethertype);
            let unprotected = |matcher| Matcher {
                unprotected: true,
                ..matcher
            };
            let of_tcp = Matcher {
                protocols: Some(vec![TCP]),
                ..any()
            };
            for (matcher, expected) in [
                (any(), Passed),
                (unprotected(any()), Lost),
                (unprotected(port_443()), Passed),
                (unprotected(the_peer()), Passed),
                (unprotected(of_tcp), Passed),
            ] {
                let n = bench.install(matcher.clone(), lose_all());
                let got = BOTH.map(|way| bench.verdict(way, &frame));
                bench.uninstall(n);
                assert_eq!(got, [expected; 2], "{ethertype:#x} by {matcher:?}");
            }
        }
    });
}

#[test]
fn a_header_that_lies_passes() {
    on_a_plane(|bench| {
        bench.install(any(), lose_all());
        for (packet, first) in [
            (v4(TCP), &[0x65, 0x05, 0x44, 0x40, 0x00][..]),
            (v6(TCP), &[0x40, 0x00, 0xf0]),
        ] {
            for way in BOTH {
                for byte in first {
                    let mut bytes = packet.bytes(way);
                    bytes[14] = *byte;
                    assert_eq!(
                        bench.verdict(way, &bytes),
                        Passed,
                        "{byte:#x} in {packet:?}"
                    );
                }
            }
        }
    });
}

/// The verdict on a frame that may be too short for the kernel to make a packet of it.
fn verdict_on_stump(bench: &Bench, way: Way, frame: &[u8]) -> Option<Verdict> {
    match bench.run(way, frame, &SkbContext::default(), 1) {
        Ok(run) => Some(judge(way, &run)),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => None,
        Err(e) => panic!("{} bytes: {e}", frame.len()),
    }
}

/// Cuts the packet everywhere: a fault acts never on less than `least` bytes (leaving, arriving),
/// always on `enough`, and what it acts on, it acts on with more bytes too.
#[track_caller]
fn cut_everywhere(
    bench: &mut Bench,
    packet: &Packet,
    matcher: Matcher,
    least: [usize; 2],
    enough: usize,
) {
    let n = bench.install(matcher, lose_all());
    for (way, least) in BOTH.into_iter().zip(least) {
        let whole = packet.bytes(way);
        let mut was_lost = false;
        for len in 14..=whole.len() {
            let case = format!("{len} bytes, {way:?}: {packet:?}");
            match verdict_on_stump(bench, way, &whole[..len]) {
                Some(Lost) => {
                    assert!(len >= least, "{case}");
                    was_lost = true;
                }
                Some(Passed) => assert!(len < enough && !was_lost, "{case}"),
                None => assert!(len < enough && !was_lost, "refused: {case}"),
            }
        }
        assert!(was_lost, "{way:?}: {packet:?}");
    }
    bench.uninstall(n);
}

#[test]
fn a_packet_cut_at_any_byte_is_hit_only_by_what_is_left_of_it() {
    on_a_plane(|bench| {
        let shapes = |protocol| {
            let chain = vec![
                extension(HOP_BY_HOP, 1),
                fragment(0, true),
                authentication(),
            ];
            [
                v4(protocol),
                Packet {
                    options: vec![1; 40],
                    ..v4(protocol)
                },
                Packet {
                    tags: &[VLAN],
                    ..v4(protocol)
                },
                v6(protocol),
                Packet {
                    tags: &[VLAN],
                    ..v6(protocol)
                },
                Packet {
                    extensions: chain,
                    ..v6(protocol)
                },
            ]
        };
        for (protocol, ports_end) in [(TCP, 14), (UDP, 4), (SCTP, 4)] {
            for packet in shapes(protocol) {
                let needs = packet.layer4_at() + ports_end;
                cut_everywhere(bench, &packet, port_443(), [needs; 2], needs);
            }
        }
        for protocol in [TCP, UDP, ICMP, ICMP6] {
            for packet in shapes(protocol) {
                // The peer is the destination, or the source before it.
                let l3 = 14 + packet.tags.len() * 4;
                let least = if packet.remote.is_ipv4() {
                    [l3 + 20, l3 + 16]
                } else {
                    [l3 + 40, l3 + 24]
                };
                let enough = packet.layer4_at();
                cut_everywhere(bench, &packet, the_peer(), least, enough);
            }
        }
    });
}
