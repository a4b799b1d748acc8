//! Flips payload bits.
//!
//! *Undetected*: the layer 4 checksum is kept right. *Detected*: it is not, so the receiver drops
//! the packet. The latter needs a checksum that is really in the packet, which holds in the
//! detour: its device has no checksum offload.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_RECOMPUTE_CSUM},
    helpers::generated::{bpf_csum_level, bpf_l4_csum_replace, bpf_loop, bpf_skb_store_bytes},
    programs::TcContext,
};

use crate::{
    dice::mix,
    packet::{self, ICMP, ICMP6, Packet, TCP, UDP},
};

/// `BPF_CSUM_LEVEL_RESET`: forget that the device vouched for the checksum.
pub const CSUM_LEVEL_RESET: u64 = 3;
/// Flips of one call; the faults' own limit is 32 each.
const MAX_FLIPS: u32 = 64;

/// Where the parts of layer 4 are.
struct Layout {
    payload: u32,
    len: u32,
    checksum: u32,
    flags: u64,
}

#[inline(always)]
fn layout(ctx: &TcContext, p: &Packet) -> Option<Layout> {
    let (header, checksum, flags) = match p.protocol {
        TCP => {
            let offset: [u8; 1] = packet::load(ctx.skb.skb.cast(), p.l4 + 12)?;
            (u32::from(offset[0] >> 4) * 4, 16, 0)
        }
        // A zero checksum means none (RFC 768).
        UDP => (8, 6, u64::from(BPF_F_MARK_MANGLED_0)),
        ICMP | ICMP6 => (8, 2, 0),
        _ => (0, 0, 0),
    };
    let payload = p.l4 + header;
    let len = end(ctx, p)?.checked_sub(payload)?;
    Some(Layout {
        payload,
        len,
        checksum: p.l4 + checksum,
        flags,
    })
}

/// Where the packet ends: behind it a short frame is padded with bytes that no checksum covers.
///
/// A super-packet may be longer than its header can say, which then says 0 or too little; it is
/// never padded.
#[inline(always)]
fn end(ctx: &TcContext, p: &Packet) -> Option<u32> {
    let (at, header) = match p.family {
        4 => (2, 0),
        6 => (4, 40),
        _ => return Some(ctx.len()),
    };
    let said: [u8; 2] = packet::load(ctx.skb.skb.cast(), p.l3 + at)?;
    let said = u32::from(u16::from_be_bytes(said));
    if said == 0 || p.segments > 1 {
        return Some(ctx.len());
    }
    Some(ctx.len().min(p.l3 + header + said))
}

/// Flips `detected` bits so that the receiver notices, and `undetected` so that it does not.
#[inline(never)]
pub fn flip(ctx: &TcContext, p: &Packet, detected: u32, undetected: u32, dice: u64) {
    let Some(l) = layout(ctx, p) else { return };
    if undetected != 0 && l.len != 0 {
        flip_undetected(ctx, p, &l, undetected, dice);
    }
    if detected != 0 {
        flip_detected(ctx, p, &l, detected, mix(dice));
    }
}

/// State of a walk over flips, each in one round of `bpf_loop` (the verifier reads it once).
#[repr(C)]
struct Flips {
    skb: *mut __sk_buff,
    dice: u64,
    start: u32,
    len: u32,
    l4: u32,
    checksum: u32,
    checksum_flags: u64,
    left: u32,
    sum: u32,
}

impl Flips {
    /// The next place: the offset of a byte, the byte, and the byte with one bit flipped.
    #[inline(always)]
    fn next(&mut self) -> Option<(u32, u8, u8)> {
        if self.len == 0 {
            return None;
        }
        self.dice = mix(self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let at = self.start + (self.dice as u32) % self.len;
        let [old] = packet::load::<[u8; 1]>(self.skb.cast(), at)?;
        Some((at, old, old ^ 1 << (self.dice >> 40 & 7)))
    }

    /// True when there is a checksum that is not to be 0, and is.
    #[inline(always)]
    fn is_zero(&self) -> bool {
        self.checksum != 0 && packet::load(self.skb.cast(), self.checksum) == Some([0_u8; 2])
    }

    #[inline(always)]
    fn run(&mut self, step: unsafe extern "C" fn(u32, *mut Flips) -> i64) {
        // SAFETY: the callback has the helper's signature and the context outlives the call.
        unsafe {
            bpf_loop(
                MAX_FLIPS + 1,
                step as *mut c_void,
                ptr::from_mut(self).cast(),
                0,
            );
        }
    }
}

#[inline(always)]
fn flip_detected(ctx: &TcContext, p: &Packet, l: &Layout, flips: u32, dice: u64) {
    // A packet without payload has its checksum flipped instead.
    let (start, len) = if l.len != 0 {
        (l.payload, l.len)
    } else {
        (l.checksum, 2)
    };
    Flips {
        skb: ctx.skb.skb,
        dice,
        start,
        len,
        l4: p.l4,
        // Of UDP it is not to become 0, which says that there is none: nobody would notice anything.
        checksum: if l.len == 0 && p.protocol == UDP {
            l.checksum
        } else {
            0
        },
        checksum_flags: 0,
        left: flips,
        sum: 0,
    }
    .run(one_detected);
    // SAFETY: the context and a number. A device that had verified the old bytes must not vouch
    // for the new ones.
    unsafe {
        bpf_csum_level(ctx.skb.skb, CSUM_LEVEL_RESET);
    }
}

unsafe extern "C" fn one_detected(_: u32, f: *mut Flips) -> i64 {
    // SAFETY: `Flips::run` passes itself.
    let f = unsafe { &mut *f };
    // Flips can cancel out in the ones' complement sum: one more is made until they do not.
    if f.left == 0 && f.sum % 0xffff != 0 && !f.is_zero() {
        return 1;
    }
    let Some((at, old, new)) = f.next() else {
        return 1;
    };
    // In arithmetic modulo 0xffff, kept positive.
    let shift = if (at - f.l4) & 1 == 0 { 8 } else { 0 };
    f.sum += 0xffff + (u32::from(new) << shift) - (u32::from(old) << shift);
    f.left = f.left.saturating_sub(1);
    let new = [new];
    // SAFETY: one byte of our own.
    unsafe {
        bpf_skb_store_bytes(
            f.skb,
            at,
            new.as_ptr().cast(),
            1,
            u64::from(BPF_F_RECOMPUTE_CSUM),
        );
    }
    0
}

#[inline(always)]
fn flip_undetected(ctx: &TcContext, p: &Packet, l: &Layout, flips: u32, dice: u64) {
    Flips {
        skb: ctx.skb.skb,
        dice,
        start: l.payload,
        len: l.len,
        l4: p.l4,
        checksum: l.checksum,
        checksum_flags: l.flags | 2,
        left: flips,
        sum: 0,
    }
    .run(one_undetected);
}

unsafe extern "C" fn one_undetected(_: u32, f: *mut Flips) -> i64 {
    // SAFETY: `Flips::run` passes itself.
    let f = unsafe { &mut *f };
    if f.left == 0 {
        return 1;
    }
    f.left -= 1;
    let Some((at, old, new)) = f.next() else {
        return 1;
    };
    // The sum is over 16-bit words from the start of layer 4: a word with this byte and 0.
    let (from, to) = if (at - f.l4) & 1 == 0 {
        (u16::from_ne_bytes([old, 0]), u16::from_ne_bytes([new, 0]))
    } else {
        (u16::from_ne_bytes([0, old]), u16::from_ne_bytes([0, new]))
    };
    let new = [new];
    // SAFETY: one byte of our own, then numbers. Without BPF_F_PSEUDO_HDR the second call leaves a
    // checksum alone that a device has yet to fill in.
    unsafe {
        if bpf_skb_store_bytes(f.skb, at, new.as_ptr().cast(), 1, 0) != 0 {
            return 1;
        }
        if f.checksum != f.l4 {
            bpf_l4_csum_replace(
                f.skb,
                f.checksum,
                u64::from(from),
                u64::from(to),
                f.checksum_flags,
            );
        }
    }
    0
}
