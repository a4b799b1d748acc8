//! Which of the matched packets a fault acts on: rates, periods, bursts, shares of flows, seeds.

use chaosd_ebpf::{Fault, Kind, ONE, SEEDED};

use super::{
    BOTH, Bench, Lost, SkbContext, Way, any, assert_share, lose, on_a_plane,
    packets::{Packet, TCP, UDP, v4, v6},
    percent, repeats,
};

fn seeded(fault: Fault, seed: u64) -> Fault {
    Fault {
        flags: fault.flags | SEEDED,
        seed,
        ..fault
    }
}

/// Loses every `count`th packet.
fn every(count: u32) -> Fault {
    Fault {
        kind: Kind::DropEvery as u32,
        count,
        ..lose(0)
    }
}

/// Percentages: good to bad, bad to good, loss in the good state and in the bad one.
fn gilbert([to_bad, to_good, rate, bad_rate]: [u64; 4]) -> Fault {
    Fault {
        kind: Kind::DropGilbert as u32,
        to_bad: percent(to_bad),
        to_good: percent(to_good),
        bad_rate: percent(bad_rate),
        ..lose(percent(rate))
    }
}

/// The losses of a fault among `count` packets.
fn losses(bench: &mut Bench, fault: Fault, count: usize) -> Vec<bool> {
    let n = bench.install(any(), fault);
    let losses = bench.losses(Way::Out, &v4(UDP).bytes(Way::Out), count);
    bench.uninstall(n);
    losses
}

fn lost(losses: &[bool]) -> usize {
    losses.iter().filter(|lost| **lost).count()
}

#[test]
fn a_rate_is_kept_over_100_000_packets() {
    const COUNT: u32 = 100_000;
    on_a_plane(|bench| {
        // With a seed the outcome is the same each time; dice of the kernel's may be off by more.
        for (fault_of, sigmas) in [
            ((|rate| seeded(lose(rate), 42)) as fn(u64) -> Fault, 3.0),
            (lose, 5.0),
        ] {
            for (rate, share) in [(1, 1.0), (30, 30.0), (50, 50.0), (99, 99.0)] {
                let n = bench.install(any(), fault_of(percent(rate)));
                for way in BOTH {
                    let bytes = v4(TCP).bytes(way);
                    bench
                        .run(way, &bytes, &SkbContext::default(), COUNT)
                        .unwrap();
                    let count = bench.count(n, way);
                    assert_eq!(count.matched, u64::from(COUNT));
                    let affected = usize::try_from(count.affected).unwrap();
                    assert_share(affected, COUNT as usize, share, sigmas);
                }
                bench.uninstall(n);
            }
        }
    });
}

#[test]
fn a_rate_of_nothing_loses_nothing_and_one_of_everything_everything() {
    on_a_plane(|bench| {
        for flags in [0, SEEDED] {
            for (rate, expected) in [(0, 0), (ONE, 10_000)] {
                let fault = Fault {
                    flags,
                    ..lose(rate)
                };
                assert_eq!(lost(&losses(bench, fault, 10_000)), expected);
            }
        }
    });
}

#[test]
fn every_nth_packet_is_exactly_that_in_each_direction() {
    on_a_plane(|bench| {
        for period in [1_u32, 2, 3, 7, 100] {
            let n = bench.install(any(), every(period));
            for way in BOTH {
                let bytes = v6(UDP).bytes(way);
                let expected: Vec<bool> = (1..=300_u32).map(|i| i.is_multiple_of(period)).collect();
                assert_eq!(bench.losses(way, &bytes, 300), expected, "every {period}");
            }
            bench.uninstall(n);
        }
    });
}

#[test]
fn bursts_have_the_mean_loss_and_the_mean_length_of_theory() {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap());
    let packets = repeats(200_000);
    // Of 200,000; the spread of a mean grows with the root of what it is the mean of.
    let room = 0.05 * (200_000.0 / number(packets)).sqrt();
    on_a_plane(|bench| {
        for (to_bad, to_good) in [(1_u32, 25_u32), (5, 50), (2, 10)] {
            let fault = seeded(gilbert([u64::from(to_bad), u64::from(to_good), 0, 100]), 7);
            let losses = losses(bench, fault, packets);
            let bursts = losses
                .chunk_by(|a, b| a == b)
                .filter(|burst| burst[0])
                .count();
            // Gilbert 1960: the stationary share of the bad state, and a geometric stay in it.
            let [p, r] = [to_bad, to_good].map(|percent| f64::from(percent) / 100.0);
            let mean = number(lost(&losses)) / number(packets);
            let expected = p / (p + r);
            assert!(
                (mean / expected - 1.0).abs() < room,
                "lost {mean}, not {expected}"
            );
            let length = number(lost(&losses)) / number(bursts);
            assert!(
                (length * r - 1.0).abs() < room,
                "a burst is {length} long, not {}",
                1.0 / r
            );
        }
    });
}

#[test]
fn both_states_of_a_bursty_loss_have_a_rate_of_their_own() {
    let packets = repeats(100_000);
    on_a_plane(|bench| {
        for ([to_bad, to_good, good, bad], share) in [
            // Never bad; always bad after the first packet; half of the time each.
            ([0, 0, 10, 100], 10.0),
            ([100, 0, 0, 80], 80.0),
            ([100, 100, 20, 40], 30.0),
        ] {
            let fault = seeded(gilbert([to_bad, to_good, good, bad]), 3);
            assert_share(lost(&losses(bench, fault, packets)), packets, share, 4.0);
        }
    });
}

#[test]
fn a_share_of_flows_is_the_same_flows_always_and_both_ways() {
    let count = u16::try_from(repeats(10_000)).unwrap();
    on_a_plane(|bench| {
        for base in [v4(TCP), v6(UDP)] {
            let flows = percent(20);
            let fault = Fault {
                flows,
                seed: 5,
                ..lose(ONE)
            };
            let n = bench.install(any(), fault);
            let mut hit = 0;
            for i in 0..count {
                let local_port = 20_000 + i;
                let packet = Packet {
                    local_port,
                    ..base.clone()
                };
                let bytes = BOTH.map(|way| (way, packet.bytes(way)));
                let verdicts = bytes.map(|(way, bytes)| bench.verdict(way, &bytes));
                let again = Packet {
                    payload: vec![],
                    ..packet
                };
                let again = bench.verdict(Way::Out, &again.bytes(Way::Out));
                assert_eq!(verdicts, [again; 2], "port {local_port}");
                hit += usize::from(again == Lost);
            }
            assert_share(hit, count.into(), 20.0, 3.0);
            bench.uninstall(n);
        }
    });
}

#[test]
fn another_seed_chooses_other_flows() {
    on_a_plane(|bench| {
        let mut chosen = |seed| {
            let flows = percent(50);
            let fault = Fault {
                flows,
                seed,
                ..lose(ONE)
            };
            let n = bench.install(any(), fault);
            let hit: Vec<bool> = (0..1000)
                .map(|i| {
                    let local_port = 20_000 + i;
                    let packet = Packet {
                        local_port,
                        ..v4(TCP)
                    };
                    bench.verdict(Way::Out, &packet.bytes(Way::Out)) == Lost
                })
                .collect();
            bench.uninstall(n);
            hit
        };
        let (first, second) = (chosen(1), chosen(2));
        assert_eq!(first, chosen(1));
        let both = first.iter().zip(&second).filter(|(a, b)| **a && **b);
        assert_share(both.count(), 1000, 25.0, 4.0);
    });
}

#[test]
fn a_seed_repeats_its_decisions_and_another_makes_others() {
    on_a_plane(|bench| {
        for fault in [lose(percent(30)), gilbert([10, 30, 5, 90])] {
            let mut of_seed = |seed| losses(bench, seeded(fault, seed), 2000);
            let first = of_seed(1);
            assert_eq!(first, of_seed(1));
            let other = of_seed(2);
            assert_ne!(first, other);
        }
        let mut of_dice = || losses(bench, lose(percent(30)), 2000);
        assert_ne!(of_dice(), of_dice());
    });
}

#[test]
fn a_seed_decides_alike_whatever_else_passes() {
    on_a_plane(|bench| {
        let of_udp = || super::Matcher {
            protocols: Some(vec![UDP]),
            ..any()
        };
        let quiet = losses(bench, seeded(lose(percent(30)), 9), 1000);
        let n = bench.install(of_udp(), seeded(lose(percent(30)), 9));
        let [udp, tcp] = [UDP, TCP].map(|p| v4(p).bytes(Way::Out));
        let arriving = v4(UDP).bytes(Way::In);
        let busy: Vec<bool> = (0..1000)
            .map(|_| {
                bench.verdict(Way::Out, &tcp);
                bench.verdict(Way::In, &arriving);
                bench.verdict(Way::Out, &udp) == Lost
            })
            .collect();
        bench.uninstall(n);
        assert_eq!(quiet, busy);
    });
}

#[test]
fn a_seed_decides_the_two_directions_apart() {
    on_a_plane(|bench| {
        bench.install(any(), seeded(lose(percent(50)), 1));
        let [out, arriving] = BOTH.map(|way| bench.losses(way, &v4(UDP).bytes(way), 2000));
        let both = out.iter().zip(&arriving).filter(|(a, b)| **a && **b);
        assert_share(both.count(), 2000, 25.0, 4.0);
    });
}
