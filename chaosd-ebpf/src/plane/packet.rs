//! From a buffer to the facts that faults match on.
//!
//! Headers are read with `bpf_skb_load_bytes`, which does not care whether they are linear.

use aya_ebpf::{
    EbpfContext, bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::map,
    maps::PerCpuArray, programs::TcContext,
};
use chaosd_ebpf::{FlowKey, INGRESS, Mark};

use crate::dice::mix;

/// TCP flags (RFC 9293 §3.1).
pub const SYN: u8 = 2;
/// See [`SYN`].
pub const RST: u8 = 4;
/// See [`SYN`].
pub const ACK: u8 = 16;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMP6: u8 = 58;
/// Stands for "no IP at all" in the table of protocols (255 is reserved by IANA).
pub const NOT_IP: u8 = 255;

const ETH_HLEN: u32 = 14;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;

/// The packet under way, per CPU: a program's stack has 512 bytes in all. One for tc programs, which
/// run with softirqs off, and one for the cgroup program, which they may interrupt.
#[map]
static PACKETS: PerCpuArray<Packet> = PerCpuArray::with_max_entries(2, 0);

/// Which of the per-CPU values a program uses.
#[derive(Clone, Copy)]
pub enum Scratch {
    /// tc programs.
    Tc = 0,
    /// The cgroup program.
    Cgroup = 1,
}

/// What is known of a packet, seen from the target.
pub struct Packet {
    /// Peer, ports and family: zero where there are none.
    pub flow: FlowKey,
    /// 4, 6, or 0 for neither.
    pub family: u32,
    /// Layer 4 protocol.
    pub protocol: u8,
    /// TCP flags.
    pub flags: u8,
    /// `flow` has ports: not a later fragment, not a protocol without.
    pub ports: bool,
    /// Offset of the IP header.
    pub l3: u32,
    /// Offset of the layer 4 header.
    pub l4: u32,
    /// Wire segments in this buffer.
    pub segments: u32,
}

/// Loads `T` at `offset`.
#[inline(always)]
pub fn load<T: Copy>(skb: *mut core::ffi::c_void, offset: u32) -> Option<T> {
    let mut v = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes or fails; T is plain data (arrays of bytes).
    unsafe {
        if bpf_skb_load_bytes(
            skb.cast(),
            offset,
            v.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        ) == 0
        {
            Some(v.assume_init())
        } else {
            None
        }
    }
}

/// Loads `N` bytes at `offset` to where they are wanted.
#[inline(always)]
pub fn load_into<const N: usize>(
    skb: *mut core::ffi::c_void,
    offset: u32,
    to: &mut [u8; N],
) -> Option<()> {
    // SAFETY: the helper writes N bytes or fails.
    (unsafe { bpf_skb_load_bytes(skb.cast(), offset, to.as_mut_ptr().cast(), N as u32) } == 0)
        .then_some(())
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ETH_P_8021Q || ethertype == ETH_P_8021AD
}

/// The type behind the VLAN tag that ends the header before `l3`.
#[inline(always)]
fn behind_tag(skb: *mut core::ffi::c_void, l3: u32) -> Option<u16> {
    load(skb, l3 + 2).map(u16::from_be_bytes)
}

/// Zeroes a key by words: assigned at once, it becomes a loop over bytes.
#[inline(always)]
fn clear(key: &mut FlowKey) {
    let words: *mut u32 = (&raw mut *key).cast();
    // SAFETY: a key is six aligned words, without padding (see its size in the ABI).
    unsafe {
        words.write_volatile(0);
        words.add(1).write_volatile(0);
        words.add(2).write_volatile(0);
        words.add(3).write_volatile(0);
        words.add(4).write_volatile(0);
        words.add(5).write_volatile(0);
    }
}

impl Packet {
    /// The packet whose headers were read last.
    #[inline(always)]
    pub fn current(scratch: Scratch) -> Option<&'static Self> {
        PACKETS.get(scratch as u32)
    }

    /// Reads the headers; `None` for what cannot be parsed, which passes.
    #[inline(always)]
    pub fn parse<C: EbpfContext>(
        scratch: Scratch,
        ctx: &C,
        l2: bool,
        direction: u32,
    ) -> Option<&'static Self> {
        let p = PACKETS.get_ptr_mut(scratch as u32)?;
        // SAFETY: this CPU's own value, used by one program at a time.
        let p = unsafe { &mut *p };
        let skb = ctx.as_ptr();
        let raw = skb.cast::<__sk_buff>();
        // SAFETY: a context field.
        let protocol = unsafe { (*raw).protocol };
        let mut ethertype = u16::from_be(protocol as u16);
        let mut l3 = if l2 { ETH_HLEN } else { 0 };
        // Tags inside the data: the accelerated one is not counted as protocol. Two at most.
        if is_tag(ethertype) {
            ethertype = behind_tag(skb, l3)?;
            l3 += 4;
            if is_tag(ethertype) {
                ethertype = behind_tag(skb, l3)?;
                l3 += 4;
            }
        }
        clear(&mut p.flow);
        p.family = 0;
        p.protocol = NOT_IP;
        p.flags = 0;
        p.ports = false;
        p.l3 = l3;
        p.l4 = l3;
        p.segments = segments(raw);
        let read = match scratch {
            Scratch::Tc if l2 && p.plain(raw, ethertype, direction) => true,
            _ => p.any(skb, ethertype, direction),
        };
        if p.segments == 0 {
            p.segments = p.count_segments(skb);
        }
        read.then_some(p)
    }

    /// What the device will make of a buffer: each segment has its own headers and `gso_size` bytes
    /// of payload (net/core/dev.c, `qdisc_pkt_len_init`).
    #[inline(never)]
    fn count_segments(&self, skb: *mut core::ffi::c_void) -> u32 {
        let header = if self.protocol == TCP {
            let offset: [u8; 1] = load(skb, self.l4 + 12).unwrap_or_default();
            u32::from(offset[0] >> 4) * 4
        } else {
            8
        };
        let raw = skb.cast::<__sk_buff>();
        // SAFETY: context fields.
        let (size, len) = unsafe { ((*raw).gso_size, (*raw).len) };
        let payload = len.saturating_sub(self.l4 + header);
        if size == 0 || payload == 0 {
            1
        } else {
            payload.div_ceil(size)
        }
    }

    /// TCP and UDP behind a bare IP header, read straight from the linear part of the buffer: a
    /// quarter of what the helper costs. False, and nothing is said of the packet, for all others.
    #[inline(always)]
    fn plain(&mut self, skb: *const __sk_buff, ethertype: u16, direction: u32) -> bool {
        const L3: usize = ETH_HLEN as usize;
        // SAFETY: context fields.
        let (start, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
        if self.l3 != ETH_HLEN {
            return false;
        }
        let l3 = (start + L3) as *const u8;
        let ip_len = match ethertype {
            ETH_P_IP => 20,
            ETH_P_IPV6 => 40,
            _ => return false,
        };
        if start + L3 + ip_len + 8 > end {
            return false;
        }
        // SAFETY: everything up to `end` may be read, which is checked above and below; the Ethernet
        // header starts at an even address (NET_IP_ALIGN is 0 or 2), and so does what follows it.
        unsafe {
            let protocol = if ethertype == ETH_P_IP {
                // No options; neither "more fragments" nor an offset (RFC 791).
                if *l3 != 0x45 || u16::from_be(*l3.add(6).cast()) & 0x3fff != 0 {
                    return false;
                }
                *l3.add(9)
            } else {
                if *l3 >> 4 != 6 {
                    return false;
                }
                *l3.add(6)
            };
            let l4 = l3.add(ip_len);
            if protocol == TCP {
                if start + L3 + ip_len + 14 > end {
                    return false;
                }
                self.flags = *l4.add(13);
            } else if protocol != UDP {
                return false;
            }
            let remote: *mut u16 = self.flow.remote.as_mut_ptr().cast();
            if ethertype == ETH_P_IP {
                let at: *const u16 = l3.add(if direction == INGRESS { 12 } else { 16 }).cast();
                *remote = *at;
                *remote.add(1) = *at.add(1);
                self.family = 4;
            } else {
                let at: *const u16 = l3.add(if direction == INGRESS { 8 } else { 24 }).cast();
                let mut i = 0;
                while i < 8 {
                    *remote.add(i) = *at.add(i);
                    i += 1;
                }
                self.family = 6;
            }
            self.flow.family = self.family;
            self.protocol = protocol;
            self.l4 = ETH_HLEN + ip_len as u32;
            let ports: *const u16 = l4.cast();
            self.set_ports(u16::from_be(*ports), u16::from_be(*ports.add(1)), direction);
        }
        true
    }

    /// Every packet, by the helper; false for what cannot be parsed.
    #[inline(never)]
    fn any(&mut self, skb: *mut core::ffi::c_void, ethertype: u16, direction: u32) -> bool {
        match ethertype {
            ETH_P_IP => self.ipv4(skb, direction).is_some(),
            ETH_P_IPV6 => self.ipv6(skb, direction).is_some(),
            _ => true,
        }
    }

    #[inline(always)]
    fn ipv4(&mut self, skb: *mut core::ffi::c_void, direction: u32) -> Option<()> {
        let h: [u8; 10] = load(skb, self.l3)?;
        if h[0] >> 4 != 4 || h[0] & 15 < 5 {
            return None;
        }
        self.family = 4;
        self.flow.family = 4;
        self.protocol = h[9];
        self.l4 = self.l3 + u32::from(h[0] & 15) * 4;
        let at = if direction == INGRESS { 12 } else { 16 };
        let remote: [u8; 4] = load(skb, self.l3 + at)?;
        self.flow.remote[..4].copy_from_slice(&remote);
        // RFC 791: a later fragment has an offset and no layer 4 header.
        if u16::from_be_bytes([h[6], h[7]]) & 0x1fff == 0 {
            self.layer4(skb, direction);
        }
        Some(())
    }

    #[inline(always)]
    fn ipv6(&mut self, skb: *mut core::ffi::c_void, direction: u32) -> Option<()> {
        let h: [u8; 8] = load(skb, self.l3)?;
        if h[0] >> 4 != 6 {
            return None;
        }
        self.family = 6;
        self.flow.family = 6;
        let at = if direction == INGRESS { 8 } else { 24 };
        load_into(skb, self.l3 + at, &mut self.flow.remote)?;
        let (mut next, mut l4, mut later) = (h[6], self.l3 + 40, false);
        // RFC 8200 §4: hop-by-hop, routing, fragment, destination options; RFC 4302: AH. More than
        // eight in a row is no packet of a real stack: it passes.
        for _ in 0..8 {
            match next {
                0 | 43 | 60 => {
                    let e: [u8; 2] = load(skb, l4)?;
                    next = e[0];
                    l4 += (u32::from(e[1]) + 1) * 8;
                }
                51 => {
                    let e: [u8; 2] = load(skb, l4)?;
                    next = e[0];
                    l4 += (u32::from(e[1]) + 2) * 4;
                }
                44 => {
                    let e: [u8; 4] = load(skb, l4)?;
                    next = e[0];
                    later |= u16::from_be_bytes([e[2], e[3]]) & 0xfff8 != 0;
                    l4 += 8;
                }
                _ => break,
            }
        }
        self.protocol = next;
        self.l4 = l4;
        if !later {
            self.layer4(skb, direction);
        }
        Some(())
    }

    /// Ports and flags, when they are all there. A header cut short leaves the packet without
    /// ports: only faults that name none can hit it.
    #[inline(always)]
    fn layer4(&mut self, skb: *mut core::ffi::c_void, direction: u32) {
        let (source, destination) = if self.protocol == TCP {
            let Some(h) = load::<[u8; 14]>(skb, self.l4) else {
                return;
            };
            self.flags = h[13];
            ([h[0], h[1]], [h[2], h[3]])
        } else if self.protocol == UDP || self.protocol == 132 {
            let Some(h) = load::<[u8; 4]>(skb, self.l4) else {
                return;
            };
            ([h[0], h[1]], [h[2], h[3]])
        } else if self.protocol == ICMP6 {
            // The type takes the place of the flags: NDP is protected.
            if let Some(h) = load::<[u8; 1]>(skb, self.l4) {
                self.flags = h[0];
            }
            return;
        } else {
            return;
        };
        self.set_ports(
            u16::from_be_bytes(source),
            u16::from_be_bytes(destination),
            direction,
        );
    }

    #[inline(always)]
    fn set_ports(&mut self, source: u16, destination: u16, direction: u32) {
        self.ports = true;
        if direction == INGRESS {
            self.flow.remote_port = source;
            self.flow.local_port = destination;
        } else {
            self.flow.remote_port = destination;
            self.flow.local_port = source;
        }
    }
}

impl Packet {
    /// The same for both directions of a flow.
    #[inline(always)]
    pub fn flow_hash(&self) -> u32 {
        let r = &self.flow.remote;
        let word = |i: usize| u64::from(u32::from_ne_bytes([r[i], r[i + 1], r[i + 2], r[i + 3]]));
        let address =
            word(0) ^ word(4).rotate_left(21) ^ word(8).rotate_left(42) ^ word(12).rotate_left(11);
        let ports = u64::from(self.flow.remote_port) << 16 | u64::from(self.flow.local_port);
        mix(mix(address ^ u64::from(self.protocol) << 56) ^ ports) as u32
    }

    /// Bytes of the frames that a buffer becomes: each segment but the first repeats the headers.
    #[inline(always)]
    pub fn frame_bytes<C: EbpfContext>(&self, ctx: &C) -> u32 {
        // SAFETY: a context field.
        let len = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).len };
        let headers = self.l4 + if self.protocol == TCP { 20 } else { 8 };
        len + (self.segments - 1) * headers
    }
}

/// Wire segments in a buffer; 0: the sender, which is not trusted, left the count to the device.
#[inline(always)]
pub fn segments(skb: *mut __sk_buff) -> u32 {
    // SAFETY: context fields.
    let (segments, size) = unsafe { ((*skb).gso_segs, (*skb).gso_size) };
    if segments == 0 && size == 0 {
        1
    } else {
        segments
    }
}

/// The mark a packet carries.
#[inline(always)]
pub fn mark<C: EbpfContext>(ctx: &C) -> Mark {
    // SAFETY: a context field, 16 bits wide in the kernel.
    Mark::decode(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).tc_index } as u16)
}

/// Replaces the mark.
#[inline(always)]
pub fn set_mark(ctx: &TcContext, mark: Mark) {
    // SAFETY: a context field that tc programs may write.
    unsafe { (*ctx.skb.skb).tc_index = u32::from(mark.encode()) }
}

/// The device the packet is on.
#[inline(always)]
pub fn ifindex<C: EbpfContext>(ctx: &C) -> u32 {
    // SAFETY: a context field.
    unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ifindex }
}
