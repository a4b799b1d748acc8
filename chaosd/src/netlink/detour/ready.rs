//! A pair that was made is put into service: offloads as its role wants them, up, read back.

use std::{fs, io};

use rtnetlink::{
    LinkUnspec,
    packet_route::link::{LinkAttribute, LinkFlags, LinkMessage},
};

use super::{
    Detour, Kind, Names, Role, Spec,
    make::{mtu_of, set},
};
use crate::{
    netlink::{
        NetlinkError,
        interfaces::mtu,
        offloads::{merges, missing_to_stay_whole, sends_whole, switch_off},
        socket::{Request, RouteSocket, alias, get},
    },
    sys::ioctl::Ethtool,
};

/// Largest packet in bytes that a device may take whole (`GSO_MAX_SIZE`, linux/netdevice.h, from
/// Linux 5.19 on).
const GSO_MAX_SIZE: u32 = 8 * GSO_MAX_SEGS;
/// Most segments of one packet.
const GSO_MAX_SEGS: u32 = 65_535;

/// Sets the offloads, brings both ends up, and reads everything back.
pub(super) fn set_up(
    socket: &mut RouteSocket,
    names: &Names,
    spec: &Spec,
    kind: Kind,
) -> Result<Detour, NetlinkError> {
    set_offloads(names, spec.role)?;
    if spec.role == Role::Hold {
        take_the_largest(socket, &names.tx);
    }
    let links = socket.send_all(&[
        bring_up(&names.tx),
        bring_up(&names.rx),
        get(&names.tx),
        get(&names.rx),
    ])?;
    let mut ends = links.into_iter().flatten();
    Ok(Detour {
        tx: verified(ends.next(), &names.tx, names, spec)?,
        rx: verified(ends.next(), &names.rx, names, spec)?,
        tx_name: names.tx.clone(),
        rx_name: names.rx.clone(),
        kind,
    })
}

/// The second end of a netkit is not made with the flags it was asked to have
/// (`drivers/net/netkit.c`: `netkit_new_link`), so they are set before it is up.
fn bring_up(device: &str) -> Request {
    let change = LinkUnspec::new_with_name(device)
        .arp(false)
        .multicast(false)
        .up();
    set("bring up", device, change)
}

/// The receiving end never merges. The sending end splits and checksums, or, where packets are
/// held as they are, does neither.
fn set_offloads(names: &Names, role: Role) -> Result<(), NetlinkError> {
    let failed = |verb, device: &str| {
        let device = device.to_owned();
        move |source| NetlinkError::Change {
            verb,
            device,
            source,
        }
    };
    let unverified = |device: &str, wrong: String| NetlinkError::Unverified {
        device: device.to_owned(),
        wrong,
    };
    let ethtool = Ethtool::open().map_err(failed("open a socket for", &names.tx))?;
    for name in [&names.tx, &names.rx] {
        disable_ipv6(name).map_err(failed("disable IPv6 on", name))?;
    }
    let off = |name: &str, unwanted: fn(&str) -> bool| {
        let left = switch_off(&ethtool, name, unwanted)
            .map_err(failed("switch off the offloads of", name))?;
        if left.is_empty() {
            return Ok(());
        }
        Err(unverified(name, left.join(", ")))
    };
    off(&names.rx, merges)?;
    match role {
        Role::Segment | Role::Netem(_) => off(&names.tx, sends_whole),
        Role::Hold => {
            let missing = missing_to_stay_whole(&ethtool, &names.tx)
                .map_err(failed("read the offloads of", &names.tx))?;
            if missing.is_empty() {
                return Ok(());
            }
            let wrong = format!("switched off what a pair has on: {}", missing.join(", "));
            Err(unverified(&names.tx, wrong))
        }
    }
}

/// No interface's packet is larger than what the device takes whole. A kernel that does not take
/// such a size makes no such packets either: its own limit is the one of every interface.
fn take_the_largest(socket: &mut RouteSocket, device: &str) {
    let with = |attributes: Vec<LinkAttribute>| {
        let link = LinkUnspec::new_with_name(device);
        let change = attributes
            .into_iter()
            .fold(link, rtnetlink::LinkMessageBuilder::append_extra_attribute);
        set("raise the packet size of", device, change)
    };
    for request in [
        with(vec![LinkAttribute::GsoMaxSegs(GSO_MAX_SEGS)]),
        with(vec![LinkAttribute::GsoMaxSize(GSO_MAX_SIZE)]),
        // Linux 6.3; earlier ones have one limit for both families, and ignore it.
        with(vec![LinkAttribute::GsoIpv4MaxSize(GSO_MAX_SIZE)]),
    ] {
        if let Err(error) = socket.send_all(&[request]) {
            tracing::debug!(device, "{}", crate::undo::chain(&error));
        }
    }
}

/// The ifindex of an end, if it is as it was asked to be.
fn verified(
    link: Option<LinkMessage>,
    device: &str,
    names: &Names,
    spec: &Spec,
) -> Result<u32, NetlinkError> {
    let unverified = |wrong: String| NetlinkError::Unverified {
        device: device.to_owned(),
        wrong,
    };
    let link = link.ok_or_else(|| unverified("no entry in the kernel's list".to_owned()))?;
    if alias(&link) != names.alias {
        return Err(unverified(format!("the alias \"{}\"", alias(&link))));
    }
    if mtu(&link) != mtu_of(spec) {
        return Err(unverified(format!("an MTU of {}", mtu(&link))));
    }
    let flags = link.header.flags;
    if !flags.contains(LinkFlags::Up | LinkFlags::Noarp) || flags.contains(LinkFlags::Multicast) {
        return Err(unverified(format!("the flags {flags:?}")));
    }
    Ok(link.header.index)
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
