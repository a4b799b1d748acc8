//! Whether a matched fault acts on this packet: timeline, share of flows, dice.

use core::{ffi::c_void, ptr};

use aya_ebpf::{helpers::generated::bpf_loop, macros::map, maps::PerCpuArray};
use chaosd_ebpf::{
    Bits, CGROUP_LEVELS, Fault, HOLDS, INGRESS, Kind, MAX_FAULTS, ONE, RESET_LOCAL, RESET_REMOTE,
    UNDETECTED,
};

use crate::{
    dice::{Dice, mix},
    dns,
    hold::{self, Hold, PeerKey},
    maps,
    packet::{self, Packet, Scratch},
};

/// A packet on its way through the faults: those that match, and what they want done.
#[repr(C)]
pub struct Verdict {
    /// Faults that match and are not decided yet.
    pub left: Bits,
    /// The DNS faults that hold for what the packet asks.
    pub wanted: Bits,
    /// Those that acted on it.
    pub dns: Bits,
    /// The faults whose netem it may go through next.
    pub netems: Bits,
    /// The coarse clock's time.
    pub now: u64,
    /// Draws for where the flips go.
    pub dice: u64,
    /// Until when to keep it.
    pub hold: Hold,
    /// Of the packet, seen from the target.
    pub direction: u32,
    /// Wire segments in it.
    pub segments: u32,
    /// Hash of the packet's flow.
    pub flow: u32,
    protocol: u32,
    /// Bytes of its frames.
    pub len: u32,
    /// ifindex of its interface.
    pub index: u32,
    /// The interface's slot.
    pub slot: u32,
    /// 1: it is decided in the detour, and not on its interface.
    pub detoured: u32,
    /// Lose it.
    pub drop: u32,
    /// `RESET_LOCAL | RESET_REMOTE`
    pub reset: u32,
    /// Bits to flip so that the checksum fails.
    pub flip_detected: u32,
    /// Bits to flip so that it does not.
    pub flip_undetected: u32,
    /// How many more of it to send.
    pub copies: u32,
    /// The DNS fault that answers it, or resets its connection instead, and one more; 0: none does.
    pub answer: u32,
    /// Its queries that were read.
    pub asked: u32,
    /// This netem, as a fault's number plus one, and those before it have had it; 0: none has.
    pub past: u32,
    /// The direction in which it goes on: an answer takes the other one.
    pub onward: u32,
    /// The cgroup of the socket that receives it, and its ancestors by depth.
    pub receiver: [u64; CGROUP_LEVELS],
    /// ifindex of the netem that it goes through next; 0: there is none.
    pub device: u32,
    /// Keeps the size a multiple of 8.
    pub pad: u32,
    /// For look-ups: a program's stack has no room for it.
    pub peer: PeerKey,
}

impl Verdict {
    /// The packet's layer 4 protocol.
    #[inline(always)]
    pub fn protocol(&self) -> u32 {
        self.protocol & 0xff
    }
}

/// The verdict under way, per CPU: in a map, for the verifier follows what a stack holds from round
/// to round of a loop and would not come to an end.
#[map]
static VERDICTS: PerCpuArray<Verdict> = PerCpuArray::with_max_entries(2, 0);

/// The verdict of this CPU's packet.
#[inline(always)]
pub fn verdict(scratch: Scratch) -> Option<&'static mut Verdict> {
    let v = VERDICTS.get_ptr_mut(scratch as u32)?;
    // SAFETY: this CPU's own value, used by one program at a time.
    Some(unsafe { &mut *v })
}

/// Walks the faults of `v.left`; counts; stops at the first that loses the packet.
#[inline(always)]
pub fn decide(scratch: Scratch, v: &mut Verdict, now: u64, direction: u32, p: &Packet, len: u32) {
    v.now = now;
    v.direction = direction;
    v.segments = p.segments;
    v.flow = p.flow_hash();
    v.len = len;
    v.protocol = u32::from(p.protocol) | u32::from(p.flags) << 8;
    for field in [
        &raw mut v.drop,
        &raw mut v.reset,
        &raw mut v.flip_detected,
        &raw mut v.flip_undetected,
        &raw mut v.copies,
        &raw mut v.answer,
    ] {
        // SAFETY: fields of the verdict. A plain store beside others becomes a loop over bytes.
        unsafe { field.write_volatile(0) }
    }
    for word in &mut v.dns.0 {
        // SAFETY: as above.
        unsafe { ptr::from_mut(word).write_volatile(0) }
    }
    v.onward = direction;
    v.hold.clear();
    let step: extern "C" fn(u32, *mut c_void) -> i64 = match scratch {
        Scratch::Tc => step_tc,
        Scratch::Cgroup => step_cgroup,
    };
    // Most packets match one fault: it needs no loop.
    if step(0, ptr::null_mut()) != 0 {
        return;
    }
    // A loop that the verifier reads once (5.17), whatever the number of faults.
    // SAFETY: the callback has the helper's signature and takes no context.
    unsafe {
        bpf_loop(MAX_FAULTS as u32, step as *mut c_void, ptr::null_mut(), 0);
    }
}

#[inline(never)]
extern "C" fn step_tc(_: u32, _: *mut c_void) -> i64 {
    step(Scratch::Tc)
}

#[inline(never)]
extern "C" fn step_cgroup(_: u32, _: *mut c_void) -> i64 {
    step(Scratch::Cgroup)
}

/// One fault; returns 1 to end the walk.
#[inline(always)]
fn step(scratch: Scratch) -> i64 {
    let Some(v) = verdict(scratch) else {
        return 1;
    };
    let Some(n) = v.left.pop() else {
        return 1;
    };
    try_one(scratch, v, n);
    i64::from(v.drop != 0 || v.left.is_empty())
}

/// What fault `n` does with the packet.
#[inline(always)]
fn try_one(scratch: Scratch, v: &mut Verdict, n: u32) -> Option<()> {
    let f = maps::FAULTS.get(n)?;
    let since = active(f, v.now, v.flow)?;
    let counters = maps::COUNTERS.get_ptr_mut(n * 2 + (v.direction & 1))?;
    // SAFETY: this CPU's own value.
    unsafe { (*counters).matched += u64::from(v.segments) }

    let mut dice = Dice::new(f, n, v.direction);
    let intensity = intensity(since, f.ramp_ns);
    // Some kinds grow by acting on more packets, the others by doing more to each.
    let grows = f.kind == Kind::Delay as u32 || f.kind == Kind::Bandwidth as u32;
    let hit = (grows || dice.below(intensity))
        && happens(f, n, v.direction, &mut dice)
        && if f.flags & HOLDS != 0 || f.kind == Kind::Dns as u32 {
            let of_dns = f.kind == Kind::Dns as u32;
            let late = of_dns && dns::comes_late(f, v);
            let answers = of_dns && !late && dns::wants(f, n, v);
            let intensity = if grows { intensity } else { ONE };
            let holds = f.flags & HOLDS != 0 && v.drop == 0 && !late;
            holds && hold::hold(scratch, f, n, intensity, v, &mut dice, counters) || answers
        } else {
            outcome(scratch, f, v, &mut dice)
        };
    if hit {
        // SAFETY: this CPU's own value.
        unsafe { (*counters).affected += u64::from(v.segments) }
    }
    Some(())
}

/// Time since the fault began to act; `None` while it does not.
#[inline(always)]
pub fn active(f: &Fault, now: u64, flow: u32) -> Option<u64> {
    let run = maps::RUNS.get(f.run)?;
    // SAFETY: fields of a map value that user space writes.
    let (start, deadline) = unsafe {
        (
            core::ptr::read_volatile(&raw const run.start_ns),
            core::ptr::read_volatile(&raw const run.deadline_ns),
        )
    };
    if now >= deadline || now < start {
        return None;
    }
    let t = now - start;
    if t < f.after_ns || t >= f.until_ns {
        return None;
    }
    let since = t - f.after_ns;
    if f.pulse_period_ns != 0 && since % f.pulse_period_ns >= f.pulse_on_ns {
        return None;
    }
    if f.flows < ONE && u64::from(mix(u64::from(flow) ^ f.seed) as u32) >= f.flows {
        return None;
    }
    Some(since)
}

/// The share of full intensity, `since` into a ramp. In units of 4 us, or of 17 ms where a ramp lasts
/// for hours, so that nothing overflows.
#[inline(always)]
fn intensity(since: u64, ramp: u64) -> u64 {
    if since >= ramp {
        return ONE;
    }
    let unit = if ramp >> 44 == 0 { 12 } else { 24 };
    ((since >> unit) << 32)
        .checked_div(ramp >> unit)
        .unwrap_or(ONE)
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
    } else if f.kind == Kind::Duplicate as u32 {
        // Nor can it send one.
        if let Scratch::Cgroup = scratch {
            return false;
        }
        v.copies += f.count;
    } else {
        v.drop = 1;
    }
    true
}
