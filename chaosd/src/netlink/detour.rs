//! The detour: a veth pair through which faults send the packets they must hold, or must see one
//! wire segment at a time.
//!
//! Both ends stand in the target's network namespace. They have no address of any family, answer
//! no ARP, and do not merge or split packets. Nothing enters the pair but what a program redirects
//! there, so one that is left behind is inert.

use std::{fs, io, os::fd::BorrowedFd};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::{
        RouteNetlinkMessage,
        link::{
            AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute,
            LinkFlags, LinkMessage,
        },
    },
};

use super::{
    ALIAS, NetlinkError, delete_link, in_netns,
    interfaces::mtu,
    offloads::{merges, sends_whole, switch_off},
    socket::{Answer, Request, RouteSocket, alias, get},
};
use crate::sys::ioctl::Ethtool;

/// Smallest MTU: below 1280 the kernel treats IPv6 on the device differently, and 1500 costs
/// nothing.
const MIN_MTU: u32 = 1500;
/// Largest MTU a veth takes (`drivers/net/veth.c`: `ETH_MAX_MTU`).
const MAX_MTU: u32 = 65_535;

/// What a detour will be called: known, and journalled, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The end that packets are sent into.
    pub tx: String,
    /// The end where they come out.
    pub rx: String,
    /// The alias of both: what proves that they are ours.
    pub alias: String,
}

/// A detour that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// ifindex of the sending end.
    pub tx: u32,
    /// ifindex of the receiving end.
    pub rx: u32,
    /// Name of the sending end.
    pub tx_name: String,
    /// Name of the receiving end.
    pub rx_name: String,
}

/// The names of the detour of a plane.
pub fn names(instance: u32, plane: u32) -> Names {
    Names {
        tx: format!("chaosd{instance}-{plane}a"),
        rx: format!("chaosd{instance}-{plane}b"),
        // The process too: another state directory has instances of the same numbers.
        alias: format!("{ALIAS} {instance} of pid {}", std::process::id()),
    }
}

/// The instance that an alias names; `None` when it is not one of ours.
pub fn instance_of(alias: &str) -> Option<u32> {
    alias
        .strip_prefix(ALIAS)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The process that an alias names: who made the device.
pub fn process_of(alias: &str) -> Option<u32> {
    alias
        .strip_prefix(ALIAS)?
        .split_once(" of pid ")?
        .1
        .parse()
        .ok()
}

/// Makes the detour of a plane, for interfaces of at most `mtu` bytes, and verifies it.
///
/// To undo it: [`super::delete_link`] with either of its [`names`]. When it fails it has undone
/// what it did.
pub fn create(
    netns: BorrowedFd<'_>,
    instance: u32,
    plane: u32,
    mtu: u32,
) -> Result<Detour, NetlinkError> {
    let names = names(instance, plane);
    if names.tx.len() >= libc::IFNAMSIZ {
        return Err(NetlinkError::NameTooLong(names.tx));
    }
    let mtu = mtu.clamp(MIN_MTU, MAX_MTU);
    in_netns(netns, || {
        let mut socket = RouteSocket::open_here().map_err(NetlinkError::Open)?;
        let requests = requests(&names, mtu);
        let answers = add(&mut socket, &names, &requests)?;
        judge(answers, &requests)
            .and_then(|()| set_up(&mut socket, &names, mtu))
            .inspect_err(|_| {
                if let Err(error) = delete_link(netns, &names.tx, &names.alias) {
                    tracing::warn!(device = names.tx, %error, "a half-made detour stays behind");
                }
            })
    })
    .map_err(NetlinkError::Enter)?
}

/// Makes the pair and names it ours, in one datagram: there is no moment at which chaosd can die
/// and leave a pair that it does not know again. Fails when no pair was made.
fn add(
    socket: &mut RouteSocket,
    names: &Names,
    requests: &[Request],
) -> Result<Vec<Answer>, NetlinkError> {
    // The kernel goes on after a refusal, so the requests after the first would name as ours what
    // somebody else has called by our name.
    for name in [&names.tx, &names.rx] {
        if socket.link(name)?.is_some() {
            let source = io::Error::from_raw_os_error(libc::EEXIST);
            return Err(requests[0].refused(source));
        }
    }
    let mut answers = socket
        .send(requests)
        .map_err(|source| requests[0].refused(source))?;
    if answers.first().is_some_and(Result::is_err) {
        answers
            .swap_remove(0)
            .map_err(|source| requests[0].refused(source))?;
    }
    Ok(answers)
}

/// Makes, names and isolates the pair; those after the third need a kernel with IPv6.
fn requests(names: &Names, mtu: u32) -> Vec<Request> {
    let peer = properties(LinkUnspec::new_with_name(&names.rx), mtu).build();
    let pair = properties(LinkVeth::new(&names.tx, &names.rx), mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
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
        message: RouteNetlinkMessage::NewLink(pair),
    };
    vec![
        make,
        ours(&names.tx),
        ours(&names.rx),
        no_address(&names.tx),
        no_address(&names.rx),
    ]
}

/// Fails when a request was refused that must not be.
fn judge(answers: Vec<Answer>, requests: &[Request]) -> Result<(), NetlinkError> {
    for (at, (answer, request)) in answers.into_iter().zip(requests).enumerate() {
        match answer {
            // A kernel without IPv6, or with it switched off, has no such address to keep away.
            Err(source) if at >= 3 && is_no_ipv6(&source) => {}
            Err(source) => return Err(request.refused(source)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Switches off what must be off, brings both ends up, and reads everything back.
fn set_up(socket: &mut RouteSocket, names: &Names, mtu: u32) -> Result<Detour, NetlinkError> {
    let failed = |verb, device: &str| {
        let device = device.to_owned();
        move |source| NetlinkError::Change {
            verb,
            device,
            source,
        }
    };
    let ethtool = Ethtool::open().map_err(failed("open a socket for", &names.tx))?;
    for (name, unwanted) in [
        (&names.tx, sends_whole as fn(&str) -> bool),
        (&names.rx, merges),
    ] {
        disable_ipv6(name).map_err(failed("disable IPv6 on", name))?;
        let left = switch_off(&ethtool, name, unwanted)
            .map_err(failed("switch off the offloads of", name))?;
        if !left.is_empty() {
            return Err(NetlinkError::Unverified {
                device: name.clone(),
                wrong: left.join(", "),
            });
        }
    }
    let links = socket.send_all(&[
        set(
            "bring up",
            &names.tx,
            LinkUnspec::new_with_name(&names.tx).up(),
        ),
        set(
            "bring up",
            &names.rx,
            LinkUnspec::new_with_name(&names.rx).up(),
        ),
        get(&names.tx),
        get(&names.rx),
    ])?;
    let mut ends = links.into_iter().flatten();
    Ok(Detour {
        tx: verified(ends.next(), &names.tx, names, mtu)?,
        rx: verified(ends.next(), &names.rx, names, mtu)?,
        tx_name: names.tx.clone(),
        rx_name: names.rx.clone(),
    })
}

/// The ifindex of an end, if it is as it was asked to be.
fn verified(
    link: Option<LinkMessage>,
    device: &str,
    names: &Names,
    asked_mtu: u32,
) -> Result<u32, NetlinkError> {
    let unverified = |wrong: String| NetlinkError::Unverified {
        device: device.to_owned(),
        wrong,
    };
    let link = link.ok_or_else(|| unverified("no entry in the kernel's list".to_owned()))?;
    if alias(&link) != names.alias {
        return Err(unverified(format!("the alias \"{}\"", alias(&link))));
    }
    if mtu(&link) != asked_mtu {
        return Err(unverified(format!("an MTU of {}", mtu(&link))));
    }
    let flags = link.header.flags;
    if !flags.contains(LinkFlags::Up | LinkFlags::Noarp) || flags.contains(LinkFlags::Multicast) {
        return Err(unverified(format!("the flags {flags:?}")));
    }
    Ok(link.header.index)
}

/// What both ends have in common from their first moment.
fn properties<T>(end: LinkMessageBuilder<T>, mtu: u32) -> LinkMessageBuilder<T> {
    end.mtu(mtu)
        .txqueuelen(0)
        .arp(false)
        .multicast(false)
        .append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

fn set(verb: &'static str, device: &str, change: LinkMessageBuilder<LinkUnspec>) -> Request {
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

/// Goes further than the address mode: the stack then neither sends nor takes IPv6 there.
fn disable_ipv6(device: &str) -> io::Result<()> {
    match fs::write(
        format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"),
        "1",
    ) {
        // No IPv6 in this kernel, so nothing to disable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use futures_util::TryStreamExt;

    use super::*;
    use crate::netlink::{
        block_on_in, leftovers, offloads::active, read_sysctl, tests::scratch_netns,
    };

    fn active_features(netns: BorrowedFd<'_>, device: &str) -> Vec<String> {
        in_netns(netns, || active(&Ethtool::open().unwrap(), device).unwrap()).unwrap()
    }

    #[test]
    fn a_detour_neither_splits_later_nor_merges_and_checksums_at_once() {
        let netns = scratch_netns();
        let made = create(netns.as_fd(), 7, 3, 9000).unwrap();
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
        let made = create(netns.as_fd(), 7, 4, 1500).unwrap();
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
        let made = create(netns.as_fd(), 7, 5, 65_536).unwrap();
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
        create(netns.as_fd(), 7, 6, 1500).unwrap();
        let names = names(7, 6);
        assert_eq!(leftovers(netns.as_fd()).unwrap().len(), 2);
        assert!(delete_link(netns.as_fd(), &names.rx, &names.alias).unwrap());
        assert!(!delete_link(netns.as_fd(), &names.tx, &names.alias).unwrap());
        assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
    }

    #[test]
    fn deletion_spares_a_foreign_device_of_the_same_name() {
        let netns = scratch_netns();
        let names = names(7, 8);
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
        let error = create(netns.as_fd(), 7, 8, 1500).unwrap_err();
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
        let error = create(netns.as_fd(), u32::MAX, 1, 1500).unwrap_err();
        assert!(matches!(error, NetlinkError::NameTooLong(_)));
        assert_eq!(leftovers(netns.as_fd()).unwrap(), []);
    }
}
