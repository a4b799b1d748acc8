//! The names that DNS faults hit: they stand in the tables exactly as long as their fault does.
//!
//! A name's entry says which faults want it, so that many faults can share one; the entries of all
//! faults together are one table, and looking a query up costs the same for one name and for all.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _, RandomState},
};

use aya::maps::MapError;
use chaosd_ebpf::{
    Bits, Control, Fault,
    dns::{DnsHit, MAX_HITS, MAX_NAMES, NameBits, NameKey},
};

use super::{Matcher, Object, Plane, PlaneError, map_error};
use crate::{bpf::tables::write_control, sys::bpf as pod};

/// The names that a fault hits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet {
    /// Empty: every name.
    pub names: Vec<Name>,
    /// Spared; wins.
    pub not_names: Vec<Name>,
}

/// A name, or a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// In wire form (RFC 1035 §3.1), in lower case, the root's 0 included: 1 to 255 octets.
    pub wire: Vec<u8>,
    /// Everything below it too.
    pub zone: bool,
}

/// What a DNS fault adds to a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsRule {
    /// To queries for which names.
    pub names: NameSet,
    /// Of which types, and what it answers.
    pub program: chaosd_ebpf::DnsRule,
}

/// A query that faults acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// `CLOCK_MONOTONIC` ns.
    pub when_ns: u64,
    /// Their numbers in the plane.
    pub faults: Bits,
    /// What was asked for: a number of IANA's registry of resource record types.
    pub qtype: u16,
    /// The name as it was asked, without the dot at its end; what is not printable ASCII, a dot and a
    /// backslash in a label are escaped (RFC 1035 §5.1).
    pub name: String,
}

/// What stands in the tables.
#[derive(Debug)]
pub(super) struct Names {
    seed: [u64; 2],
    rules: BTreeMap<u8, DnsRule>,
    /// With the number of their labels.
    entries: HashMap<NameKey, (NameBits, u8)>,
    types: BTreeMap<u16, Bits>,
}

impl Default for Names {
    fn default() -> Self {
        // Nobody who asks for names is to know which of them share a key.
        let draw = || RandomState::new().build_hasher().finish();
        Self {
            seed: [draw(), draw()],
            rules: BTreeMap::new(),
            entries: HashMap::new(),
            types: BTreeMap::new(),
        }
    }
}

impl Names {
    /// Writes the rule of fault `n`, which is in no table yet. After an error, [`Names::forget`].
    fn provide(&mut self, object: &mut Object, n: u8, rule: &DnsRule) -> Result<(), PlaneError> {
        self.rules.insert(n, rule.clone());
        object.dns_rules.set(n.into(), rule.program);
        for (name, spared) in every_name(&rule.names) {
            let key = NameKey::of(self.seed, &name.wire);
            if !self.entries.contains_key(&key) && self.entries.len() >= MAX_NAMES as usize {
                return Err(PlaneError::Full {
                    what: "DNS names",
                    max: MAX_NAMES as usize,
                });
            }
            let fresh = (NameBits::default(), labels(&name.wire));
            let (bits, _) = self.entries.entry(key).or_insert(fresh);
            part(bits, name.zone, spared).set(n);
            write_name(object, key, bits)?;
        }
        for qtype in types(&rule.program) {
            let bits = self.types.entry(*qtype).or_insert(Bits::NONE);
            bits.set(n);
            write_type(object, *qtype, bits)?;
        }
        self.write_control(object);
        Ok(())
    }

    /// Takes the rule of fault `n` out. Goes on after an error, and returns the first.
    pub fn forget(&mut self, object: &mut Object, n: u8) -> Result<(), PlaneError> {
        let Some(rule) = self.rules.remove(&n) else {
            return Ok(());
        };
        self.write_control(object);
        let mut result = Ok(());
        for (name, spared) in every_name(&rule.names) {
            let key = NameKey::of(self.seed, &name.wire);
            let Some((bits, _)) = self.entries.get_mut(&key) else {
                continue;
            };
            part(bits, name.zone, spared).clear(n);
            let written = write_name(object, key, bits);
            if *bits == NameBits::default() {
                self.entries.remove(&key);
            }
            result = result.and(written);
        }
        for qtype in types(&rule.program) {
            let Some(bits) = self.types.get_mut(qtype) else {
                continue;
            };
            bits.clear(n);
            let written = write_type(object, *qtype, bits);
            if bits.is_empty() {
                self.types.remove(qtype);
            }
            result = result.and(written);
        }
        object
            .dns_rules
            .set(n.into(), chaosd_ebpf::DnsRule::default());
        self.write_control(object);
        result
    }

    fn write_control(&self, object: &mut Object) {
        let mut c: Control = object.control.get(0);
        c.dns = Bits::NONE;
        c.dns_any_name = Bits::NONE;
        c.dns_any_type = Bits::NONE;
        for (&n, rule) in &self.rules {
            c.dns.set(n);
            if rule.names.names.is_empty() {
                c.dns_any_name.set(n);
            }
            if types(&rule.program).is_empty() {
                c.dns_any_type.set(n);
            }
        }
        c.dns_seed = self.seed;
        c.dns_levels = [0; 2];
        c.dns_deepest = 0;
        for (_, labels) in self.entries.values() {
            c.dns_deepest = c.dns_deepest.max(u32::from(*labels));
            c.dns_levels[usize::from(labels >> 6 & 1)] |= 1 << (labels & 63);
        }
        write_control(&mut object.control, &c);
    }
}

impl Plane {
    /// Writes a DNS fault into the tables, as [`Plane::install`] does. Its `count` becomes the rule's
    /// answer.
    pub fn install_dns(
        &mut self,
        matcher: Matcher,
        fault: Fault,
        rule: &DnsRule,
    ) -> Result<u8, PlaneError> {
        let count = rule.program.answer;
        // Its interfaces do not carry its number before they are refreshed, so that nothing sees it half.
        let n = self.install(matcher, Fault { count, ..fault }, None, &[])?;
        let written = reset_dns_counts(&mut self.object, n)
            .and_then(|()| self.names.provide(&mut self.object, n, rule));
        if let Err(e) = written {
            self.uninstall(n).ok();
            return Err(e);
        }
        Ok(n)
    }

    /// The queries that DNS faults acted on last, the newest at the end; at most
    /// [`MAX_HITS`].
    pub fn dns_hits(&self) -> Vec<Hit> {
        let read = |i: usize| {
            let hit = self.object.dns_hits.get(i);
            // A program that is writing it says so before and after.
            let same = self.object.dns_hits.get(i).sequence == hit.sequence;
            (same && hit.sequence != 0).then_some(hit)
        };
        let mut hits: Vec<DnsHit> = (0..MAX_HITS as usize).filter_map(read).collect();
        hits.sort_by_key(|hit| hit.sequence);
        hits.iter().filter_map(hit).collect()
    }

    /// How many TCP segments with a query fault `n` lost or answered with a reset.
    pub fn dns_over_tcp(&self, n: u8) -> Result<u64, PlaneError> {
        let values = self
            .object
            .dns_counters
            .get(&n.into(), 0)
            .map_err(map_error("DNS_COUNTERS"))?;
        Ok(values.iter().sum())
    }
}

fn every_name(set: &NameSet) -> impl Iterator<Item = (&Name, bool)> {
    let wanted = set.names.iter().map(|name| (name, false));
    wanted.chain(set.not_names.iter().map(|name| (name, true)))
}

fn part(bits: &mut NameBits, zone: bool, spared: bool) -> &mut Bits {
    match (zone, spared) {
        (false, false) => &mut bits.exact,
        (true, false) => &mut bits.under,
        (false, true) => &mut bits.not_exact,
        (true, true) => &mut bits.not_under,
    }
}

fn types(rule: &chaosd_ebpf::DnsRule) -> &[u16] {
    let count = (rule.type_count as usize).min(rule.types.len());
    &rule.types[..count]
}

/// The labels of a name in wire form, without the root.
fn labels(wire: &[u8]) -> u8 {
    let (mut at, mut labels) = (0, 0);
    while let Some(&length) = wire.get(at)
        && length != 0
    {
        at += 1 + usize::from(length);
        labels += 1;
    }
    labels
}

fn write_name(object: &mut Object, key: NameKey, bits: &NameBits) -> Result<(), PlaneError> {
    let key = pod::NameKey(key);
    if *bits == NameBits::default() {
        gone(object.dns_names.remove(&key))
    } else {
        object.dns_names.insert(key, pod::NameBits(*bits), 0)
    }
    .map_err(map_error("DNS_NAMES"))
}

fn write_type(object: &mut Object, qtype: u16, bits: &Bits) -> Result<(), PlaneError> {
    let key = u32::from(qtype);
    if bits.is_empty() {
        gone(object.dns_types.remove(&key))
    } else {
        object.dns_types.insert(key, pod::Bits(*bits), 0)
    }
    .map_err(map_error("DNS_TYPES"))
}

/// What an error kept from being written is not there to be removed.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

fn reset_dns_counts(object: &mut Object, n: u8) -> Result<(), PlaneError> {
    let name = "DNS_COUNTERS";
    let cpus = aya::util::nr_cpus().map_err(|(_, e)| PlaneError::Map(name, e))?;
    let none = aya::maps::PerCpuValues::try_from(vec![0_u64; cpus])
        .map_err(|e| PlaneError::Map(name, e))?;
    object
        .dns_counters
        .set(n.into(), none, 0)
        .map_err(map_error(name))
}

fn hit(hit: &DnsHit) -> Option<Hit> {
    Some(Hit {
        when_ns: hit.ns,
        faults: hit.faults,
        qtype: hit.qtype,
        name: presentation(hit.name.get(..usize::from(hit.len))?),
    })
}

/// A name in wire form as people write it.
fn presentation(wire: &[u8]) -> String {
    let (mut rest, mut text) = (wire, String::new());
    while let Some((&length, tail)) = rest.split_first()
        && length != 0
        && let Some((label, tail)) = tail.split_at_checked(length.into())
    {
        if !text.is_empty() {
            text.push('.');
        }
        for &octet in label {
            match octet {
                b'.' | b'\\' => text.extend(['\\', char::from(octet)]),
                b'!'..=b'~' => text.push(char::from(octet)),
                _ => write!(text, "\\{octet:03}").unwrap_or_default(),
            }
        }
        rest = tail;
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}
