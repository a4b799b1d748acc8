//! A set of faults as a bit vector: one lookup per dimension, then AND.

/// Faults of one plane.
pub const MAX_FAULTS: usize = 256;
/// 64-bit words of a [`Bits`].
pub const WORDS: usize = MAX_FAULTS / 64;

/// A set of fault numbers.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Bits(pub [u64; WORDS]);

impl Bits {
    /// No fault.
    pub const NONE: Self = Self([0; WORDS]);
    /// Every fault.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// True when no fault is in the set.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    /// The faults in both sets.
    #[inline(always)]
    #[must_use]
    pub const fn and(&self, o: &Self) -> Self {
        Self([
            self.0[0] & o.0[0],
            self.0[1] & o.0[1],
            self.0[2] & o.0[2],
            self.0[3] & o.0[3],
        ])
    }

    /// The faults in either set.
    #[inline(always)]
    #[must_use]
    pub const fn or(&self, o: &Self) -> Self {
        Self([
            self.0[0] | o.0[0],
            self.0[1] | o.0[1],
            self.0[2] | o.0[2],
            self.0[3] | o.0[3],
        ])
    }

    /// The faults of `self` that are not in `o`.
    #[inline(always)]
    #[must_use]
    pub const fn without(&self, o: &Self) -> Self {
        Self([
            self.0[0] & !o.0[0],
            self.0[1] & !o.0[1],
            self.0[2] & !o.0[2],
            self.0[3] & !o.0[3],
        ])
    }

    /// Keeps the faults that are in `o` too.
    #[inline(always)]
    pub const fn keep(&mut self, o: &Self) {
        self.0[0] &= o.0[0];
        self.0[1] &= o.0[1];
        self.0[2] &= o.0[2];
        self.0[3] &= o.0[3];
    }

    /// Takes out the faults that are in `o`.
    #[inline(always)]
    pub const fn remove(&mut self, o: &Self) {
        self.0[0] &= !o.0[0];
        self.0[1] &= !o.0[1];
        self.0[2] &= !o.0[2];
        self.0[3] &= !o.0[3];
    }

    /// True when a fault is in both sets.
    #[inline(always)]
    pub const fn meets(&self, o: &Self) -> bool {
        (self.0[0] & o.0[0]) | (self.0[1] & o.0[1]) | (self.0[2] & o.0[2]) | (self.0[3] & o.0[3])
            != 0
    }

    /// Takes the lowest fault out, and returns it.
    #[inline(always)]
    pub const fn pop(&mut self) -> Option<u32> {
        let (word, base) = if self.0[0] != 0 {
            (&mut self.0[0], 0)
        } else if self.0[1] != 0 {
            (&mut self.0[1], 64)
        } else if self.0[2] != 0 {
            (&mut self.0[2], 128)
        } else if self.0[3] != 0 {
            (&mut self.0[3], 192)
        } else {
            return None;
        };
        let n = base + word.trailing_zeros();
        *word &= *word - 1;
        Some(n)
    }

    /// True when fault `n` is in the set.
    #[inline(always)]
    pub const fn has(&self, n: u8) -> bool {
        self.0[(n >> 6) as usize] & (1 << (n & 63)) != 0
    }

    /// Puts fault `n` into the set.
    #[inline(always)]
    pub const fn set(&mut self, n: u8) {
        *self.word(n) |= 1 << (n & 63);
    }

    /// Takes fault `n` out of the set.
    #[inline(always)]
    pub const fn clear(&mut self, n: u8) {
        *self.word(n) &= !(1 << (n & 63));
    }

    /// Not by an index: a compiler that knows its bounds leaves out what tells them to the verifier.
    #[inline(always)]
    const fn word(&mut self, n: u8) -> &mut u64 {
        if n < 64 {
            &mut self.0[0]
        } else if n < 128 {
            &mut self.0[1]
        } else if n < 192 {
            &mut self.0[2]
        } else {
            &mut self.0[3]
        }
    }
}
