//! What hangs at an interface: its ingress or clsact qdisc, and the filters there.
//!
//! Answers are read byte by byte: a kernel's other qdiscs and classifiers carry attributes that no
//! library knows in full, and one that cannot be read must not hide ours.

use std::{io, os::fd::BorrowedFd};

use rtnetlink::{
    packet_core::{
        NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkMessage, NlasIterator,
    },
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcHandle, TcMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{EVERY_PROTOCOL, Hook, OPTIONS, TCA_BPF_ID, TCA_BPF_NAME, parent};
use crate::netlink::{NetlinkError, in_netns};

/// `linux/rtnetlink.h`: `TCA_KIND`.
const TCA_KIND: u16 = 1;
/// `linux/netlink.h`: `sizeof(struct nlmsghdr)`.
const HEADER: usize = 16;
/// `linux/rtnetlink.h`: `sizeof(struct tcmsg)`.
const TCMSG: usize = 20;

/// A filter that hangs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub hook: Hook,
    /// The lower, the earlier.
    pub priority: u16,
    /// True when it sees every protocol.
    pub every_protocol: bool,
    /// Unique at its hook and priority; 0 stands for the whole of a priority.
    pub handle: u32,
    /// `bpf`, `u32`, ...
    pub kind: String,
    /// Its program's id, 0 when it is no bpf filter.
    pub program: u32,
    /// The name it was given.
    pub name: String,
}

/// The filters at both hooks of an interface; none when it is gone.
pub(super) fn filters(netns: BorrowedFd<'_>, index: u32) -> Result<Vec<Found>, NetlinkError> {
    let mut found = Vec::new();
    for hook in [Hook::Ingress, Hook::Egress] {
        let mut message = TcMessage::with_index(index.cast_signed());
        message.header.parent = parent(hook);
        let answers = dump(netns, RouteNetlinkMessage::GetTrafficFilter(message))?;
        found.extend(answers.iter().filter_map(|answer| filter(hook, answer)));
    }
    Ok(found)
}

/// The interfaces that have a qdisc in the place of clsact, as (index, kind): `clsact`, or the
/// older `ingress`, which leaves no room for it.
pub(super) fn qdiscs(netns: BorrowedFd<'_>) -> Result<Vec<(u32, String)>, NetlinkError> {
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let answers = dump(netns, request)?;
    Ok(answers
        .iter()
        .filter(|answer| TcHandle::from(answer.parent) == TcHandle::CLSACT)
        .map(|answer| (answer.index, answer.kind()))
        .collect())
}

fn filter(hook: Hook, answer: &Answer) -> Option<Found> {
    let options = answer.attribute(OPTIONS).unwrap_or_default();
    let bpf = answer.kind() == "bpf";
    let option = |kind| bpf.then(|| attribute(options, kind)).flatten();
    Some(Found {
        hook,
        // `tcm_info` of rtnetlink(7): the priority above the protocol in network byte order.
        priority: u16::try_from(answer.info >> 16).ok()?,
        every_protocol: answer.info & 0xffff == u32::from(EVERY_PROTOCOL.to_be()),
        handle: answer.handle,
        kind: answer.kind(),
        program: option(TCA_BPF_ID).and_then(number).unwrap_or_default(),
        name: option(TCA_BPF_NAME).map(text).unwrap_or_default(),
    })
}

/// `struct tcmsg` and the attributes behind it.
struct Answer {
    index: u32,
    handle: u32,
    parent: u32,
    info: u32,
    attributes: Vec<u8>,
}

impl Answer {
    fn read(payload: &[u8]) -> Option<Self> {
        let at = |offset: usize| number(payload.get(offset..offset + 4)?);
        Some(Self {
            index: at(4)?,
            handle: at(8)?,
            parent: at(12)?,
            info: at(16)?,
            attributes: payload.get(TCMSG..)?.to_vec(),
        })
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        attribute(&self.attributes, kind)
    }

    fn kind(&self) -> String {
        self.attribute(TCA_KIND).map(text).unwrap_or_default()
    }
}

fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    NlasIterator::new(bytes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == kind)
        .and_then(|attribute| {
            let start = attribute.into_inner().as_ptr() as usize - bytes.as_ptr() as usize;
            let length = u16::from_ne_bytes(*bytes.get(start..)?.first_chunk()?);
            bytes.get(start + 4..start + usize::from(length))
        })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn dump(netns: BorrowedFd<'_>, request: RouteNetlinkMessage) -> Result<Vec<Answer>, NetlinkError> {
    let list = || -> io::Result<Vec<Answer>> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _from) = socket.recv_from_full()?;
            if take(&datagram, &mut answers)? {
                return Ok(answers);
            }
        }
    };
    in_netns(netns, list)
        .map_err(NetlinkError::Enter)?
        .map_err(|source| NetlinkError::Change {
            verb: "list the filters of",
            device: "the interfaces".to_owned(),
            source,
        })
}

/// Takes the messages of a datagram; true when the last one has come.
fn take(mut datagram: &[u8], answers: &mut Vec<Answer>) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (number(datagram), datagram.get(4..6)) {
        let length = length as usize;
        let kind = u16::from_ne_bytes([kind[0], kind[1]]);
        let Some(payload) = datagram.get(HEADER..length) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let errno = number(payload).unwrap_or_default().cast_signed();
                // No such interface, or nothing at that hook.
                return if matches!(-errno, libc::ENODEV | libc::EINVAL | libc::ENOENT) {
                    Ok(true)
                } else {
                    Err(io::Error::from_raw_os_error(-errno))
                };
            }
            _ => answers.extend(Answer::read(payload)),
        }
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
    }
    Ok(false)
}
