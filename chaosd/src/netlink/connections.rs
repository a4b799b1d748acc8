//! The established TCP connections of a network namespace.
//!
//! Asked for by `sock_diag(7)`, which takes a tenth of the time that /proc/net/tcp takes: that one
//! formats its way through every bucket of the hash table. A kernel without it has the file.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::BorrowedFd,
};

use rtnetlink::sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use super::in_netns;

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// The socket's inode, unique over all namespaces; 0 when nobody holds the socket any more.
    pub inode: u64,
}

/// The established TCP connections of `netns`, over IPv4 and IPv6.
pub fn established(netns: BorrowedFd<'_>) -> io::Result<Vec<Connection>> {
    in_netns(netns, || by_sock_diag().or_else(|_| by_proc()))?
}

/// `linux/sock_diag.h`
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `linux/netlink.h`
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
/// `TCP_ESTABLISHED` of `include/net/tcp_states.h`.
const ESTABLISHED: u8 = 1;

fn by_sock_diag() -> io::Result<Vec<Connection>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.connect(&NetlinkAddr::new(0, 0))?;
        socket.send(&request(family), 0)?;
        while parse(&socket.recv_from_full()?.0, &mut found)? {}
    }
    Ok(found)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` (`linux/inet_diag.h`).
fn request(family: i32) -> Vec<u8> {
    const LENGTH: u32 = 72;
    let mut request = Vec::with_capacity(LENGTH as usize);
    request.extend(LENGTH.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.resize(HEADER, 0);
    request.extend([
        family.to_le_bytes()[0],
        libc::IPPROTO_TCP.to_le_bytes()[0],
        0,
        0,
    ]);
    request.extend((1u32 << ESTABLISHED).to_ne_bytes());
    // Any socket: `struct inet_diag_sockid` of zeroes.
    request.resize(LENGTH as usize, 0);
    request
}

/// Takes the connections out of a datagram; false when it was the last.
fn parse(mut datagram: &[u8], found: &mut Vec<Connection>) -> io::Result<bool> {
    while let Some((length, rest)) = datagram.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        // The bounds also hold for the header's other fields, which lie before the message.
        let Some(message) = datagram.get(HEADER..length) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match u16::from_ne_bytes([rest[0], rest[1]]) {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => {
                let code = message
                    .first_chunk()
                    .map_or(0, |code| i32::from_ne_bytes(*code));
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => found.extend(connection(message)),
        }
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(true)
}

/// `struct inet_diag_msg` (`linux/inet_diag.h`): family, state, timer and retransmits; then ports and
/// addresses in network byte order; the inode is its last word.
fn connection(message: &[u8]) -> Option<Connection> {
    let word = |at: usize| message.get(at..)?.first_chunk::<4>().copied();
    let port = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let address = |at: usize| -> Option<IpAddr> {
        if i32::from(*message.first()?) == libc::AF_INET {
            return Some(Ipv4Addr::from(word(at)?).into());
        }
        let octets: [u8; 16] = *message.get(at..)?.first_chunk()?;
        Some(Ipv6Addr::from(octets).into())
    };
    Some(Connection {
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        inode: u32::from_ne_bytes(word(68)?).into(),
    })
}

fn by_proc() -> io::Result<Vec<Connection>> {
    // Not /proc/net, which follows the main thread: this one is in a namespace of its own.
    let v4 = fs::read_to_string("/proc/thread-self/net/tcp")?;
    // A kernel without IPv6 has no tcp6.
    let v6 = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
    Ok(v4.lines().chain(v6.lines()).filter_map(line).collect())
}

/// A line of /proc/net/tcp or tcp6 (`proc_pid_net(5)`), when it is an established connection.
fn line(line: &str) -> Option<Connection> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = end(fields.next()?)?;
    let remote = end(fields.next()?)?;
    if u8::from_str_radix(fields.next()?, 16).ok()? != ESTABLISHED {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Connection {
        local,
        remote,
        inode,
    })
}

/// `0100007F:0016`: words of the address as the machine reads them, the port as people do.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut octets = [0u8; 16];
    if !matches!(address.len(), 8 | 32) || !address.is_ascii() {
        return None;
    }
    for (at, word) in octets
        .chunks_exact_mut(4)
        .enumerate()
        .take(address.len() / 8)
    {
        let digits = &address[at * 8..at * 8 + 8];
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let [a, b, c, d, ..] = octets;
    let ip = if address.len() == 8 {
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(octets)
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{
        fs::File,
        net::{TcpListener, TcpStream},
        os::{
            fd::{AsFd, OwnedFd},
            unix::fs::MetadataExt,
        },
    };

    use super::*;
    use crate::netlink::tests::scratch_netns;

    #[test]
    fn both_ways_list_a_live_connection_alike() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let socket = OwnedFd::from(client.try_clone().unwrap());
            let wanted = Connection {
                local: client.local_addr().unwrap(),
                remote: listener.local_addr().unwrap(),
                inode: File::from(socket).metadata().unwrap().ino(),
            };
            assert!(by_sock_diag().unwrap().contains(&wanted));
            assert!(by_proc().unwrap().contains(&wanted));
        }
    }

    #[test]
    fn connections_of_another_namespace_are_not_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let netns = scratch_netns();
        assert_eq!(established(netns.as_fd()).unwrap(), []);
    }

    const MAPPED: &str = "   0: 0000000000000000FFFF00000100007F:0016 \
        0000000000000000FFFF00000200007F:D431 01 00000000:00000000 02:000A 00000000 0 0 4242 2 x";

    #[test]
    fn a_line_of_proc_is_read() {
        let found = line(MAPPED).unwrap();
        assert_eq!(found.remote.to_string(), "[::ffff:127.0.0.2]:54321");
        assert_eq!((found.local.port(), found.inode), (22, 4242));
    }

    #[test]
    fn a_listening_socket_is_no_connection() {
        assert_eq!(line(&MAPPED.replace(" 01 ", " 0A ")), None);
        assert_eq!(line("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_truncated_answer_is_an_error_and_no_panic() {
        let mut whole = request(libc::AF_INET);
        for length in 0..whole.len() {
            // Whatever it makes of them, it must return.
            let mut found = Vec::new();
            let result = parse(&whole[..length], &mut found);
            assert!(length < 4 || result.is_err(), "{length}");
        }
        whole[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(parse(&whole, &mut Vec::new()).is_err());
    }
}
