//! Random numbers: the kernel's, or with a seed a function of the packet's number alone.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
pub use chaosd_ebpf::mix;
use chaosd_ebpf::{Fault, ONE, SEEDED, STEP};

use crate::maps;

/// See the module's page.
pub struct Dice {
    seeded: bool,
    numbered: u64,
    state: u64,
}

/// Not yet drawn.
const UNNUMBERED: u64 = u64::MAX;

impl Dice {
    #[inline(always)]
    pub fn new(f: &Fault, n: u32, direction: u32) -> Self {
        let mut dice = Self {
            seeded: f.flags & SEEDED != 0,
            numbered: UNNUMBERED,
            state: 0,
        };
        if dice.seeded {
            let number = dice.number(n, direction);
            dice.state = f.seed ^ mix(number << 1 | u64::from(direction & 1));
        }
        dice
    }

    /// How many packets this fault matched before this one.
    #[inline(always)]
    pub fn number(&mut self, n: u32, direction: u32) -> u64 {
        if self.numbered == UNNUMBERED {
            self.numbered = maps::STATES.get_ptr_mut(n).map_or(0, |state| {
                // `AtomicU64` has no `fetch_add` on this target, the instruction set has (v3). Relaxed would
                // become the instruction that returns nothing.
                // SAFETY: an aligned u64 of a map value, shared by the CPUs.
                unsafe {
                    atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(
                        &raw mut (*state).packets[(direction & 1) as usize],
                        1,
                    )
                }
            });
        }
        self.numbered
    }

    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        if self.seeded {
            self.state = self.state.wrapping_add(STEP);
            mix(self.state)
        } else {
            // SAFETY: a helper without arguments.
            unsafe {
                u64::from(bpf_get_prandom_u32() as u32) << 32
                    | u64::from(bpf_get_prandom_u32() as u32)
            }
        }
    }

    /// True with probability `rate / ONE`.
    #[inline(always)]
    pub fn below(&mut self, rate: u64) -> bool {
        if rate >= ONE {
            return true;
        }
        if rate == 0 {
            return false;
        }
        let draw = if self.seeded {
            self.next() >> 32
        } else {
            // SAFETY: a helper without arguments.
            unsafe { u64::from(bpf_get_prandom_u32() as u32) }
        };
        draw < rate
    }
}
