//! Writes matchers into the classifier's tables.
//!
//! A fault's bits go into the tables while no interface carries its number and its run is disarmed,
//! so that a half-written fault matches nothing.

use std::{collections::BTreeMap, io, mem::offset_of};

use aya::maps::lpm_trie::Key;
use chaosd_ebpf::{Bits, Control, USES_CGROUP, USES_PEER4, USES_PEER6};
use ipnet::IpNet;

use crate::{
    profile::units::PortSet,
    sys::{bpf as pod, map::Mapped},
};

use super::{
    matcher::{Matcher, PeerSet, Steering},
    object::Object,
    peers::Peers,
    plane::PlaneError,
};

/// What stands in the tables, so that it can be taken out again.
#[derive(Debug, Default)]
pub(super) struct Tables {
    matchers: BTreeMap<u8, Matcher>,
    peers: Peers,
    /// id -> depth, faults
    cgroups: BTreeMap<u64, (u32, Bits)>,
}

impl Tables {
    /// The faults that stand in the tables.
    pub fn matchers(&self) -> &BTreeMap<u8, Matcher> {
        &self.matchers
    }

    /// Writes fault `n`.
    pub fn add(&mut self, o: &mut Object, n: u8, m: Matcher) -> Result<(), PlaneError> {
        mark(&mut o.protocols, m.protocols.as_deref(), n);
        for flags in 0..=255u8 {
            let holds = m.flags.is_none_or(|f| f.holds(flags));
            o.flags.update(usize::from(flags), |b| put(b, n, holds));
        }
        write_ports(o, &m, n, true)?;
        if let Some((id, level)) = m.cgroup {
            let entry = self.cgroups.entry(id).or_insert((level, Bits::NONE));
            entry.1.set(n);
            write_cgroup(o, id, entry.1)?;
        }
        let peers = m.peers.clone();
        self.matchers.insert(n, m);
        self.change_peers(o, n, peers)
    }

    /// Takes fault `n` out. Goes on after an error, and returns the first.
    pub fn remove(&mut self, o: &mut Object, n: u8) -> Result<(), PlaneError> {
        let Some(m) = self.matchers.remove(&n) else {
            return Ok(());
        };
        mark(&mut o.protocols, Some(&[]), n);
        for flags in 0..256 {
            o.flags.update(flags, |b| b.clear(n));
        }
        let mut result = write_ports(o, &m, n, false);
        if let Some((id, _)) = m.cgroup
            && let Some(entry) = self.cgroups.get_mut(&id)
        {
            entry.1.clear(n);
            let left = entry.1;
            if left.is_empty() {
                self.cgroups.remove(&id);
            }
            result = result.and(write_cgroup(o, id, left));
        }
        result.and(self.change_peers(o, n, None))
    }

    /// Replaces the peers of fault `n` (host names that resolve otherwise now).
    pub fn change_peers(
        &mut self,
        o: &mut Object,
        n: u8,
        set: Option<PeerSet>,
    ) -> Result<(), PlaneError> {
        if let Some(m) = self.matchers.get_mut(&n) {
            m.peers.clone_from(&set);
        }
        let changes = self.peers.change(n, set);
        for (net, bits) in changes.write {
            let bits = pod::Bits(bits);
            match net {
                IpNet::V4(v4) => o.peers4.insert(&key4(v4), bits, 0),
                IpNet::V6(v6) => o.peers6.insert(&key6(v6), bits, 0),
            }
            .map_err(|e| PlaneError::Map("PEERS", io::Error::other(e)))?;
        }
        for net in changes.remove {
            match net {
                IpNet::V4(v4) => o.peers4.remove(&key4(v4)),
                IpNet::V6(v6) => o.peers6.remove(&key6(v6)),
            }
            .map_err(|e| PlaneError::Map("PEERS", io::Error::other(e)))?;
        }
        self.write_control(&mut o.control);
        Ok(())
    }

    /// Derives the control entry's sets from the matchers.
    fn write_control(&self, control: &mut Mapped<Control>) {
        let mut c = control.get(0);
        let (mut uses, mut levels) = (0, 0);
        c.any_peer = Bits::NONE;
        c.any_port = Bits::NONE;
        c.any_local_port = Bits::NONE;
        c.any_cgroup = Bits::NONE;
        c.unprotected = Bits::NONE;
        c.detour_always = Bits::NONE;
        c.detour_segments = Bits::NONE;
        c.holds = Bits::NONE;
        c.netem = Bits::NONE;
        for (&n, m) in &self.matchers {
            put(&mut c.any_peer, n, m.peers.is_none());
            put(&mut c.any_port, n, m.ports.is_none());
            put(&mut c.any_local_port, n, m.local_ports.is_none());
            put(&mut c.any_cgroup, n, m.cgroup.is_none());
            put(&mut c.unprotected, n, m.unprotected);
            put(&mut c.detour_always, n, m.steering == Steering::Always);
            put(&mut c.detour_segments, n, m.steering == Steering::Segments);
            put(&mut c.holds, n, m.holds);
            put(&mut c.netem, n, m.netem);
        }
        let (v4, v6) = self.peers.families();
        for (used, flag) in [
            (v4, USES_PEER4),
            (v6, USES_PEER6),
            (!self.cgroups.is_empty(), USES_CGROUP),
        ] {
            if used {
                uses |= flag;
            }
        }
        for (level, _) in self.cgroups.values() {
            levels |= 1 << level;
        }
        c.uses = uses;
        c.cgroup_levels = levels;
        write_control(control, &c);
    }
}

/// Writes the control entry but for the lease and the fence, which belong to others: written back
/// from a copy they could undo what the watchdog has written meanwhile.
pub(super) fn write_control(control: &mut Mapped<Control>, value: &Control) {
    control.set_from(0, offset_of!(Control, any_peer), *value);
}

fn put(bits: &mut Bits, n: u8, on: bool) {
    if on {
        bits.set(n);
    } else {
        bits.clear(n);
    }
}

fn mark(table: &mut Mapped<Bits>, only: Option<&[u8]>, n: u8) {
    for protocol in 0..=255u8 {
        let on = only.is_none_or(|l| l.contains(&protocol));
        table.update(usize::from(protocol), |b| put(b, n, on));
    }
}

fn write_ports(o: &Object, m: &Matcher, n: u8, on: bool) -> Result<(), PlaneError> {
    if let Some(set) = &m.ports {
        ports(&mut o.ports()?, set, n, on);
    }
    if let Some(set) = &m.local_ports {
        ports(&mut o.local_ports()?, set, n, on);
    }
    Ok(())
}

fn ports(table: &mut Mapped<Bits>, set: &PortSet, n: u8, on: bool) {
    for &(first, last) in set.ranges() {
        for port in first..=last {
            table.update(usize::from(port), |b| put(b, n, on));
        }
    }
}

fn write_cgroup(o: &mut Object, id: u64, bits: Bits) -> Result<(), PlaneError> {
    if bits.is_empty() {
        o.cgroups.remove(&id)
    } else {
        o.cgroups.insert(id, pod::Bits(bits), 0)
    }
    .map_err(|e| PlaneError::Map("CGROUPS", io::Error::other(e)))
}

fn key4(net: ipnet::Ipv4Net) -> Key<[u8; 4]> {
    Key::new(net.prefix_len().into(), net.network().octets())
}

fn key6(net: ipnet::Ipv6Net) -> Key<[u8; 16]> {
    Key::new(net.prefix_len().into(), net.network().octets())
}
