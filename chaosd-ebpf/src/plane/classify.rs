//! Which faults a packet belongs to: one lookup per dimension, AND. The cost does not depend on
//! how many faults, peers, ports or cgroups there are.

use aya_ebpf::maps::lpm_trie::Key;
use chaosd_ebpf::{Bits, CGROUP_LEVELS, Control, USES_PEER4, USES_PEER6};

use crate::{
    maps,
    packet::{ICMP6, Packet, TCP, UDP},
};

/// The faults of `start` that hold for the packet, cgroups aside.
#[inline(always)]
pub fn candidates(ctl: &Control, start: &Bits, p: &Packet) -> Bits {
    let Some(by_protocol) = maps::PROTOCOLS.get(u32::from(p.protocol)) else {
        return Bits::NONE;
    };
    let mut bits = start.and(by_protocol);
    if p.protocol == TCP
        && let Some(by_flags) = maps::FLAGS.get(u32::from(p.flags))
    {
        bits = bits.and(by_flags);
        // Without its flags (a later fragment) a segment is left to the faults that name none: those
        // that hold when no flag is set as well as when all are.
        if !p.ports
            && let Some(all_set) = maps::FLAGS.get(u32::from(u8::MAX))
        {
            bits = bits.and(all_set);
        }
    }
    if p.ports {
        if let Some(by_port) = maps::PORTS.get(u32::from(p.flow.remote_port)) {
            bits = bits.and(&by_port.or(&ctl.any_port));
        }
        if let Some(by_port) = maps::LOCAL_PORTS.get(u32::from(p.flow.local_port)) {
            bits = bits.and(&by_port.or(&ctl.any_local_port));
        }
    } else {
        bits = bits.and(&ctl.any_port).and(&ctl.any_local_port);
    }
    if bits.is_empty() {
        return bits;
    }
    bits = bits.and(&by_peer(ctl, p));
    if !bits.is_empty() && is_protected(p) {
        bits = bits.and(&ctl.unprotected);
    }
    bits
}

#[inline(always)]
fn by_peer(ctl: &Control, p: &Packet) -> Bits {
    let r = &p.flow.remote;
    let found = if p.family == 4 && ctl.uses & USES_PEER4 != 0 {
        maps::PEERS4.get(Key::new(32, [r[0], r[1], r[2], r[3]]))
    } else if p.family == 6 && ctl.uses & USES_PEER6 != 0 {
        maps::PEERS6.get(Key::new(128, *r))
    } else {
        None
    };
    found.map_or(ctl.any_peer, |bits| bits.or(&ctl.any_peer))
}

/// The protected set: what must live for the fault's own off-switch to work.
///
/// ARP and every other protocol that is not IP; neighbour discovery (RFC 4861, `ICMPv6` 133 to 137);
/// DHCP (RFC 2131, RFC 8415); the connections listed by the daemon (live SSH sessions).
#[inline(always)]
fn is_protected(p: &Packet) -> bool {
    match p.protocol {
        _ if p.family == 0 => true,
        ICMP6 => p.flags >= 133 && p.flags <= 137,
        UDP => {
            let (l, r) = (p.flow.local_port, p.flow.remote_port);
            matches!((l, r), (67 | 68, 67 | 68) | (546 | 547, 546 | 547))
        }
        // SAFETY: only the presence of the entry counts.
        TCP if p.ports => unsafe { maps::PROTECTED.get(p.flow) }.is_some(),
        _ => false,
    }
}

/// The faults that name one of these cgroups. `id_at` gives the cgroup's ancestor at a depth.
#[inline(always)]
pub fn by_cgroup(ctl: &Control, mut id_at: impl FnMut(u32) -> u64) -> Bits {
    let mut bits = Bits::NONE;
    for level in 0..CGROUP_LEVELS as u32 {
        if ctl.cgroup_levels & (1 << level) != 0 {
            // SAFETY: the value is replaced as a whole by user space.
            let found = unsafe { maps::CGROUPS.get(id_at(level)) };
            if let Some(found) = found {
                bits = bits.or(found);
            }
        }
    }
    bits
}
