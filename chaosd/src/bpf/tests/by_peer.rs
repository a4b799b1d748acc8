//! Delays by peer: whose packets are held. For how long is shown by `tests/delay.rs`; here an entry of
//! 0 without jitter, which holds nothing, shows which entry was found.

use std::time::{Duration, Instant};

use chaosd_ebpf::{BY_PEER, Fault, HOLDS};
use ipnet::IpNet;

use super::{
    BOTH, Bench, Lost, Passed, Verdict, Way,
    holding::{MS, delay, matching},
    on_a_plane,
    packets::{ICMP, Packet, TCP, UDP, v4, v6},
};

fn by_peer() -> Fault {
    Fault {
        flags: HOLDS | BY_PEER,
        ..delay(0)
    }
}

fn times(entries: &[(&str, u64)]) -> Vec<(IpNet, u64)> {
    let parse = |(net, time): &(&str, u64)| (net.parse().unwrap(), *time);
    entries.iter().map(parse).collect()
}

impl Bench {
    fn delay_by_peer(&mut self, entries: &[(&str, u64)]) -> u8 {
        self.install_by_peer(matching(), by_peer(), &times(entries))
    }

    /// Held packets are lost to their sender.
    #[track_caller]
    fn check_held(&self, packet: &Packet, expected: Verdict, case: &str) {
        for way in BOTH {
            let got = self.verdict(way, &packet.bytes(way));
            assert_eq!(got, expected, "{case}, {way:?}: {packet:?}");
        }
    }
}

#[test]
fn the_longest_prefix_that_covers_the_peer_decides_and_without_one_the_fault_does_not_act() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        for (entries, of_v4, of_v6) in [
            (&[("192.0.2.9/32", MS)][..], Lost, Passed),
            (&[("2001:db8::9/128", MS)], Passed, Lost),
            (&[("192.0.2.0/24", MS), ("2001:db8::/32", MS)], Lost, Lost),
            (&[("192.0.2.0/24", MS), ("192.0.2.9/32", 0)], Passed, Passed),
            (&[("192.0.2.0/24", 0), ("192.0.2.9/32", MS)], Lost, Passed),
            (
                &[("2001:db8::/32", MS), ("2001:db8::8/127", 0)],
                Passed,
                Passed,
            ),
            (
                &[("2001:db8::/32", 0), ("2001:db8::8/127", MS)],
                Passed,
                Lost,
            ),
            (&[("0.0.0.0/0", MS), ("192.0.2.8/32", 0)], Lost, Passed),
            (&[("::/0", MS), ("2001:db8::8/128", 0)], Passed, Lost),
            (
                &[("192.0.2.8/32", MS), ("c000:209::/32", MS)],
                Passed,
                Passed,
            ),
        ] {
            let n = bench.delay_by_peer(entries);
            let case = format!("{entries:?}");
            for protocol in [TCP, UDP, ICMP] {
                bench.check_held(&v4(protocol), of_v4, &case);
            }
            for protocol in [TCP, UDP] {
                bench.check_held(&v6(protocol), of_v6, &case);
            }
            let count = bench.count(n, Way::Out);
            let held = |verdict, packets| if verdict == Lost { packets } else { 0 };
            let acted = held(of_v4, 3) + held(of_v6, 2);
            assert_eq!((count.matched, count.affected), (5, acted), "{case}");
            bench.uninstall(n);
        }
    });
}

#[test]
fn faults_side_by_side_have_delays_of_their_own_and_each_counts_what_it_holds() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let first = bench.delay_by_peer(&[("192.0.2.9/32", MS), ("2001:db8::9/128", 0)]);
        let second = bench.delay_by_peer(&[("192.0.2.9/32", 0), ("2001:db8::9/128", MS)]);
        bench.check_held(&v4(UDP), Lost, "both");
        bench.check_held(&v6(UDP), Lost, "both");
        for n in [first, second] {
            assert_eq!(bench.count(n, Way::In).affected, 1);
        }
        bench.uninstall(first);
        bench.check_held(&v4(UDP), Passed, "the second");
        bench.check_held(&v6(UDP), Lost, "the second");
    });
}

#[test]
fn a_number_that_is_used_again_inherits_no_delays() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let n = bench.delay_by_peer(&[("192.0.2.0/24", MS), ("2001:db8::/32", MS)]);
        bench.check_held(&v4(UDP), Lost, "before");
        bench.uninstall(n);
        bench.check_held(&v4(UDP), Passed, "between");
        assert_eq!(bench.delay_by_peer(&[("198.51.100.1/32", MS)]), n);
        bench.check_held(&v4(UDP), Passed, "after");
        bench.check_held(&v6(UDP), Passed, "after");
    });
}

#[test]
fn a_delay_for_everybody_beside_one_by_peer_holds_everybody() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        bench.delay_by_peer(&[("198.51.100.1/32", MS)]);
        bench.install(matching(), delay(MS));
        bench.check_held(&v4(UDP), Lost, "the same for all");
    });
}

#[test]
fn thousands_of_peers_go_in_and_out_without_a_wait() {
    on_a_plane(|bench| {
        bench.use_a_pair();
        let net = |n: u32| IpNet::from(std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        let many: Vec<_> = (0..4000).map(|n| (net(n), MS)).collect();
        let since = Instant::now();
        let n = bench.install_by_peer(matching(), by_peer(), &many);
        let near = Packet {
            remote: "10.0.15.159".parse().unwrap(),
            ..v4(UDP)
        };
        bench.check_held(&near, Lost, "the last of them");
        bench.uninstall(n);
        let took = since.elapsed();
        // A tenth of a second where nothing is emulated.
        assert!(took < Duration::from_secs(5), "{took:?}");
        bench.check_held(&near, Passed, "afterwards");
    });
}
