//! What a profile comes to on this host: one plan, or one for each of those that answer to a name.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    profile::{Asked, Named, Overrides, Profile, Target, Whom, units::Percent},
    runtime::{Member, Watch},
    target::{self, Chosen, Reach, Seats, Spared, TargetError, Why},
};

use super::{Aim, Called, Plan, PlanError, draw};

/// A profile bound to this host.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Plans {
    /// In one place.
    One(Box<Plan>),
    /// In each place of those that answer to a name.
    Group(Box<GroupPlan>),
}

/// What the host's configuration allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a run may last.
    pub max_for: Duration,
    /// The largest share that may be hit of those that answer to a name.
    pub max_share: Percent,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_for: Overrides::default().max_for,
            max_share: Percent::ALL,
        }
    }
}

/// One plan for each of those that are hit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupPlan {
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
    /// What was asked for, in words.
    pub target: String,
    /// Who is hit.
    pub members: Vec<MemberPlan>,
    /// Who is not.
    pub spared: Vec<Spared>,
    /// How to look again.
    #[serde(skip)]
    pub maker: Arc<Maker>,
}

/// One that is hit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemberPlan {
    /// What stays the same through a restart.
    pub id: String,
    /// Which runtime knows it.
    pub runtime: String,
    /// Which life of it.
    #[serde(skip)]
    pub incarnation: Incarnation,
    /// What is done to it.
    pub plan: Plan,
}

/// What a person has to know of a container that nobody is beside, whose whole network is hit.
const OWN_NETWORK: &str = "its network is its own now, so all packets there are hit: also those of whoever joins it later (--network container:)";

/// What plans of a group are made from, now and after a restart.
#[derive(Clone, Debug)]
pub struct Maker {
    name: String,
    profile: Profile,
    named: Named,
    seed: u64,
    limits: Limits,
}

impl Plans {
    /// Binds a profile to this host. Reads, asks runtimes, and resolves names; changes nothing.
    pub fn make(name: &str, profile: &Profile, limits: Limits) -> Result<Self, PlanError> {
        let seed = profile.seed.unwrap_or_else(draw);
        match &profile.target {
            Whom::At(target) => {
                let aim = Aim {
                    target,
                    seed,
                    member: None,
                    is_being_made: false,
                };
                Plan::make(name, profile, aim).map(|plan| Self::One(Box::new(plan)))
            }
            Whom::Named(named) => {
                let maker = Maker {
                    name: name.to_owned(),
                    profile: profile.clone(),
                    named: named.clone(),
                    seed,
                    limits,
                };
                GroupPlan::make(maker).map(|group| Self::Group(Box::new(group)))
            }
        }
    }

    /// Every plan of it.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        let (one, group) = match self {
            Self::One(plan) => (Some(&**plan), None),
            Self::Group(group) => (None, Some(&group.members)),
        };
        let group = group.into_iter().flatten().map(|member| &member.plan);
        one.into_iter().chain(group)
    }
}

impl GroupPlan {
    fn make(maker: Maker) -> Result<Self, PlanError> {
        let mut chosen = maker.choose()?;
        let mut members: Vec<MemberPlan> = Vec::new();
        for member in std::mem::take(&mut chosen.hit) {
            let made = maker.make(&maker.profile, &member)?;
            if members.iter().any(|other| other.plan.covers(&made.plan)) {
                chosen.spare(member, Why::HitWithAnother);
            } else {
                members.push(made);
            }
        }
        let Profile { about, run_for, .. } = &maker.profile;
        Ok(Self {
            profile: maker.name.clone(),
            about: about.clone(),
            run_for: *run_for,
            seed: maker.seed,
            seeded: maker.profile.seed.is_some(),
            target: maker.named.asked.to_string(),
            members,
            spared: chosen.spared,
            maker: Arc::new(maker),
        })
    }
}

impl Maker {
    /// Who is hit now.
    pub fn choose(&self) -> Result<Chosen, TargetError> {
        target::choose(&self.named, self.seed, self.limits.max_share)
    }

    /// Who of those that run takes a seat now.
    pub fn again(&self, seats: &Seats) -> Result<Vec<Member>, TargetError> {
        target::again(&self.named, seats)
    }

    /// Tells when [`Maker::again`] may answer otherwise.
    pub fn watch(&self) -> Result<Watch, TargetError> {
        target::watch(&self.named)
    }

    /// What one of them is while it does not restart: the same as that of its plan.
    pub fn incarnation(&self, member: &Member) -> Option<Incarnation> {
        match target::place(&self.named.asked, member).ok()? {
            (Target::Pid(pid), _) => Some(Incarnation::Process(pid)),
            (Target::Cgroup(path), _) => {
                let netns = match self.netns_of(member) {
                    Some(netns) => Some(fs::metadata(netns).ok()?.ino()),
                    None => None,
                };
                let cgroup = fs::metadata(path).ok()?.ino();
                Some(Incarnation::Cgroup { cgroup, netns })
            }
            (Target::Netns(path), _) => {
                Some(Incarnation::Namespace(fs::metadata(path).ok()?.ino()))
            }
            (Target::Host, _) => None,
        }
    }

    /// What is done to one that came, or came back, while the run is under way. `None`: nothing, for
    /// what acts once has acted.
    pub fn plan_again(&self, member: &Member) -> Result<Option<MemberPlan>, PlanError> {
        let mut profile = self.profile.clone();
        profile.faults.retain(|fault| !fault.is_once());
        if profile.faults.is_empty() {
            return Ok(None);
        }
        self.make(&profile, member).map(Some)
    }

    /// The file of its network namespace, where it is its runtime's word and matters: a unit's processes
    /// may each have another, and faults of the machine have none.
    fn netns_of<'a>(&self, member: &'a Member) -> Option<&'a Path> {
        let asked = &self.named.asked;
        let told = !matches!(asked, Asked::Unit(_) | Asked::Process { .. });
        let mut faults = self.profile.faults.iter();
        let matters = faults.any(|fault| fault.kind.is_on_packets());
        member.netns.as_deref().filter(|_| told && matters)
    }

    fn make(&self, profile: &Profile, member: &Member) -> Result<MemberPlan, PlanError> {
        let (target, reach) = target::place(&self.named.asked, member)?;
        let netns = self.netns_of(member);
        let aim = Aim {
            target: &target,
            seed: self.seed,
            member: Some(Called {
                label: member.label.clone(),
                reach,
                netns: netns.map(ToOwned::to_owned),
            }),
            is_being_made: false,
        };
        let mut plan = Plan::make(&self.name, profile, aim)?;
        plan.notes.extend(member.notes.iter().cloned());
        let is_pod = matches!(self.named.asked, Asked::Pod { .. } | Asked::Pods { .. });
        if reach == Reach::Namespace && netns.is_some() && !is_pod {
            plan.notes.push(OWN_NETWORK.to_owned());
        }
        let scope = &plan.scope;
        let incarnation = match (scope.pid, &scope.cgroup) {
            (Some(pid), _) => Incarnation::Process(pid),
            (None, Some(cgroup)) => Incarnation::Cgroup {
                cgroup: cgroup.id,
                netns: netns.map(|_| scope.netns.ino),
            },
            (None, None) => Incarnation::Namespace(scope.netns.ino),
        };
        Ok(MemberPlan {
            id: member.id.clone(),
            runtime: member.runtime.clone(),
            incarnation,
            plan,
        })
    }
}

/// One life of what has a name: a restart makes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Incarnation {
    /// Told by the inode of its cgroup; and by that of its network namespace, since a pod that is made anew
    /// may keep its cgroup.
    Cgroup {
        /// Of the cgroup's directory.
        cgroup: u64,
        /// `None`: a fault has nothing to do with it, or it is its processes' matter.
        netns: Option<u64>,
    },
    /// Told by its process id.
    Process(i32),
    /// Told by the inode of its network namespace.
    Namespace(u64),
}

impl Plan {
    /// True when what this one hits includes what the other does, so that both would hit it twice.
    fn covers(&self, other: &Self) -> bool {
        let (a, b) = (&self.scope, &other.scope);
        let same_netns = (a.netns.dev, a.netns.ino) == (b.netns.dev, b.netns.ino);
        let same_packets = match (a.reach, b.reach) {
            (Reach::Namespace, _) => true,
            (_, Reach::Namespace) => false,
            _ => a.cgroup.as_ref().map(|c| c.id) == b.cgroup.as_ref().map(|c| c.id),
        };
        let on_packets = !self.faults.is_empty() && same_netns && same_packets;
        on_packets || self.clashes_with(other).is_some()
    }
}
