//! Names as keys of a hash table.
//!
//! A name's hash runs from its end to its front, so that one walk over a query's name meets the
//! hash of each domain above it: the cost does not depend on how many names a plane knows.

use crate::Bits;

/// The multipliers of the two lanes: FNV's prime for 64 bits, and the golden ratio's odd neighbour.
const PRIMES: [u64; 2] = [0x0000_0100_0000_01b3, 0x9e37_79b9_7f4a_7c15];

/// A name's hash, over its wire form with the root's octet, in lower case.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey {
    /// Two lanes.
    pub h: [u64; 2],
}

/// The faults that a name stands in.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameBits {
    /// Those that want this very name.
    pub exact: Bits,
    /// Those that want it and everything below it.
    pub under: Bits,
    /// Those that spare this very name.
    pub not_exact: Bits,
    /// Those that spare it and everything below it.
    pub not_under: Bits,
}

impl NameKey {
    /// Before the first octet.
    #[inline(always)]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { h: seed }
    }

    /// Goes on to the octet before. The length of a label is no letter, so that both are folded alike.
    #[inline(always)]
    pub const fn fold(&mut self, octet: u8) {
        let octet = octet.to_ascii_lowercase() as u64;
        self.h[0] = (self.h[0] ^ octet).wrapping_mul(PRIMES[0]);
        self.h[1] = (self.h[1].rotate_left(23) ^ octet).wrapping_mul(PRIMES[1]);
    }

    /// The key of a whole name in wire form, the root's octet included.
    pub fn of(seed: [u64; 2], wire: &[u8]) -> Self {
        let mut key = Self::new(seed);
        for octet in wire.iter().rev() {
            key.fold(*octet);
        }
        key
    }
}

/// True when names with so many labels (0 to 127) are known.
#[inline(always)]
pub const fn levels_have(levels: &[u64; 2], labels: u32) -> bool {
    levels[(labels >> 6 & 1) as usize] & 1 << (labels & 63) != 0
}

const _: () = {
    assert!(size_of::<NameKey>() == 16);
    assert!(size_of::<NameBits>() == 128);
};
