//! Which netem a packet goes through next: one device for each such fault, in the order of their
//! numbers. What a netem does to a packet is its own affair, so that what is counted as affected is
//! what went in.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::tcx_action_base::TCX_NEXT, helpers::generated::bpf_loop, programs::TcContext,
};
use chaosd_ebpf::Control;

use crate::{
    act,
    decide::{self, Verdict},
    maps,
    packet::{Packet, Scratch},
    send,
};

/// The fault whose netem ends at this device, plus one; 0: none.
#[inline(always)]
pub fn past(device: u32) -> u32 {
    // Asked also when no fault has one any more: what the last of them held still comes out of it.
    // SAFETY: a number, replaced as a whole by user space.
    unsafe { maps::NETEM_ENDS.get(device) }.map_or(0, |n| n + 1)
}

/// See [`crate::netem`].
#[inline(always)]
pub fn stage(ctx: &TcContext) -> i32 {
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let (index, direction, detoured) = (v.index, v.direction, v.detoured != 0);
    let verdict = run(ctx, v);
    act::onward(ctx, verdict, index, direction, detoured)
}

#[inline(always)]
fn run(ctx: &TcContext, v: &mut Verdict) -> i32 {
    let Some(ctl) = maps::control() else {
        return TCX_NEXT;
    };
    let device = next(ctl, v);
    if device != 0 {
        return send::into(ctx, device, v.direction & 1, v.slot);
    }
    v.left.remove(&ctl.netem);
    act::act_on(ctx, ctl, v)
}

/// The device to send the packet into; 0: no netem is left for it.
#[inline(always)]
fn next(ctl: &Control, v: &mut Verdict) -> u32 {
    v.netems = v.left.and(&ctl.netem);
    v.device = 0;
    // A loop that the verifier reads once (5.17). Those that rest or spare this flow are passed over;
    // more than eight in a row are not.
    // SAFETY: the callback has the helper's signature and takes no context.
    unsafe {
        bpf_loop(8, try_next as *mut c_void, ptr::null_mut(), 0);
    }
    decide::verdict(Scratch::Tc).map_or(0, |v| v.device)
}

extern "C" fn try_next(_: u32, _: *mut c_void) -> i64 {
    let (Some(v), Some(p)) = (decide::verdict(Scratch::Tc), Packet::current(Scratch::Tc)) else {
        return 1;
    };
    let Some(n) = v.netems.pop() else {
        return 1;
    };
    if n >= v.past
        && let Some(f) = maps::FAULTS.get(n)
        && decide::active(f, v.now, p.flow_hash()).is_some()
    {
        v.device = through(n, v.direction, p).unwrap_or(0);
        return 1;
    }
    0
}

#[inline(always)]
fn through(n: u32, direction: u32, p: &Packet) -> Option<u32> {
    let device = *maps::NETEMS.get(n)?;
    if device == 0 {
        return None;
    }
    let counters = maps::COUNTERS.get_ptr_mut(n * 2 + (direction & 1))?;
    // SAFETY: this CPU's own value.
    unsafe {
        (*counters).matched += u64::from(p.segments);
        (*counters).affected += u64::from(p.segments);
    }
    Some(device)
}
