//! From the classified packet to the verdict of the hook.

use aya_ebpf::{
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    helpers::generated::bpf_redirect,
    programs::TcContext,
};
use chaosd_ebpf::{Bits, Control, DNS, EGRESS, HAS_L2, INGRESS, Iface, Mark, SEND, USES_CGROUP};

use crate::{
    classify, corrupt,
    decide::{self, Verdict},
    maps, netem,
    packet::{self, Packet, Scratch, TCP},
    reset, send, socket,
};

/// Where a packet is decided.
#[derive(Clone, Copy)]
pub enum Place {
    /// On the target's interface.
    Interface,
    /// In the detour, on its way back to the interface `index`; `past`: this netem, as a fault's
    /// number plus one, and those before it have had it.
    Detour { index: u32, past: u32 },
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
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    v.left = classify::candidates(ctl, start, p);
    if v.left.is_empty() {
        return TCX_NEXT;
    }
    let Some(now) = maps::vouched(ctl) else {
        return TCX_NEXT;
    };
    if ctl.uses & USES_CGROUP != 0 {
        restrict_to_cgroup(ctx, ctl, p, direction, place, &mut v.left);
        if v.left.is_empty() {
            return TCX_NEXT;
        }
    }
    if !l2 {
        // The kernel loses a packet without an Ethernet header that is sent to a device of ours.
        v.left.remove(&ctl.netem);
        v.left.remove(&ctl.holds);
    } else if let Place::Interface = place
        && ctl.detour != 0
        && must_detour(ctl, &v.left, p)
    {
        return steer(ctx, ctl, iface, direction, p);
    }
    if v.left.meets(&ctl.netem) {
        let device = netem::next(ctl, &v.left, now, p, netem::way(direction, place));
        if device != 0 {
            return send::into(ctx, device, direction, iface.slot);
        }
        v.left.remove(&ctl.netem);
    }
    if let Place::Interface = place {
        // Without an Ethernet header, or without the detour, these cannot act: nor are they counted.
        v.left.remove(&ctl.detour_always);
    }
    if ctl.hold == 0 {
        v.left.remove(&ctl.holds);
    }
    if v.left.is_empty() {
        return TCX_NEXT;
    }
    if v.left.meets(&ctl.dns) {
        v.now = now;
        v.direction = direction;
        v.asked = 0;
        locate(v, iface, place);
        // SAFETY: programs of the same type; with no entry the call returns.
        unsafe { maps::STAGES.tail_call(ctx, DNS) };
        return TCX_NEXT;
    }
    let len = p.frame_bytes(ctx);
    decide::decide(Scratch::Tc, v, now, direction, p, len);
    finish(ctx, v, p, iface, place)
}

/// Writes down where the packet is decided.
#[inline(always)]
fn locate(v: &mut Verdict, iface: &Iface, place: Place) {
    v.index = iface.index;
    v.slot = iface.slot;
    v.detoured = u32::from(matches!(place, Place::Detour { .. }));
}

/// Does what was decided.
#[inline(always)]
pub fn finish(ctx: &TcContext, v: &mut Verdict, p: &Packet, iface: &Iface, place: Place) -> i32 {
    let direction = v.direction;
    if v.drop != 0 {
        return lose(direction, matches!(place, Place::Detour { .. }));
    }
    if v.reset != 0
        && let Place::Detour { index, .. } = place
    {
        return reset::reset(ctx, p, direction, index, v.reset);
    }
    if v.flip_detected | v.flip_undetected != 0 {
        corrupt::flip(ctx, p, v.flip_detected, v.flip_undetected, v.dice);
    }
    if v.copies != 0 || v.hold.holder != 0 {
        locate(v, iface, place);
        // A program of its own, for this one's stack is full.
        // SAFETY: programs of the same type; with no entry the call returns.
        unsafe { maps::STAGES.tail_call(ctx, SEND) };
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
    bits: &mut Bits,
) {
    if bits.without(&ctl.any_cgroup).is_empty() {
        return;
    }
    if direction == EGRESS {
        bits.keep(&ctl.any_cgroup.or(&socket::sender(ctx, ctl)));
        return;
    }
    if let Some(known) = socket::receiver(ctx, ctl, p) {
        bits.keep(&ctl.any_cgroup.or(&known));
        return;
    }
    packet::set_mark(
        ctx,
        match place {
            Place::Interface => Mark::Undecided(ctl.plane),
            Place::Detour { .. } => Mark::ReturnedUndecided(ctl.plane),
        },
    );
    bits.keep(&ctl.any_cgroup);
}

/// Super-packets go through the detour when a fault decides per segment; TCP as a whole does, or
/// its small packets would overtake the large ones.
#[inline(always)]
fn must_detour(ctl: &Control, bits: &Bits, p: &Packet) -> bool {
    bits.meets(&ctl.detour_always)
        || ((p.segments > 1 || p.protocol == TCP) && bits.meets(&ctl.detour_segments))
}

#[inline(always)]
fn steer(ctx: &TcContext, ctl: &Control, iface: &Iface, direction: u32, p: &Packet) -> i32 {
    maps::add(&maps::DETOURED, 0, u64::from(p.segments));
    send::into(ctx, ctl.detour, direction, iface.slot)
}

/// Loses the packet as a wire does.
///
/// On egress the drop verdicts are told to the local sender (net/core/dev.c `sch_handle_egress`
/// sets `NET_XMIT_DROP`), TCP resends at once and nothing was lost; a redirect to no device is
/// silent. In the detour the sender has long been told that the packet is out.
#[inline(always)]
pub fn lose(direction: u32, detoured: bool) -> i32 {
    if !detoured && direction != INGRESS {
        // SAFETY: a helper without pointers.
        return unsafe { bpf_redirect(0, 0) as i32 };
    }
    TCX_DROP
}
