//! The only list of fault kinds.
//!
//! A kind says in words what it does and by which mechanism, what it needs of the packet path, and
//! fills in its part of the programs' `Fault`. A new kind is one new file, a line in `KINDS` and `packet`,
//! and its tests.

mod bandwidth;
mod corrupt;
mod delay;
pub mod distribution;
mod drop;
mod duplicate;
mod matching;
mod netem;
mod netem_queue;
mod partition;
mod reorder;
mod reset;
mod table;
mod timeline;

use std::{sync::Arc, time::Duration};

use chaosd_ebpf::{Fault, ONE, SEEDED, TABLE_LEN};

use crate::{
    bpf::{Matcher, Steering},
    plan::Scope,
    profile::{Distribution, FaultSpec, Kind, Netem, units::Size},
};

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
    /// What the kernel's netem does for it.
    fn netem(&self) -> Option<&Netem> {
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
    /// What the netem device is given.
    pub netem: Option<NetemRule>,
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
];

/// What a kind is.
pub fn packet(kind: &Kind) -> &dyn PacketFault {
    match kind {
        Kind::Drop(drop) => drop,
        Kind::Corrupt(corrupt) => corrupt,
        Kind::Partition => &partition::Partition,
        Kind::Reset(reset) => reset,
        Kind::Delay(delay) => delay,
        Kind::Reorder(reorder) => reorder,
        Kind::Duplicate(duplicate) => duplicate,
        Kind::Bandwidth(bandwidth) => bandwidth,
        Kind::Netem(netem) => netem.as_ref(),
    }
}

/// Compiles one fault: resolves names, and reads the table of a distribution. `salt` makes the faults of one run decide differently from each other.
pub fn rule(
    spec: &FaultSpec,
    scope: &Scope,
    seed: u64,
    seeded: bool,
    salt: u64,
) -> Result<Rule, RuleError> {
    let kind = packet(&spec.kind);
    let mut matcher = matching::matcher(&spec.matching, scope, kind)?;
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
    Ok(Rule {
        matcher,
        fault,
        table: kind
            .distribution()
            .map(table::quantiles)
            .transpose()?
            .flatten(),
        netem: kind.netem().map(NetemRule::make).transpose()?,
    })
}

/// What the user should know of a fault before it is armed, as whole sentences.
pub fn notes(spec: &FaultSpec) -> Vec<String> {
    let kind = packet(&spec.kind);
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
    let mut text = packet(&spec.kind).what();
    text.push_str(&matching::describe(&spec.matching));
    text.push_str(&timeline::describe(&spec.timeline));
    if spec.unprotected {
        text.push_str(", the protected set included");
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        plan::{Cgroup, Netns},
        profile::{self, Overrides, Profile},
    };

    fn load(fault: &str) -> Profile {
        let text = format!("version: 1\nfaults:\n  - {fault}\n");
        profile::load("test", &text, &Overrides::default()).unwrap()
    }

    fn compile(fault: &str) -> Rule {
        let null = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let scope = Scope {
            label: "test".into(),
            netns: Netns {
                path: "/proc/self/ns/net".into(),
                dev: 0,
                ino: 0,
                fd: Arc::clone(&null),
            },
            interfaces: Vec::new(),
            cgroup: Some(Cgroup {
                path: "/x".into(),
                id: 77,
                level: 3,
                fd: null,
            }),
            pid: None,
            process: None,
            notes: Vec::new(),
            protected: Vec::new(),
        };
        let profile = load(fault);
        rule(&profile.faults[0], &scope, 1, profile.seed.is_some(), 0).unwrap()
    }

    #[test]
    fn every_kind_of_a_profile_is_compiled_under_its_own_name() {
        for name in KINDS {
            let spec = match *name {
                "drop" | "corrupt" => format!("{name}: {{rate: 5%}}"),
                _ => format!("{name}: {{}}"),
            };
            let profile = load(&spec);
            assert_eq!(packet(&profile.faults[0].kind).name(), *name);
            assert_ne!(compile(&spec).fault.kind, 0, "{name} has no program");
        }
    }

    #[test]
    fn what_needs_a_lone_segment_or_a_real_checksum_takes_the_detour() {
        let steering = |fault| compile(fault).matcher.steering;
        assert_eq!(steering("drop: {rate: 5%}"), Steering::Segments);
        assert_eq!(
            steering("drop: {rate: 5%, whole-skb: true}"),
            Steering::Never
        );
        assert_eq!(steering("drop: {rate: 100%}"), Steering::Never);
        assert_eq!(steering("corrupt: {rate: 5%}"), Steering::Always);
        assert_eq!(
            steering("corrupt: {rate: 5%, mode: undetected}"),
            Steering::Segments
        );
        assert_eq!(steering("partition: {}"), Steering::Never);
        assert_eq!(steering("reset: {}"), Steering::Always);
    }

    #[test]
    fn a_match_becomes_the_classifier_s_terms() {
        let m = compile(
            "{drop: 5%, match: {peers: [10.0.0.7, 127.0.0.1], not-peers: 10.0.0.0/30, ports: 80, \
             protocol: tcp, flags: [syn, '!ack'], direction: in, interfaces: eth0}, unprotected: true}",
        )
        .matcher;
        assert_eq!(m.directions, [false, true]);
        assert_eq!(m.interfaces, ["eth0"]);
        assert_eq!(m.protocols, Some(vec![6]));
        assert_eq!(m.cgroup, Some((77, 3)));
        assert!(
            m.loopback && m.unprotected && m.flags.unwrap().holds(2) && !m.flags.unwrap().holds(18)
        );
        let peers = m.peers.unwrap();
        assert_eq!(peers.include.len(), 2);
        assert_eq!(peers.except.len(), 1);
    }

    #[test]
    fn a_timeline_counts_from_the_run_s_start() {
        let f =
            compile("{drop: 5%, after: 10s, for: 5s, ramp: 1s, pulse: {on: 1s, off: 3s}}").fault;
        assert_eq!(f.after_ns, 10_000_000_000);
        assert_eq!(f.until_ns, 15_000_000_000);
        assert_eq!(f.ramp_ns, 1_000_000_000);
        assert_eq!(
            (f.pulse_on_ns, f.pulse_period_ns),
            (1_000_000_000, 4_000_000_000)
        );
        assert_eq!(f.rate, ONE.div_ceil(20));
        assert_eq!(f.flows, ONE);
    }

    #[test]
    fn a_fault_is_told_in_one_line() {
        let profile = load(
            "{drop: 2%, match: {peers: 10.0.0.7, ports: [80, 8000-8100], direction: out}, after: 10s}",
        );
        assert_eq!(
            describe(&profile.faults[0]),
            "drops 2 % of packets leaving to 10.0.0.7, remote port 80, 8000-8100, after 10s"
        );
    }
}
