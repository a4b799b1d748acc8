//! The only list of fault kinds.
//!
//! A kind says in words what it does and by which mechanism, what it needs of the packet path, and
//! fills in its part of the programs' `Fault`. A new kind is one new file, a line in `KINDS` and `packet`,
//! and its tests.

mod corrupt;
pub(crate) mod distribution;
mod drop;
mod matching;
mod partition;
mod reset;
mod timeline;

use chaosd_ebpf::{Fault, ONE, SEEDED};

use crate::{
    bpf::{Matcher, Steering},
    plan::Scope,
    profile::{FaultSpec, Kind},
};

pub use matching::{ResolveError, resolve};

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
}

/// Their keys in a profile.
pub const KINDS: &[&str] = &["drop", "corrupt", "partition", "reset"];

/// What a kind is.
pub fn packet(kind: &Kind) -> &dyn PacketFault {
    match kind {
        Kind::Drop(drop) => drop,
        Kind::Corrupt(corrupt) => corrupt,
        Kind::Partition => &partition::Partition,
        Kind::Reset(reset) => reset,
    }
}

/// Compiles one fault. `salt` makes the faults of one run decide differently from each other.
pub fn rule(
    spec: &FaultSpec,
    scope: &Scope,
    seed: u64,
    seeded: bool,
    salt: u64,
) -> Result<Rule, ResolveError> {
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
    Ok(Rule { matcher, fault })
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
