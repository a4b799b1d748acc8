//! What a profile comes to on a container that is being made.

use crate::{
    profile::{Asked, Kind, Profile, Resource, Target, Whom},
    resource::BindError,
    runtime::{self, Member},
    target::{self, Reach, TargetError},
};

use super::{Aim, Called, Plan, PlanError, draw};

impl Plan {
    /// Binds a profile to the container whose first process is `pid`, whatever target the profile names.
    /// Asks no runtime. The run is over when that process is. Of one that is `in_pod` only the packets of its
    /// own sockets are hit.
    pub fn of_container(
        name: &str,
        profile: &Profile,
        id: &str,
        pid: i32,
        in_pod: bool,
    ) -> Result<Self, PlanError> {
        check_reach(profile)?;
        let member = runtime::born(id, pid, in_pod).map_err(TargetError::from)?;
        let (target, reach) = target::place(&Asked::Container(id.to_owned()), &member)?;
        let aim = Aim {
            target: &target,
            seed: profile.seed.unwrap_or_else(draw),
            member: Some(Called {
                label: member.label.clone(),
                reach,
                // The first process tells it, and is held below.
                netns: None,
            }),
            is_being_made: reach == Reach::Namespace,
        };
        let mut plan = Self::make(name, profile, aim)?;
        target::tie(&mut plan.scope, pid)?;
        plan.notes.extend(notes(profile, &member, reach));
        Ok(plan)
    }
}

fn notes(profile: &Profile, member: &Member, reach: Reach) -> Vec<String> {
    let mut notes = member.notes.clone();
    match &profile.target {
        Whom::At(Target::Host) => {}
        other => notes.push(format!(
            "the container is the target, and not {}, which the profile names",
            spoken(other)
        )),
    }
    if reach == Reach::Sockets {
        notes.push(if member.host_network {
            "it uses the host's network: packets of its own sockets are hit, and no others"
                .to_owned()
        } else {
            "it shares its network with others: packets of its own sockets are hit, and no others"
                .to_owned()
        });
    }
    notes
}

fn spoken(whom: &Whom) -> String {
    match whom {
        Whom::At(Target::Host) => "the host".to_owned(),
        Whom::At(Target::Cgroup(path)) => format!("cgroup {}", path.display()),
        Whom::At(Target::Pid(pid)) => format!("process {pid}"),
        Whom::At(Target::Netns(name)) => format!("network namespace {}", name.display()),
        Whom::Named(named) => named.asked.to_string(),
    }
}

/// Whoever may make a container is not thereby let loose on its host.
fn check_reach(profile: &Profile) -> Result<(), PlanError> {
    for fault in &profile.faults {
        let what = match &fault.kind {
            Kind::Resource(Resource::DiskFill(_)) => "fills a file system of the host",
            Kind::Resource(Resource::DiskBurn(_)) => "keeps a disk of the host busy",
            Kind::Resource(Resource::Clock(_)) => "sets the clock of the host",
            Kind::Resource(Resource::Shutdown(_)) => "stops the host",
            _ => continue,
        };
        return Err(PlanError::Bind {
            fault: fault.name.clone(),
            why: BindError(format!(
                "{what}, which no container may ask for by its annotations: start it on the host \
                 (chaosd run)"
            )),
        });
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::profile::{Overrides, load};

    use super::*;

    fn profile(text: &str) -> Profile {
        let text = format!("version: 1\n{text}");
        load("t.yaml", &text, &Overrides::default()).unwrap()
    }

    #[test]
    fn what_hits_the_whole_host_is_refused_before_anything_is_looked_at() {
        for fault in [
            "{disk-fill: {path: /, leave: 1GB}}",
            "{disk-burn: {path: /, read: 1MB/s}}",
            "{clock: {offset: 5m}}",
            "{shutdown: {action: reboot}}",
        ] {
            let asked = profile(&format!("faults: [{fault}]"));
            let refused = Plan::of_container("t.yaml", &asked, "shop", i32::MAX, false);
            let told = refused.unwrap_err().to_string();
            assert!(told.contains("no container may ask for"), "{fault}: {told}");
        }
    }

    #[test]
    fn a_container_that_has_ended_is_no_target() {
        let asked = profile("faults: [{partition: {}}]");
        let refused = Plan::of_container("t.yaml", &asked, "shop", i32::MAX, false);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("container shop"), "{told}");
    }

    #[test]
    fn another_target_of_the_profile_s_is_told_of() {
        let asked = profile("target: {unit: shop.service}\nfaults: [{partition: {}}]");
        let told = notes(&asked, &Member::default(), Reach::Namespace);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("not unit shop.service"), "{told:?}");
        let own = profile("faults: [{partition: {}}]");
        assert_eq!(notes(&own, &Member::default(), Reach::Sockets).len(), 1);
    }
}
