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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_numbers_is_hit_and_a_seed_says_which() {
        const N: u64 = 100_000;
        let count = |seed, rate| (0..N).filter(|n| hits(seed, *n, rate)).count();
        for seed in [0, 1, 0x1234_5678_9abc_def0] {
            assert_eq!((count(seed, 0), count(seed, ONE)), (0, 100_000));
            // 10 % of them, and three standard deviations of 95.
            let off = count(seed, ONE / 10).abs_diff(10_000);
            assert!(off <= 285, "{off}");
        }
        let which = |seed| (0..64).filter(move |n| hits(seed, *n, ONE / 2));
        assert!(which(1).eq(which(1)));
        assert!(!which(1).eq(which(2)));
    }
}
