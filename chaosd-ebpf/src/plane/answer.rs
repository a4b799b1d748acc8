//! Turns a query into its answer, and sends it back where it came from.
//!
//! The packet may have a checksum that a device has yet to fill in, which a program cannot see: so the
//! checksum is never written, only told of what changes. A swap of addresses or ports changes no sum.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, tcx_action_base::TCX_NEXT},
    helpers::generated::{
        bpf_csum_diff, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_change_tail,
        bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    macros::map,
    maps::PerCpuArray,
    programs::TcContext,
};
use chaosd_ebpf::{
    INGRESS, LOOPBACK, Mark, SEND,
    dns::{self, DnsRule, MESSAGE_BUFFER},
};

use crate::{
    act, decide,
    dns::{Query, query, within_512},
    maps,
    packet::{self, Packet, Scratch},
};

/// The answer under way, per CPU.
#[map]
static ANSWERS: PerCpuArray<[u8; MESSAGE_BUFFER]> = PerCpuArray::with_max_entries(1, 0);

/// See [`crate::answer`].
#[inline(always)]
pub fn stage(ctx: &TcContext) -> i32 {
    let (Some(v), Some(p)) = (decide::verdict(Scratch::Tc), Packet::current(Scratch::Tc)) else {
        return TCX_NEXT;
    };
    let (direction, detoured) = (v.direction, v.detoured != 0);
    let (Some(ctl), Some(iface)) = (maps::control(), maps::iface(v.index)) else {
        return act::lose(direction, detoured);
    };
    if !write(ctx, p, v.answer.saturating_sub(1)) {
        return act::lose(direction, detoured);
    }
    // What goes out of the loopback device comes in by itself, and has no other way.
    let loopback = iface.flags & LOOPBACK != 0;
    if !loopback {
        v.onward = INGRESS;
    } else if !detoured && v.hold.holder == 0 && v.copies == 0 {
        packet::set_mark(ctx, Mark::Returned(ctl.plane));
        return TCX_NEXT;
    }
    // SAFETY: programs of the same type; with no entry the call returns.
    unsafe { maps::STAGES.tail_call(ctx, SEND) };
    act::lose(direction, detoured)
}

/// Writes the answer of fault `n` in place of the query; false: it is neither any more.
#[inline(never)]
fn write(ctx: &TcContext, p: &Packet, n: u32) -> bool {
    let (Some(q), Some(rule), Some(out)) =
        (query(), maps::DNS_RULES.get(n), ANSWERS.get_ptr_mut(0))
    else {
        return false;
    };
    // SAFETY: this CPU's own value, used by one program at a time.
    let out = unsafe { &mut *out };
    let Some((len, difference)) = compose(ctx, q, rule, out) else {
        return false;
    };
    let skb = ctx.skb.skb;
    // SAFETY: the context and numbers, then as many octets as `compose` wrote.
    unsafe {
        if bpf_skb_change_tail(skb, q.payload + len, 0) != 0
            || bpf_skb_store_bytes(skb, q.payload, out.as_ptr().cast(), len, 0) != 0
        {
            return false;
        }
    }
    resize(ctx, p, q.question.len, len, difference).is_some() && turn(ctx, p).is_some()
}

/// The answer's length, and what it adds to the sum of the message.
#[inline(always)]
fn compose(
    ctx: &TcContext,
    q: &Query,
    rule: &DnsRule,
    out: &mut [u8; MESSAGE_BUFFER],
) -> Option<(u32, u32)> {
    // As long as they are, which is less.
    let kept = within_512(q.question.question_len);
    // SAFETY: fewer octets than the buffer has.
    let failed =
        unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), q.payload, out.as_mut_ptr().cast(), kept) };
    if failed != 0 {
        return None;
    }
    let len = within_512(dns::answer(&q.question, rule, out));
    // Whole words of four octets: behind both messages are zeros. In two calls, since one takes 512
    // octets of both together (net/core/filter.c, `bpf_csum_diff`, until 6.12).
    let old = (q.question.len + 3) & 0x3fc;
    let new = (len + 3) & 0x3fc;
    // SAFETY: both buffers have 1024 octets.
    let difference = unsafe {
        let taken = bpf_csum_diff(
            q.question.message.as_ptr().cast_mut().cast(),
            old,
            core::ptr::null_mut(),
            0,
            0,
        );
        bpf_csum_diff(
            core::ptr::null_mut(),
            0,
            out.as_mut_ptr().cast(),
            new,
            taken.cast_unsigned() as u32,
        )
    };
    (difference >= 0).then_some((len, difference.cast_unsigned() as u32))
}

/// Writes the lengths of a message that had `old` octets and has `new` ones, and tells the checksums.
#[inline(always)]
fn resize(ctx: &TcContext, p: &Packet, old: u32, new: u32, difference: u32) -> Option<()> {
    let skb = ctx.skb.skb;
    let number = |n: u32| (n as u16).to_be();
    let (from, to) = (number(old + 8), number(new + 8));
    store(ctx, p.l4 + 4, &to.to_ne_bytes())?;
    let sum = p.l4 + 6;
    // A zero checksum means none (RFC 768).
    let flags = u64::from(BPF_F_MARK_MANGLED_0);
    // SAFETY: the context and numbers. The length stands twice under the sum: in the header, and in
    // what is thought in front of it, which is all that counts while a device has yet to add up.
    let failed = unsafe {
        let pseudo = flags | u64::from(BPF_F_PSEUDO_HDR) | 2;
        bpf_l4_csum_replace(skb, sum, from.into(), to.into(), pseudo)
            | bpf_l4_csum_replace(skb, sum, from.into(), to.into(), flags | 2)
            | bpf_l4_csum_replace(skb, sum, 0, difference.into(), flags)
    };
    if failed != 0 {
        return None;
    }
    if p.family == 6 {
        return store(ctx, p.l3 + 4, &to.to_ne_bytes());
    }
    let was: [u8; 2] = packet::load(skb.cast(), p.l3 + 2)?;
    let is = number(20 + 8 + new);
    store(ctx, p.l3 + 2, &is.to_ne_bytes())?;
    // SAFETY: the context and numbers.
    let failed = unsafe {
        bpf_l3_csum_replace(skb, p.l3 + 10, u16::from_ne_bytes(was).into(), is.into(), 2)
    };
    (failed == 0).then_some(())
}

/// Swaps the two ends of the packet.
#[inline(always)]
fn turn(ctx: &TcContext, p: &Packet) -> Option<()> {
    swap::<2>(ctx, p.l4)?;
    if p.family == 6 {
        swap::<16>(ctx, p.l3 + 8)?;
    } else {
        swap::<4>(ctx, p.l3 + 12)?;
    }
    if p.l3 >= 12 {
        swap::<6>(ctx, 0)?;
    }
    Some(())
}

/// Swaps `N` bytes with those behind them.
#[inline(always)]
fn swap<const N: usize>(ctx: &TcContext, at: u32) -> Option<()> {
    let skb = ctx.skb.skb.cast();
    let first: [u8; N] = packet::load(skb, at)?;
    let second: [u8; N] = packet::load(skb, at + N as u32)?;
    store(ctx, at, &second)?;
    store(ctx, at + N as u32, &first)
}

#[inline(always)]
fn store<const N: usize>(ctx: &TcContext, at: u32, bytes: &[u8; N]) -> Option<()> {
    // SAFETY: N bytes of our own.
    let failed =
        unsafe { bpf_skb_store_bytes(ctx.skb.skb, at, bytes.as_ptr().cast(), N as u32, 0) };
    (failed == 0).then_some(())
}
