//! Chance that can be repeated: a function of a seed and a number alone.

use crate::ONE;

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
#[inline(always)]
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The increment of splitmix64.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// True for a share of `rate / ONE` of all numbers.
#[inline(always)]
pub const fn hits(seed: u64, number: u64, rate: u64) -> bool {
    rate >= ONE || mix((seed ^ mix(number << 1)).wrapping_add(STEP)) >> 32 < rate
}
