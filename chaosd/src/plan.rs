//! What a profile means on this host: plain data, made without touching anything.
//!
//! `Display` is the dry run that `chaosd plan` prints.

mod container;
mod dns;
mod group;
mod machine;
mod scope;

use std::{collections::HashSet, path::PathBuf, time::Duration};

use serde::Serialize;

use chaosd_ebpf::MAX_FAULTS;

use crate::{
    bpf::Steering,
    fault::{self, Rule, RuleError},
    profile::{FaultSpec, Kind, Profile, Target},
    resource::BindError,
    target::{self, Needs, Reach, TargetError, resolver::Resolver},
};

pub use dns::way;
pub use group::{GroupPlan, Incarnation, Limits, Maker, MemberPlan, Plans};
pub use machine::PlannedResource;
pub use scope::{Cgroup, Interface, Netns, Scope};

/// A profile bound to this host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The profile's name, or `inject`.
    pub profile: String,
    /// Its sentence.
    pub about: String,
    /// How long.
    #[serde(
        rename = "for",
        serialize_with = "crate::profile::units::serialize_duration"
    )]
    pub run_for: Duration,
    /// The profile's, or one drawn now.
    pub seed: u64,
    /// True when the user asked for repeatable decisions.
    pub seeded: bool,
    /// Who is hit.
    pub scope: Scope,
    /// What is done to packets.
    pub faults: Vec<PlannedFault>,
    /// What is done to the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<PlannedResource>,
    /// How the target resolves names, when a fault has to do with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Resolver>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Which place a plan is made for.
#[derive(Debug)]
pub struct Aim<'a> {
    /// Where.
    pub target: &'a Target,
    /// Of the run.
    pub seed: u64,
    /// Its namespace is its own, and its runtime is still furnishing it: interfaces may be missing, and what
    /// can be seen of its files is not what its processes will see.
    pub is_being_made: bool,
    /// Of one that answers to a name.
    pub member: Option<Called>,
}

/// What is known of one that answers to a name.
#[derive(Debug)]
pub struct Called {
    /// What it is called.
    pub label: String,
    /// Which packets are its.
    pub reach: Reach,
    /// The file of its network namespace, where its runtime knows it: not to be guessed from those of its
    /// processes, which may be several, or just gone.
    pub netns: Option<PathBuf>,
}

/// One fault, and how it is done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedFault {
    /// As asked.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// The fault of the profile that it is a part of, when that came to several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// What it does to what, in one line.
    pub what: String,
    /// How it is done, in one line.
    pub mechanism: String,
    /// How it is undone, in one line.
    pub undo: String,
    /// True when it sends packets through the detour device.
    pub detour: bool,
    /// What the plane is given.
    #[serde(skip)]
    pub rule: Rule,
}

/// Why a profile cannot be carried out on this host. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The target does not exist, or not as asked.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// This host or target cannot suffer it.
    #[error("fault `{fault}`: {why}")]
    Bind {
        /// Which.
        fault: String,
        /// And what to ask for instead.
        why: BindError,
    },
    /// A peer has no address, or a distribution no table.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Faults that come to more than one each.
    #[error(
        "{faults} faults come to {parts}, each way of encrypted DNS being one, and a namespace takes {MAX_FAULTS}: leave out some, or some `encrypted`"
    )]
    TooMany {
        /// Of the profile.
        faults: usize,
        /// What they come to.
        parts: usize,
    },
    /// An interface does not exist.
    #[error("fault `{fault}`: there is no interface `{name}` in {scope}; there are: {there}")]
    Interface {
        /// The fault that names it.
        fault: String,
        /// As asked.
        name: String,
        /// The target.
        scope: String,
        /// Names that exist.
        there: String,
    },
    /// Nothing to act on.
    #[error(
        "{scope} has no interface with an address, apart from lo; name one by `interfaces` (--interface)"
    )]
    NoInterface {
        /// The target.
        scope: String,
    },
    /// The device cannot carry the fault.
    #[error(
        "fault `{fault}` needs an Ethernet header, and {interface} has none (a tunnel): leave it out by `interfaces`, or use drop or partition"
    )]
    NoEthernet {
        /// The fault.
        fault: String,
        /// The interface.
        interface: String,
    },
}

impl Plan {
    /// Binds a profile to one place of this host. Reads, and resolves names; changes nothing.
    pub fn make(name: &str, profile: &Profile, aim: Aim<'_>) -> Result<Self, PlanError> {
        let mut on_packets = profile.faults.iter().filter(|f| f.kind.is_on_packets());
        let of_network = if on_packets.clone().next().is_none() {
            Needs::NoNetwork
        } else if on_packets.all(|f| f.unprotected) {
            Needs::Network
        } else {
            Needs::Protection
        };
        let Aim { target, seed, .. } = aim;
        let is_named = aim.member.is_some();
        let netns = aim.member.as_ref().and_then(|one| one.netns.as_deref());
        let mut scope = match (target, netns) {
            (Target::Cgroup(cgroup), Some(netns)) => target::resolve_in(cgroup, netns, of_network)?,
            _ => target::resolve(target, of_network)?,
        };
        if let Some(Called { label, reach, .. }) = aim.member {
            scope.label = label;
            scope.reach = reach;
        }
        scope.is_being_made = aim.is_being_made;
        if scope.reach == Reach::Nobody
            && of_network != Needs::NoNetwork
            && let Some(cgroup) = &scope.cgroup
        {
            return Err(PlanError::Target(TargetError::HostNetwork {
                label: scope.label,
                cgroup: cgroup.path.clone(),
            }));
        }
        let mut notes = Vec::new();
        let (mut faults, mut resources) = (Vec::new(), Vec::new());
        let unseen = scope.is_being_made;
        let resolver = dns::resolver(profile, target, &scope).filter(|_| !unseen);
        let parts = parts(profile);
        if parts.len() > MAX_FAULTS {
            return Err(PlanError::TooMany {
                faults: profile.faults.len(),
                parts: parts.len(),
            });
        }
        for (salt, part) in (0..).zip(parts) {
            let spec = &part.spec;
            if let Kind::Resource(kind) = &spec.kind {
                let of = (target, is_named);
                let planned = machine::resource(spec, kind, of, &scope, seed.wrapping_add(salt))?;
                let of = |note| format!("fault `{}` {note}", spec.name);
                notes.extend(planned.bound.notes().into_iter().map(of));
                resources.push(planned);
                continue;
            }
            let seeded = profile.seed.is_some();
            let (Some(mut rule), Some(kind)) = (
                fault::rule(spec, &scope, seed, seeded, salt)?,
                fault::packet(&spec.kind),
            ) else {
                continue;
            };
            if let (Kind::Dns(dns), Some(resolver)) = (&spec.kind, &resolver) {
                dns::steer(&mut rule, resolver);
                notes.extend(dns::notes(spec, dns, &rule, scope.reach, resolver));
            }
            // Whom it will ask is not known yet.
            rule.matcher.loopback |= unseen && matches!(spec.kind, Kind::Dns(_));
            check_interfaces(spec, &rule, &scope, &mut notes)?;
            let steering = rule.matcher.steering;
            let mechanism = kind.mechanism();
            faults.push(PlannedFault {
                what: part.what,
                mechanism,
                undo: undo(&rule, &scope),
                detour: steering != Steering::Never,
                rule,
                part_of: part.of,
                spec: part.spec,
            });
        }
        machine::check_claims(&resources)?;
        notes.extend(profile.faults.iter().flat_map(fault::notes));
        if matches!(target, Target::Host) && faults.iter().any(|f| hits_everything(&f.spec)) {
            notes.push(
                "it hits every peer of this host; live SSH sessions are spared, new ones are not"
                    .into(),
            );
        }
        notes.extend(scope.notes.iter().cloned());
        Ok(Self {
            profile: name.into(),
            about: profile.about.clone(),
            run_for: profile.run_for,
            seed,
            seeded: profile.seed.is_some(),
            scope,
            faults,
            resources,
            resolver,
            notes,
        })
    }
}

/// A fault of the plan's, before it is compiled.
struct Part {
    of: Option<String>,
    what: String,
    spec: FaultSpec,
}

/// Each fault of a profile, or what it comes to, under names of their own.
fn parts(profile: &Profile) -> Vec<Part> {
    let mut taken: HashSet<String> = profile.faults.iter().map(|f| f.name.clone()).collect();
    let mut parts = Vec::new();
    for whole in &profile.faults {
        for fault::Part { what, mut spec } in fault::parts(whole) {
            let said = fault::describe(&spec);
            let of = (spec.name != whole.name).then(|| whole.name.clone());
            if of.is_some() {
                let base = spec.name.clone();
                let mut number = 1;
                while !taken.insert(spec.name.clone()) {
                    number += 1;
                    spec.name = format!("{base}-{number}");
                }
            }
            let what = what.map_or(said.clone(), |what| format!("{what}: {said}"));
            parts.push(Part { of, what, spec });
        }
    }
    parts
}

fn hits_everything(spec: &FaultSpec) -> bool {
    let m = &spec.matching;
    m.peers.is_empty() && m.ports.is_none() && m.local_ports.is_none() && m.protocol.is_none()
}

fn undo(rule: &Rule, scope: &Scope) -> String {
    let detour = rule.matcher.steering != Steering::Never;
    let mut text = String::from("one store disarms it; the links close with chaosd's descriptors");
    if rule.matcher.holds {
        text += "; packets held leave at once, then the queue's device is deleted";
    }
    if rule.matcher.netem {
        text += "; the device of its netem is deleted";
    }
    if detour {
        text += "; the detour device is deleted";
    }
    let loopback = |i: &&Interface| i.loopback && rule.matcher.wants(&i.name, i.default, true);
    if detour && scope.interfaces.iter().any(|i| loopback(&i)) {
        text += "; two sysctls of lo are written back";
    }
    text
}

/// Each interface that is named exists, something is left to act on, and it can carry the fault.
fn check_interfaces(
    spec: &FaultSpec,
    rule: &Rule,
    scope: &Scope,
    notes: &mut Vec<String>,
) -> Result<(), PlanError> {
    for name in &rule.matcher.interfaces {
        if !scope.is_being_made && !scope.interfaces.iter().any(|i| i.name == *name) {
            let there: Vec<&str> = scope.interfaces.iter().map(|i| i.name.as_str()).collect();
            return Err(PlanError::Interface {
                fault: spec.name.clone(),
                name: name.clone(),
                scope: scope.label.clone(),
                there: there.join(", "),
            });
        }
    }
    let mut wanted = scope
        .interfaces
        .iter()
        .filter(|i| rule.matcher.wants(&i.name, i.default, i.loopback))
        .peekable();
    if wanted.peek().is_none() && scope.is_being_made {
        notes.push(format!(
            "fault `{}` has no interface to act on yet: it acts on those that come",
            spec.name
        ));
        return Ok(());
    }
    if wanted.peek().is_none() {
        return Err(PlanError::NoInterface {
            scope: scope.label.clone(),
        });
    }
    if let Some(bare) = wanted.find(|i| !i.ethernet) {
        let bare_error = || PlanError::NoEthernet {
            fault: spec.name.clone(),
            interface: bare.name.clone(),
        };
        let queues = rule.matcher.holds || rule.matcher.netem;
        match rule.matcher.steering {
            Steering::Always => return Err(bare_error()),
            _ if queues => return Err(bare_error()),
            Steering::Never => {}
            Steering::Segments if matches!(spec.kind, Kind::Dns(_)) => notes.push(format!(
                "fault `{}` lets queries over TCP pass on {}, which has no Ethernet header: a reset takes one",
                spec.name, bare.name
            )),
            Steering::Segments => notes.push(format!(
                "fault `{}` decides per whole buffer on {}, which has no Ethernet header: what it hits comes in bursts",
                spec.name, bare.name
            )),
        }
    }
    Ok(())
}

/// A seed nobody asked for, from the kernel's generator; 53 bits, so that JSON carries it exactly.
pub(crate) fn draw() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) >> 11
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
