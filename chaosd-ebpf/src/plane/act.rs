//! From the classified packet to the verdict of the hook.

use aya_ebpf::{
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    helpers::generated::bpf_redirect,
    programs::TcContext,
};
use chaosd_ebpf::{Bits, Control, EGRESS, HAS_L2, INGRESS, Iface, Mark, USES_CGROUP};

use crate::{
    classify, corrupt, decide, maps,
    packet::{self, Packet, Scratch, TCP},
    reset, socket,
};

/// Where a packet is decided.
#[derive(Clone, Copy)]
pub enum Place {
    /// On the target's interface.
    Interface,
    /// In the detour, on its way back to the interface `index`.
    Detour { index: u32 },
}

/// Classifies, steers, decides. `TCX_NEXT` lets the packet go on.
#[inline(always)]
pub fn run(ctx: &TcContext, ctl: &Control, iface: &Iface, direction: u32, place: Place) -> i32 {
    let start = &iface.bits[(direction & 1) as usize];
    if start.is_empty() {
        return TCX_NEXT;
    }
    let l2 = iface.flags & HAS_L2 != 0;
    let Some(p) = Packet::parse(Scratch::Tc, ctx, l2, direction) else {
        return TCX_NEXT;
    };
    if let Place::Interface = place {
        maps::add(
            &maps::SEEN,
            (iface.slot << 1) | direction,
            u64::from(p.segments),
        );
    }
    let mut bits = classify::candidates(ctl, start, p);
    if bits.is_empty() {
        return TCX_NEXT;
    }
    let Some(now) = maps::vouched(ctl) else {
        return TCX_NEXT;
    };
    if ctl.uses & USES_CGROUP != 0 {
        bits = restrict_to_cgroup(ctx, ctl, p, direction, place, bits);
        if bits.is_empty() {
            return TCX_NEXT;
        }
    }
    if let Place::Interface = place
        && l2
        && ctl.detour != 0
        && must_detour(ctl, &bits, p)
    {
        return steer(ctx, ctl, iface, direction, p);
    }
    if let Place::Interface = place {
        // Without an Ethernet header, or without the detour, these cannot act: nor are they counted.
        bits = bits.without(&ctl.detour_always);
        if bits.is_empty() {
            return TCX_NEXT;
        }
    }
    let Some(v) = decide::decide(Scratch::Tc, bits, now, direction, p, flow_hash(p)) else {
        return TCX_NEXT;
    };
    if v.drop != 0 {
        return lose(direction, place);
    }
    if v.reset != 0
        && let Place::Detour { index } = place
    {
        return reset::reset(ctx, p, direction, index, v.reset);
    }
    if v.flip_detected | v.flip_undetected != 0 {
        corrupt::flip(ctx, p, v.flip_detected, v.flip_undetected, v.dice);
    }
    TCX_NEXT
}

/// Keeps the faults whose cgroup the packet's socket is in, and those that name none.
#[inline(always)]
fn restrict_to_cgroup(
    ctx: &TcContext,
    ctl: &Control,
    p: &Packet,
    direction: u32,
    place: Place,
    bits: Bits,
) -> Bits {
    let free = bits.and(&ctl.any_cgroup);
    let bound = bits.without(&ctl.any_cgroup);
    if bound.is_empty() {
        return free;
    }
    if direction == EGRESS {
        return free.or(&bound.and(&socket::sender(ctx, ctl)));
    }
    if let Some(known) = socket::receiver(ctx, ctl, p) {
        return free.or(&bound.and(&known));
    }
    packet::set_mark(
        ctx,
        match place {
            Place::Interface => Mark::Undecided(ctl.plane),
            Place::Detour { .. } => Mark::ReturnedUndecided(ctl.plane),
        },
    );
    free
}

/// Super-packets go through the detour when a fault decides per segment; TCP as a whole does, or
/// its small packets would overtake the large ones.
#[inline(always)]
fn must_detour(ctl: &Control, bits: &Bits, p: &Packet) -> bool {
    !bits.and(&ctl.detour_always).is_empty()
        || ((p.segments > 1 || p.protocol == TCP) && !bits.and(&ctl.detour_segments).is_empty())
}

#[inline(always)]
fn steer(ctx: &TcContext, ctl: &Control, iface: &Iface, direction: u32, p: &Packet) -> i32 {
    packet::set_mark(
        ctx,
        Mark::Steered {
            direction,
            slot: iface.slot,
        },
    );
    maps::add(&maps::DETOURED, 0, u64::from(p.segments));
    // SAFETY: a helper without pointers.
    unsafe { bpf_redirect(ctl.detour, 0) as i32 }
}

/// Loses the packet as a wire does.
///
/// On egress the drop verdicts are told to the local sender (net/core/dev.c `sch_handle_egress`
/// sets `NET_XMIT_DROP`), TCP resends at once and nothing was lost; a redirect to no device is
/// silent. In the detour the sender has long been told that the packet is out.
#[inline(always)]
fn lose(direction: u32, place: Place) -> i32 {
    if let Place::Interface = place
        && direction != INGRESS
    {
        // SAFETY: a helper without pointers.
        return unsafe { bpf_redirect(0, 0) as i32 };
    }
    TCX_DROP
}

/// The same for both directions of a flow.
#[inline(always)]
pub fn flow_hash(p: &Packet) -> u32 {
    let r = &p.flow.remote;
    let word = |i: usize| u64::from(u32::from_ne_bytes([r[i], r[i + 1], r[i + 2], r[i + 3]]));
    let address =
        word(0) ^ word(4).rotate_left(21) ^ word(8).rotate_left(42) ^ word(12).rotate_left(11);
    let ports = u64::from(p.flow.remote_port) << 16 | u64::from(p.flow.local_port);
    decide::mix(decide::mix(address ^ u64::from(p.protocol) << 56) ^ ports) as u32
}
