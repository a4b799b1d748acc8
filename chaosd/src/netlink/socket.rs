//! A blocking route socket that sends several requests in one datagram.
//!
//! The kernel works through a datagram inside the `sendmsg` call (`net/netlink/af_netlink.c`:
//! `netlink_rcv_skb`), so a batch is all sent or not sent at all, whatever kills the sender.

use std::{io, os::fd::BorrowedFd};

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{NetlinkError, in_netns};

/// A request, and what to call it when it fails.
pub(super) struct Request {
    pub(super) verb: &'static str,
    pub(super) device: String,
    pub(super) message: RouteNetlinkMessage,
}

impl Request {
    /// The error that says it was refused.
    pub(super) fn refused(&self, source: io::Error) -> NetlinkError {
        NetlinkError::Change {
            verb: self.verb,
            device: self.device.clone(),
            source,
        }
    }
}

/// What the kernel said to one request: the link or queue asked for, if one was.
pub(super) type Answer = io::Result<Option<RouteNetlinkMessage>>;

/// A route socket of one network namespace; works from any thread.
pub(super) struct RouteSocket {
    socket: Socket,
    sequence: u32,
}

impl RouteSocket {
    /// Opens it in `netns`.
    pub(super) fn open(netns: BorrowedFd<'_>) -> Result<Self, NetlinkError> {
        in_netns(netns, Self::open_here)
            .map_err(NetlinkError::Enter)?
            .map_err(NetlinkError::Open)
    }

    /// Opens it in the calling thread's network namespace.
    pub(super) fn open_here() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Without it an error repeats the whole request (netlink(7)).
        socket.set_cap_ack(true)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends all requests at once and returns one answer for each, in order.
    pub(super) fn send(&mut self, requests: &[Request]) -> io::Result<Vec<Answer>> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut bytes, self.sequence, &request.message);
        }
        self.socket.send(&bytes, 0)?;
        let mut answers: Vec<Option<Answer>> = requests.iter().map(|_| None).collect();
        let mut replies: Vec<Option<RouteNetlinkMessage>> = requests.iter().map(|_| None).collect();
        while answers.iter().any(Option::is_none) {
            let (datagram, _from) = self.socket.recv_from_full()?;
            for message in messages(&datagram) {
                let message = message?;
                let at = message.header.sequence_number.wrapping_sub(first) as usize;
                if at >= requests.len() {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Error(error) => {
                        answers[at] = Some(match error.code {
                            None => Ok(replies[at].take()),
                            Some(_) => Err(error.to_io()),
                        });
                    }
                    NetlinkPayload::InnerMessage(
                        reply @ (RouteNetlinkMessage::NewLink(_)
                        | RouteNetlinkMessage::NewQueueDiscipline(_)),
                    ) => replies[at] = Some(reply),
                    _ => {}
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// As [`Self::send`], and the first refusal is the error: the links asked for.
    pub(super) fn send_all(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Option<LinkMessage>>, NetlinkError> {
        let replies = self.replies(requests)?;
        Ok(replies.into_iter().map(|reply| link_of(reply?)).collect())
    }

    /// As [`Self::send_all`], whatever was asked for.
    pub(super) fn replies(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Option<RouteNetlinkMessage>>, NetlinkError> {
        let Some(first) = requests.first() else {
            return Ok(Vec::new());
        };
        self.send(requests)
            .map_err(|source| first.refused(source))?
            .into_iter()
            .zip(requests)
            .map(|(answer, request)| answer.map_err(|source| request.refused(source)))
            .collect()
    }

    /// The link of that name, `None` when there is none.
    pub(super) fn link(&mut self, name: &str) -> Result<Option<LinkMessage>, NetlinkError> {
        match self.send_all(&[get(name)]) {
            Ok(links) => Ok(links.into_iter().flatten().next()),
            Err(NetlinkError::Change { source, .. })
                if source.raw_os_error() == Some(libc::ENODEV) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn link_of(reply: RouteNetlinkMessage) -> Option<LinkMessage> {
    match reply {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    }
}

/// Asks for one link.
pub(super) fn get(name: &str) -> Request {
    Request {
        verb: "look up the device",
        device: name.to_owned(),
        message: RouteNetlinkMessage::GetLink(rtnetlink::LinkUnspec::new_with_name(name).build()),
    }
}

/// The alias of a link, empty when it has none.
pub(super) fn alias(link: &LinkMessage) -> &str {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

fn append(bytes: &mut Vec<u8>, sequence: u32, message: &RouteNetlinkMessage) {
    let mut message = NetlinkMessage::from(message.clone());
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    if let NetlinkPayload::InnerMessage(
        RouteNetlinkMessage::NewLink(_)
        | RouteNetlinkMessage::NewQueueDiscipline(_)
        | RouteNetlinkMessage::NewTrafficFilter(_),
    ) = &message.payload
    {
        message.header.flags |= NLM_F_CREATE | NLM_F_EXCL;
    }
    // Linux 6.1 tells a queue that is asked for to those who listen to changes, and to the asker
    // only with this (`net/sched/sch_api.c`: qdisc_notify).
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::GetQueueDiscipline(_)) =
        &message.payload
    {
        message.header.flags |= NLM_F_ECHO;
    }
    message.header.sequence_number = sequence;
    message.finalize();
    let start = bytes.len();
    // NLMSG_ALIGN: the next message starts at a multiple of four.
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}

/// The messages of a datagram.
fn messages(
    mut datagram: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        if length < 16 || length > datagram.len() {
            return None;
        }
        let message = NetlinkMessage::deserialize(&datagram[..length]).map_err(io::Error::other);
        datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
        Some(message)
    })
}
