//! From the classified packet to the verdict of the hook.

use aya_ebpf::{
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    helpers::generated::bpf_redirect,
    programs::TcContext,
};
use chaosd_ebpf::{
    ANSWER, Bits, CGROUP_LEVELS, Control, DECIDE, DNS, EGRESS, HAS_L2, INGRESS, Iface, Mark, NETEM,
    SEND, USES_CGROUP,
};

use crate::{
    classify, corrupt,
    decide::{self, Verdict},
    dns, maps,
    packet::{self, Packet, Scratch, TCP, UDP},
    reset, send, socket,
};

/// See [`crate::faults`].
#[inline(always)]
pub fn faults(ctx: &TcContext) -> i32 {
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let (index, direction, detoured) = (v.index, v.direction, v.detoured != 0);
    let verdict = classify(ctx, v);
    onward(ctx, verdict, index, direction, detoured)
}

/// See [`crate::decide`].
#[inline(always)]
pub fn decide(ctx: &TcContext) -> i32 {
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let (index, direction, detoured) = (v.index, v.direction, v.detoured != 0);
    let verdict = outcome(ctx, v);
    onward(ctx, verdict, index, direction, detoured)
}

/// What passes goes on where it is, and out of the detour back to where it came from. Its numbers are
/// those from before: what is sent may run programs that write to the same verdict.
#[inline(always)]
pub fn onward(ctx: &TcContext, verdict: i32, index: u32, direction: u32, detoured: bool) -> i32 {
    if verdict == TCX_NEXT && detoured {
        return send::back(ctx, index, direction);
    }
    verdict
}

/// Finds the faults of a packet, and steers it to where they can act. `TCX_NEXT` lets it go on.
#[inline(always)]
fn classify(ctx: &TcContext, v: &mut Verdict) -> i32 {
    let Some(ctl) = maps::control() else {
        return TCX_NEXT;
    };
    let Some(iface) = maps::iface(v.index) else {
        return TCX_NEXT;
    };
    let direction = v.direction & 1;
    let start = &iface.bits[direction as usize];
    if start.is_empty() {
        return TCX_NEXT;
    }
    let l2 = iface.flags & HAS_L2 != 0;
    let Some(p) = Packet::parse(Scratch::Tc, ctx, l2, direction) else {
        return TCX_NEXT;
    };
    if v.detoured == 0 {
        maps::add(
            &maps::SEEN,
            (iface.slot << 1) | direction,
            u64::from(p.segments),
        );
    }
    v.left = classify::candidates(ctl, start, p);
    if v.left.is_empty() {
        return TCX_NEXT;
    }
    let Some(now) = maps::vouched(ctl) else {
        return TCX_NEXT;
    };
    if ctl.uses & USES_CGROUP != 0 {
        restrict_to_cgroup(ctx, ctl, p, v);
        if v.left.is_empty() {
            return TCX_NEXT;
        }
    }
    if !l2 {
        // The kernel loses a packet without an Ethernet header that is sent to a device of ours.
        v.left.remove(&ctl.netem);
        v.left.remove(&ctl.holds);
    } else if v.detoured == 0 && ctl.detour != 0 && must_detour(ctl, &v.left, p) {
        return steer(ctx, ctl, iface, direction, p);
    }
    v.now = now;
    v.slot = iface.slot;
    v.asked = 0;
    if v.left.meets(&ctl.netem) {
        // Programs of their own, for this one's stack is full and the verifier follows every way
        // through it.
        // SAFETY: programs of the same type; with no entry the call returns.
        unsafe { maps::STAGES.tail_call(ctx, NETEM) };
        return TCX_NEXT;
    }
    act_on(ctx, ctl, v)
}

/// Leaves the faults to where they are decided, but for those that cannot act here.
#[inline(always)]
pub fn act_on(ctx: &TcContext, ctl: &Control, v: &mut Verdict) -> i32 {
    if v.detoured == 0 {
        // Without an Ethernet header, or without the detour, these cannot act: nor are they counted.
        v.left.remove(&ctl.detour_always);
    }
    if ctl.hold == 0 {
        v.left.remove(&ctl.holds);
    }
    if v.left.is_empty() {
        return TCX_NEXT;
    }
    let stage = if v.left.meets(&ctl.dns) { DNS } else { DECIDE };
    // SAFETY: programs of the same type; with no entry the call returns.
    unsafe { maps::STAGES.tail_call(ctx, stage) };
    TCX_NEXT
}

/// Walks the faults that are left, and does what they want.
#[inline(always)]
fn outcome(ctx: &TcContext, v: &mut Verdict) -> i32 {
    let Some(p) = Packet::current(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let (now, direction) = (v.now, v.direction & 1);
    decide::decide(Scratch::Tc, v, now, direction, p, p.frame_bytes(ctx));
    if v.asked != 0 {
        dns::settle(ctx, v);
    }
    let detoured = v.detoured != 0;
    if v.drop != 0 {
        return lose(direction, detoured);
    }
    if v.answer != 0 && p.protocol == UDP {
        // SAFETY: programs of the same type; with no entry the call returns.
        unsafe { maps::STAGES.tail_call(ctx, ANSWER) };
        return TCX_NEXT;
    }
    if v.reset != 0 && detoured {
        return reset::reset(ctx, p, direction, v.index, v.reset);
    }
    if v.flip_detected | v.flip_undetected != 0 {
        corrupt::flip(ctx, p, v.flip_detected, v.flip_undetected, v.dice);
    }
    if v.copies != 0 || v.hold.holder != 0 {
        // SAFETY: programs of the same type; with no entry the call returns.
        unsafe { maps::STAGES.tail_call(ctx, SEND) };
    }
    TCX_NEXT
}

/// Keeps the faults whose cgroup the packet's socket is in, and those that name none.
#[inline(always)]
fn restrict_to_cgroup(ctx: &TcContext, ctl: &Control, p: &Packet, v: &mut Verdict) {
    let bits = &mut v.left;
    if bits.without(&ctl.any_cgroup).is_empty() {
        return;
    }
    if v.direction == EGRESS {
        bits.keep(&ctl.any_cgroup.or(&socket::sender(ctx, ctl)));
        return;
    }
    if socket::receiver(ctx, p, &mut v.receiver) {
        let known = classify::by_cgroup(ctl, |level| {
            v.receiver[level as usize & (CGROUP_LEVELS - 1)]
        });
        bits.keep(&ctl.any_cgroup.or(&known));
        return;
    }
    packet::set_mark(
        ctx,
        if v.detoured == 0 {
            Mark::Undecided(ctl.plane)
        } else {
            Mark::ReturnedUndecided(ctl.plane)
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
