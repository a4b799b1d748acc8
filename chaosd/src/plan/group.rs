//! What a profile comes to on this host: one plan, or one for each of those that answer to a name.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    profile::{Asked, Named, Overrides, Profile, Target, Whom, units::Percent},
    runtime::{Member, Watch},
    target::{self, Chosen, Now, Reach, Seats, Spared, TargetError, Why},
};

use super::{Aim, Called, Cgroup, Plan, PlanError, draw};

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
    fn make(mut maker: Maker) -> Result<Self, PlanError> {
        let mut chosen = maker.choose()?;
        let target = maker.named.asked.to_string();
        if let [one] = &chosen.hit[..] {
            target::pin(&mut maker.named, one);
        }
        let mut members: Vec<MemberPlan> = Vec::new();
        // Who is in a cgroup below another's is hit with that one.
        let depth = |member: &Member| member.cgroups.first().map(|dir| dir.iter().count());
        chosen.hit.sort_by_key(depth);
        for member in std::mem::take(&mut chosen.hit) {
            let made = maker.make(&maker.profile, &member)?;
            if members.iter().any(|other| other.plan.covers(&made.plan)) {
                chosen.spare(member, Why::HitWithAnother);
            } else {
                members.push(made);
            }
        }
        maker.told_apart(&members, &mut chosen.spared)?;
        let Profile { about, run_for, .. } = &maker.profile;
        Ok(Self {
            profile: maker.name.clone(),
            about: about.clone(),
            run_for: *run_for,
            seed: maker.seed,
            seeded: maker.profile.seed.is_some(),
            target,
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

    /// Says of those that were to be spared who is hit all the same, with another of its cgroup; refuses
    /// where that must not be.
    fn told_apart(&self, members: &[MemberPlan], spared: &mut [Spared]) -> Result<(), TargetError> {
        let (mut hit, mut of) = (members.len(), members.len());
        for one in spared {
            let within = members.iter().find(|other| other.plan.reaches(&one.member));
            let counts = !matches!(one.why, Why::Vital(_));
            of += usize::from(counts);
            let Some(other) = within else { continue };
            hit += usize::from(counts);
            if one.why == Why::Excluded {
                return Err(other.plan.reaches_the_excluded(&one.member));
            }
            one.why = Why::HitWithAnother;
        }
        let Limits { max_share, .. } = self.limits;
        if hit > members.len() && !target::is_allowed(hit, of, max_share) {
            return Err(TargetError::TooManyWithin {
                asked: self.named.asked.to_string(),
                hit,
                of,
                most: max_share.get(),
            });
        }
        Ok(())
    }

    /// Who of those that run takes a seat now. `seats`: but for the share, which is this host's.
    pub fn again(&self, seats: &Seats) -> Result<Now, TargetError> {
        target::again(&self.named, seats, self.limits.max_share)
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
                let netns = match self.own_netns(member) {
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
    pub fn plan_again(
        &self,
        member: &Member,
        excluded: &[Member],
    ) -> Result<Option<MemberPlan>, PlanError> {
        let mut profile = self.profile.clone();
        profile.faults.retain(|fault| !fault.is_once());
        if profile.faults.is_empty() {
            return Ok(None);
        }
        let made = self.make(&profile, member)?;
        let is_unit = matches!(self.named.asked, Asked::Unit(_));
        match excluded.iter().find(|one| made.plan.reaches(one)) {
            Some(one) => Err(made.plan.reaches_the_excluded(one).into()),
            // Its cgroup is made before its processes, whose network is not known before.
            None if is_unit && !made.plan.scope.has_processes() => {
                Err(TargetError::NotRunning(member.label.clone()).into())
            }
            None => Ok(Some(made)),
        }
    }

    /// The file of its network namespace, where it is its runtime's word: of a unit it is that of its main
    /// process, beside which others may have another.
    fn netns_of<'a>(&self, member: &'a Member) -> Option<&'a Path> {
        let is_unit = matches!(self.named.asked, Asked::Unit(_));
        self.own_netns(member).filter(|_| !is_unit)
    }

    /// The file of the network namespace that tells one life of it from another. Faults of the machine have
    /// none.
    fn own_netns<'a>(&self, member: &'a Member) -> Option<&'a Path> {
        let is_process = matches!(self.named.asked, Asked::Process { .. });
        let mut faults = self.profile.faults.iter();
        let matters = faults.any(|fault| fault.kind.is_on_packets());
        member.netns.as_deref().filter(|_| matters && !is_process)
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
        if let (Target::Netns(_), Some(pid)) = (&target, member.pid) {
            // Held open, a namespace outlives its processes, and does not tell that they ended.
            target::tie(&mut plan.scope, pid)?;
        }
        plan.notes.extend(member.notes.iter().cloned());
        let is_pod = matches!(self.named.asked, Asked::Pod { .. } | Asked::Pods { .. });
        if reach == Reach::Namespace && netns.is_some() && !is_pod {
            plan.notes.push(OWN_NETWORK.to_owned());
        }
        let scope = &plan.scope;
        let incarnation = match (target, &scope.cgroup) {
            (Target::Pid(pid), _) => Incarnation::Process(pid),
            (_, Some(cgroup)) => Incarnation::Cgroup {
                cgroup: cgroup.id,
                netns: self.own_netns(member).map(|_| scope.netns.ino),
            },
            (_, None) => Incarnation::Namespace(scope.netns.ino),
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
    /// may keep its cgroup, and systemd moves the process of a unit to its namespace after its start.
    Cgroup {
        /// Of the cgroup's directory.
        cgroup: u64,
        /// `None`: a fault has nothing to do with it, or no one process tells it.
        netns: Option<u64>,
    },
    /// Told by its process id.
    Process(i32),
    /// Told by the inode of its network namespace.
    Namespace(u64),
}

impl Plan {
    /// True when what this one hits includes what the other does, so that both would hit it twice.
    pub fn covers(&self, other: &Self) -> bool {
        let (a, b) = (&self.scope, &other.scope);
        let same_netns = (a.netns.dev, a.netns.ino) == (b.netns.dev, b.netns.ino);
        let within = |(a, b): (&Cgroup, &Cgroup)| b.path.starts_with(&a.path);
        let same_cgroup = a.cgroup.as_ref().zip(b.cgroup.as_ref()).is_some_and(within);
        let same_packets = match (a.reach, b.reach) {
            (Reach::Namespace, _) => true,
            (_, Reach::Namespace) => false,
            _ => same_cgroup,
        };
        let on_packets = !self.faults.is_empty() && same_netns && same_packets;
        let on_cgroup = same_cgroup && self.acts_on_cgroup();
        on_packets || on_cgroup || self.clashes_with(other).is_some()
    }

    /// True when this one hits that member too, though it was not meant: it is in the cgroup, or below it.
    fn reaches(&self, member: &Member) -> bool {
        let Some(cgroup) = &self.scope.cgroup else {
            return false;
        };
        let mut its = member.cgroups.iter();
        if !its.any(|dir| dir.starts_with(&cgroup.path)) {
            return false;
        }
        let netns = member.netns.as_ref();
        let netns = netns.and_then(|netns| fs::metadata(netns).ok());
        let same_netns = netns.is_none_or(|netns| netns.ino() == self.scope.netns.ino);
        self.acts_on_cgroup() || (!self.faults.is_empty() && same_netns)
    }

    /// A fault of the machine hits the whole of its cgroup, rather than one process of it.
    fn acts_on_cgroup(&self) -> bool {
        let mut bound = self.resources.iter().map(|planned| &planned.bound);
        self.scope.cgroup.is_some() && bound.any(|bound| !bound.is_on_one_process())
    }

    fn reaches_the_excluded(&self, excluded: &Member) -> TargetError {
        let cgroup = self.scope.cgroup.as_ref();
        TargetError::ExcludedWithin {
            excluded: excluded.label.clone(),
            hit: self.scope.label.clone(),
            cgroup: cgroup.map(|cgroup| cgroup.path.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
