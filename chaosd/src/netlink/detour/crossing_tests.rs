//! In what shape packets come out at the far end of a pair.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt,
            socket, sockopt::UdpGsoSegment,
        },
        time::TimeVal,
    },
};

use super::{
    queue_tests::{pair, sender},
    *,
};
use crate::netlink::tests::skipped;

/// Sends one super-packet of ten datagrams of 1000 bytes into the pair, and returns the sizes of
/// the frames that come out. `None`, and said so, where the kernel lacks the queue.
fn sizes(spec: &Spec) -> Option<Vec<usize>> {
    let (netns, made) = pair(spec)?;
    let udp = sender(&netns, &made);
    let ear = ear(&netns);
    setsockopt(&udp, UdpGsoSegment, &1000).unwrap();
    match udp.send_to(&[7; 10_000], "10.9.0.2:9") {
        // Old kernels make no super-packet for a device that does not make its checksum
        // (net/ipv4/udp.c: udp_send_skb); one that is redirected there they do split.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {
            skipped("this kernel sends no super-packet to such a device");
            return None;
        }
        sent => assert_eq!(sent.unwrap(), 10_000),
    }
    let mut sizes = Vec::new();
    let mut frame = vec![0; 1 << 17];
    while sizes.iter().sum::<usize>() < 10_000 {
        match recvfrom::<LinkAddr>(ear.as_raw_fd(), &mut frame) {
            Ok((size, Some(from))) if from.ifindex() == made.rx as usize => sizes.push(size),
            // Leaving the sending end.
            Ok(_) => {}
            Err(Errno::EAGAIN) => panic!("only {sizes:?} came out within 5 s"),
            Err(error) => panic!("{error}"),
        }
    }
    Some(sizes)
}

/// Hears every frame of the namespace.
fn ear(netns: &OwnedFd) -> OwnedFd {
    let open = || {
        socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
    };
    let ear = in_netns(netns.as_fd(), open).unwrap().unwrap();
    let patience = TimeVal::new(5, 0);
    setsockopt(&ear, nix::sys::socket::sockopt::ReceiveTimeout, &patience).unwrap();
    ear
}

/// UDP, IPv4 and Ethernet.
const HEADERS: usize = 8 + 20 + 14;

#[test]
fn a_segmenting_pair_hands_over_one_wire_segment_at_a_time() {
    if let Some(sizes) = sizes(&Spec::segment(1500)) {
        assert_eq!(sizes, [1000 + HEADERS; 10]);
    }
}

#[test]
fn a_super_packet_crosses_a_hold_whole() {
    let bare = Spec {
        role: Role::Hold,
        kind: Kind::Veth,
        mtu: 1500,
        queue: Queue::None,
    };
    assert_eq!(sizes(&bare).unwrap(), [10_000 + HEADERS]);
    let queue = Spec {
        kind: Kind::Veth,
        ..Spec::hold(1500, Fq::default())
    };
    if let Some(sizes) = sizes(&queue) {
        assert_eq!(sizes, [10_000 + HEADERS]);
    }
}

#[test]
fn a_super_packet_is_one_to_a_netem_and_comes_out_in_wire_segments() {
    let once = Netem {
        limit: 1,
        delay_ns: 100_000_000,
        ..Netem::default()
    };
    if let Some(sizes) = sizes(&Spec::netem(0, 1500, once)) {
        assert_eq!(sizes, [1000 + HEADERS; 10]);
    }
}
