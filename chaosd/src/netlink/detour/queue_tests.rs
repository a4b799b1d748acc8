//! What the queues of the pairs do with packets, seen from their own counters.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::IoSlice,
    net::{SocketAddrV4, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt::TxTime},
        time::TimeValLike,
    },
    time::{ClockId, clock_gettime},
};
use rtnetlink::packet_route::link::LinkAttribute;

use super::*;
use crate::netlink::{
    block_on_in, leftovers,
    qdisc::{QueueStats, backlog, netem::Chance, netem::probability},
    tests::{scratch_netns, skipped},
};

/// A pair in a namespace of its own; `None`, and said so, where the kernel lacks the queue.
pub(super) fn pair(spec: &Spec) -> Option<(OwnedFd, Detour)> {
    let netns = scratch_netns();
    match create(netns.as_fd(), 7, 1, spec) {
        Ok(made) => Some((netns, made)),
        Err(NetlinkError::NoQueue { kind, .. }) => {
            skipped(&format!("this kernel has no {kind}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Gives the sending end an address, which a detour has not, so that a socket can send there.
pub(super) fn sender(netns: &OwnedFd, made: &Detour) -> UdpSocket {
    block_on_in(netns.as_fd(), async |handle| {
        let address = "10.9.0.1".parse().unwrap();
        let add = handle.address().add(made.tx, address, 24).replace();
        add.execute().await.unwrap();
    })
    .unwrap();
    let socket = in_netns(netns.as_fd(), || UdpSocket::bind("10.9.0.1:0"))
        .unwrap()
        .unwrap();
    let clock = libc::sock_txtime {
        clockid: libc::CLOCK_MONOTONIC,
        flags: 0,
    };
    setsockopt(&socket, TxTime, &clock).unwrap();
    socket
}

/// Sends a datagram that is to leave `after` from now.
fn send(socket: &UdpSocket, after: Duration) {
    send_at(socket, now_ns() + u64::try_from(after.as_nanos()).unwrap());
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.num_nanoseconds()).unwrap()
}

fn send_at(socket: &UdpSocket, departure: u64) {
    let to: SocketAddrV4 = "10.9.0.2:9".parse().unwrap();
    // A full queue answers ENOBUFS, or nothing, as the socket likes: the queue's own count tells.
    let _told = sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(&[0; 100])],
        &[ControlMessage::TxTime(&departure)],
        MsgFlags::empty(),
        Some(&SockaddrIn::from(to)),
    );
}

/// Waits until the queue's own figures are as asked.
fn settles(netns: &OwnedFd, made: &Detour, wanted: impl Fn(&QueueStats) -> bool) -> QueueStats {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let stats = backlog(netns.as_fd(), made.tx).unwrap();
        if wanted(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{stats:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const LATER: Duration = Duration::from_mins(15);

#[test]
fn a_packet_waits_for_its_time_and_one_too_many_is_counted() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::holding(3))) else {
        return;
    };
    let socket = sender(&netns, &made);
    for _ in 0..5 {
        send(&socket, LATER);
    }
    let held = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!((held.packets, held.drops, held.sent_packets), (3, 2, 0));
    // A frame of 100 bytes of payload, and UDP, IPv4 and Ethernet headers.
    assert_eq!(held.bytes, 3 * (100 + 8 + 20 + 14));
}

#[test]
fn a_packet_leaves_at_its_time() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::default())) else {
        return;
    };
    let socket = sender(&netns, &made);
    let begun = Instant::now();
    send(&socket, Duration::from_millis(300));
    assert_eq!(backlog(netns.as_fd(), made.tx).unwrap().packets, 1);
    let left = settles(&netns, &made, |held| held.packets == 0);
    let took = begun.elapsed();
    assert_eq!((left.sent_packets, left.drops), (1, 0));
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

/// The receiving end's backlog holds 1000 packets (`net.core.netdev_max_backlog`).
#[test]
fn packets_that_are_due_at_once_all_come_out() {
    const PACKETS: usize = 3000;
    // Of a netkit nothing is received while no program stands at its end.
    let spec = Spec {
        kind: Kind::Veth,
        ..Spec::hold(1500, Fq::default())
    };
    let Some((netns, made)) = pair(&spec) else {
        return;
    };
    // Each socket's buffer holds a part.
    let sockets: Vec<UdpSocket> = (0..30).map(|_| sender(&netns, &made)).collect();
    let departure = now_ns() + 3_000_000_000;
    for socket in sockets.iter().cycle().take(PACKETS) {
        send_at(socket, departure);
    }
    let held = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!((held.packets as usize, held.drops), (PACKETS, 0));
    settles(&netns, &made, |held| held.packets == 0);
    let received = in_netns(netns.as_fd(), || {
        std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()
    });
    let received = received.unwrap();
    let line = received
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{}:", made.rx_name)))
        .unwrap();
    // bytes packets errs drop
    let figures: Vec<usize> = line
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    assert_eq!((figures[1], figures[3]), (PACKETS, 0), "{line}");
}

#[test]
fn a_packet_beyond_the_horizon_is_refused_and_counted() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::default())) else {
        return;
    };
    send(&sender(&netns, &made), Duration::from_secs(1100));
    let held = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!((held.packets, held.drops), (0, 1));
}

#[test]
fn packets_of_two_flows_do_not_wait_for_each_other() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::default())) else {
        return;
    };
    send(&sender(&netns, &made), LATER);
    send(&sender(&netns, &made), Duration::ZERO);
    let left = settles(&netns, &made, |held| held.sent_packets == 1);
    assert_eq!(left.packets, 1);
}

#[test]
fn a_netem_delays_and_loses_as_asked() {
    let lossy = Netem {
        limit: 1000,
        delay_ns: 300_000_000,
        loss: netem_loss(1.0),
        ..Netem::default()
    };
    let late = Netem {
        loss: netem_loss(0.0),
        ..lossy.clone()
    };
    let Some((netns, made)) = pair(&Spec::netem(4, 1500, lossy)) else {
        return;
    };
    let socket = sender(&netns, &made);
    for _ in 0..4 {
        send(&socket, Duration::ZERO);
    }
    let lost = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!((lost.packets, lost.drops), (0, 4));

    let (netns, made) = pair(&Spec::netem(4, 1500, late)).unwrap();
    let begun = Instant::now();
    send(&sender(&netns, &made), Duration::ZERO);
    assert_eq!(backlog(netns.as_fd(), made.tx).unwrap().packets, 1);
    settles(&netns, &made, |held| held.sent_packets == 1);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

fn netem_loss(fraction: f64) -> qdisc::netem::Loss {
    qdisc::netem::Loss::Random(Chance {
        probability: probability(fraction),
        correlation: 0,
    })
}

/// Every name under which the namespace knows a device.
fn devices(netns: &OwnedFd) -> Vec<String> {
    let names = in_netns(netns.as_fd(), || {
        let lists = [
            "/proc/thread-self/net/dev",
            "/proc/thread-self/net/dev_mcast",
        ];
        let text = lists.map(|list| std::fs::read_to_string(list).unwrap());
        let sysctls = std::fs::read_dir("/proc/sys/net/ipv4/conf").unwrap();
        let sysctls = sysctls.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let first = text.iter().flat_map(|list| list.lines());
        let first = first.filter_map(|line| line.split_once(':').map(|(name, _)| name.to_owned()));
        let mut all: Vec<String> = first.chain(sysctls).collect();
        all.sort();
        all
    });
    names.unwrap()
}

#[test]
fn the_queue_stands_at_the_root_of_the_sending_end_alone_and_leaves_no_trace() {
    let netns = scratch_netns();
    let before = devices(&netns);
    let made = match create(netns.as_fd(), 7, 1, &Spec::hold(1500, Fq::default())) {
        Ok(made) => made,
        Err(error) => {
            assert!(matches!(error, NetlinkError::NoQueue { .. }), "{error}");
            skipped("this kernel has no fq");
            assert_eq!(devices(&netns), before);
            return;
        }
    };
    let mut socket = RouteSocket::open(netns.as_fd()).unwrap();
    let mut kind = |name: &str| {
        let link = socket.link(name).unwrap().unwrap();
        link.attributes
            .into_iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Qdisc(kind) => Some(kind),
                _ => None,
            })
    };
    assert_eq!(kind(&made.tx_name).as_deref(), Some("fq"));
    assert_eq!(kind(&made.rx_name).as_deref(), Some("noqueue"));
    assert_ne!(devices(&netns), before);
    // With packets in it, too.
    send(&sender(&netns, &made), LATER);
    let names = names(7, 1, Role::Hold);
    assert!(delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
    assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
    assert_eq!(devices(&netns), before);
}

/// What `tc` says of a queue, an independent reader of the kernel's figures.
fn tc(netns: &OwnedFd, device: &str) -> String {
    let output = in_netns(netns.as_fd(), || {
        Command::new("tc")
            .args(["-d", "qdisc", "show", "dev", device])
            .output()
    });
    String::from_utf8(output.unwrap().unwrap().stdout).unwrap()
}

#[test]
fn tc_reads_the_queues_as_they_were_asked() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::holding(123_456))) else {
        return;
    };
    let fq = tc(&netns, &made.tx_name);
    assert!(fq.starts_with("qdisc fq 1: root"), "{fq}");
    let slack = format!("timer_slack {}us", chaosd_ebpf::SLACK_NS / 1000);
    for part in [
        "limit 123456p flow_limit 123456p",
        "buckets 32768",
        "orphan_mask 4294967295",
        "nopacing",
        "quantum 64Kb initial_quantum 64Kb",
        slack.as_str(),
        "horizon 1e+03s horizon_drop",
    ] {
        assert!(fq.contains(part), "no {part} in {fq}");
    }
    assert!(!fq.contains("ce_threshold"), "{fq}");
    let netem = Netem {
        limit: 777,
        delay_ns: 80_000_000,
        jitter_ns: 20_000_000,
        delay_correlation: probability(0.25),
        loss: netem_loss(0.02),
        ..Netem::default()
    };
    let (netns, made) = pair(&Spec::netem(4, 1500, netem)).unwrap();
    let netem = tc(&netns, &made.tx_name);
    assert!(netem.starts_with("qdisc netem 1: root"), "{netem}");
    let words: Vec<&str> = netem.split_whitespace().collect();
    let asked = "limit 777 delay 80ms 20ms 25% loss 2%";
    assert!(words.join(" ").contains(asked), "{netem}");
}

#[test]
fn tables_and_every_option_of_a_netem_are_taken_by_the_kernel() {
    use qdisc::netem::{Loss, Rate, Slot};
    let everything = Netem {
        limit: 777,
        delay_ns: 80_000_000,
        jitter_ns: 20_000_000,
        delay_correlation: probability(0.25),
        distribution: (0..4096).map(|n| (n - 2048) * 8).collect(),
        loss: Loss::GilbertElliott {
            p: probability(0.01),
            r: probability(0.1),
            h: probability(0.3),
            k1: 0,
        },
        ecn: true,
        duplicate: Chance {
            probability: probability(0.01),
            correlation: probability(0.05),
        },
        reorder: Chance {
            probability: probability(0.25),
            correlation: probability(0.5),
        },
        gap: 5,
        corrupt: Chance {
            probability: probability(0.001),
            correlation: 0,
        },
        rate: Some(Rate {
            bytes_per_second: 5_000_000_000,
            packet_overhead: 20,
            cell_size: 53,
            cell_overhead: 5,
        }),
        slot: Some(Slot {
            mean_ns: 1_000_000,
            jitter_ns: 100_000,
            max_packets: 16,
            distribution: (0..4096).map(|n| n - 2048).collect(),
            ..Slot::default()
        }),
        seed: Some(42),
    };
    if let Some((netns, made)) = pair(&Spec::netem(9, 1500, everything)) {
        assert_eq!(
            backlog(netns.as_fd(), made.tx).unwrap(),
            QueueStats::default()
        );
    }
}
