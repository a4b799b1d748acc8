//! Faults of the Domain Name System: what stands in their maps, and the code that reads a query and
//! writes its answer, which the programs and user space share.
//!
//! Nothing here loops by itself: a program walks by `bpf_loop`, since the verifier follows every
//! round of a loop, and user space by `while`. What is done in a round is the same.

mod answer;
mod name;
mod question;
#[cfg(test)]
mod tests;

use crate::Bits;

pub use answer::{MOST_ANSWER, answer};
pub use name::{NameBits, NameKey, levels_have};
pub use question::{HEADER_LEN, MESSAGE_BUFFER, MOST_LABELS, MOST_MESSAGE, Question};

/// The longest name in wire form, the root's octet included (RFC 1035 §2.3.4).
pub const MOST_NAME: u32 = 255;
/// Names of one plane, over all of its faults.
pub const MAX_NAMES: u32 = 1 << 16;
/// Query types that one fault names.
pub const MAX_TYPES: usize = 8;
/// Query types of one plane.
pub const MAX_PLANE_TYPES: u32 = 2048;
/// How many of the names that were hit last are remembered.
pub const MAX_HITS: u32 = 64;

/// Query types (RFC 1035 §3.2.2, RFC 3596).
pub const TYPE_A: u16 = 1;
/// See [`TYPE_A`].
pub const TYPE_AAAA: u16 = 28;

/// [`DnsRule::answer`]: none.
pub const ANSWER_NONE: u32 = 0;
/// [`DnsRule::answer`]: the query is lost.
pub const ANSWER_DROP: u32 = 1;
/// [`DnsRule::answer`]: there is no such name (RFC 1035 §4.1.1, code 3).
pub const ANSWER_NXDOMAIN: u32 = 2;
/// [`DnsRule::answer`]: the server failed (code 2).
pub const ANSWER_SERVFAIL: u32 = 3;
/// [`DnsRule::answer`]: the server refuses (code 5).
pub const ANSWER_REFUSED: u32 = 4;
/// [`DnsRule::answer`]: the name exists, and has nothing of this type.
pub const ANSWER_EMPTY: u32 = 5;
/// [`DnsRule::answer`]: the rule's own addresses; nothing for what it has no address of.
pub const ANSWER_ADDRESSES: u32 = 6;

/// [`DnsRule::has`]: `a` is given.
pub const HAS_A: u32 = 1;
/// [`DnsRule::has`]: `aaaa` is given.
pub const HAS_AAAA: u32 = 2;

/// What a fault answers, and to which queries.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsRule {
    /// `ANSWER_*`
    pub answer: u32,
    /// `HAS_*`
    pub has: u32,
    /// Time to live of the addresses in seconds.
    pub ttl: u32,
    /// How many of `types` count; 0: queries of every type.
    pub type_count: u32,
    /// Query types.
    pub types: [u16; MAX_TYPES],
    /// The IPv4 address.
    pub a: [u8; 4],
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// The IPv6 address.
    pub aaaa: [u8; 16],
}

/// A query that faults acted on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsHit {
    /// Counts up from 1; 0: nothing stands here, or it is being written.
    pub sequence: u64,
    /// `CLOCK_MONOTONIC` ns.
    pub ns: u64,
    /// Which faults.
    pub faults: Bits,
    /// The query's type.
    pub qtype: u16,
    /// Octets of `name`, the root's included.
    pub len: u16,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// The name as it was asked, in wire form.
    pub name: [u8; 256],
}

const _: () = {
    assert!(size_of::<DnsRule>() == 56);
    assert!(size_of::<DnsHit>() == 312);
};
