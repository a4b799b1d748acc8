//! What a packet asks of a name server: of the DNS faults that match it otherwise, those that hold for
//! the name and the type are decided with all others.
//!
//! Read are queries that their packet holds from the first octet to the last: a datagram's one, or the
//! first [`MOST_ASKED`] of a TCP segment that begins with a message, behind an IP header without options
//! and extensions. Every other packet is none that a DNS fault knows.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg},
    ptr,
};

use aya_ebpf::{
    bindings::tcx_action_base::TCX_NEXT,
    helpers::generated::{bpf_loop, bpf_skb_load_bytes},
    macros::map,
    maps::PerCpuArray,
    programs::TcContext,
};
use chaosd_ebpf::{
    Bits, Control, DECIDE, DNS, Fault, HOLDS, RESET_LOCAL, RESET_REMOTE,
    dns::{
        ANSWER_DROP, ANSWER_NONE, HEADER_LEN, MAX_HITS, MOST_LABELS, MOST_MESSAGE, Question,
        levels_have,
    },
};

use crate::{
    act,
    decide::{self, Verdict},
    maps,
    packet::{self, Packet, Scratch, TCP, UDP},
};

/// The query under way, per CPU: a program's stack has 512 bytes in all.
#[map]
static QUERIES: PerCpuArray<Query> = PerCpuArray::with_max_entries(1, 0);

/// Queries of one segment that are read: a C library asks for both kinds of addresses at once
/// (resolv.conf(5), `use-vc`), and servers may be asked for more (RFC 7766 §6.2.1.1).
const MOST_ASKED: u32 = 4;

/// A query, and the faults that its name was found in.
#[repr(C)]
pub struct Query {
    pub question: Question,
    /// Want it.
    found: Bits,
    /// Spare it.
    spared: Bits,
    /// Where the message begins in the packet.
    pub payload: u32,
    /// Where the next one does; 0: there is none.
    next: u32,
    /// Those of this packet that were read, and what they met.
    asked: [Asked; MOST_ASKED as usize],
}

/// One of the queries of a packet.
#[repr(C)]
struct Asked {
    /// The DNS faults that hold for it.
    by: Bits,
    /// Where its name begins in the packet.
    name: u32,
    /// Octets of the name.
    len: u32,
    qtype: u32,
    pad: u32,
}

/// This CPU's query. Whoever walks over it asks anew: a compiler takes a reference that a function was
/// given for the only one, and the walk has another.
#[inline(always)]
pub fn query() -> Option<&'static mut Query> {
    let query = QUERIES.get_ptr_mut(0)?;
    // SAFETY: this CPU's own value, used by one program at a time.
    Some(unsafe { &mut *query })
}

/// See [`crate::dns`].
#[inline(always)]
pub fn stage(ctx: &TcContext) -> i32 {
    let Some(v) = decide::verdict(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let (index, direction, detoured) = (v.index, v.direction, v.detoured != 0);
    let verdict = ask(ctx, v);
    act::onward(ctx, verdict, index, direction, detoured)
}

#[inline(always)]
fn ask(ctx: &TcContext, v: &mut Verdict) -> i32 {
    let Some(ctl) = maps::control() else {
        return TCX_NEXT;
    };
    let Some(p) = Packet::current(Scratch::Tc) else {
        return TCX_NEXT;
    };
    let asked = if read(ctx, p, v.asked) {
        holding(ctl)
    } else {
        Bits::NONE
    };
    let Some(q) = query() else {
        return TCX_NEXT;
    };
    // One of a segment's queries is enough: all of them share its fate.
    v.wanted = if v.asked == 0 {
        asked
    } else {
        v.wanted.or(&asked)
    };
    if let Some(of) = q.asked.get_mut(v.asked as usize) {
        of.by = asked;
        of.name = q.payload + HEADER_LEN;
        of.len = q.question.name_len;
        of.qtype = q.question.qtype;
    }
    v.asked += 1;
    if q.next != 0 && v.asked < MOST_ASKED {
        // Round again, for the verifier would follow each round of a loop. With no entry it returns.
        // SAFETY: programs of the same type.
        unsafe { maps::STAGES.tail_call(ctx, DNS) };
    }
    v.left = v.left.and(&v.wanted).or(&v.left.without(&ctl.dns));
    if v.left.is_empty() {
        return TCX_NEXT;
    }
    // SAFETY: as above.
    unsafe { maps::STAGES.tail_call(ctx, DECIDE) };
    TCX_NEXT
}

/// What follows from the decision for the queries of a packet: whether one is answered, and which names
/// were hit.
#[inline(always)]
pub fn settle(ctx: &TcContext, v: &mut Verdict) {
    if v.answer != 0 && v.drop | v.flip_detected | v.flip_undetected != 0 {
        // The query does not reach who would answer it, or not as one.
        v.drop = 1;
        not_answered(v);
    }
    if !v.dns.is_empty() {
        remember(ctx, v, 0);
        remember(ctx, v, 1);
        remember(ctx, v, 2);
        remember(ctx, v, 3);
    }
}

/// Reads a query, of those of the packet this one; false: it holds none there.
#[inline(never)]
fn read(ctx: &TcContext, p: &Packet, number: u32) -> bool {
    let Some(q) = query() else {
        return false;
    };
    let from = if number == 0 { 0 } else { q.next };
    q.next = 0;
    let Some(len) = load(ctx, p, q, from) else {
        return false;
    };
    if !q.question.begin(len) {
        return false;
    }
    Walk { query: q }.run(MOST_LABELS, label);
    query().is_some_and(|q| q.question.end())
}

/// A walk over a query: what a helper hands to its callback lies on the stack.
#[repr(C)]
struct Walk {
    query: *mut Query,
}

impl Walk {
    /// A loop that the verifier reads once (5.17).
    #[inline(always)]
    fn run(mut self, rounds: u32, round: unsafe extern "C" fn(u32, *mut Walk) -> i64) {
        // SAFETY: the callback has the helper's signature and the context outlives the call.
        unsafe {
            bpf_loop(
                rounds,
                round as *mut c_void,
                ptr::from_mut(&mut self).cast(),
                0,
            );
        }
    }
}

unsafe extern "C" fn label(_: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `Walk::run` passes itself, and `read` this CPU's own query.
    let q = unsafe { &mut *(*walk).query };
    i64::from(!q.question.label())
}

/// Copies the message that begins at `from` out of the packet, 0: the first one; its length.
#[inline(always)]
fn load(ctx: &TcContext, p: &Packet, q: &mut Query, from: u32) -> Option<u32> {
    let skb = ctx.skb.skb.cast();
    if p.segments != 1 {
        return None;
    }
    let end = if p.family == 4 {
        let h: [u8; 8] = packet::load(skb, p.l3)?;
        // RFC 791: neither options nor "more fragments" nor an offset.
        if p.l4 - p.l3 != 20 || u16::from_be_bytes([h[6], h[7]]) & 0x3fff != 0 {
            return None;
        }
        p.l3 + u32::from(u16::from_be_bytes([h[2], h[3]]))
    } else {
        let h: [u8; 2] = packet::load(skb, p.l3 + 4)?;
        if p.l4 - p.l3 != 40 {
            return None;
        }
        p.l4 + u32::from(u16::from_be_bytes(h))
    };
    let len = if p.protocol == UDP {
        let len: [u8; 2] = packet::load(skb, p.l4 + 4)?;
        q.payload = p.l4 + 8;
        u32::from(u16::from_be_bytes(len)).checked_sub(8)?
    } else {
        let mut at = from;
        if at == 0 {
            let offset: [u8; 1] = packet::load(skb, p.l4 + 12)?;
            at = p.l4 + u32::from(offset[0] >> 4) * 4;
        }
        // RFC 1035 §4.2.2.
        let len: [u8; 2] = packet::load(skb, at)?;
        q.payload = at + 2;
        u32::from(u16::from_be_bytes(len))
    };
    let behind = q.payload + len;
    if behind > end {
        return None;
    }
    if behind < end && p.protocol == TCP {
        q.next = behind;
    }
    let taken = within_512(len);
    // SAFETY: the buffer has 1024 octets.
    let failed = unsafe {
        let to = q.question.message.as_mut_ptr().cast();
        bpf_skb_load_bytes(skb.cast(), q.payload, to, taken)
    };
    // Not by comparing the two, or a compiler goes on with the one whose bounds the verifier does not know.
    (failed == 0 && len.wrapping_sub(1) < MOST_MESSAGE).then_some(taken)
}

/// A length from 1 to 512, itself when it is one. For a helper that takes no 0: up to 6.1 the verifier
/// does not learn from a comparison that a number is not 0.
#[inline(always)]
pub fn within_512(len: u32) -> u32 {
    (len.wrapping_sub(1) & 511) + 1
}

/// The DNS faults that hold for the query's name and type.
#[inline(always)]
fn holding(ctl: &Control) -> Bits {
    let Some(q) = query() else {
        return Bits::NONE;
    };
    // SAFETY: the value is replaced as a whole by user space.
    let by_type = unsafe { maps::DNS_TYPES.get(q.question.qtype) };
    let by_type = by_type.map_or(ctl.dns_any_type, |bits| bits.or(&ctl.dns_any_type));
    q.found = ctl.dns_any_name;
    q.spared = Bits::NONE;
    if ctl.dns_levels != [0; 2] {
        q.question.rewind(ctl.dns_seed);
        Walk { query: q }.run(q.question.name_len, fold);
    }
    query().map_or(Bits::NONE, |q| q.found.without(&q.spared).and(&by_type))
}

/// An octet of the name, from its end to its front.
unsafe extern "C" fn fold(_: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `Walk::run` passes itself, and `holding` this CPU's own query.
    let q = unsafe { &mut *(*walk).query };
    let Some(ctl) = maps::control() else {
        return 1;
    };
    if !q.question.fold() {
        return 0;
    }
    let labels = q.question.labels;
    if labels > ctl.dns_deepest {
        return 1;
    }
    if !levels_have(&ctl.dns_levels, labels) {
        return 0;
    }
    // SAFETY: the value is replaced as a whole by user space.
    if let Some(known) = unsafe { maps::DNS_NAMES.get(q.question.key) } {
        q.found = q.found.or(&known.under);
        q.spared = q.spared.or(&known.not_under);
        if q.question.at == 0 {
            q.found = q.found.or(&known.exact);
            q.spared = q.spared.or(&known.not_exact);
        }
    }
    0
}

/// True when a query has its answer from a fault before this one, which has another for it.
#[inline(always)]
pub fn comes_late(f: &Fault, v: &Verdict) -> bool {
    v.answer != 0 && f.count != ANSWER_DROP && f.count != ANSWER_NONE
}

/// Writes down what fault `n` answers; false when that is nothing.
#[inline(always)]
pub fn wants(f: &Fault, n: u32, v: &mut Verdict) -> bool {
    let over_tcp = v.protocol() == u32::from(TCP);
    if f.count == ANSWER_NONE || f.count != ANSWER_DROP && over_tcp && v.detoured == 0 {
        // A reset takes a lone segment with a real checksum.
        if f.flags & HOLDS != 0 {
            v.dns.set(n as u8);
        }
        return false;
    }
    v.dns.set(n as u8);
    if over_tcp {
        maps::add(&maps::DNS_COUNTERS, n, 1);
    }
    if f.count == ANSWER_DROP {
        v.drop = 1;
    } else {
        v.answer = n + 1;
        if over_tcp {
            v.reset |= RESET_LOCAL | RESET_REMOTE;
        }
    }
    true
}

/// The fault that has an answer for the query did not act after all.
#[inline(never)]
fn not_answered(v: &mut Verdict) {
    let n = v.answer - 1;
    v.answer = 0;
    v.reset = 0;
    v.dns.clear(n as u8);
    if let Some(counters) = maps::COUNTERS.get_ptr_mut(n * 2 + (v.direction & 1)) {
        // SAFETY: this CPU's own value.
        unsafe { (*counters).affected -= u64::from(v.segments) }
    }
    if v.protocol() == u32::from(TCP) {
        maps::add(&maps::DNS_COUNTERS, n, u64::MAX);
    }
}

/// Remembers the name of a packet's query, by its number, when a fault that holds for it acted.
#[inline(never)]
fn remember(ctx: &TcContext, v: &Verdict, number: u32) {
    let Some(q) = query() else {
        return;
    };
    let Some(asked) = q.asked.get(number as usize) else {
        return;
    };
    let by = asked.by.and(&v.dns);
    if number >= v.asked || by.is_empty() {
        return;
    }
    let Some(next) = maps::DNS_HIT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: an aligned u64 of a map value, shared by the CPUs.
    let number = unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(next, 1) };
    let Some(hit) = maps::DNS_HITS.get_ptr_mut(number as u32 & (MAX_HITS - 1)) else {
        return;
    };
    // From 1 to 255 it is; see `within_512`.
    let len = (asked.len.wrapping_sub(1) & 255) + 1;
    // SAFETY: fields of a map value, of which the number says whether the others are whole; the helper
    // writes at most the 256 octets of a name.
    unsafe {
        atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(&raw mut (*hit).sequence, 0);
        (*hit).ns = v.now;
        (*hit).faults = by;
        (*hit).qtype = asked.qtype as u16;
        (*hit).len = len as u16;
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            asked.name,
            (&raw mut (*hit).name).cast(),
            len,
        );
        atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(&raw mut (*hit).sequence, number + 1);
    }
}
