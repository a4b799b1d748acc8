//! Messages byte for byte (RFC 1035, 4), for what no well-behaved client sends.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::node::Node;

/// The type of an IPv4 address.
pub const A: u16 = 1;
/// The type of an IPv6 address.
pub const AAAA: u16 = 28;
/// The pseudo-type of EDNS (RFC 6891).
pub const OPT: u16 = 41;
/// Flags of an ordinary query: recursion desired.
pub const RD: u16 = 0x0100;
/// The flag of a response.
pub const QR: u16 = 0x8000;

/// An ordinary query for one name.
pub fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    message(id, RD, [1, 0, 0, 0], &question(&wire(name), kind))
}

/// A header with these flags and counts, and what follows it.
pub fn message(id: u16, flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(id.to_be_bytes());
    bytes.extend(flags.to_be_bytes());
    bytes.extend(counts.map(u16::to_be_bytes).as_flattened());
    bytes.extend(body);
    bytes
}

/// A question of class IN.
pub fn question(wire: &[u8], kind: u16) -> Vec<u8> {
    let mut bytes = wire.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The record of EDNS, with options as they come.
pub fn opt(version: u8, dnssec: bool, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(OPT.to_be_bytes());
    bytes.extend(1232_u16.to_be_bytes());
    bytes.extend([0, version, if dnssec { 0x80 } else { 0 }, 0]);
    let length = u16::try_from(options.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(options);
    bytes
}

/// A name as labels with their lengths.
pub fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The response code of an answer.
pub fn code(answer: &[u8]) -> Option<u8> {
    answer.get(3).map(|flags| flags & 15)
}

/// A connected socket of the node.
pub fn socket(from: &Node, to: SocketAddr) -> Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = from
        .enter(|| UdpSocket::bind(any))?
        .context("failed to bind a socket")?;
    socket.connect(to).context("failed to connect a socket")?;
    Ok(socket)
}

/// Sends bytes and returns what comes back in time.
pub fn ask(
    from: &Node,
    to: SocketAddr,
    bytes: &[u8],
    patience: Duration,
) -> Result<Option<Vec<u8>>> {
    let socket = socket(from, to)?;
    socket
        .set_read_timeout(Some(patience))
        .context("failed to set a timeout")?;
    socket.send(bytes).context("failed to send a query")?;
    receive(&socket)
}

/// What has come to a socket, or comes before its time-out.
pub fn receive(socket: &UdpSocket) -> Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 65_536];
    let received = loop {
        match socket.recv(&mut buffer) {
            // A wait with an end is not taken up again after a signal (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => break received,
        }
    };
    match received {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        // An ICMP error of an earlier datagram: nobody listens there yet.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error).context("failed to receive an answer"),
    }
}
