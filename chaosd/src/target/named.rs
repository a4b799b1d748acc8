//! Targets by name: asked of who knows them, drawn, and each found on this machine.

use crate::{
    process,
    profile::{Asked, Named, Target, units::Percent},
    runtime::{self, Member, Watch},
};

use super::{
    Reach, TargetError,
    choice::{self, Chosen, Now, Seats, Why},
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

/// Looks again, who of them takes a seat now; never one that was spared. `most`: the largest share of
/// those that answer.
pub fn again(named: &Named, seats: &Seats, most: Percent) -> Result<Now, TargetError> {
    let mut all = find(named)?;
    if matches!(named.asked, Asked::Process { .. }) {
        take_vital(&mut all);
    }
    let mut now = choice::again(all, named, seats, most);
    if let ([], [other], false) = (&now.seated[..], &now.new[..], named.asked.is_open()) {
        return Err(TargetError::Another {
            asked: named.asked.to_string(),
            label: other.label.clone(),
        });
    }
    let runs = |member: &Member| place(&named.asked, member).is_ok();
    now.seated.retain(runs);
    now.new.retain(runs);
    Ok(now)
}

/// A name that means one, as that one is told from all others for as long as it has a name.
pub fn pin(named: &mut Named, member: &Member) {
    if named.asked.is_open() || member.id.is_empty() {
        return;
    }
    match &mut named.asked {
        Asked::Container(name) => name.clone_from(&member.id),
        // podman's pods have no namespace.
        Asked::Pod { namespace, name } => match member.id.split_once('/') {
            Some((of, own)) => {
                *namespace = Some(of.to_owned());
                own.clone_into(name);
            }
            None => name.clone_from(&member.id),
        },
        _ => return,
    }
    if named.runtime.is_none() && runtime::is_named(&member.runtime) {
        named.runtime = Some(member.runtime.clone());
    }
}

/// Tells when [`again`] may answer otherwise.
pub fn watch(named: &Named) -> Result<Watch, TargetError> {
    let members = find(named).unwrap_or_default();
    Ok(runtime::shared().watch(&named.asked, named.runtime.as_deref(), &members)?)
}

fn find(named: &Named) -> Result<Vec<Member>, TargetError> {
    let only = named.runtime.as_deref();
    Ok(runtime::find(&named.asked, only, runtime::ask_within()?)?)
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

/// What one that answers is on this machine, and how far faults on packets reach there. Never more than
/// its own.
pub fn place(asked: &Asked, member: &Member) -> Result<(Target, Reach), TargetError> {
    let not_running = || TargetError::NotRunning(member.label.clone());
    let cgroup = match &member.cgroups[..] {
        [one] => Some(Target::Cgroup(one.clone())),
        _ => None,
    };
    let is_pod = match asked {
        Asked::Process { .. } => {
            let pid = member.pid.ok_or_else(not_running)?;
            return Ok((Target::Pid(pid), Reach::Sockets));
        }
        // A slice has no main process.
        Asked::Unit(_) => return Ok((cgroup.ok_or_else(not_running)?, Reach::Sockets)),
        Asked::Pod { .. } | Asked::Pods { .. } => true,
        Asked::Container(_) | Asked::Containers { .. } => false,
    };
    let pid = member.pid.ok_or_else(not_running)?;
    let alone = is_pod || member.shares_network_with.is_empty();
    match (cgroup, member.host_network, alone) {
        (Some(cgroup), false, true) => Ok((cgroup, Reach::Namespace)),
        (Some(cgroup), true, _) if is_pod => Ok((cgroup, Reach::Nobody)),
        (Some(cgroup), ..) => Ok((cgroup, Reach::Sockets)),
        // It can be told by its network alone.
        (None, false, true) => {
            let own = || format!("/proc/{pid}/ns/net").into();
            let netns = member.netns.clone().unwrap_or_else(own);
            Ok((Target::Netns(netns), Reach::Namespace))
        }
        (None, is_host, _) => Err(TargetError::NoCgroup {
            label: member.label.clone(),
            netns: member.netns.clone().filter(|_| !is_host),
        }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn member(cgroups: &[&str], host_network: bool, beside: &[&str]) -> Member {
        Member {
            label: "container shop (docker)".into(),
            cgroups: cgroups.iter().map(Into::into).collect(),
            pid: Some(7),
            host_network,
            shares_network_with: beside.iter().map(|name| (*name).to_owned()).collect(),
            ..Member::default()
        }
    }

    #[test]
    fn faults_on_packets_reach_as_far_as_what_is_the_target_s_own() {
        let container = Asked::Container("shop".into());
        let pod = Asked::Pod {
            namespace: Some("shop".into()),
            name: "web-0".into(),
        };
        let unit = Asked::Unit(crate::profile::Pattern::new("shop.service"));
        let at = |path: &str| Target::Cgroup(path.into());
        for (asked, member, wanted) in [
            (
                &container,
                member(&["/a"], false, &[]),
                (at("/a"), Reach::Namespace),
            ),
            (
                &container,
                member(&["/a"], false, &["b"]),
                (at("/a"), Reach::Sockets),
            ),
            (
                &container,
                member(&["/a"], true, &[]),
                (at("/a"), Reach::Sockets),
            ),
            (
                &pod,
                member(&["/a"], false, &["b"]),
                (at("/a"), Reach::Namespace),
            ),
            (&pod, member(&["/a"], true, &[]), (at("/a"), Reach::Nobody)),
            (
                &pod,
                member(&["/a", "/b"], false, &[]),
                (Target::Netns("/proc/7/ns/net".into()), Reach::Namespace),
            ),
            (
                &unit,
                member(&["/a"], true, &[]),
                (at("/a"), Reach::Sockets),
            ),
        ] {
            assert_eq!(place(asked, &member).unwrap(), wanted, "{asked} {member:?}");
        }
    }

    #[test]
    fn a_name_that_means_one_is_kept_to_the_one_that_was_chosen() {
        let named = |asked: Asked, runtime: Option<&str>| Named {
            asked,
            runtime: runtime.map(Into::into),
            choice: crate::profile::Choice::default(),
        };
        let pod = |namespace: Option<&str>, name: &str| Asked::Pod {
            namespace: namespace.map(Into::into),
            name: name.into(),
        };
        let container = |name: &str| Asked::Container(name.into());
        for (asked, id, wanted) in [
            (container("3f2a"), "shop-db", container("shop-db")),
            (
                container("app"),
                "shop/web-0/app",
                container("shop/web-0/app"),
            ),
            (pod(None, "web"), "shop/web", pod(Some("shop"), "web")),
            (pod(None, "3f2a"), "web", pod(None, "web")),
        ] {
            let found = Member {
                id: id.into(),
                runtime: "containerd".into(),
                ..Member::default()
            };
            let mut pinned = named(asked.clone(), None);
            pin(&mut pinned, &found);
            assert_eq!(pinned, named(wanted.clone(), Some("containerd")));
            let mut pinned = named(asked, Some("/run/a.sock"));
            pin(&mut pinned, &found);
            assert_eq!(pinned, named(wanted, Some("/run/a.sock")));
        }
        let all = Asked::Containers {
            labels: [("app".into(), "web".into())].into(),
        };
        let mut open = named(all.clone(), None);
        pin(&mut open, &Member::default());
        assert_eq!(open, named(all, None));
    }

    #[test]
    fn what_has_nothing_of_its_own_is_refused() {
        let container = Asked::Container("shop".into());
        for member in [member(&[], true, &[]), member(&[], false, &["b"])] {
            let told = place(&container, &member).unwrap_err().to_string();
            assert!(
                told.contains("container shop (docker) has no cgroup of its own"),
                "{told}"
            );
            assert!(
                told.contains("systemd.unified_cgroup_hierarchy=1"),
                "{told}"
            );
        }
        let stopped = Member {
            pid: None,
            ..member(&["/a"], false, &[])
        };
        let told = place(&container, &stopped).unwrap_err().to_string();
        assert!(told.contains("does not run"), "{told}");
    }

    #[test]
    fn a_slice_without_a_main_process_is_hit_all_the_same() {
        let slice = Asked::Unit(crate::profile::Pattern::new("shop.slice"));
        let member = Member {
            pid: None,
            ..member(&["/shop.slice"], true, &[])
        };
        let (target, _) = place(&slice, &member).unwrap();
        assert_eq!(target, Target::Cgroup("/shop.slice".into()));
    }
}
