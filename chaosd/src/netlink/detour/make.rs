//! The pair comes to be.
//!
//! Invariant: there is no moment at which chaosd can die and leave a pair that it does not know
//! again, for the pair is made and named as ours in one datagram.

use std::io;

use rtnetlink::{
    LinkMessageBuilder, LinkNetkit, LinkUnspec, LinkVeth,
    packet_route::{
        RouteNetlinkMessage,
        link::{
            AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoNetkit, InfoVeth,
            LinkAttribute, LinkMessage, NetkitMode, NetkitPolicy,
        },
    },
};

use super::{Kind, MAX_MTU, MIN_MTU, Names, Queue, Spec};
use crate::netlink::{
    NetlinkError,
    socket::{Answer, Request, RouteSocket},
};

/// What the kernel said to each request that makes a pair.
pub(super) struct Made {
    requests: Vec<Request>,
    answers: Vec<Answer>,
}

/// Makes the pair and names it ours. Fails when no pair was made.
pub(super) fn pair(
    socket: &mut RouteSocket,
    names: &Names,
    spec: &Spec,
    kind: Kind,
) -> Result<Made, NetlinkError> {
    let requests = requests(names, spec, kind);
    // The kernel goes on after a refusal, so the requests after the first would name as ours what
    // somebody else has called by our name.
    for name in [&names.tx, &names.rx] {
        if socket.link(name)?.is_some() {
            let source = io::Error::from_raw_os_error(libc::EEXIST);
            return Err(requests[0].refused(source));
        }
    }
    let mut answers = socket
        .send(&requests)
        .map_err(|source| requests[0].refused(source))?;
    if answers.first().is_some_and(Result::is_err) {
        answers
            .swap_remove(0)
            .map_err(|source| requests[0].refused(source))?;
    }
    Ok(Made { requests, answers })
}

impl Made {
    /// Fails when a request was refused that must not be.
    pub(super) fn judge(self) -> Result<(), NetlinkError> {
        for (at, (answer, request)) in self.answers.into_iter().zip(&self.requests).enumerate() {
            match answer {
                // A kernel without IPv6, or with it switched off, has no such address to keep away.
                Err(source) if at >= 3 && is_no_ipv6(&source) => {}
                Err(source) => return Err(request.refused(source)),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

/// The MTU that a pair gets.
pub(super) fn mtu_of(spec: &Spec) -> u32 {
    spec.mtu.clamp(MIN_MTU, MAX_MTU)
}

/// Makes, names and isolates the pair; those after the third need a kernel with IPv6.
fn requests(names: &Names, spec: &Spec, kind: Kind) -> Vec<Request> {
    let ours = |name| {
        let alias = LinkUnspec::new_with_name(name).alias(&names.alias);
        set("name as ours the device", name, alias)
    };
    let no_address = |name| {
        let mode =
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
                In6AddrGenMode::None,
            )])]);
        let change = LinkUnspec::new_with_name(name).append_extra_attribute(mode);
        set("keep IPv6 addresses from the device", name, change)
    };
    let make = Request {
        verb: "make the detour device",
        device: names.tx.clone(),
        message: RouteNetlinkMessage::NewLink(creation(names, spec, kind)),
    };
    vec![
        make,
        ours(&names.tx),
        ours(&names.rx),
        no_address(&names.tx),
        no_address(&names.rx),
    ]
}

fn creation(names: &Names, spec: &Spec, kind: Kind) -> LinkMessage {
    let length = match spec.queue {
        Queue::None => 0,
        Queue::Fq(_) | Queue::Netem(_) => DEFAULT_LENGTH,
    };
    // With its program comes clsact, which counts as a queue.
    let peer = LinkUnspec::new_with_name(&names.rx);
    let peer = properties(peer, spec, DEFAULT_LENGTH).build();
    match kind {
        Kind::Veth => properties(LinkVeth::new(&names.tx, &names.rx), spec, length)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build(),
        Kind::Netkit => {
            let data = vec![
                InfoNetkit::Peer(peer),
                // The default mode has no Ethernet header.
                InfoNetkit::Mode(NetkitMode::L2),
                // Of a packet that no program takes care of: nothing comes out by itself.
                InfoNetkit::Policy(NetkitPolicy::Drop),
                InfoNetkit::PeerPolicy(NetkitPolicy::Drop),
            ];
            let end = LinkNetkit::new(&names.tx, &names.rx, NetkitMode::L2);
            properties(end, spec, length)
                .set_info_data(InfoData::Netkit(data))
                .build()
        }
    }
}

/// What the kernel would set, with a line in its log, when a device without any gets a queue
/// (`net/sched/sch_api.c`: `qdisc_create`). None of our queues looks at it.
const DEFAULT_LENGTH: u32 = 1000;

/// What both ends have in common from their first moment.
fn properties<T>(end: LinkMessageBuilder<T>, spec: &Spec, length: u32) -> LinkMessageBuilder<T> {
    end.mtu(mtu_of(spec))
        .txqueuelen(length)
        .arp(false)
        .multicast(false)
        .append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

pub(super) fn set(
    verb: &'static str,
    device: &str,
    change: LinkMessageBuilder<LinkUnspec>,
) -> Request {
    Request {
        verb,
        device: device.to_owned(),
        message: RouteNetlinkMessage::SetLink(change.build()),
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
    )
}
