//! The queues at the root of our own devices: set, read back, and asked what they hold.
//!
//! Invariant: only a device of ours is ever given a queue, and it is deleted with the device.

mod attributes;
mod fq;
pub mod netem;

pub use fq::Fq;
pub use netem::Netem;

use std::{io, os::fd::BorrowedFd};

use rtnetlink::{
    packet_core::{DefaultNla, Nla},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage, TcOption, TcStats2},
    },
};

use super::{
    NetlinkError,
    socket::{Request, RouteSocket},
};

/// `TCA_OPTIONS`: the crate knows the options of neither queue, so they are bytes.
const OPTIONS: u16 = 2;
/// `TCA_STATS_PKT64`: packets sent, once they are more than 32 bits can count (Linux 5.5).
const PACKETS_64: u16 = 8;

/// The queue of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// None: a packet crosses at once.
    None,
    /// Each packet leaves at the time it bears.
    Fq(Fq),
    /// The kernel's emulator.
    Netem(Netem),
}

/// What a queue holds and has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Packets in it now; a super-packet is one.
    pub packets: u32,
    /// Bytes in it now.
    pub bytes: u32,
    /// Packets it refused or lost.
    pub drops: u32,
    /// Wire segments that left it.
    pub sent_packets: u64,
}

impl Queue {
    /// Its kind, and the kernel option that brings it.
    const fn kind(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::None => None,
            Self::Fq(_) => Some(("fq", "CONFIG_NET_SCH_FQ (module sch_fq)")),
            Self::Netem(_) => Some(("netem", "CONFIG_NET_SCH_NETEM (module sch_netem)")),
        }
    }

    fn options(&self) -> Result<Vec<u8>, attributes::TooLong> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Fq(fq) => fq.options(),
            Self::Netem(netem) => netem.options(),
        }
    }

    fn differs(&self, options: &[u8]) -> Option<String> {
        match self {
            Self::None => None,
            Self::Fq(fq) => fq.differs(options),
            Self::Netem(netem) => netem.differs(options),
        }
    }
}

/// Puts `queue` at the root of our device, and reads it back.
///
/// # Errors
/// [`NetlinkError::NoQueue`] when the kernel does not have it.
pub(super) fn set_root(
    socket: &mut RouteSocket,
    device: &str,
    index: u32,
    queue: &Queue,
) -> Result<(), NetlinkError> {
    let Some((kind, option)) = queue.kind() else {
        return Ok(());
    };
    let failed = |verb, source| NetlinkError::Change {
        verb,
        device: device.to_owned(),
        source,
    };
    let options = queue.options().map_err(|attributes::TooLong| {
        let tables = io::Error::new(io::ErrorKind::InvalidInput, "its tables are too long");
        failed("put a netem on", tables)
    })?;
    let mut message = at_root(device, index)?;
    message.header.handle = TcHandle { major: 1, minor: 0 };
    message.attributes.extend([
        TcAttribute::Kind(kind.to_owned()),
        TcAttribute::Other(DefaultNla::new(OPTIONS, options)),
    ]);
    let add = Request {
        verb: "put a queue on",
        device: device.to_owned(),
        message: RouteNetlinkMessage::NewQueueDiscipline(message),
    };
    socket.send_all(&[add]).map_err(|error| match error {
        // ENOENT: the kind is unknown (`net/sched/sch_api.c`: qdisc_create); EOPNOTSUPP: a kernel
        // without CONFIG_NET_SCHED has nobody to ask.
        NetlinkError::Change { source, .. }
            if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) =>
        {
            NetlinkError::NoQueue { kind, option }
        }
        error => error,
    })?;
    verify(socket, device, index, kind, queue)
}

fn verify(
    socket: &mut RouteSocket,
    device: &str,
    index: u32,
    kind: &str,
    queue: &Queue,
) -> Result<(), NetlinkError> {
    let unverified = |wrong: String| NetlinkError::Unverified {
        device: device.to_owned(),
        wrong,
    };
    let found = root(socket, device, index)?.ok_or_else(|| unverified("no queue".to_owned()))?;
    let (mut found_kind, mut options) = ("", Vec::new());
    for attribute in &found.attributes {
        match attribute {
            TcAttribute::Kind(kind) => found_kind = kind,
            TcAttribute::Options(all) => options = raw(all),
            _ => {}
        }
    }
    if found_kind != kind {
        return Err(unverified(format!("a queue of the kind \"{found_kind}\"")));
    }
    queue
        .differs(&options)
        .map_or(Ok(()), |wrong| Err(unverified(wrong)))
}

/// The value of `TCA_OPTIONS`, which the crate keeps whole for a kind it does not know.
fn raw(options: &[TcOption]) -> Vec<u8> {
    match options {
        [TcOption::Other(whole)] => value(whole),
        _ => Vec::new(),
    }
}

fn value(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

/// What the root queue of one of our devices holds and has done. Two system calls and a thread: a
/// few dozen microseconds.
///
/// # Errors
/// [`NetlinkError::Change`] with `ENODEV` when the device is gone.
pub fn backlog(netns: BorrowedFd<'_>, index: u32) -> Result<QueueStats, NetlinkError> {
    let mut socket = RouteSocket::open(netns)?;
    let device = format!("device {index}");
    let found = root(&mut socket, &device, index)?;
    Ok(found.map(|found| stats(&found)).unwrap_or_default())
}

fn stats(queue: &TcMessage) -> QueueStats {
    let mut stats = QueueStats::default();
    let mut wide = None;
    let all = queue
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            TcAttribute::Stats2(all) => Some(all),
            _ => None,
        });
    for stat in all.flatten() {
        match stat {
            TcStats2::Basic(sent) => stats.sent_packets = u64::from(sent.packets),
            TcStats2::Queue(held) => {
                stats.packets = held.qlen;
                stats.bytes = held.backlog;
                stats.drops = held.drops;
            }
            TcStats2::Other(other) if other.kind() == PACKETS_64 => {
                wide = value(other).first_chunk().map(|n| u64::from_ne_bytes(*n));
            }
            _ => {}
        }
    }
    stats.sent_packets = wide.unwrap_or(stats.sent_packets);
    stats
}

/// The queue at the root of a device; `None` when it has none of its own.
fn root(
    socket: &mut RouteSocket,
    device: &str,
    index: u32,
) -> Result<Option<TcMessage>, NetlinkError> {
    let ask = Request {
        verb: "look up the queue of",
        device: device.to_owned(),
        message: RouteNetlinkMessage::GetQueueDiscipline(at_root(device, index)?),
    };
    let replies = socket.replies(&[ask])?;
    Ok(replies.into_iter().flatten().find_map(|reply| match reply {
        RouteNetlinkMessage::NewQueueDiscipline(queue) => Some(queue),
        _ => None,
    }))
}

fn at_root(device: &str, index: u32) -> Result<TcMessage, NetlinkError> {
    let index = i32::try_from(index).map_err(|_| NetlinkError::Change {
        verb: "address",
        device: device.to_owned(),
        source: io::Error::from_raw_os_error(libc::ENODEV),
    })?;
    let mut message = TcMessage::with_index(index);
    message.header.parent = TcHandle::ROOT;
    Ok(message)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(super) mod tests {
    /// The bytes of a hex dump.
    pub(in crate::netlink) fn bytes(dump: &str) -> Vec<u8> {
        dump.split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    }
}
