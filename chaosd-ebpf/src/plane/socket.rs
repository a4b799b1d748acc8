//! The cgroup of a packet.
//!
//! Leaving packets carry their socket. Arriving ones do not yet: tc programs can look the socket
//! up, but have no helper that names a socket's cgroup. So each socket is tagged once, in socket
//! storage, with its cgroup and all ancestors (a socket's cgroup never changes): by the egress
//! program as soon as it sends, and by the cgroup program when it receives first. Until then the
//! cgroup program decides in place of tcx ingress.

use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock, bpf_sock_tuple},
    helpers::generated::{
        bpf_get_listener_sock, bpf_sk_fullsock, bpf_sk_lookup_udp, bpf_sk_release,
        bpf_sk_storage_get, bpf_skb_ancestor_cgroup_id, bpf_skc_lookup_tcp,
    },
    programs::{SkBuffContext, TcContext},
};
use chaosd_ebpf::{Bits, CGROUP_LEVELS, Control, INGRESS, Mark, SockTag};

use crate::{
    classify, decide, maps,
    packet::{self, Packet, Scratch, TCP, UDP},
};

/// `BPF_F_CURRENT_NETNS`: the namespace of the device.
const CURRENT_NETNS: u64 = u64::MAX;

/// The faults whose cgroup the sender of this packet is in.
#[inline(always)]
pub fn sender(ctx: &TcContext, ctl: &Control) -> Bits {
    let skb = ctx.skb.skb;
    // SAFETY: the context and a number.
    let bits = classify::by_cgroup(ctl, |level| unsafe {
        bpf_skb_ancestor_cgroup_id(skb, level as i32)
    });
    if !bits.is_empty() {
        tag_socket_of(skb);
    }
    bits
}

/// The cgroup that the receiver of this packet is in, with its ancestors, as [`SockTag`] has them; false
/// when no tag tells yet. A copy: what is done while a socket is held, the verifier follows once for
/// each way of finding it.
#[inline(never)]
pub fn receiver(ctx: &TcContext, p: &Packet, to: &mut [u64; CGROUP_LEVELS]) -> bool {
    look_up(ctx, p, to).is_some()
}

#[inline(always)]
fn look_up(ctx: &TcContext, p: &Packet, to: &mut [u64; CGROUP_LEVELS]) -> Option<()> {
    if !p.ports {
        return None;
    }
    let skb = ctx.as_ptr();
    let mut tuple = [0u8; 36];
    let len = if p.family == 4 {
        let a: [u8; 8] = packet::load(skb, p.l3 + 12)?;
        let ports: [u8; 4] = packet::load(skb, p.l4)?;
        tuple[..8].copy_from_slice(&a);
        tuple[8..12].copy_from_slice(&ports);
        12
    } else {
        let a: [u8; 32] = packet::load(skb, p.l3 + 8)?;
        let ports: [u8; 4] = packet::load(skb, p.l4)?;
        tuple[..32].copy_from_slice(&a);
        tuple[32..].copy_from_slice(&ports);
        36
    };
    let tuple = tuple.as_mut_ptr().cast::<bpf_sock_tuple>();
    // SAFETY: the tuple has the length given; a reference that was taken is released on each path.
    unsafe {
        let sk = if p.protocol == TCP {
            if len == 12 {
                bpf_skc_lookup_tcp(skb, tuple, 12, CURRENT_NETNS, 0)
            } else {
                bpf_skc_lookup_tcp(skb, tuple, 36, CURRENT_NETNS, 0)
            }
        } else if p.protocol == UDP {
            if len == 12 {
                bpf_sk_lookup_udp(skb, tuple, 12, CURRENT_NETNS, 0)
            } else {
                bpf_sk_lookup_udp(skb, tuple, 36, CURRENT_NETNS, 0)
            }
        } else {
            return None;
        };
        if sk.is_null() {
            return None;
        }
        // A connection request has no storage of its own: its listener speaks for it.
        let mut full = bpf_sk_fullsock(sk);
        if full.is_null() {
            full = bpf_get_listener_sock(sk);
        }
        let known = if full.is_null() {
            None
        } else {
            read_tag(full, to)
        };
        bpf_sk_release(sk.cast());
        known
    }
}

#[inline(always)]
unsafe fn read_tag(sk: *mut bpf_sock, to: &mut [u64; CGROUP_LEVELS]) -> Option<()> {
    // SAFETY: a full socket; the map is of the storage kind.
    let tag = unsafe {
        bpf_sk_storage_get(
            (&raw const maps::SOCKETS).cast_mut().cast(),
            sk.cast(),
            core::ptr::null_mut(),
            0,
        )
    }
    .cast::<SockTag>();
    if tag.is_null() {
        return None;
    }
    // SAFETY: checked; the value lives as long as the socket, which we hold.
    let tag = unsafe { &*tag };
    for (to, id) in to.iter_mut().zip(&tag.ancestors) {
        *to = *id;
    }
    Some(())
}

/// Tags the socket that the packet carries, if it is a full one.
#[inline(always)]
fn tag_socket_of(skb: *mut __sk_buff) {
    // SAFETY: a context field; the verifier checks the null tests before use.
    unsafe {
        let sk = (*skb).__bindgen_anon_2.sk;
        if !sk.is_null() {
            let full = bpf_sk_fullsock(sk);
            if !full.is_null() {
                tag(skb.cast(), full);
            }
        }
    }
}

/// Writes down where the socket of `skb` was born.
#[inline(never)]
unsafe fn tag(skb: *mut core::ffi::c_void, sk: *mut bpf_sock) {
    // SAFETY: as in `read_tag`.
    let tag = unsafe {
        bpf_sk_storage_get(
            (&raw const maps::SOCKETS).cast_mut().cast(),
            sk.cast(),
            core::ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    }
    .cast::<SockTag>();
    if tag.is_null() {
        return;
    }
    // SAFETY: checked above; levels that do not exist give 0.
    unsafe {
        // The root is never 0 once written: the tag is complete.
        if (*tag).ancestors[0] != 0 {
            return;
        }
        for level in (0..CGROUP_LEVELS).rev() {
            (*tag).ancestors[level] = bpf_skb_ancestor_cgroup_id(skb.cast(), level as i32);
        }
    }
}

/// See [`crate::cgroup_ingress`]: 1 lets the packet in, 0 loses it silently.
#[inline(always)]
pub fn first_packet(ctx: &SkBuffContext) -> i32 {
    let Some(ctl) = maps::armed() else { return 1 };
    if packet::mark(ctx) != Mark::Undecided(ctl.plane) {
        return 1;
    }
    let skb = ctx.skb.skb;
    tag_socket_of(skb);
    let Some(iface) = maps::iface(packet::ifindex(ctx)) else {
        return 1;
    };
    let Some(p) = Packet::parse(Scratch::Cgroup, ctx, false, INGRESS) else {
        return 1;
    };
    let Some(v) = decide::verdict(Scratch::Cgroup) else {
        return 1;
    };
    v.left = classify::candidates(
        ctl,
        &iface.bits[INGRESS as usize].without(&ctl.any_cgroup),
        p,
    );
    if v.left.is_empty() {
        return 1;
    }
    // SAFETY: the context and a number.
    v.left.keep(&classify::by_cgroup(ctl, |level| unsafe {
        bpf_skb_ancestor_cgroup_id(skb, level as i32)
    }));
    // What this hook cannot do (write the packet, or send it elsewhere) is left to the packets after
    // this one.
    v.left.remove(&ctl.detour_always);
    v.left.remove(&ctl.holds);
    if v.left.is_empty() {
        return 1;
    }
    let Some(now) = maps::vouched(ctl) else {
        return 1;
    };
    decide::decide(Scratch::Cgroup, v, now, INGRESS, p, p.frame_bytes(ctx));
    i32::from(v.drop == 0)
}
