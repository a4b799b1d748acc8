//! DNS messages (RFC 1035 §4), as far as a probe needs them: one question, and the addresses of the
//! answer. Bytes from the network are never trusted: what is cut or circular is no answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Types of records.
pub(super) const A: u16 = 1;
/// RFC 3596
pub(super) const AAAA: u16 = 28;
/// The internet.
const IN: u16 = 1;
const HEADER: usize = 12;
/// Recursion desired.
const RD: u16 = 0x0100;

/// One question. `name`: in the form of a packet.
pub(super) fn query(id: u16, name: &[u8], kind: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 4);
    for word in [id, RD, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(name);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message
}

/// The addresses of an answer to `query`, or what the server says instead. `None`: it is no answer to
/// it.
pub(super) fn answers(
    message: &[u8],
    query: &[u8],
    kind: u16,
) -> Option<Result<Vec<IpAddr>, String>> {
    let flags = word(message, 2)?;
    if message.get(..2)? != query.get(..2)? || flags & 0x8000 == 0 {
        return None;
    }
    match flags & 0xf {
        0 => {}
        3 => return Some(Err("NXDOMAIN".into())),
        2 => return Some(Err("SERVFAIL".into())),
        5 => return Some(Err("REFUSED".into())),
        code => return Some(Err(format!("response code {code}"))),
    }
    let mut at = HEADER;
    for _ in 0..word(message, 4)? {
        at = after_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..word(message, 6)? {
        at = after_name(message, at)?;
        let (record, length) = (word(message, at)?, word(message, at + 8)?);
        let data = message.get(at + 10..at + 10 + usize::from(length))?;
        if record == kind {
            found.extend(address(data));
        }
        at += 10 + usize::from(length);
    }
    Some(Ok(found))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(data).ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

/// Where a name ends; a pointer ends it (RFC 1035 §4.1.4).
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            _ => at += 1 + usize::from(length),
        }
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x02db\x04shop\x00";

    fn answer(code: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = query(7, NAME, A);
        message[2] |= 0x80;
        message[3] |= code;
        message[7] = u8::try_from(records.len()).unwrap_or(0);
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend(IN.to_be_bytes());
            message.extend([0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            message.extend(*data);
        }
        message
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let message = answer(0, &[(5, NAME), (A, &[10, 0, 0, 7])]);
        let found = answers(&message, &query(7, NAME, A), A);
        assert_eq!(found, Some(Ok(vec![Ipv4Addr::new(10, 0, 0, 7).into()])));
    }

    #[test]
    fn a_refusal_is_told_and_a_stranger_is_not_heard() {
        let ours = query(7, NAME, A);
        assert_eq!(
            answers(&answer(3, &[]), &ours, A),
            Some(Err("NXDOMAIN".into()))
        );
        assert_eq!(answers(&answer(0, &[]), &query(8, NAME, A), A), None);
        assert_eq!(answers(&ours, &ours, A), None);
    }

    #[test]
    fn no_cut_message_is_read_beyond_its_end() {
        let whole = answer(0, &[(A, &[10, 0, 0, 7]), (A, &[10, 0, 0, 8])]);
        let ours = query(7, NAME, A);
        for length in 0..whole.len() {
            assert_eq!(answers(&whole[..length], &ours, A), None, "{length} bytes");
        }
        for at in 0..whole.len() {
            for bits in [0x01, 0x40, 0xc0, 0xff] {
                let mut other = whole.clone();
                other[at] ^= bits;
                // Whatever it comes to, it comes to it.
                answers(&other, &ours, A);
            }
        }
    }
}
