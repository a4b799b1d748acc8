//! Whether a matched fault acts on this packet: timeline, share of flows, dice.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    helpers::generated::{bpf_get_prandom_u32, bpf_loop},
    macros::map,
    maps::PerCpuArray,
};
use chaosd_ebpf::{
    Bits, Fault, INGRESS, Kind, MAX_FAULTS, ONE, RESET_LOCAL, RESET_REMOTE, SEEDED, UNDETECTED,
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};

use crate::{
    maps,
    packet::{self, Packet, Scratch},
};

/// What all matched faults together want done, and the state of the walk over them.
#[repr(C)]
pub struct Verdict {
    left: Bits,
    now: u64,
    direction: u32,
    segments: u32,
    flow: u32,
    protocol: u32,
    /// Lose it.
    pub drop: u32,
    /// `RESET_LOCAL | RESET_REMOTE`
    pub reset: u32,
    /// Bits to flip so that the checksum fails.
    pub flip_detected: u32,
    /// Bits to flip so that it does not.
    pub flip_undetected: u32,
    /// Draws for where the flips go.
    pub dice: u64,
}

/// The verdict under way, per CPU: in a map, for the verifier follows what a stack holds from round
/// to round of a loop and would not come to an end.
#[map]
static VERDICTS: PerCpuArray<Verdict> = PerCpuArray::with_max_entries(2, 0);

/// Walks the matched faults; counts; stops at the first that loses the packet.
#[inline(always)]
pub fn decide(
    scratch: Scratch,
    bits: Bits,
    now: u64,
    direction: u32,
    p: &Packet,
    flow: u32,
) -> Option<&'static Verdict> {
    let v = VERDICTS.get_ptr_mut(scratch as u32)?;
    // SAFETY: this CPU's own value, used by one program at a time.
    let v = unsafe { &mut *v };
    *v = Verdict {
        left: bits,
        now,
        direction,
        segments: p.segments,
        flow,
        protocol: u32::from(p.protocol) | u32::from(p.flags) << 8,
        drop: 0,
        reset: 0,
        flip_detected: 0,
        flip_undetected: 0,
        dice: 0,
    };
    let step = match scratch {
        Scratch::Tc => step_tc as *mut c_void,
        Scratch::Cgroup => step_cgroup as *mut c_void,
    };
    // A loop that the verifier reads once (5.17), whatever the number of faults.
    // SAFETY: the callback has the helper's signature and takes no context.
    unsafe {
        bpf_loop(MAX_FAULTS as u32, step, ptr::null_mut(), 0);
    }
    Some(v)
}

extern "C" fn step_tc(_: u32, _: *mut c_void) -> i64 {
    step(Scratch::Tc)
}

extern "C" fn step_cgroup(_: u32, _: *mut c_void) -> i64 {
    step(Scratch::Cgroup)
}

/// One fault; returns 1 to end the walk.
#[inline(always)]
fn step(scratch: Scratch) -> i64 {
    let Some(v) = VERDICTS.get_ptr_mut(scratch as u32) else {
        return 1;
    };
    // SAFETY: the value that `decide` works on.
    let v = unsafe { &mut *v };
    let (word, base) = if v.left.0[0] != 0 {
        (&mut v.left.0[0], 0)
    } else if v.left.0[1] != 0 {
        (&mut v.left.0[1], 64)
    } else if v.left.0[2] != 0 {
        (&mut v.left.0[2], 128)
    } else if v.left.0[3] != 0 {
        (&mut v.left.0[3], 192)
    } else {
        return 1;
    };
    let n = base + word.trailing_zeros();
    *word &= *word - 1;

    let Some(f) = maps::FAULTS.get(n) else {
        return 0;
    };
    let Some(since) = active(f, v) else { return 0 };
    let Some(counters) = maps::COUNTERS.get_ptr_mut(n * 2 + (v.direction & 1)) else {
        return 0;
    };
    // SAFETY: this CPU's own value.
    unsafe { (*counters).matched += u64::from(v.segments) }

    let mut dice = Dice::new(f, n, v.direction);
    let intense = since >= f.ramp_ns || dice.below(intensity(since, f.ramp_ns));
    let hit = intense && happens(f, n, v.direction, &mut dice) && outcome(scratch, f, v, &mut dice);
    if hit {
        // SAFETY: this CPU's own value.
        unsafe { (*counters).affected += u64::from(v.segments) }
    }
    i64::from(v.drop & 1)
}

/// Time since the fault began to act; `None` while it does not.
#[inline(always)]
fn active(f: &Fault, v: &Verdict) -> Option<u64> {
    let run = maps::RUNS.get(f.run)?;
    // SAFETY: fields of a map value that user space writes.
    let (start, deadline) = unsafe {
        (
            core::ptr::read_volatile(&raw const run.start_ns),
            core::ptr::read_volatile(&raw const run.deadline_ns),
        )
    };
    if v.now >= deadline || v.now < start {
        return None;
    }
    let t = v.now - start;
    if t < f.after_ns || t >= f.until_ns {
        return None;
    }
    let since = t - f.after_ns;
    if f.pulse_period_ns != 0 && since % f.pulse_period_ns >= f.pulse_on_ns {
        return None;
    }
    if f.flows < ONE && u64::from(mix(u64::from(v.flow) ^ f.seed) as u32) >= f.flows {
        return None;
    }
    Some(since)
}

/// The share of full intensity, `since` into a ramp that is not over. In units of 4 us, so that an
/// hour does not overflow.
#[inline(always)]
fn intensity(since: u64, ramp: u64) -> u64 {
    ((since >> 12) << 32).checked_div(ramp >> 12).unwrap_or(ONE)
}

#[inline(always)]
fn happens(f: &Fault, n: u32, direction: u32, dice: &mut Dice) -> bool {
    if f.kind == Kind::DropEvery as u32 {
        return f.count != 0
            && dice.number(n, direction) % u64::from(f.count) == u64::from(f.count) - 1;
    }
    if f.kind == Kind::DropGilbert as u32 {
        let Some(state) = maps::STATES.get_ptr_mut(n) else {
            return false;
        };
        // SAFETY: a map value. Two CPUs at once may lose a transition, as in the kernel's netem.
        let bad = unsafe { &mut (*state).bad[(direction & 1) as usize] };
        // The state that holds decides; then it may change (the order of net/sched/sch_netem.c,
        // loss_gilb_ell).
        return if *bad == 0 {
            if dice.below(f.to_bad) {
                *bad = 1;
            }
            dice.below(f.rate)
        } else {
            if dice.below(f.to_good) {
                *bad = 0;
            }
            dice.below(f.bad_rate)
        };
    }
    dice.below(f.rate)
}

/// Writes down what the fault wants; false when there is nothing it could act on.
#[inline(always)]
fn outcome(scratch: Scratch, f: &Fault, v: &mut Verdict, dice: &mut Dice) -> bool {
    if f.kind == Kind::Corrupt as u32 {
        // The cgroup program cannot write the packet.
        if let Scratch::Cgroup = scratch {
            return false;
        }
        if f.flags & UNDETECTED != 0 {
            v.flip_undetected += f.count;
        } else {
            v.flip_detected += f.count;
        }
        v.dice = dice.next();
    } else if f.kind == Kind::Reset as u32 {
        let flags = v.protocol >> 8;
        // A reset answers no reset (RFC 9293 §3.10.7.1).
        if v.protocol & 0xff != u32::from(packet::TCP) || flags & u32::from(packet::RST) != 0 {
            return false;
        }
        // Of a new connection only the end that asks has something to reset.
        let asks = if v.direction == INGRESS {
            RESET_REMOTE
        } else {
            RESET_LOCAL
        };
        let syn = u32::from(packet::SYN);
        if flags & (syn | u32::from(packet::ACK)) == syn && f.flags & asks == 0 {
            return false;
        }
        v.reset |= f.flags & (RESET_LOCAL | RESET_REMOTE);
    } else {
        v.drop = 1;
    }
    true
}

/// Random numbers: the kernel's, or with a seed a function of the packet's number alone.
struct Dice {
    seeded: bool,
    numbered: u64,
    state: u64,
}

/// Not yet drawn.
const UNNUMBERED: u64 = u64::MAX;

impl Dice {
    #[inline(always)]
    fn new(f: &Fault, n: u32, direction: u32) -> Self {
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
    fn number(&mut self, n: u32, direction: u32) -> u64 {
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
    fn next(&mut self) -> u64 {
        if self.seeded {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
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
    fn below(&mut self, rate: u64) -> bool {
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

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
#[inline(always)]
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
