//! The protected set passes, unless a fault says `unprotected`.

use std::net::IpAddr;

use chaosd_ebpf::FlowKey;

use super::{
    Lost, Passed, any, on_a_plane,
    packets::{ICMP, ICMP6, Packet, TCP, UDP, VLAN, v4, v6},
};
use crate::bpf::{
    Matcher,
    tests::{Bench, Verdict},
};

fn unprotected() -> Matcher {
    Matcher {
        unprotected: true,
        ..any()
    }
}

/// Asserts that the packet passes a fault only if protected, and never an `unprotected` one.
#[track_caller]
fn check(bench: &mut Bench, packet: &Packet, protected: bool) {
    let expected: Verdict = if protected { Passed } else { Lost };
    bench.check(packet, any(), expected);
    bench.check(packet, unprotected(), Lost);
}

#[test]
fn neighbour_discovery_is_protected_and_no_other_icmpv6_type_is() {
    on_a_plane(|bench| {
        for flags in 0..=255 {
            let packet = Packet { flags, ..v6(ICMP6) };
            check(bench, &packet, (133..=137).contains(&flags));
        }
        let tagged = Packet {
            tags: &[VLAN],
            flags: 135,
            ..v6(ICMP6)
        };
        check(bench, &tagged, true);
    });
}

#[test]
fn icmp_has_no_protected_types() {
    on_a_plane(|bench| {
        for flags in 130..=140 {
            check(bench, &Packet { flags, ..v4(ICMP) }, false);
        }
    });
}

#[test]
fn dhcp_is_protected_between_its_own_ports() {
    on_a_plane(|bench| {
        for (local_port, remote_port, protected) in [
            (68, 67, true),
            (67, 68, true),
            (67, 67, true),
            (68, 68, true),
            (546, 547, true),
            (547, 546, true),
            (547, 547, true),
            (68, 443, false),
            (40_000, 67, false),
            (69, 67, false),
            (66, 68, false),
            (68, 547, false),
            (545, 547, false),
            (548, 546, false),
        ] {
            for packet in [v4(UDP), v6(UDP)] {
                let packet = Packet {
                    remote_port,
                    local_port,
                    ..packet
                };
                check(bench, &packet, protected);
                check(
                    bench,
                    &Packet {
                        protocol: TCP,
                        ..packet
                    },
                    false,
                );
            }
        }
    });
}

/// The packet's connection.
fn flow(packet: &Packet) -> FlowKey {
    let mut remote = [0; 16];
    let family = match packet.remote {
        IpAddr::V4(address) => {
            remote[..4].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            remote = address.octets();
            6
        }
    };
    FlowKey {
        remote,
        remote_port: packet.remote_port,
        local_port: packet.local_port,
        family,
    }
}

#[test]
fn a_listed_connection_is_protected_and_its_neighbours_are_not() {
    on_a_plane(|bench| {
        for ssh in [v4(TCP), v6(TCP)] {
            let ssh = Packet {
                local_port: 22,
                remote_port: 51_000,
                ..ssh
            };
            check(bench, &ssh, false);
            bench.plane.protect(&[flow(&ssh)]).unwrap();
            check(bench, &ssh, true);
            check(
                bench,
                &Packet {
                    remote_port: 51_001,
                    ..ssh.clone()
                },
                false,
            );
            check(
                bench,
                &Packet {
                    local_port: 23,
                    ..ssh.clone()
                },
                false,
            );
            check(
                bench,
                &Packet {
                    protocol: UDP,
                    ..ssh.clone()
                },
                false,
            );
            let other = if ssh.remote.is_ipv4() {
                "192.0.2.10"
            } else {
                "2001:db8::a"
            };
            check(
                bench,
                &Packet {
                    remote: other.parse().unwrap(),
                    ..ssh.clone()
                },
                false,
            );
            // The ports the other way round are another connection.
            check(
                bench,
                &Packet {
                    local_port: 51_000,
                    remote_port: 22,
                    ..ssh.clone()
                },
                false,
            );
            bench.plane.protect(&[]).unwrap();
            check(bench, &ssh, false);
        }
    });
}
