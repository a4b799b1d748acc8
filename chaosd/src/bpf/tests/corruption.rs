//! Flipped bits: how many, where, and whether the checksum notices.

use chaosd_ebpf::{Fault, Kind, SEEDED, UNDETECTED};

use super::{
    BOTH, Bench, NEXT, SkbContext, Way, any, lose_all, on_a_plane,
    packets::{ICMP, ICMP6, Packet, QINQ, TCP, UDP, VLAN, v4, v6},
    percent,
};

/// Flips `count` bits of every packet, so that the receiver does not notice.
fn undetected(count: u32) -> Fault {
    Fault {
        kind: Kind::Corrupt as u32,
        flags: UNDETECTED | SEEDED,
        seed: 11,
        count,
        ..lose_all()
    }
}

/// The same, so that it does.
fn detected(count: u32) -> Fault {
    Fault {
        flags: SEEDED,
        ..undetected(count)
    }
}

/// The frame afterwards.
fn corrupted(bench: &Bench, way: Way, frame: &[u8]) -> Vec<u8> {
    let run = bench.run(way, frame, &SkbContext::default(), 1).unwrap();
    assert_eq!(run.retval, NEXT);
    assert_eq!(run.packet.len(), frame.len());
    run.packet
}

/// Bits that differ.
fn flipped(before: &[u8], after: &[u8]) -> u32 {
    let differing = before.iter().zip(after).map(|(a, b)| (a ^ b).count_ones());
    differing.sum()
}

/// Where the layer 4 checksum is in the frame.
fn checksum_at(packet: &Packet) -> usize {
    packet.layer4_at()
        + match packet.protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        }
}

/// Packets with a checksum, of every shape, with payloads of odd and even lengths.
fn shapes() -> Vec<Packet> {
    let plain = [v4(TCP), v4(UDP), v4(ICMP), v6(TCP), v6(UDP), v6(ICMP6)];
    let mut shapes = vec![];
    for packet in plain {
        for len in [1, 2, 63, 1000] {
            let payload = (0..=255).cycle().take(len).collect();
            shapes.push(Packet {
                payload,
                ..packet.clone()
            });
        }
        for tags in [&[VLAN][..], &[QINQ, VLAN]] {
            shapes.push(Packet {
                tags,
                ..packet.clone()
            });
        }
    }
    shapes.push(Packet {
        options: vec![1; 12],
        ..v4(TCP)
    });
    shapes.push(Packet {
        extensions: vec![(60, vec![0; 8]), (0, vec![0; 8])],
        ..v6(UDP)
    });
    shapes
}

#[test]
fn undetected_flips_are_in_the_payload_and_the_checksum_stays_right() {
    on_a_plane(|bench| {
        for bits in [1, 2, 5, 32] {
            let n = bench.install(any(), undetected(bits));
            for packet in shapes() {
                for way in BOTH {
                    let before = packet.bytes(way);
                    let payload = before.len() - packet.payload.len();
                    let sum = checksum_at(&packet);
                    for _ in 0..20 {
                        let after = corrupted(bench, way, &before);
                        assert!(packet.checksum_holds(&after, way), "{way:?} {packet:?}");
                        assert_eq!(after[..sum], before[..sum]);
                        assert_eq!(after[sum + 2..payload], before[sum + 2..payload]);
                        let flips = flipped(&before[payload..], &after[payload..]);
                        // Two flips of one bit cancel out.
                        assert!(flips <= bits && (bits - flips).is_multiple_of(2));
                    }
                }
            }
            bench.uninstall(n);
        }
    });
}

#[test]
fn as_many_bits_flip_as_asked_for_all_over_the_payload() {
    on_a_plane(|bench| {
        let packet = Packet {
            payload: vec![0; 1000],
            ..v4(TCP)
        };
        let before = packet.bytes(Way::Out);
        let payload = before.len() - 1000;
        for fault in [undetected, detected] {
            for bits in [1, 8] {
                let n = bench.install(any(), fault(bits));
                let (mut exact, mut seen) = (0, vec![0; 1000]);
                for _ in 0..1000 {
                    let after = corrupted(bench, Way::Out, &before);
                    exact += usize::from(flipped(&before[payload..], &after[payload..]) == bits);
                    for (seen, byte) in seen.iter_mut().zip(&after[payload..]) {
                        *seen |= byte;
                    }
                }
                // One bit never collides; of eight among 8,000, two do in 28 packets of 8,000.
                assert!(exact > if bits == 1 { 999 } else { 970 }, "{exact}");
                for part in seen.chunks(100) {
                    assert_eq!(part.iter().fold(0, |all, b| all | b), 0xff);
                }
                bench.uninstall(n);
            }
        }
    });
}

#[test]
fn detected_flips_make_the_checksum_wrong() {
    on_a_plane(|bench| {
        for bits in [1, 2, 5, 32] {
            let n = bench.install(any(), detected(bits));
            for packet in shapes() {
                for way in BOTH {
                    let before = packet.bytes(way);
                    let payload = before.len() - packet.payload.len();
                    for _ in 0..20 {
                        let after = corrupted(bench, way, &before);
                        assert!(!packet.checksum_holds(&after, way), "{way:?} {packet:?}");
                        assert_eq!(after[..payload], before[..payload]);
                    }
                }
            }
            bench.uninstall(n);
        }
    });
}

#[test]
fn a_packet_without_payload_has_only_its_checksum_to_corrupt() {
    on_a_plane(|bench| {
        for packet in [v4(TCP), v4(UDP), v6(TCP), v6(UDP), v6(ICMP6)] {
            let packet = Packet {
                payload: vec![],
                ..packet
            };
            let before = packet.bytes(Way::Out);
            let n = bench.install(any(), undetected(3));
            assert_eq!(corrupted(bench, Way::Out, &before), before);
            bench.uninstall(n);
            let n = bench.install(any(), detected(3));
            let after = corrupted(bench, Way::Out, &before);
            let sum = checksum_at(&packet);
            assert_eq!(after[..sum], before[..sum]);
            assert_eq!(after[sum + 2..], before[sum + 2..]);
            assert!(
                !packet.checksum_holds(&after, Way::Out),
                "{packet:?}: {before:02x?}, then {after:02x?}"
            );
            bench.uninstall(n);
        }
    });
}

#[test]
fn the_checksum_of_an_empty_datagram_never_comes_to_0_which_would_say_that_there_is_none() {
    on_a_plane(|bench| {
        let packet = Packet {
            payload: vec![],
            ..v4(UDP)
        };
        let sum = checksum_at(&packet);
        let mut before = packet.bytes(Way::Out);
        for bits in [1, 2, 3] {
            // One flip in sixteen takes away the only bit that is set.
            before[sum..sum + 2].copy_from_slice(&[0x10, 0]);
            let n = bench.install(any(), detected(bits));
            for _ in 0..300 {
                let after = corrupted(bench, Way::Out, &before);
                assert_ne!(after[sum..sum + 2], [0, 0]);
                assert_ne!(after[sum..sum + 2], before[sum..sum + 2]);
            }
            bench.uninstall(n);
        }
    });
}

#[test]
fn bytes_that_pad_the_frame_are_no_payload() {
    on_a_plane(|bench| {
        for fault in [undetected(1), detected(1)] {
            let n = bench.install(any(), fault);
            for packet in [v4(TCP), v4(UDP), v4(ICMP), v6(UDP)] {
                let packet = Packet {
                    payload: vec![1, 2, 3, 4],
                    ..packet
                };
                for way in BOTH {
                    let whole = packet.bytes(way);
                    let mut padded = whole.clone();
                    padded.resize(whole.len() + 18, 0);
                    for _ in 0..50 {
                        let after = corrupted(bench, way, &padded);
                        let (after, padding) = after.split_at(whole.len());
                        assert_eq!(padding, [0; 18]);
                        assert_ne!(after, whole);
                        let holds = fault.flags & UNDETECTED != 0;
                        assert_eq!(packet.checksum_holds(after, way), holds, "{packet:?}");
                    }
                }
            }
            bench.uninstall(n);
        }
    });
}

#[test]
fn udp_without_a_checksum_stays_without() {
    on_a_plane(|bench| {
        bench.install(any(), undetected(4));
        let packet = v4(UDP);
        let sum = checksum_at(&packet);
        let mut before = packet.bytes(Way::In);
        before[sum..sum + 2].copy_from_slice(&[0, 0]);
        let after = corrupted(bench, Way::In, &before);
        assert_ne!(before, after);
        assert_eq!(after[sum..sum + 2], [0, 0]);
    });
}

#[test]
fn a_udp_checksum_that_comes_to_0_is_written_as_all_ones() {
    on_a_plane(|bench| {
        bench.install(any(), undetected(1));
        let sum_of = |packet: &Packet| {
            let (at, bytes) = (checksum_at(packet), packet.bytes(Way::Out));
            u16::from_be_bytes([bytes[at], bytes[at + 1]])
        };
        let mut packet = Packet {
            payload: vec![0, 0],
            ..v4(UDP)
        };
        if sum_of(&packet).is_multiple_of(2) {
            packet.local_port += 1;
        }
        // A checksum of 1, over a payload that is even: flipping its lowest bit takes away 1.
        packet.payload = (sum_of(&packet) - 1).to_be_bytes().into();
        assert_eq!(sum_of(&packet), 1);
        let before = packet.bytes(Way::Out);
        let low = before.len() - 1;
        let after = (0..1000)
            .map(|_| corrupted(bench, Way::Out, &before))
            .find(|after| after[low] != before[low] && after[low] & 1 == 1)
            .unwrap();
        let sum = checksum_at(&packet);
        assert_eq!(after[sum..sum + 2], [0xff, 0xff]);
    });
}

#[test]
fn corruption_at_a_rate_leaves_the_other_packets_as_they_are() {
    on_a_plane(|bench| {
        let rate = percent(30);
        let n = bench.install(
            any(),
            Fault {
                rate,
                ..undetected(1)
            },
        );
        let before = v6(TCP).bytes(Way::In);
        let changed = (0..2000).filter(|_| corrupted(bench, Way::In, &before) != before);
        let changed = changed.count();
        super::assert_share(changed, 2000, 30.0, 3.0);
        let count = bench.count(n, Way::In);
        assert_eq!(count.affected, u64::try_from(changed).unwrap());
    });
}

#[test]
fn a_packet_cut_short_survives_corruption() {
    on_a_plane(|bench| {
        for fault in [undetected(8), detected(8)] {
            let n = bench.install(any(), fault);
            for packet in [v4(TCP), v4(UDP), v6(TCP), v6(ICMP6)] {
                let whole = packet.bytes(Way::Out);
                for len in packet.layer4_at()..whole.len() {
                    let before = &whole[..len];
                    let after = corrupted(bench, Way::Out, before);
                    assert_eq!(after[..packet.layer4_at()], before[..packet.layer4_at()]);
                }
            }
            bench.uninstall(n);
        }
    });
}
