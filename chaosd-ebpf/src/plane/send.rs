//! Sending a packet elsewhere: into a detour, into the hold queue, back to its interface.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{
        __sk_buff, _bindgen_ty_28::BPF_SKB_TSTAMP_DELIVERY_MONO,
        _bindgen_ty_28::BPF_SKB_TSTAMP_UNSPEC, BPF_F_INGRESS, tcx_action_base::TCX_NEXT,
    },
    helpers::generated::{
        bpf_clone_redirect, bpf_get_prandom_u32, bpf_loop, bpf_redirect, bpf_set_hash,
        bpf_set_hash_invalid, bpf_skb_change_type, bpf_skb_set_tstamp, bpf_skb_vlan_pop,
        bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use chaosd_ebpf::{CHUNKS_NS, FEW_CHUNKS, GRID_NS, INGRESS, LONG_NS, Mark, SLACK_NS};

use crate::{
    act,
    decide::{self, Verdict},
    hold::{self, Departure},
    maps,
    packet::{self, Scratch},
};

/// `linux/if_packet.h`
const PACKET_HOST: u32 = 0;
/// `linux/if_ether.h`, in network byte order. Any protocol does: nobody but us sees the tag.
pub const ETH_P_8021Q: u16 = 0x8100_u16.to_be();
/// Chunks that a tag can count.
const MOST_CHUNKS: u64 = 255;

/// Into a detour: the verdict that does it.
#[inline(always)]
pub fn into(ctx: &TcContext, device: u32, direction: u32, slot: u32) -> i32 {
    packet::set_mark(
        ctx,
        Mark::Steered {
            direction,
            slot,
            chunk: 0,
        },
    );
    // SAFETY: a helper without pointers.
    unsafe { bpf_redirect(device, 0) as i32 }
}

/// Back to the interface that it came from, in its direction: the verdict that does it.
#[inline(always)]
pub fn back(ctx: &TcContext, index: u32, direction: u32) -> i32 {
    // The detour's address is not the packet's, so that it is another host's here
    // (net/ethernet/eth.c, `eth_type_trans`), and lo, which it may leave by, takes that over.
    // SAFETY: the context and a number.
    unsafe {
        bpf_skb_change_type(ctx.skb.skb, PACKET_HOST);
    }
    // SAFETY: a helper without pointers.
    unsafe { bpf_redirect(index, flags(direction)) as i32 }
}

/// The way a packet goes on, as the redirecting helpers want it.
#[inline(always)]
fn flags(direction: u32) -> u64 {
    if direction == INGRESS {
        u64::from(BPF_F_INGRESS)
    } else {
        0
    }
}

/// Copies, and the hold: what the packet under way was decided to.
#[inline(always)]
pub fn send(ctx: &TcContext) -> i32 {
    let (Some(v), Some(ctl)) = (decide::verdict(Scratch::Tc), maps::control()) else {
        return TCX_NEXT;
    };
    // Sending may run programs again, on this packet or on one that the device makes of it, and these
    // have the same verdict to write to: nothing of it is read afterwards.
    let (copies, index, direction, detoured) = (v.copies, v.index, v.direction, v.detoured != 0);
    let onward = v.onward;
    let leaves = detoured || onward != direction;
    if let Some(when) = hold::departure(v) {
        let tagged = prepare(ctx, v, when);
        let clones = Clones {
            skb: ctx.skb.skb,
            flags: 0,
            device: ctl.hold,
            counter: v.hold.holder.saturating_sub(1) * 2 + (direction & 1),
            segments: v.segments,
            pad: 0,
        };
        if into_hold(&clones) >= 0 {
            if copies != 0 {
                repeat(copies, clones, clone_into_hold);
            }
            return act::lose(direction, detoured);
        }
        // The queue did not refuse it: it has just gone with its device. On at once then.
        forget(ctx, tagged);
    }
    packet::set_mark(ctx, Mark::Returned(ctl.plane));
    if leaves {
        // SAFETY: the context and a number, as in `back`. What is on its interface yet keeps its type: a
        // packet that is another host's would be taken for one of this host.
        unsafe {
            bpf_skb_change_type(ctx.skb.skb, PACKET_HOST);
        }
    }
    let clones = Clones {
        skb: ctx.skb.skb,
        flags: flags(onward),
        device: index,
        counter: 0,
        segments: 0,
        pad: 0,
    };
    repeat(copies, clones, clone_back);
    if leaves {
        return back(ctx, index, onward);
    }
    packet::set_mark(ctx, Mark::None);
    TCX_NEXT
}

/// Of one packet, by several faults together.
const MOST_COPIES: u32 = 64;

/// What is sent, and where to; and who is told when it was refused.
#[repr(C)]
struct Clones {
    skb: *mut __sk_buff,
    flags: u64,
    device: u32,
    counter: u32,
    segments: u32,
    pad: u32,
}

/// A loop that the verifier reads once (5.17): it follows every round of a `while`, whose counter a
/// compiler may run downwards from a number that 6.1 takes for unbounded.
#[inline(always)]
fn repeat(times: u32, mut clones: Clones, round: unsafe extern "C" fn(u32, *mut Clones) -> i64) {
    // SAFETY: the callback has the helper's signature and the context outlives the call.
    unsafe {
        bpf_loop(
            times.min(MOST_COPIES),
            round as *mut c_void,
            ptr::from_mut(&mut clones).cast(),
            0,
        );
    }
}

unsafe extern "C" fn clone_into_hold(_: u32, clones: *mut Clones) -> i64 {
    // SAFETY: `repeat` passes its own.
    into_hold(unsafe { &*clones });
    0
}

unsafe extern "C" fn clone_back(_: u32, clones: *mut Clones) -> i64 {
    // SAFETY: `repeat` passes its own; the context and numbers.
    unsafe {
        bpf_clone_redirect((*clones).skb, (*clones).device, (*clones).flags);
    }
    0
}

/// Writes onto the packet what the hold queue and its far end read. True when that took a tag.
#[inline(always)]
fn prepare(ctx: &TcContext, v: &Verdict, when: Departure) -> bool {
    let skb = ctx.skb.skb;
    let held = when.at - when.now;
    let mut chunk = 0;
    let mut at = when.at;
    if held > LONG_NS {
        chunk = if held <= LONG_NS * FEW_CHUNKS {
            1
        } else if held <= CHUNKS_NS[2] * FEW_CHUNKS * 2 {
            2
        } else {
            3
        };
        let length = CHUNKS_NS[chunk as usize & 3].max(1);
        // The first round is no shorter than it has to be: each costs as much as a packet.
        let count = (held.saturating_sub(1) / length).min(MOST_CHUNKS);
        at = when.at - count * length;
        let tci = (v.hold.run as u16) << 8 | count as u16;
        // SAFETY: the context and numbers.
        if unsafe { bpf_skb_vlan_push(skb, ETH_P_8021Q, tci) } != 0 {
            // In one go then: it cannot be called back.
            chunk = 0;
            at = when.at;
        }
    }
    // What fq takes for a flow waits as a whole on kernels up to 6.12: a packet that is due before the
    // one at its head waits for that one. So a packet that may be, or goes round, is a flow of its own;
    // those of a real flow leave in the order they came, but for the two directions.
    let hash = if when.loose || chunk != 0 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() as u32 }
    } else {
        v.flow ^ v.onward
    };
    // SAFETY: the context and a number; a context field that tc programs may write. Priority 7 would
    // not be held at all before 6.9 (net/sched/sch_fq.c, `TC_PRIO_CONTROL`), and a veth clears it anyway.
    unsafe {
        bpf_set_hash(skb, hash);
        (*skb).priority = 0;
    }
    // A timer with slack fires at the end of it, unless another one fires within.
    at = at.saturating_sub(SLACK_NS) & !(GRID_NS - 1);
    packet::set_mark(
        ctx,
        Mark::Steered {
            direction: v.onward,
            slot: v.slot,
            chunk,
        },
    );
    leave_at(ctx, at);
    chunk != 0
}

/// Takes off a packet what [`prepare`] wrote onto it.
#[inline(always)]
fn forget(ctx: &TcContext, tagged: bool) {
    let skb = ctx.skb.skb;
    // SAFETY: the context and numbers.
    unsafe {
        if tagged {
            bpf_skb_vlan_pop(skb);
        }
        bpf_set_hash_invalid(skb);
        bpf_skb_set_tstamp(skb, 0, BPF_SKB_TSTAMP_UNSPEC);
    }
}

/// Writes down when the hold queue lets it go.
#[inline(always)]
pub fn leave_at(ctx: &TcContext, at: u64) {
    // SAFETY: the context and numbers.
    unsafe {
        bpf_skb_set_tstamp(ctx.skb.skb, at, BPF_SKB_TSTAMP_DELIVERY_MONO);
    }
}

/// A clone, for it has no socket: TCP Small Queues would stall a sender whose packets stay charged
/// to it (`net/ipv4/tcp_output.c`, `tcp_small_queue_check`), and UDP would run out of its buffer.
///
/// 0: it is held. Above 0 the queue refused it (`NET_XMIT_DROP`), which is counted. Below 0 no queue was
/// asked: there is no such device any more, or no memory for a clone.
#[inline(always)]
fn into_hold(clones: &Clones) -> i64 {
    // SAFETY: the context and numbers.
    let refused = unsafe { bpf_clone_redirect(clones.skb, clones.device, clones.flags) };
    if refused == 0 {
        maps::add(&maps::HELD, 0, 1);
    } else if refused > 0
        && let Some(counters) = maps::COUNTERS.get_ptr_mut(clones.counter)
    {
        // SAFETY: this CPU's own value.
        unsafe { (*counters).overflow += u64::from(clones.segments) }
    }
    refused
}
