//! Writes the answer to a query.

use super::{
    ANSWER_ADDRESSES, ANSWER_NXDOMAIN, ANSWER_REFUSED, ANSWER_SERVFAIL, DnsRule, HAS_A, HAS_AAAA,
    HEADER_LEN, MESSAGE_BUFFER, MOST_NAME, Question, TYPE_A, TYPE_AAAA,
};

/// The longest answer: header, question, one address, EDNS option.
pub const MOST_ANSWER: u32 = HEADER_LEN + MOST_NAME + 4 + 12 + 16 + 11;

/// The flags' first octet: this is an answer (RFC 1035 §4.1.1).
const ANSWER: u8 = 0x80;
/// There: recursion is desired, as the query said.
const RECURSION_DESIRED: u8 = 0x01;
/// The second octet: recursion is available.
const RECURSION_AVAILABLE: u8 = 0x80;
/// There: "checking disabled", as the query said (RFC 4035 §3.2.2).
const CHECKING_DISABLED: u8 = 0x10;
/// What we say we could take by UDP (RFC 6891 §6.2.3; the value of the DNS flag day 2020).
const UDP_SIZE: u16 = 1232;

/// Turns `out`, which holds the query up to the end of its question, into the answer; its length. Three
/// octets of zeros are behind it.
#[inline(always)]
pub fn answer(q: &Question, rule: &DnsRule, out: &mut [u8; MESSAGE_BUFFER]) -> u32 {
    let code = match rule.answer {
        ANSWER_NXDOMAIN => 3,
        ANSWER_SERVFAIL => 2,
        ANSWER_REFUSED => 5,
        _ => 0,
    };
    let addresses = rule.answer == ANSWER_ADDRESSES;
    let has_a = addresses && q.qtype == u32::from(TYPE_A) && rule.has & HAS_A != 0;
    let has_aaaa = addresses && q.qtype == u32::from(TYPE_AAAA) && rule.has & HAS_AAAA != 0;
    out[2] = ANSWER | out[2] & RECURSION_DESIRED;
    out[3] = RECURSION_AVAILABLE | out[3] & CHECKING_DISABLED | code;
    let records = u8::from(has_a | has_aaaa);
    let counts = [0, 1, 0, records, 0, 0, 0, q.edns];
    put(out, 4, &counts);
    let mut at = q.question_len;
    if has_a {
        at = record(out, at, TYPE_A, rule.ttl, 4);
        at = put(out, at, &rule.a);
    } else if has_aaaa {
        at = record(out, at, TYPE_AAAA, rule.ttl, 16);
        at = put(out, at, &rule.aaaa);
    }
    if q.edns != 0 {
        let [high, low] = UDP_SIZE.to_be_bytes();
        let dnssec = q.dnssec << 7;
        at = put(out, at, &[0, 0, 41, high, low, 0, 0, dnssec, 0, 0, 0]);
    }
    put(out, at, &[0; 3]);
    at
}

/// A record for the name in the question (RFC 1035 §4.1.3), up to its data.
#[inline(always)]
fn record(out: &mut [u8; MESSAGE_BUFFER], at: u32, qtype: u16, ttl: u32, len: u8) -> u32 {
    let [high, low] = qtype.to_be_bytes();
    // A pointer to behind the header (§4.1.4); class IN.
    let at = put(out, at, &[0xc0, 12, high, low, 0, 1]);
    let at = put(out, at, &ttl.to_be_bytes());
    put(out, at, &[0, len])
}

/// Writes octets; the place behind them.
#[expect(clippy::cast_possible_truncation, reason = "a handful of octets")]
#[inline(always)]
fn put<const N: usize>(out: &mut [u8; MESSAGE_BUFFER], at: u32, octets: &[u8; N]) -> u32 {
    let mut i = 0;
    while i < N {
        out[(at as usize + i) & (MESSAGE_BUFFER - 1)] = octets[i];
        i += 1;
    }
    at + N as u32
}
