//! Pairs in namespaces of their own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::os::fd::AsFd;

use futures_util::TryStreamExt;
use rtnetlink::{
    LinkVeth,
    packet_route::{RouteNetlinkMessage, link::LinkAttribute},
};

use super::*;
use crate::{
    netlink::{
        block_on_in,
        interfaces::mtu,
        leftovers,
        offloads::active,
        qdisc::{QueueStats, backlog},
        read_sysctl,
        socket::Request,
        tests::{scratch_netns, skipped},
    },
    sys::ioctl::Ethtool,
};

/// False, and said so, where the kernel lacks the queue: nothing of it can be seen there.
fn lacks(made: &Result<Detour, NetlinkError>) -> bool {
    let lacking = matches!(made, Err(NetlinkError::NoQueue { .. }));
    if lacking {
        skipped("this kernel has no fq");
    }
    lacking
}

fn active_features(netns: BorrowedFd<'_>, device: &str) -> Vec<String> {
    in_netns(netns, || active(&Ethtool::open().unwrap(), device).unwrap()).unwrap()
}

#[test]
fn a_detour_neither_splits_later_nor_merges_and_checksums_at_once() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 3, &Spec::segment(9000)).unwrap();
    let tx = active_features(netns.as_fd(), &made.tx_name);
    for off in [
        "tx-checksum-ip-generic",
        "tx-checksum-sctp",
        "tx-generic-segmentation",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-udp-segmentation",
    ] {
        assert!(!tx.iter().any(|on| on == off), "{off} is on");
    }
    let rx = active_features(netns.as_fd(), &made.rx_name);
    assert!(!rx.iter().any(|on| on == "rx-gro"));
}

#[test]
fn the_offloads_named_here_are_on_for_any_other_veth() {
    let netns = scratch_netns();
    block_on_in(netns.as_fd(), async |handle| {
        let pair = LinkVeth::new("plain", "peer").build();
        handle.link().add(pair).execute().await.unwrap();
    })
    .unwrap();
    let on = active_features(netns.as_fd(), "plain");
    for name in [
        "tx-checksum-ip-generic",
        "tx-tcp-segmentation",
        "tx-udp-segmentation",
    ] {
        assert!(on.iter().any(|feature| feature == name), "{name} is off");
    }
}

#[test]
fn a_detour_has_no_address_of_any_family() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 4, &Spec::segment(1500)).unwrap();
    let addresses = block_on_in(netns.as_fd(), async |handle| {
        let all = handle.address().get().execute();
        all.try_collect::<Vec<_>>().await.unwrap()
    })
    .unwrap();
    let ours = addresses
        .iter()
        .filter(|address| [made.tx, made.rx].contains(&address.header.index));
    assert_eq!(ours.count(), 0);
    for name in [&made.tx_name, &made.rx_name] {
        let key = format!("ipv6/conf/{name}/disable_ipv6");
        assert_eq!(read_sysctl(netns.as_fd(), &key).unwrap(), "1");
    }
}

#[test]
fn a_detour_carries_the_largest_interface() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 5, &Spec::segment(65_536)).unwrap();
    let all = crate::netlink::block_on_in(netns.as_fd(), async |handle| {
        let link = handle.link().get().match_index(made.tx).execute();
        link.try_collect::<Vec<_>>().await.unwrap()
    })
    .unwrap();
    assert_eq!(mtu(&all[0]), MAX_MTU);
}

#[test]
fn deletion_takes_the_pair_and_is_idempotent() {
    let netns = scratch_netns();
    create(netns.as_fd(), 7, 6, &Spec::segment(1500)).unwrap();
    let names = names(7, 6, Role::Segment);
    assert_eq!(leftovers(netns.as_fd()).unwrap().len(), 2);
    assert!(delete_link(netns.as_fd(), &names.rx, &names.alias).unwrap());
    assert!(!delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
    assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
}

#[test]
fn deletion_spares_a_foreign_device_of_the_same_name() {
    let netns = scratch_netns();
    let names = names(7, 8, Role::Segment);
    let mut socket = RouteSocket::open(netns.as_fd()).unwrap();
    let foreign = Request {
        verb: "add",
        device: names.tx.clone(),
        message: RouteNetlinkMessage::NewLink(LinkVeth::new(&names.tx, "theirs").build()),
    };
    socket.send_all(&[foreign]).unwrap();
    assert!(!delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
    assert!(socket.link(&names.tx).unwrap().is_some());
    // And making a detour of that name fails without touching it.
    let error = create(netns.as_fd(), 7, 8, &Spec::segment(1500)).unwrap_err();
    assert!(matches!(
        error,
        NetlinkError::Change { source, .. } if source.raw_os_error() == Some(libc::EEXIST)
    ));
    assert!(socket.link(&names.tx).unwrap().is_some());
    assert!(socket.link("theirs").unwrap().is_some());
}

#[test]
fn a_name_that_does_not_fit_is_refused_before_anything_is_made() {
    let netns = scratch_netns();
    let error = create(netns.as_fd(), u32::MAX, 1, &Spec::segment(1500)).unwrap_err();
    assert!(matches!(error, NetlinkError::NameTooLong(_)));
    assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
}

#[test]
fn every_name_fits_and_is_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for role in [Role::Segment, Role::Hold, Role::Netem(0), Role::Netem(255)] {
        for plane in [0, 6, 63] {
            let names = names(63, plane, role);
            assert!(names.tx.len() <= 15 && names.rx.len() <= 15, "{names:?}");
            assert_eq!(tx_of(&names.rx), names.tx);
            assert_eq!(tx_of(&names.tx), names.tx);
            assert!(seen.insert(names.tx) && seen.insert(names.rx));
        }
    }
}

#[test]
fn the_pairs_of_one_plane_stand_beside_each_other() {
    let netns = scratch_netns();
    create(netns.as_fd(), 7, 9, &Spec::segment(1500)).unwrap();
    let hold = create(netns.as_fd(), 7, 9, &Spec::hold(1500, Fq::default()));
    if lacks(&hold) {
        // And the refusal has taken back what it had made.
        assert_eq!(leftovers(netns.as_fd()).unwrap().len(), 2);
        return;
    }
    hold.unwrap();
    let netem = Netem {
        limit: 1000,
        delay_ns: 5_000_000,
        ..Netem::default()
    };
    let netem = create(netns.as_fd(), 7, 9, &Spec::netem(255, 1500, netem)).unwrap();
    assert_eq!(netem.tx_name, "chaosd7-9e255");
    assert_eq!(leftovers(netns.as_fd()).unwrap().len(), 6);
    for role in [Role::Segment, Role::Hold, Role::Netem(255)] {
        let names = names(7, 9, role);
        assert!(delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
    }
    assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
}

#[test]
fn a_kernel_without_the_queue_is_told_by_its_option_and_keeps_nothing() {
    let netns = scratch_netns();
    let held = create(netns.as_fd(), 7, 1, &Spec::hold(1500, Fq::default()));
    let there = leftovers(netns.as_fd()).unwrap().len();
    match held {
        Ok(_) => assert_eq!(there, 2),
        Err(error) => {
            assert_eq!(
                error.to_string(),
                "the kernel has no fq: it needs CONFIG_NET_SCH_FQ (module sch_fq)"
            );
            assert_eq!(there, 0);
        }
    }
}

/// The pair of a hold as it is before it gets its queue, which not every kernel has.
fn hold_without_queue() -> Spec {
    Spec {
        role: Role::Hold,
        kind: Kind::best(),
        mtu: 9000,
        queue: Queue::None,
    }
}

#[test]
fn a_hold_lets_packets_cross_as_they_are() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 2, &hold_without_queue()).unwrap();
    let tx = active_features(netns.as_fd(), &made.tx_name);
    for on in [
        "tx-checksum-ip-generic",
        "tx-generic-segmentation",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
        "tx-udp-segmentation",
    ] {
        assert!(tx.iter().any(|feature| feature == on), "{on} is off");
    }
    let rx = active_features(netns.as_fd(), &made.rx_name);
    assert!(!rx.iter().any(|on| on == "rx-gro"));
}

#[test]
fn a_hold_takes_the_largest_packet_that_there_is() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 3, &hold_without_queue()).unwrap();
    let mut socket = RouteSocket::open(netns.as_fd()).unwrap();
    let link = socket.link(&made.tx_name).unwrap().unwrap();
    let (mut size, mut ipv4, mut segments, mut most) = (0, None, 0, 0);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::GsoMaxSize(n) => size = *n,
            LinkAttribute::GsoIpv4MaxSize(n) => ipv4 = Some(*n),
            LinkAttribute::GsoMaxSegs(n) => segments = *n,
            LinkAttribute::TsoMaxSize(n) => most = *n,
            _ => {}
        }
    }
    // The device's own bound is what any interface of this kernel can have.
    assert_eq!(size, most);
    assert!(size > 65_536, "{size}");
    assert!(ipv4.is_none_or(|n| n == size), "{ipv4:?}");
    assert_eq!(segments, 65_535);
}

#[test]
fn a_device_without_a_queue_holds_nothing() {
    let netns = scratch_netns();
    let made = create(netns.as_fd(), 7, 4, &Spec::segment(1500)).unwrap();
    let held = backlog(netns.as_fd(), made.tx).unwrap();
    assert_eq!(held, QueueStats::default());
    let error = backlog(netns.as_fd(), 9999).unwrap_err();
    assert!(matches!(
        error,
        NetlinkError::Change { source, .. } if source.raw_os_error() == Some(libc::ENODEV)
    ));
}
