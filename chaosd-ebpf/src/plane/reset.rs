//! Turns a segment into a TCP RST to either end, or both.
//!
//! Runs in the detour alone: the segment is a lone one and its checksum is real. A reset counts
//! at the receiver only when its sequence number is exactly the next one expected (RFC 5961 §3.2),
//! which the segment at hand tells for both ends.

use aya_ebpf::{
    bindings::{
        BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM,
        tcx_action_base::{TCX_DROP, TCX_NEXT},
    },
    helpers::generated::{
        bpf_clone_redirect, bpf_csum_level, bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes,
    },
    macros::map,
    maps::PerCpuArray,
    programs::TcContext,
};
use chaosd_ebpf::{INGRESS, RESET_LOCAL, RESET_REMOTE};

use crate::{
    corrupt::CSUM_LEVEL_RESET,
    packet::{self, ACK, Packet, RST, SYN},
};

const FIN: u8 = 1;

/// The segment and the header under way: in a map, for a program's stack has 512 bytes in all.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

struct Scratch {
    segment: Segment,
    macs: [u8; 12],
    ip: [u8; 40],
    tcp: [u8; 20],
}

/// What the segment tells.
#[derive(Clone, Copy)]
struct Segment {
    family: u32,
    l3: u32,
    source: [u8; 16],
    destination: [u8; 16],
    ports: [u8; 4],
    seq: u32,
    ack: u32,
    /// Sequence numbers it takes up.
    len: u32,
    flags: u8,
}

impl Segment {
    #[inline(never)]
    fn read(&mut self, ctx: &TcContext, p: &Packet) -> bool {
        self.try_read(ctx, p).is_some()
    }

    #[inline(always)]
    fn try_read(&mut self, ctx: &TcContext, p: &Packet) -> Option<()> {
        let skb = ctx.skb.skb.cast();
        let t: [u8; 14] = packet::load(skb, p.l4)?;
        let s = self;
        let end = if p.family == 4 {
            let len: [u8; 2] = packet::load(skb, p.l3 + 2)?;
            let addresses: [u8; 8] = packet::load(skb, p.l3 + 12)?;
            s.source[..4].copy_from_slice(&addresses[..4]);
            s.destination[..4].copy_from_slice(&addresses[4..]);
            p.l3 + u32::from(u16::from_be_bytes(len))
        } else {
            let len: [u8; 2] = packet::load(skb, p.l3 + 4)?;
            packet::load_into(skb, p.l3 + 8, &mut s.source)?;
            packet::load_into(skb, p.l3 + 24, &mut s.destination)?;
            p.l3 + 40 + u32::from(u16::from_be_bytes(len))
        };
        let data = end.checked_sub(p.l4 + u32::from(t[12] >> 4) * 4)?;
        s.family = p.family;
        s.l3 = p.l3;
        s.ports = [t[0], t[1], t[2], t[3]];
        s.seq = u32::from_be_bytes([t[4], t[5], t[6], t[7]]);
        s.ack = u32::from_be_bytes([t[8], t[9], t[10], t[11]]);
        s.flags = t[13];
        s.len = data + u32::from(s.flags & SYN != 0) + u32::from(s.flags & FIN != 0);
        Some(())
    }

    /// The RST that goes on in the segment's own direction.
    #[inline(always)]
    fn onward(&self) -> Rst {
        Rst {
            swap: false,
            seq: self.seq,
            ack: self.ack,
            flags: RST | self.flags & ACK,
        }
    }

    /// The RST that answers it.
    #[inline(always)]
    fn answer(&self) -> Rst {
        let seq = if self.flags & ACK != 0 { self.ack } else { 0 };
        Rst {
            swap: true,
            seq,
            ack: self.seq.wrapping_add(self.len),
            flags: RST | ACK,
        }
    }
}

struct Rst {
    swap: bool,
    seq: u32,
    ack: u32,
    flags: u8,
}

/// Replaces the segment by resets; it never arrives itself.
#[inline(never)]
pub fn reset(ctx: &TcContext, p: &Packet, direction: u32, index: u32, to: u32) -> i32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return TCX_NEXT;
    };
    // SAFETY: this CPU's own value; tc programs run with softirqs off, and the program that a
    // clone may start on the way out does not come here.
    let scratch = unsafe { &mut *scratch };
    if !scratch.segment.read(ctx, p) {
        return TCX_NEXT;
    }
    // To the end that sent the segment goes the answer, to the other one the onward reset. A SYN
    // has no connection ahead of it to reset.
    let (own, other) = if direction == INGRESS {
        (RESET_REMOTE, RESET_LOCAL)
    } else {
        (RESET_LOCAL, RESET_REMOTE)
    };
    let answers = to & own != 0;
    let (ahead, back) = if direction == INGRESS {
        (u64::from(BPF_F_INGRESS), 0)
    } else {
        (0, u64::from(BPF_F_INGRESS))
    };
    let skb = ctx.skb.skb;
    let goes_on = to & other != 0 && scratch.segment.flags & (SYN | ACK) != SYN;
    if goes_on {
        if !write(ctx, scratch, false) {
            return TCX_DROP;
        }
        if !answers {
            // SAFETY: a helper without pointers.
            return unsafe { bpf_redirect(index, ahead) as i32 };
        }
        // SAFETY: the context and numbers.
        let cloned = unsafe { bpf_clone_redirect(skb, index, ahead) };
        if cloned != 0 {
            aya_log_ebpf::debug!(ctx, "cannot send a reset on: error {}", cloned);
        }
    }
    if answers && write(ctx, scratch, true) {
        // SAFETY: a helper without pointers.
        return unsafe { bpf_redirect(index, back) as i32 };
    }
    TCX_DROP
}

/// Rewrites the buffer as a bare RST.
#[inline(never)]
fn write(ctx: &TcContext, scratch: &mut Scratch, answer: bool) -> bool {
    let skb = ctx.skb.skb;
    let Scratch {
        segment: s,
        macs,
        ip,
        tcp,
    } = scratch;
    let r = if answer { s.answer() } else { s.onward() };
    let ip_len: u32 = if s.family == 4 { 20 } else { 40 };
    // SAFETY: the context and numbers.
    if unsafe { bpf_skb_change_tail(skb, s.l3 + ip_len + 20, 0) } != 0 {
        return false;
    }
    let (source, destination) = if r.swap {
        (&s.destination, &s.source)
    } else {
        (&s.source, &s.destination)
    };

    *tcp = [0; 20];
    if r.swap {
        tcp[..2].copy_from_slice(&s.ports[2..]);
        tcp[2..4].copy_from_slice(&s.ports[..2]);
    } else {
        tcp[..4].copy_from_slice(&s.ports);
    }
    tcp[4..8].copy_from_slice(&r.seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&r.ack.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = r.flags;
    let mut sum = sum16(tcp) + 6 + 20;

    *ip = [0; 40];
    if s.family == 4 {
        ip[0] = 0x45;
        ip[3] = 40;
        ip[6] = 0x40; // don't fragment
        ip[8] = 64;
        ip[9] = packet::TCP;
        ip[12..16].copy_from_slice(&source[..4]);
        ip[16..20].copy_from_slice(&destination[..4]);
        // What stands before the addresses is no part of the pseudo-header.
        let fixed = 0x4500 + 40 + 0x4000 + 0x4006;
        let addresses = sum16(ip) - fixed;
        sum += addresses;
        ip[10..12].copy_from_slice(&(!fold(fixed + addresses)).to_be_bytes());
    } else {
        ip[0] = 0x60;
        ip[5] = 20;
        ip[6] = packet::TCP;
        ip[7] = 64;
        ip[8..24].copy_from_slice(source);
        ip[24..40].copy_from_slice(destination);
        sum += sum16(ip) - (0x6000 + 20 + 0x0640);
    }
    tcp[16..18].copy_from_slice(&(!fold(sum)).to_be_bytes());

    if r.swap && s.l3 >= 12 {
        let Some(m) = packet::load::<[u8; 12]>(skb.cast(), 0) else {
            return false;
        };
        *macs = [
            m[6], m[7], m[8], m[9], m[10], m[11], m[0], m[1], m[2], m[3], m[4], m[5],
        ];
        if !store(ctx, 0, macs, 12) {
            return false;
        }
    }
    let ok = store(ctx, s.l3, ip, ip_len) && store(ctx, s.l3 + ip_len, tcp, 20);
    // SAFETY: the context and a number; what the device said of the old bytes is void.
    unsafe {
        bpf_csum_level(skb, CSUM_LEVEL_RESET);
    }
    ok
}

#[inline(always)]
fn store<const N: usize>(ctx: &TcContext, at: u32, bytes: &[u8; N], len: u32) -> bool {
    if len as usize > N {
        return false;
    }
    // SAFETY: at most N bytes of our own.
    unsafe {
        bpf_skb_store_bytes(
            ctx.skb.skb,
            at,
            bytes.as_ptr().cast(),
            len,
            u64::from(BPF_F_RECOMPUTE_CSUM),
        ) == 0
    }
}

/// Sum of big-endian 16-bit words (RFC 1071).
#[inline(always)]
fn sum16<const N: usize>(bytes: &[u8; N]) -> u32 {
    let mut sum = 0;
    let mut i = 0;
    while i + 1 < N {
        sum += u32::from(bytes[i]) << 8 | u32::from(bytes[i + 1]);
        i += 2;
    }
    sum
}

#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
