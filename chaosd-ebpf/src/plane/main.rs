//! The programs of one plane (one network namespace).
//!
//! ```text
//! eth0 egress/ingress ─ egress, ingress ─┐
//! detour's receiving end ─ detour ───────┴─ faults ─┬─ none: TCX_NEXT, or back to eth0, marked
//!                                                   ├─ needs a lone segment or a real checksum:
//!                                                   │  redirect to the detour's sending end
//!                                                   └─ decide: which of them act ─┬─ drop, or pass
//!                                                      behind dns, if a DNS       ├─ send: a clone to
//!                                                      fault matches, which       │  the hold queue
//!                                                      reads the query            └─ answer: write it,
//!                                                                                    send it back
//! hold queue's far end ─ release ── redirect back to eth0, marked; or round again
//! cgroup ingress ─ cgroup_ingress: first packet of a socket not yet tagged
//! ```
//!
//! Invariant: programs fail open. A packet that cannot be parsed, a map value that is missing, a
//! helper that fails, a lease or a deadline that has passed: the packet goes on as if we were not
//! there. The one exception stands in [`detour`].
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    missing_docs,
    reason = "the macros put each program's page on an inner function"
)]
#![expect(internal_features, reason = "atomic_xadd, see decide.rs")]
#![expect(
    clippy::inline_always,
    reason = "a call costs stack, and a program has 512 bytes of it in all"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "helpers return i64 where a verdict is an i32, and TryFrom's panic path does not load"
)]
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_ptr_alignment,
    reason = "depths are below 16; a stack's arrays are aligned to 8 bytes"
)]
#![expect(
    clippy::verbose_bit_mask,
    reason = "a mask of the fragment offset is what RFC 791 speaks of"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the program macros call"
)]

mod act;
mod answer;
mod classify;
mod corrupt;
mod decide;
mod dice;
mod dns;
mod hold;
mod maps;
mod netem;
mod packet;
mod release;
mod reset;
mod send;
mod socket;

use aya_ebpf::{
    bindings::tcx_action_base::{TCX_DROP, TCX_NEXT},
    macros::{cgroup_skb, classifier},
    programs::{SkBuffContext, TcContext},
};
use chaosd_ebpf::{Control, EGRESS, FAULTS, INGRESS, Mark};

use crate::packet::Scratch;

/// Leaving packets of a target's interface.
#[classifier]
pub fn egress(ctx: TcContext) -> i32 {
    gate(&ctx, EGRESS)
}

/// Arriving packets of a target's interface.
#[classifier]
pub fn ingress(ctx: TcContext) -> i32 {
    gate(&ctx, INGRESS)
}

/// What is attached: passes what is none of our business, and calls the faults through
/// [`maps::STAGES`]. That table empties itself when chaosd dies, at once, while the links are taken
/// off one after another, 16 ms each.
#[inline(always)]
fn gate(ctx: &TcContext, direction: u32) -> i32 {
    let Some(ctl) = maps::control() else {
        return TCX_NEXT;
    };
    match packet::mark(ctx) {
        Mark::Returned(plane) => {
            if plane == ctl.plane {
                packet::set_mark(ctx, Mark::None);
            }
            return TCX_NEXT;
        }
        Mark::ReturnedUndecided(plane) => {
            if plane == ctl.plane {
                packet::set_mark(ctx, Mark::Undecided(plane));
            }
            return TCX_NEXT;
        }
        _ => {}
    }
    if !maps::is_armed(ctl) {
        return TCX_NEXT;
    }
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    v.direction = direction;
    v.index = packet::ifindex(ctx);
    v.detoured = 0;
    v.past = 0;
    call_faults(ctx, ctl);
    TCX_NEXT
}

/// Goes on with [`faults`]; returns when that is not there any more.
#[inline(always)]
fn call_faults(ctx: &TcContext, ctl: &Control) {
    // The index is no constant on purpose. A call with a constant one becomes a jump, which the
    // kernel takes out of the code one entry after the other with a grace period of 16 ms in
    // between (arch/x86/net/bpf_jit_comp.c, `bpf_arch_poke_desc_update`); this one reads the table.
    // A fence that was raised in this instant makes it an entry that there is not.
    // SAFETY: a valid aligned field of a map value.
    let fence = unsafe { core::ptr::read_volatile(&raw const ctl.fence) };
    // SAFETY: programs of the same type; with no entry the call returns.
    unsafe { maps::STAGES.tail_call(ctx, FAULTS.wrapping_add((fence as u32) << 16)) };
}

/// Which faults a packet belongs to; behind the gate, and in the detour. One program for both ways and
/// both places: what the verifier reads once is loaded in half the time.
#[classifier]
pub fn faults(ctx: TcContext) -> i32 {
    act::faults(&ctx)
}

/// Whether those faults act on it, and what comes of it; behind [`faults`] and [`dns`].
#[classifier]
pub fn decide(ctx: TcContext) -> i32 {
    act::decide(&ctx)
}

/// Packets that took the detour, one wire segment each, with real checksums.
///
/// A packet that cannot be sent back has nowhere to go on to: it is lost. That takes an interface
/// which disappeared meanwhile.
#[classifier]
pub fn detour(ctx: TcContext) -> i32 {
    let Mark::Steered {
        direction, slot, ..
    } = packet::mark(&ctx)
    else {
        return TCX_DROP;
    };
    let Some(ctl) = maps::control() else {
        return TCX_DROP;
    };
    let Some(index) = maps::slot(slot) else {
        return TCX_DROP;
    };
    let past = netem::past(packet::ifindex(&ctx));
    if past == 0 {
        count_out(&ctx);
    }
    packet::set_mark(&ctx, Mark::Returned(ctl.plane));
    if maps::is_armed(ctl)
        && let Some(v) = decide::verdict(Scratch::Tc)
    {
        v.direction = direction;
        v.index = index;
        v.detoured = 1;
        v.past = past;
        call_faults(&ctx, ctl);
    }
    send::back(&ctx, index, direction)
}

/// By itself: a program may not keep addresses of context fields, which the compiler does when two
/// places read the same ones.
#[inline(never)]
fn count_out(ctx: &TcContext) {
    let segments = packet::segments(ctx.skb.skb).max(1);
    maps::add(&maps::DETOURED, 1, u64::from(segments));
}

/// Packets that go through a netem first; behind [`faults`].
#[classifier]
pub fn netem(ctx: TcContext) -> i32 {
    netem::stage(&ctx)
}

/// Packets that are to be held, or sent more than once; behind the faults.
#[classifier]
pub fn send(ctx: TcContext) -> i32 {
    send::send(&ctx)
}

/// Packets that DNS faults match, but for what they ask; behind the faults, and in the detour.
#[classifier]
pub fn dns(ctx: TcContext) -> i32 {
    dns::stage(&ctx)
}

/// Queries that are to be answered; behind [`dns`]. One that cannot be is lost.
#[classifier]
pub fn answer(ctx: TcContext) -> i32 {
    answer::stage(&ctx)
}

/// Packets whose time in the hold queue is over. Decides nothing: that was done before.
#[classifier]
pub fn release(ctx: TcContext) -> i32 {
    release::release(&ctx)
}

/// Packets on their way into a socket of a target cgroup, when tcx ingress did not know the
/// socket's cgroup yet: decides in place (drop only), and tags the socket for the next ones.
#[cgroup_skb]
pub fn cgroup_ingress(ctx: SkBuffContext) -> i32 {
    socket::first_packet(&ctx)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
