//! The far end of the hold queue: back to the interface, or round again.
//!
//! A packet that is held for long goes round in chunks, so that it can be let go when its run ends.
//! How many are left, and of which run, stands in a VLAN tag beside the packet: unlike its mark,
//! priority and control block, a veth leaves that alone, and nobody else sees it.

use aya_ebpf::{
    bindings::tcx_action_base::TCX_DROP,
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect, bpf_skb_vlan_pop, bpf_skb_vlan_push},
    programs::TcContext,
};
use chaosd_ebpf::{CHUNKS_NS, Control, Mark};

use crate::{
    maps, packet,
    send::{self, ETH_P_8021Q},
};

/// See [`crate::release`].
#[inline(always)]
pub fn release(ctx: &TcContext) -> i32 {
    let Mark::Steered {
        direction,
        slot,
        chunk,
    } = packet::mark(ctx)
    else {
        return TCX_DROP;
    };
    let Some(ctl) = maps::control() else {
        return TCX_DROP;
    };
    if chunk != 0
        && let Some(verdict) = go_round(ctx, ctl, direction, slot, chunk)
    {
        return verdict;
    }
    maps::add(&maps::HELD, 1, 1);
    // Its interface may have gone meanwhile: then it has nowhere to go on to.
    let Some(index) = maps::slot(slot) else {
        return TCX_DROP;
    };
    packet::set_mark(ctx, Mark::Returned(ctl.plane));
    send::back(ctx, index, direction)
}

/// Takes the tag off; `None` when the packet leaves.
#[inline(always)]
fn go_round(ctx: &TcContext, ctl: &Control, direction: u32, slot: u32, chunk: u32) -> Option<i32> {
    let skb = ctx.skb.skb;
    // SAFETY: context fields. The type has to be read for the time to be shown
    // (net/core/filter.c, `bpf_convert_tstamp_read`).
    let (tci, stamp) = unsafe {
        let kind = core::ptr::read_volatile(&raw const (*skb).tstamp_type);
        let stamp = if kind == 0 { 0 } else { (*skb).tstamp };
        ((*skb).vlan_tci, stamp)
    };
    // SAFETY: the context.
    unsafe {
        bpf_skb_vlan_pop(skb);
    }
    let (run, left) = (tci >> 8 & 0xff, tci & 0xff);
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if left == 0 || ctl.hold == 0 || !maps::is_armed(ctl) || maps::vouched(ctl).is_none() {
        return None;
    }
    let run = maps::RUNS.get(run)?;
    // SAFETY: a field of a map value that user space writes.
    if now >= unsafe { core::ptr::read_volatile(&raw const run.deadline_ns) } {
        return None;
    }
    let mut chunk = chunk;
    let at = if stamp == 0 { now } else { stamp } + CHUNKS_NS[chunk as usize & 3];
    if left > 1 {
        let tci = (tci & 0xff00) as u16 | (left - 1) as u16;
        // SAFETY: the context and numbers.
        if unsafe { bpf_skb_vlan_push(skb, ETH_P_8021Q, tci) } != 0 {
            return None;
        }
    } else {
        chunk = 0;
    }
    packet::set_mark(
        ctx,
        Mark::Steered {
            direction,
            slot,
            chunk,
        },
    );
    send::leave_at(ctx, at);
    // SAFETY: a helper without pointers.
    Some(unsafe { bpf_redirect(ctl.hold, 0) as i32 })
}
