//! What the queues of the pairs do with packets, seen from their own counters.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::IoSlice,
    net::{SocketAddrV4, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
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
    tests::scratch_netns,
};

/// A pair in a namespace of its own; `None`, and said so, where the kernel lacks the queue.
fn pair(spec: &Spec) -> Option<(OwnedFd, Detour)> {
    let netns = scratch_netns();
    match create(netns.as_fd(), 7, 1, spec) {
        Ok(made) => Some((netns, made)),
        Err(NetlinkError::NoQueue { kind, .. }) => {
            println!("SKIPPED: this kernel has no {kind}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Gives the sending end an address, which a detour has not, so that a socket can send there.
fn sender(netns: &OwnedFd, made: &Detour) -> UdpSocket {
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
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    let now = u64::try_from(now.num_nanoseconds()).unwrap();
    let departure = now + u64::try_from(after.as_nanos()).unwrap();
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

const LATER: Duration = Duration::from_secs(900);

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

/// Why the program must give packets of one flow different hashes where they may overtake.
#[test]
fn a_packet_waits_for_an_earlier_one_of_its_flow() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::default())) else {
        return;
    };
    let socket = sender(&netns, &made);
    send(&socket, Duration::from_millis(400));
    send(&socket, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(100));
    let held = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!((held.packets, held.sent_packets), (2, 0));
    settles(&netns, &made, |held| held.sent_packets == 2);
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

#[test]
fn the_queue_stands_at_the_root_of_the_sending_end_alone_and_goes_with_it() {
    let Some((netns, made)) = pair(&Spec::hold(1500, Fq::default())) else {
        return;
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
    send(&sender(&netns, &made), LATER);
    let names = names(7, 1, Role::Hold);
    assert!(delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
    assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
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
