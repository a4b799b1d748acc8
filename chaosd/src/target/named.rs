//! Targets by name: asked of who knows them, drawn, and each found on this machine.

use std::time::Duration;

use crate::{
    process,
    profile::{Asked, Named, Target, units::Percent},
    runtime::{self, ANSWERS_WITHIN, Member, Watch},
};

use super::{
    Reach, TargetError,
    choice::{self, Chosen, Seats, Why},
};

/// Asks, and draws. `most`: the largest share of those that answer which may be hit, where several
/// may. Every one that is hit runs.
pub fn choose(named: &Named, seed: u64, most: Percent) -> Result<Chosen, TargetError> {
    let mut all = find(named)?;
    let vital = match named.asked {
        Asked::Process { .. } => take_vital(&mut all),
        _ => Vec::new(),
    };
    let of = all.len();
    let mut chosen = choice::choose(all, &named.choice, seed);
    for (member, why) in vital {
        chosen.spare(member, Why::Vital(why));
    }
    if chosen.hit.is_empty() {
        return Err(TargetError::AllSpared {
            asked: named.asked.to_string(),
            spared: chosen
                .spared
                .iter()
                .map(|spared| format!("{} ({})", spared.label, spared.why))
                .collect(),
        });
    }
    if named.asked.is_open() {
        choice::check_share(&named.asked, chosen.hit.len(), of, most)?;
    }
    Ok(chosen)
}

/// Looks again, who of them takes which seat now; never one that was spared.
pub fn again(named: &Named, seats: &Seats) -> Result<Vec<Member>, TargetError> {
    let mut all = find(named)?;
    if matches!(named.asked, Asked::Process { .. }) {
        take_vital(&mut all);
    }
    let seated = choice::again(all, &named.choice, seats);
    Ok(seated
        .into_iter()
        .filter(|member| member.pid.is_some())
        .collect())
}

/// Tells when [`again`] may answer otherwise.
pub fn watch(named: &Named) -> Result<Watch, TargetError> {
    let asked = of(&named.asked);
    let members = find(named).unwrap_or_default();
    Ok(runtime::shared().watch(&asked, named.runtime.as_deref(), &members)?)
}

fn find(named: &Named) -> Result<Vec<Member>, TargetError> {
    let only = named.runtime.as_deref();
    Ok(runtime::find(&of(&named.asked), only, ask_within())?)
}

/// How long a runtime may take: `CHAOSD_ASK_WITHIN`, for one that is slow.
fn ask_within() -> Duration {
    let asked = std::env::var("CHAOSD_ASK_WITHIN").ok();
    asked
        .and_then(|text| humantime::parse_duration(&text).ok())
        .unwrap_or(ANSWERS_WITHIN)
}

/// In the runtimes' terms.
fn of(asked: &Asked) -> runtime::Asked {
    match asked {
        Asked::Container(name) => runtime::Asked::Container(name.clone()),
        Asked::Containers { labels } => runtime::Asked::Containers {
            labels: labels.clone(),
        },
        Asked::Pod { namespace, name } => runtime::Asked::Pod {
            namespace: namespace.clone(),
            name: name.clone(),
        },
        Asked::Pods { namespace, labels } => runtime::Asked::Pods {
            namespace: namespace.clone(),
            labels: labels.clone(),
        },
        Asked::Unit(name) => runtime::Asked::Unit(name.to_string()),
        Asked::Process { name, args } => runtime::Asked::Process {
            name: name.to_string(),
            args: args.clone(),
        },
    }
}

/// Takes out those that no fault may hit.
fn take_vital(all: &mut Vec<Member>) -> Vec<(Member, &'static str)> {
    let vital = process::vital();
    let why = |member: &Member| {
        let (_, why) = vital.iter().find(|(pid, _)| member.pid == Some(*pid))?;
        Some(*why)
    };
    all.extract_if(.., |member| why(member).is_some())
        .filter_map(|member| why(&member).map(|why| (member, why)))
        .collect()
}

/// What one that answers is on this machine, and how far faults on packets reach there.
pub fn place(asked: &Asked, member: &Member) -> Result<(Target, Reach), TargetError> {
    let Some(pid) = member.pid else {
        return Err(TargetError::NotRunning(member.label.clone()));
    };
    let own_network = !member.host_network;
    let (target, reach) = match (asked, member.cgroups.first()) {
        (Asked::Process { .. }, _) | (_, None) => (Target::Pid(pid), Reach::Sockets),
        (Asked::Unit(_), Some(cgroup)) => (Target::Cgroup(cgroup.clone()), Reach::Sockets),
        // Without a cgroup of its own, it is its namespace alone.
        (Asked::Pod { .. } | Asked::Pods { .. }, Some(_))
            if own_network && member.cgroups.len() > 1 =>
        {
            let netns = member.netns.clone();
            let netns = netns.unwrap_or_else(|| format!("/proc/{pid}/ns/net").into());
            (Target::Netns(netns), Reach::Namespace)
        }
        (Asked::Pod { .. } | Asked::Pods { .. }, Some(cgroup)) if own_network => {
            (Target::Cgroup(cgroup.clone()), Reach::Namespace)
        }
        (Asked::Pod { .. } | Asked::Pods { .. }, Some(cgroup)) => {
            (Target::Cgroup(cgroup.clone()), Reach::Nobody)
        }
        (_, Some(cgroup)) if own_network && member.shares_network_with.is_empty() => {
            (Target::Cgroup(cgroup.clone()), Reach::Namespace)
        }
        (_, Some(cgroup)) => (Target::Cgroup(cgroup.clone()), Reach::Sockets),
    };
    Ok((target, reach))
}
