//! What is held and what is copied: how many packets go into the hold queue's device and come out of
//! it. The device has no queue here, so that every kernel can tell: what goes in comes out at once,
//! and how long a queue keeps it is shown by `tests/delay.rs`.

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use chaosd_ebpf::{Fault, HOLDS, Hold, Kind, ONE, SEEDED};

use super::{
    BOTH, Bench, Lost, Passed, Way, any, assert_share, lose_all, on_a_plane,
    packets::{TCP, UDP, v4, v6},
    percent,
};
use crate::{
    bpf::Matcher,
    netlink::detour::{self, Spec},
};

pub(super) const MS: u64 = 1_000_000;

pub(super) fn matching() -> Matcher {
    Matcher {
        holds: true,
        ..any()
    }
}

fn holding(kind: Kind, rate: u64, hold: Hold) -> Fault {
    Fault {
        kind: kind as u32,
        flags: HOLDS,
        until_ns: u64::MAX,
        flows: ONE,
        rate,
        hold,
        ..Fault::default()
    }
}

pub(super) fn delay(time_ns: u64) -> Fault {
    let hold = Hold {
        time_ns,
        ..Hold::default()
    };
    holding(Kind::Delay, ONE, hold)
}

fn duplicate(copies: u32) -> Fault {
    Fault {
        flags: 0,
        count: copies,
        ..holding(Kind::Duplicate, ONE, Hold::default())
    }
}

impl Bench {
    /// Gives the plane a pair to hold packets in.
    pub(super) fn use_a_pair(&mut self) {
        let netns = self.plane.netns().clone();
        let pair = detour::create(netns.fd.as_fd(), 0, 7, &Spec::segment(1500)).unwrap();
        self.plane.use_hold(&pair).unwrap();
    }

    /// How many have gone into the pair, when as many have come out.
    #[track_caller]
    pub(super) fn held(&self) -> u64 {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let (entered, left) = self.plane.held().unwrap();
            if entered == left {
                return entered;
            }
            assert!(Instant::now() < patience, "{left} of {entered} came out");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_delayed_packet_goes_through_the_pair_in_place_of_the_original() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let n = bench.install(matching(), delay(50 * MS));
        for (way, packet) in [(Way::Out, v4(UDP)), (Way::In, v4(TCP)), (Way::Out, v6(TCP))] {
            let before = bench.held();
            // The sender is told that it is out: its silence is a loss here.
            assert_eq!(bench.verdict(way, &packet.bytes(way)), Lost, "{packet:?}");
            assert_eq!(bench.held() - before, 1, "{packet:?}");
        }
        let [out, into] = BOTH.map(|way| bench.count(n, way));
        assert_eq!((out.matched, out.affected, out.overflow), (2, 2, 0));
        assert_eq!((into.matched, into.affected, into.overflow), (1, 1, 0));
        bench.uninstall(n);
        assert_eq!(bench.verdict(Way::Out, &v4(UDP).bytes(Way::Out)), Passed);
        assert_eq!(bench.held(), 3);
    });
}

#[test]
fn without_a_queue_nothing_is_held_and_nothing_is_counted() {
    on_a_plane(|bench| {
        let n = bench.install(matching(), delay(50 * MS));
        for way in BOTH {
            assert_eq!(bench.verdict(way, &v4(UDP).bytes(way)), Passed);
            assert_eq!(bench.count(n, way).matched, 0);
        }
        assert_eq!(bench.held(), 0);
    });
}

#[test]
fn a_reordering_holds_its_share_and_lets_the_others_pass() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let hold = Hold {
            time_ns: 10 * MS,
            ..Hold::default()
        };
        let fault = holding(Kind::Reorder, percent(30), hold);
        let seeded = Fault {
            flags: HOLDS | SEEDED,
            seed: 5,
            ..fault
        };
        let n = bench.install(matching(), seeded);
        let lost = bench.losses(Way::Out, &v4(UDP).bytes(Way::Out), 1_000);
        let count = lost.iter().filter(|lost| **lost).count();
        assert_share(count, 1_000, 30.0, 4.0);
        assert_eq!(bench.held(), count as u64);
        assert_eq!(bench.count(n, Way::Out).affected, count as u64);
        bench.uninstall(n);
        // The same ones again.
        bench.install(matching(), seeded);
        assert_eq!(
            bench.losses(Way::Out, &v4(UDP).bytes(Way::Out), 1_000),
            lost
        );
    });
}

#[test]
fn a_packet_has_as_many_copies_as_all_faults_make_and_each_is_held() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let first = bench.install(matching(), duplicate(2));
        bench.install(matching(), duplicate(1));
        let bytes = v4(UDP).bytes(Way::Out);
        // Nobody holds them yet: they go on beside the packet.
        assert_eq!(bench.verdict(Way::Out, &bytes), Passed);
        assert_eq!(bench.held(), 0);
        bench.install(matching(), delay(MS));
        assert_eq!(bench.verdict(Way::Out, &bytes), Lost);
        assert_eq!(bench.held(), 4);
        bench.uninstall(first);
        assert_eq!(bench.verdict(Way::Out, &bytes), Lost);
        assert_eq!(bench.held(), 6);
    });
}

#[test]
fn what_is_lost_is_neither_held_nor_copied() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let held = bench.install(matching(), delay(MS));
        bench.install(matching(), lose_all());
        let behind = bench.install(matching(), duplicate(1));
        for way in BOTH {
            assert_eq!(bench.verdict(way, &v4(UDP).bytes(way)), Lost);
            assert_eq!(bench.count(held, way).affected, 1);
            assert_eq!(bench.count(behind, way).matched, 0);
        }
        assert_eq!(bench.held(), 0);
    });
}

/// A frame that takes a second, and a queue of so many seconds.
fn slow(bytes: usize, burst: u64, queue: u64) -> Fault {
    const SECOND: u64 = 1_000_000_000;
    let hold = Hold {
        ns_per_byte: (SECOND << 20) / u64::try_from(bytes).unwrap(),
        burst_ns: burst * SECOND,
        queue_ns: queue * SECOND,
        ..Hold::default()
    };
    holding(Kind::Bandwidth, ONE, hold)
}

#[test]
fn a_link_takes_what_its_queue_has_room_for_and_drops_the_tail() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        for way in BOTH {
            let bytes = v4(UDP).bytes(way);
            let before = bench.held();
            let n = bench.install(matching(), slow(bytes.len(), 0, 5));
            let lost = bench.losses(way, &bytes, 20);
            // Held or dropped: the original is gone in any case.
            assert_eq!(lost, [true; 20]);
            let count = bench.count(n, way);
            let taken = bench.held() - before;
            // One on the wire and five in the queue; the test may take a second.
            assert!((6..=7).contains(&taken), "{taken}");
            assert_eq!(count.tail_dropped, 20 - taken);
            assert_eq!((count.matched, count.affected, count.overflow), (20, 20, 0));
            bench.uninstall(n);
        }
    });
}

#[test]
fn an_idle_link_lets_a_burst_pass_without_holding_it() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let bytes = v4(UDP).bytes(Way::Out);
        bench.install(matching(), slow(bytes.len(), 4, 100));
        let held = bench.losses(Way::Out, &bytes, 10);
        let passed = held.iter().filter(|held| !**held).count();
        assert!((4..=5).contains(&passed), "{held:?}");
        assert_eq!(bench.held(), 10 - passed as u64);
    });
}

#[test]
fn each_direction_is_a_link_of_its_own() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let n = bench.install(matching(), slow(v4(UDP).bytes(Way::Out).len(), 0, 3));
        for way in BOTH {
            bench.losses(way, &v4(UDP).bytes(way), 10);
            let dropped = bench.count(n, way).tail_dropped;
            assert!((5..=6).contains(&dropped), "{way:?}: {dropped}");
        }
    });
}
