//! The detours: veth or netkit pairs through which faults send the packets they must hold, or must
//! see one wire segment at a time.
//!
//! Both ends stand in the target's network namespace. They have no address of any family, answer
//! no ARP, join no multicast group and merge no packets. Nothing enters a pair but what a program
//! redirects there, so one that is left behind is inert.
//!
//! Those who manage a host's network find nothing to do on such a device: the kernel gives it no
//! IPv6 address (address generation is off, and IPv6 itself), its carrier is up from the moment it
//! is made, and it is in nobody's bridge. `NetworkManager` leaves every veth alone whose name does
//! not begin with `eth` (the rule `85-nm-unmanaged.rules` that it ships), systemd-networkd takes
//! only what a `.network` file matches, and Docker touches what it made itself. No property of a
//! device forbids them to: a configuration that matches every name (`Name=*`) matches these too,
//! and `chaosd*` is what to except there.

mod make;
mod ready;

use std::os::fd::BorrowedFd;

use super::{
    ALIAS, NetlinkError, delete_link, in_netns,
    qdisc::{self, Fq, Netem, Queue},
    socket::RouteSocket,
};

/// Smallest MTU: below 1280 the kernel treats IPv6 on the device differently, and 1500 costs
/// nothing.
const MIN_MTU: u32 = 1500;
/// Largest MTU a veth takes (`drivers/net/veth.c`: `ETH_MAX_MTU`).
const MAX_MTU: u32 = 65_535;

/// What a pair is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Splits: what comes out is one wire segment, with a real checksum.
    Segment,
    /// Holds packets as they are: a super-packet stays whole, a checksum that is still to be made
    /// stays to be made.
    Hold,
    /// The netem of one fault, by a number of 0 to 255. The queue comes before the device, so it
    /// sees a super-packet whole, and what comes out is its segments: what is to be judged one by
    /// one has gone through [`Role::Segment`] before.
    Netem(u8),
}

/// What a pair will be called: known, and journalled, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The end that packets are sent into.
    pub tx: String,
    /// The end where they come out.
    pub rx: String,
    /// The alias of both: what proves that they are ours.
    pub alias: String,
}

/// How packets get from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The far end's program runs while the near end sends (`drivers/net/netkit.c`: `netkit_xmit`,
    /// Linux 6.7), which saves the receive queue of a processor and its softirq. Without a program a
    /// packet is dropped.
    Netkit,
    /// The far end receives what the near end sent, as if by a wire.
    Veth,
}

/// Set to `veth` it makes every pair a veth, as on a kernel without netkit.
const KIND_ENV: &str = "CHAOSD_PAIRS";

impl Kind {
    /// The best that a kernel may have.
    fn best() -> Self {
        if std::env::var_os(KIND_ENV).is_some_and(|kind| kind == "veth") {
            Self::Veth
        } else {
            Self::Netkit
        }
    }
}

/// A pair to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What it is for.
    pub role: Role,
    /// What to try first: where the kernel refuses a netkit, it becomes a veth.
    pub kind: Kind,
    /// The largest MTU of the interfaces it serves, in bytes; brought within 1500 and 65535.
    pub mtu: u32,
    /// What holds the packets, at the sending end.
    pub queue: Queue,
}

impl Spec {
    /// One that splits.
    pub const fn segment(mtu: u32) -> Self {
        Self {
            role: Role::Segment,
            kind: Kind::Veth,
            mtu,
            queue: Queue::None,
        }
    }

    /// One that holds.
    pub fn hold(mtu: u32, fq: Fq) -> Self {
        Self {
            role: Role::Hold,
            kind: Kind::best(),
            mtu,
            queue: Queue::Fq(fq),
        }
    }

    /// The one of a fault of the kind netem.
    pub const fn netem(number: u8, mtu: u32, netem: Netem) -> Self {
        Self {
            role: Role::Netem(number),
            kind: Kind::Veth,
            mtu,
            queue: Queue::Netem(netem),
        }
    }
}

/// A pair that stands.
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
    /// What it came to be.
    pub kind: Kind,
}

/// The names of a pair of a plane: 15 characters at most, as the kernel allows, while the instance
/// and the plane are below 100.
pub fn names(instance: u32, plane: u32, role: Role) -> Names {
    let end = |letter: char| match role {
        Role::Segment | Role::Hold => format!("chaosd{instance}-{plane}{letter}"),
        Role::Netem(number) => format!("chaosd{instance}-{plane}{letter}{number}"),
    };
    let (tx, rx) = match role {
        Role::Segment => ('a', 'b'),
        Role::Hold => ('c', 'd'),
        Role::Netem(_) => ('e', 'f'),
    };
    Names {
        tx: end(tx),
        rx: end(rx),
        // The process too: another state directory has instances of the same numbers.
        alias: format!("{ALIAS} {instance} of pid {}", std::process::id()),
    }
}

/// The sending end of the pair that `device`, one of its ends, belongs to.
pub fn tx_of(device: &str) -> String {
    let Some((head, end)) = device.rsplit_once('-') else {
        return device.to_owned();
    };
    let letters = end.chars().map(|letter| match letter {
        'b' => 'a',
        'd' => 'c',
        'f' => 'e',
        other => other,
    });
    format!("{head}-{}", letters.collect::<String>())
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

/// Makes a pair for a plane, with its queue, and verifies it.
///
/// To undo it: [`super::delete_link`] with either of its [`names`]. When it fails it has undone
/// what it did.
///
/// # Errors
/// [`NetlinkError::NoQueue`] when the kernel lacks the queue; whatever it refused else.
pub fn create(
    netns: BorrowedFd<'_>,
    instance: u32,
    plane: u32,
    spec: &Spec,
) -> Result<Detour, NetlinkError> {
    let names = names(instance, plane, spec.role);
    for name in [&names.tx, &names.rx] {
        if name.len() >= libc::IFNAMSIZ {
            return Err(NetlinkError::NameTooLong(name.clone()));
        }
    }
    in_netns(netns, || {
        let mut socket = RouteSocket::open_here().map_err(NetlinkError::Open)?;
        if spec.kind == Kind::Netkit {
            match create_as(&mut socket, netns, &names, spec, Kind::Netkit) {
                Err(error) if !matches!(error, NetlinkError::NoQueue { .. }) => {
                    tracing::debug!(
                        device = names.tx,
                        "no netkit: {}",
                        crate::undo::chain(&error)
                    );
                }
                answer => return answer,
            }
        }
        create_as(&mut socket, netns, &names, spec, Kind::Veth)
    })
    .map_err(NetlinkError::Enter)?
}

fn create_as(
    socket: &mut RouteSocket,
    netns: BorrowedFd<'_>,
    names: &Names,
    spec: &Spec,
    kind: Kind,
) -> Result<Detour, NetlinkError> {
    make::pair(socket, names, spec, kind)?
        .judge()
        .and_then(|()| {
            let made = ready::set_up(socket, names, spec, kind)?;
            qdisc::set_root(socket, &made.tx_name, made.tx, &spec.queue)?;
            Ok(made)
        })
        .inspect_err(|_| {
            if let Err(error) = delete_link(netns, &names.tx, &names.alias) {
                tracing::warn!(device = names.tx, %error, "a half-made detour stays behind");
            }
        })
}

#[cfg(test)]
mod crossing_tests;
#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;
