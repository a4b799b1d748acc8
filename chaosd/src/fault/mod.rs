//! The only list of fault kinds.
//!
//! A kind says in words what it does and by which mechanism, what it needs of the packet path, and
//! fills in its part of the programs' `Fault`. A new kind is one new file, a line in `KINDS` and `packet`,
//! and its tests.

mod bandwidth;
mod corrupt;
mod delay;
pub mod distribution;
mod dns;
mod drop;
mod duplicate;
mod matching;
mod netem;
mod netem_queue;
mod partition;
mod reorder;
mod reset;
mod table;
#[cfg(test)]
mod tests;
mod timeline;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chaosd_ebpf::{Fault, ONE, SEEDED, TABLE_LEN};
use ipnet::IpNet;

use crate::{
    bpf::{DnsRule, Matcher, Steering},
    plan::Scope,
    profile::{Distribution, FaultSpec, Kind, Netem, units::Size},
    resource,
};

pub use dns::Part;
pub use matching::{ResolveError, resolve};
pub use netem::NetemRule;
pub use table::TableError;

/// A fault that acts on packets.
pub trait PacketFault {
    /// Its key in a profile.
    fn name(&self) -> &'static str;
    /// What it does to a packet, as a sentence without subject: `drops 2 % of packets`.
    fn what(&self) -> String;
    /// How, in one line.
    fn mechanism(&self) -> String;
    /// Which packets it needs to see in the detour.
    fn steering(&self) -> Steering;
    /// Protocols it can act on; `None`: any.
    fn protocols(&self) -> Option<&'static [u8]> {
        None
    }
    /// True when it holds packets or copies them.
    fn holds(&self) -> bool {
        false
    }
    /// The longest it holds a packet, as good as always.
    fn longest_hold(&self) -> Duration {
        Duration::ZERO
    }
    /// What the user should know of it, as sentences without subject.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// The law of its delays, when that is not to be had from a number in the programs' `Fault`.
    fn distribution(&self) -> Option<&Distribution> {
        None
    }
    /// The delay of each peer, when they have their own: it acts on no other packets.
    fn by_peer(&self) -> Option<&BTreeMap<IpNet, Duration>> {
        None
    }
    /// What the kernel's netem does for it.
    fn netem(&self) -> Option<&Netem> {
        None
    }
    /// The names whose queries it hits, and its answer.
    fn dns(&self) -> Option<DnsRule> {
        None
    }
    /// Fills in kind, rate and what else the kind knows.
    fn program(&self, fault: &mut Fault);
}

/// What a fault came to: ready for a plane.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// To which packets.
    pub matcher: Matcher,
    /// What, and when. `run` is filled in by the engine.
    pub fault: Fault,
    /// Quantiles of a user's own: `fault.hold.table` is [`chaosd_ebpf::FIRST_CUSTOM`], until the
    /// plane gives it a number.
    pub table: Option<Arc<[i32; TABLE_LEN]>>,
    /// Delays of peers in ns, when each has one of its own.
    pub times: Vec<(IpNet, u64)>,
    /// What the netem device is given.
    pub netem: Option<NetemRule>,
    /// Names, and what queries for them are answered.
    pub dns: Option<DnsRule>,
}

/// Why a fault cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// A peer has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A distribution's file is no table.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Kernel memory in bytes that is worth a word.
const MUCH_MEMORY: u128 = 100_000_000;
/// What a link of 1 Gbit/s carries.
const BYTES_PER_MS: u128 = 125_000;

/// Their keys in a profile.
pub const KINDS: &[&str] = &[
    "drop",
    "corrupt",
    "partition",
    "reset",
    "delay",
    "reorder",
    "duplicate",
    "bandwidth",
    "netem",
    "dns",
    "process",
    "freeze",
    "cpu-quota",
    "disk",
    "disk-fill",
    "cpu",
    "memory",
    "disk-error",
    "pids",
    "clock",
    "shutdown",
    "disk-latency",
    "disk-burn",
];

/// What a kind does to packets; `None`: nothing, it is one of [`crate::resource`].
pub fn packet(kind: &Kind) -> Option<&dyn PacketFault> {
    Some(match kind {
        Kind::Drop(drop) => drop,
        Kind::Corrupt(corrupt) => corrupt,
        Kind::Partition => &partition::Partition,
        Kind::Reset(reset) => reset,
        Kind::Delay(delay) => delay,
        Kind::Reorder(reorder) => reorder,
        Kind::Duplicate(duplicate) => duplicate,
        Kind::Bandwidth(bandwidth) => bandwidth,
        Kind::Netem(netem) => netem.as_ref(),
        Kind::Dns(dns) => dns.as_ref(),
        Kind::Resource(_) => return None,
    })
}

/// The faults of a plane that a fault of a profile comes to; at least one.
pub fn parts(spec: &FaultSpec) -> Vec<Part> {
    match &spec.kind {
        Kind::Dns(dns) => dns::parts(spec, dns),
        _ => vec![Part::whole(spec)],
    }
}

/// Compiles one fault: resolves names, and reads the table of a distribution; `None`: it does not act
/// on packets. `salt` makes the faults of one run decide differently from each other.
pub fn rule(
    spec: &FaultSpec,
    scope: &Scope,
    seed: u64,
    seeded: bool,
    salt: u64,
) -> Result<Option<Rule>, RuleError> {
    let Some(kind) = packet(&spec.kind) else {
        return Ok(None);
    };
    let mut matcher = matching::matcher(spec, kind, scope)?;
    matcher.unprotected = spec.unprotected;
    let mut fault = Fault {
        flows: spec
            .matching
            .flows
            .map_or(ONE, crate::profile::units::Percent::fixed_point),
        seed: seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        flags: if seeded { SEEDED } else { 0 },
        ..Fault::default()
    };
    timeline::program(&spec.timeline, &mut fault);
    kind.program(&mut fault);
    Ok(Some(Rule {
        matcher,
        fault,
        table: kind
            .distribution()
            .map(table::quantiles)
            .transpose()?
            .flatten(),
        times: kind
            .by_peer()
            .into_iter()
            .flatten()
            .map(|(net, time)| (*net, timeline::ns(*time)))
            .collect(),
        netem: kind.netem().map(NetemRule::make).transpose()?,
        dns: kind.dns(),
    }))
}

/// What the user should know of a fault before it is armed, as whole sentences.
pub fn notes(spec: &FaultSpec) -> Vec<String> {
    let Some(kind) = packet(&spec.kind) else {
        return Vec::new();
    };
    let mut notes = kind.notes();
    let held = kind.longest_hold();
    let bytes = held.as_millis() * BYTES_PER_MS;
    if bytes >= MUCH_MEMORY {
        let bytes = u64::try_from(bytes).ok().and_then(Size::new);
        notes.push(format!(
            "holds a packet for up to {}: traffic of 1 Gbit/s fills {} of kernel memory in each direction",
            humantime::format_duration(Duration::from_millis(
                u64::try_from(held.as_millis()).unwrap_or(u64::MAX)
            )),
            bytes.unwrap_or(Size::MOST)
        ));
    }
    for note in &mut notes {
        note.insert_str(0, &format!("fault `{}` ", spec.name));
    }
    notes
}

/// `drops 2 % of packets to and from 10.0.0.7, port 5432, in and out`
pub fn describe(spec: &FaultSpec) -> String {
    let mut text = match &spec.kind {
        Kind::Resource(resource) => resource::fault(resource).what(),
        kind => packet(kind).map_or_else(String::new, |kind| {
            kind.what() + &matching::describe(&spec.matching)
        }),
    };
    text.push_str(&timeline::describe(&spec.timeline));
    if spec.unprotected {
        text.push_str(", the protected set included");
    }
    text
}
