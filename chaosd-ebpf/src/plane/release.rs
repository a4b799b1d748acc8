//! The far end of the hold queue: back to the interface, or round again.
//!
//! A packet that is held for long goes round in chunks, so that it can be let go when its run ends.
//! How many are left, and of which run, stands in a VLAN tag beside the packet: unlike its mark,
//! priority and control block, a veth leaves that alone, and nobody else sees it.

use aya_ebpf::{
    bindings::tcx_action_base::TCX_DROP,
    helpers::generated::{
        bpf_ktime_get_ns, bpf_redirect, bpf_set_hash_invalid, bpf_skb_vlan_pop, bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use chaosd_ebpf::{CHUNKS_NS, Control, HURRY, Mark};

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
    // It chose a place in the queue, and is to choose no receive queue and no path.
    // SAFETY: the context.
    unsafe {
        bpf_set_hash_invalid(ctx.skb.skb);
    }
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
    let (run, left) = (tci >> 8 & 0xff, u64::from(tci & 0xff));
    if left == 0 || ctl.hold == 0 {
        return None;
    }
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let length = CHUNKS_NS[chunk as usize & 3];
    let leaves = if stamp == 0 { now } else { stamp };
    let mut chunk = chunk;
    let at = if let Some(ended) = ended(run, now).or_else(|| lapsed(ctl, now)) {
        // In order: behind what leaves by itself within a chunk.
        let (last, turn) = (ended + length, leaves + left * length);
        let behind = turn.saturating_sub(ended) >> (HURRY[chunk as usize & 3] & 63);
        chunk = 0;
        if last + behind <= now {
            return None;
        }
        last + behind
    } else {
        if left > 1 {
            let tci = (tci & 0xff00) as u16 | (left - 1) as u16;
            // SAFETY: the context and numbers.
            if unsafe { bpf_skb_vlan_push(skb, ETH_P_8021Q, tci) } != 0 {
                return None;
            }
        } else {
            chunk = 0;
        }
        leaves + length
    };
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

/// Since when nobody vouches for the plane any more, if so: that ends every run. A lease that
/// was taken away is 0, which is so long ago that every packet has had its turn.
#[inline(always)]
fn lapsed(ctl: &Control, now: u64) -> Option<u64> {
    let lease = maps::lease(ctl);
    (lease < now).then_some(lease)
}

/// When this run ended, if it did.
#[inline(always)]
fn ended(run: u32, now: u64) -> Option<u64> {
    let run = maps::RUNS.get(run)?;
    // SAFETY: fields of a map value that user space writes.
    let (deadline, ended) = unsafe {
        (
            core::ptr::read_volatile(&raw const run.deadline_ns),
            core::ptr::read_volatile(&raw const run.ended_ns),
        )
    };
    if deadline == 0 {
        Some(ended)
    } else {
        (now >= deadline).then_some(deadline)
    }
}
