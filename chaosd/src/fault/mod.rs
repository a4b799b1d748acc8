//! The only list of fault kinds.
//!
//! A kind says in words what it does and by which mechanism, what it needs of the packet path, and
//! fills in its part of the programs' `Fault`. A new kind is one new file, one line in `packet`,
//! and its tests.

mod corrupt;
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

/// The kinds.
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
