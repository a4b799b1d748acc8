//! Packets to order, seen from the target: remote and local, whichever way they go.

use std::net::IpAddr;

use super::Way;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMP6: u8 = 58;
pub(super) const SCTP: u8 = 132;

pub(super) const SYN: u8 = 2;
pub(super) const ACK: u8 = 16;

pub(super) const VLAN: u16 = 0x8100;
pub(super) const QINQ: u16 = 0x88a8;

pub(super) const REMOTE4: &str = "192.0.2.9";
pub(super) const REMOTE6: &str = "2001:db8::9";

/// An IP packet in an Ethernet frame; a length, an address or a checksum is never wrong.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Types of VLAN tags, the outermost first.
    pub tags: &'static [u16],
    pub remote: IpAddr,
    pub local: IpAddr,
    pub protocol: u8,
    pub remote_port: u16,
    pub local_port: u16,
    /// TCP flags, or the ICMP type.
    pub flags: u8,
    /// Of IPv4, in whole words.
    pub options: Vec<u8>,
    /// Of IPv6: number and bytes, of which the first will be the number that follows.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4's flags and fragment offset.
    pub fragment: u16,
    pub payload: Vec<u8>,
}

/// IPv4: the remote end is port 443 of 192.0.2.9, the local one port 40000 of 10.0.0.1.
pub(super) fn v4(protocol: u8) -> Packet {
    Packet {
        tags: &[],
        remote: REMOTE4.parse().unwrap(),
        local: "10.0.0.1".parse().unwrap(),
        protocol,
        remote_port: 443,
        local_port: 40_000,
        flags: if protocol == TCP { ACK } else { 8 },
        options: vec![],
        extensions: vec![],
        fragment: 0,
        payload: (0..64).collect(),
    }
}

/// The same by IPv6: the ends are `2001:db8::9` and `fd00::1`.
pub(super) fn v6(protocol: u8) -> Packet {
    Packet {
        remote: REMOTE6.parse().unwrap(),
        local: "fd00::1".parse().unwrap(),
        flags: if protocol == ICMP6 { 128 } else { ACK },
        ..v4(protocol)
    }
}

/// A frame that carries no IP.
pub(super) fn frame(ethertype: u16) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend([0; 46]);
    bytes
}

impl Packet {
    pub(super) fn bytes(&self, way: Way) -> Vec<u8> {
        let mut bytes = vec![2; 12];
        for tag in self.tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0, 5]);
        }
        let (source, destination) = self.ends(way);
        let layer4 = self.layer4(way);
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([8, 0]);
                let words = u8::try_from(5 + self.options.len() / 4).unwrap();
                let total = u16::try_from(usize::from(words) * 4 + layer4.len()).unwrap();
                let mut header = vec![0x40 | words, 0];
                header.extend(total.to_be_bytes());
                header.extend([0, 1]);
                header.extend(self.fragment.to_be_bytes());
                header.extend([64, self.protocol, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.options);
                let sum = !sum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                bytes.extend(header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                let extra: usize = self.extensions.iter().map(|(_, e)| e.len()).sum();
                bytes.extend(u16::try_from(extra + layer4.len()).unwrap().to_be_bytes());
                let mut numbers: Vec<u8> = self.extensions.iter().map(|(n, _)| *n).collect();
                numbers.push(self.protocol);
                bytes.extend([numbers[0], 64]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                for ((_, extension), next) in self.extensions.iter().zip(&numbers[1..]) {
                    bytes.push(*next);
                    bytes.extend(&extension[1..]);
                }
            }
            mixed => panic!("one family at a time: {mixed:?}"),
        }
        bytes.extend(layer4);
        bytes
    }

    /// Offset of layer 4 in the frame.
    pub(super) fn layer4_at(&self) -> usize {
        self.bytes(Way::Out).len() - self.layer4(Way::Out).len()
    }

    /// Length of the layer 4 header.
    pub(super) fn header_len(&self) -> usize {
        match self.protocol {
            TCP => 20,
            SCTP => 12,
            UDP | ICMP | ICMP6 => 8,
            _ => 0,
        }
    }

    /// True when the layer 4 checksum of this frame, which came of the packet, is right.
    pub(super) fn checksum_holds(&self, frame: &[u8], way: Way) -> bool {
        let layer4 = &frame[self.layer4_at()..];
        sum(&[self.pseudo_header(way, layer4.len()), layer4.into()].concat()) == 0xffff
    }

    fn ends(&self, way: Way) -> (IpAddr, IpAddr) {
        match way {
            Way::Out => (self.local, self.remote),
            Way::In => (self.remote, self.local),
        }
    }

    fn layer4(&self, way: Way) -> Vec<u8> {
        let (source, destination) = match way {
            Way::Out => (self.local_port, self.remote_port),
            Way::In => (self.remote_port, self.local_port),
        };
        let mut bytes = vec![0; self.header_len()];
        if [TCP, UDP, SCTP].contains(&self.protocol) {
            bytes[..2].copy_from_slice(&source.to_be_bytes());
            bytes[2..4].copy_from_slice(&destination.to_be_bytes());
        }
        let len = bytes.len() + self.payload.len();
        let checksum = match self.protocol {
            TCP => {
                bytes[12] = 0x50;
                bytes[13] = self.flags;
                16
            }
            UDP => {
                bytes[4..6].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                6
            }
            ICMP | ICMP6 => {
                bytes[0] = self.flags;
                2
            }
            _ => 0,
        };
        bytes.extend(&self.payload);
        if checksum != 0 {
            let sum = !sum(&[self.pseudo_header(way, len), bytes.clone()].concat());
            bytes[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    /// What the checksum covers beside layer 4 (RFC 9293 §3.1, RFC 8200 §8.1; RFC 792: nothing).
    fn pseudo_header(&self, way: Way, len: usize) -> Vec<u8> {
        let (source, destination) = self.ends(way);
        let mut bytes = vec![];
        if self.protocol != ICMP {
            for end in [source, destination] {
                match end {
                    IpAddr::V4(address) => bytes.extend(address.octets()),
                    IpAddr::V6(address) => bytes.extend(address.octets()),
                }
            }
            bytes.extend([0, self.protocol]);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        bytes
    }
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
