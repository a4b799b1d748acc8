//! The interfaces of a network namespace, and which of them a fault hits by default.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    os::fd::BorrowedFd,
};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::{
    address::AddressMessage,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};

use super::{ALIAS, NetlinkError, addresses::own, block_on_in, socket::alias};
use crate::plan::Interface;

/// Every interface of `netns` but chaosd's own, in the order of their indices.
///
/// An interface is a default one when it is up and has an address that is not link-local, unless
/// it is loopback or stacked (VLAN, macvlan, ipvlan) on one that is: a packet would be hit twice.
pub fn interfaces(netns: BorrowedFd<'_>) -> Result<Vec<Interface>, NetlinkError> {
    let (links, addresses) = block_on_in(netns, async |handle| {
        let links = handle.link().get().execute().try_collect::<Vec<_>>().await;
        let addresses = handle.address().get().execute();
        let addresses = addresses.try_collect::<Vec<_>>().await;
        (links, addresses)
    })
    .map_err(NetlinkError::Enter)?;
    let links = links.map_err(|source| NetlinkError::List {
        what: "the network interfaces",
        source,
    })?;
    let addresses = addresses.map_err(|source| NetlinkError::List {
        what: "the addresses of the network interfaces",
        source,
    })?;
    Ok(from_dumps(&links, &addresses))
}

fn from_dumps(links: &[LinkMessage], addresses: &[AddressMessage]) -> Vec<Interface> {
    let global: HashSet<u32> = addresses
        .iter()
        .filter(|address| has_global_address(address))
        .map(|address| address.header.index)
        .collect();
    let lower: HashMap<u32, u32> = links
        .iter()
        .filter_map(|link| Some((link.header.index, lower_of(link)?)))
        .collect();
    let candidates: HashSet<u32> = links
        .iter()
        .filter(|link| {
            link.header.flags.contains(LinkFlags::Up)
                && !link.header.flags.contains(LinkFlags::Loopback)
                && global.contains(&link.header.index)
        })
        .map(|link| link.header.index)
        .collect();
    let stacked_on_a_candidate = |index: u32| {
        // The kernel allows 8 levels (MAX_NEST_DEV); the bound also ends a chain that changed
        // between two parts of the dump and so bites its tail.
        std::iter::successors(lower.get(&index), |at| lower.get(at))
            .take(8)
            .any(|at| candidates.contains(at))
    };
    let mut interfaces: Vec<Interface> = links
        .iter()
        .filter(|link| !alias(link).starts_with(ALIAS))
        .map(|link| {
            let index = link.header.index;
            let loopback = link.header.flags.contains(LinkFlags::Loopback);
            Interface {
                index,
                name: name(link).to_owned(),
                mtu: mtu(link),
                ethernet: matches!(
                    link.header.link_layer_type,
                    LinkLayerType::Ether | LinkLayerType::Loopback
                ),
                loopback,
                default: candidates.contains(&index) && !stacked_on_a_candidate(index),
            }
        })
        .collect();
    interfaces.sort_by_key(|interface| interface.index);
    interfaces
}

/// The name of a link.
pub(super) fn name(link: &LinkMessage) -> &str {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

/// The MTU of a link in bytes.
pub(super) fn mtu(link: &LinkMessage) -> u32 {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
        .unwrap_or_default()
}

/// The device that a VLAN, macvlan or ipvlan hands its packets to, when it is in the same network
/// namespace.
fn lower_of(link: &LinkMessage) -> Option<u32> {
    let mut lower = None;
    let mut stacked = false;
    for attribute in &link.attributes {
        match attribute {
            // IFLA_LINK_NETNSID: the lower device is in another namespace, its index means nothing.
            LinkAttribute::LinkNetNsId(_) => return None,
            LinkAttribute::Link(index) => lower = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                stacked = infos.iter().any(|info| {
                    matches!(
                        info,
                        LinkInfo::Kind(
                            InfoKind::Vlan
                                | InfoKind::MacVlan
                                | InfoKind::MacVtap
                                | InfoKind::IpVlan
                                | InfoKind::IpVtap
                        )
                    )
                });
            }
            _ => {}
        }
    }
    lower.filter(|_| stacked)
}

fn has_global_address(message: &AddressMessage) -> bool {
    match own(message) {
        Some(IpAddr::V4(ip)) => !ip.is_link_local() && !ip.is_loopback(),
        Some(IpAddr::V6(ip)) => !ip.is_unicast_link_local() && !ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use rtnetlink::{
        LinkMessageBuilder, LinkUnspec, LinkVeth, packet_route::address::AddressAttribute,
    };

    use super::*;
    use crate::netlink::{detour, tests::scratch_netns};

    #[test]
    fn an_interface_is_a_default_one_from_when_it_is_up_and_has_a_global_address() {
        let netns = scratch_netns();
        detour::create(netns.as_fd(), 1, 1, &detour::Spec::segment(1500)).unwrap();
        block_on_in(netns.as_fd(), async |handle| {
            let pair = LinkVeth::new("plain", "peer").build();
            handle.link().add(pair).execute().await.unwrap();
            for (name, address) in [("plain", "10.9.0.1"), ("peer", "169.254.3.3")] {
                let mut links = handle.link().get().match_name(name).execute();
                let index = links.try_next().await.unwrap().unwrap().header.index;
                let address: IpAddr = address.parse().unwrap();
                let add = handle.address().add(index, address, 24);
                add.execute().await.unwrap();
            }
        })
        .unwrap();
        assert_eq!(defaults(netns.as_fd()), Vec::<String>::new());
        block_on_in(netns.as_fd(), async |handle| {
            for name in ["plain", "peer"] {
                let up = LinkUnspec::new_with_name(name).up().build();
                handle.link().set(up).execute().await.unwrap();
            }
        })
        .unwrap();
        assert_eq!(defaults(netns.as_fd()), ["plain"]);
        let names: Vec<String> = interfaces(netns.as_fd())
            .unwrap()
            .into_iter()
            .map(|interface| interface.name)
            .collect();
        assert!(names.iter().all(|name| !name.starts_with("chaosd")));
    }

    fn defaults(netns: BorrowedFd<'_>) -> Vec<String> {
        interfaces(netns)
            .unwrap()
            .into_iter()
            .filter(|interface| interface.default)
            .map(|interface| interface.name)
            .collect()
    }

    /// As the kernel would list it: this kernel need not have such devices.
    fn link(index: u32, name: &str, on: Option<(InfoKind, u32)>) -> LinkMessage {
        let mut link = LinkMessageBuilder::<LinkUnspec>::new()
            .index(index)
            .name(name)
            .up()
            .build();
        if let Some((kind, lower)) = on {
            link.attributes.push(LinkAttribute::Link(lower));
            let info = vec![LinkInfo::Kind(kind)];
            link.attributes.push(LinkAttribute::LinkInfo(info));
        }
        link
    }

    fn address(index: u32, address: &str) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = index;
        let address = AddressAttribute::Address(address.parse().unwrap());
        message.attributes.push(address);
        message
    }

    #[test]
    fn a_packet_meets_one_default_interface_of_a_stack() {
        let mut elsewhere = link(6, "moved", Some((InfoKind::MacVlan, 2)));
        elsewhere.attributes.push(LinkAttribute::LinkNetNsId(0));
        let links = [
            link(2, "eth0", None),
            link(3, "eth0.7", Some((InfoKind::Vlan, 2))),
            link(4, "mac", Some((InfoKind::MacVlan, 3))),
            link(5, "bare", None),
            elsewhere,
            link(7, "bare.7", Some((InfoKind::Vlan, 5))),
            link(8, "veth", Some((InfoKind::Veth, 2))),
        ];
        let addresses = [
            address(2, "fd00::2"),
            address(3, "10.0.3.1"),
            address(4, "10.0.4.1"),
            address(5, "fe80::5"),
            address(6, "10.0.6.1"),
            address(7, "10.0.7.1"),
            address(8, "10.0.8.1"),
        ];
        let defaults: Vec<String> = from_dumps(&links, &addresses)
            .into_iter()
            .filter(|interface| interface.default)
            .map(|interface| interface.name)
            .collect();
        assert_eq!(defaults, ["eth0", "moved", "bare.7", "veth"]);
    }

    #[test]
    fn loopback_is_known_and_never_a_default() {
        let netns = scratch_netns();
        let interfaces = interfaces(netns.as_fd()).unwrap();
        let lo = &interfaces[0];
        assert_eq!((lo.index, lo.name.as_str()), (1, "lo"));
        assert!(lo.loopback && lo.ethernet && !lo.default);
        assert_eq!(lo.mtu, 65_536);
    }
}
