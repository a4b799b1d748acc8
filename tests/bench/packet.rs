//! The packets that are measured: TCP segments with payload, IPv4 and IPv6, in and out, and queries
//! for names.

use support::dns::message;

/// Address of the other end.
pub const PEER4: [u8; 4] = [10, 0, 200, 9];
/// Likewise.
pub const PEER6: [u8; 16] = [0xfd, 0, 0, 10, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 9];
/// Port of the other end.
pub const PORT: u16 = 8080;

const OWN4: [u8; 4] = [10, 1, 0, 1];
const OWN6: [u8; 16] = [0xfd, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const OWN_PORT: u16 = 40_000;
const PAYLOAD: u8 = 64;

/// A segment from us to the peer, or from it to us.
pub fn tcp4(inbound: bool) -> Vec<u8> {
    let mut p = vec![0; 12];
    p.extend([
        0x08,
        0x00,
        0x45,
        0,
        0,
        40 + PAYLOAD,
        0,
        1,
        0x40,
        0,
        64,
        6,
        0,
        0,
    ]);
    p.extend(
        if inbound {
            [PEER4, OWN4]
        } else {
            [OWN4, PEER4]
        }
        .as_flattened(),
    );
    tcp(p, inbound)
}

/// The same by IPv6.
pub fn tcp6(inbound: bool) -> Vec<u8> {
    let mut p = vec![0; 12];
    p.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20 + PAYLOAD, 6, 64]);
    p.extend(
        if inbound {
            [PEER6, OWN6]
        } else {
            [OWN6, PEER6]
        }
        .as_flattened(),
    );
    tcp(p, inbound)
}

fn tcp(mut p: Vec<u8>, inbound: bool) -> Vec<u8> {
    let ports = if inbound {
        [PORT, OWN_PORT]
    } else {
        [OWN_PORT, PORT]
    };
    p.extend(ports.map(u16::to_be_bytes).as_flattened());
    p.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    p.extend([0x55; PAYLOAD as usize]);
    p
}

/// A query for a name's address, from us to the peer.
pub fn query4(name: &str) -> Vec<u8> {
    let udp = query(name);
    let [high, low] = length(20 + udp.len());
    let mut p = vec![0; 12];
    p.extend([0x08, 0x00, 0x45, 0, high, low, 0, 1, 0x40, 0, 64, 17, 0, 0]);
    p.extend([OWN4, PEER4].as_flattened());
    p.extend(udp);
    p
}

/// The same by IPv6.
pub fn query6(name: &str) -> Vec<u8> {
    let udp = query(name);
    let [high, low] = length(udp.len());
    let mut p = vec![0; 12];
    p.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, 17, 64]);
    p.extend([OWN6, PEER6].as_flattened());
    p.extend(udp);
    p
}

fn query(name: &str) -> Vec<u8> {
    let message = message::query(1, name, message::A);
    let mut p = [OWN_PORT, 53].map(u16::to_be_bytes).as_flattened().to_vec();
    p.extend(length(8 + message.len()));
    p.extend([0, 0]);
    p.extend(message);
    p
}

fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}
