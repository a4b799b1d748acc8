//! A container that is being made, as /proc tells of its first process. Its runtime is not asked: it waits
//! for whoever asks here.

use crate::cgroup;

use super::{Member, RuntimeError, choose::shown, placing};

/// What a container is that has a process and does not run yet, as far as it is known then. One that is
/// `in_pod` shares the pod's network, also while it is the first there: CRI-O as a rule starts nobody before.
///
/// # Errors
/// [`RuntimeError::Ended`]: there is no such process.
pub fn born(id: &str, pid: i32, in_pod: bool) -> Result<Member, RuntimeError> {
    let mut member = Member {
        label: format!("container {} (by its annotations)", shown(id)),
        id: id.to_owned(),
        runtime: "hook".to_owned(),
        ..Member::default()
    };
    if !placing::place(&mut member, pid, id)? {
        return Err(RuntimeError::Ended {
            label: member.label,
        });
    }
    if member.cgroups.is_empty()
        && let Some(own) = own_cgroup(pid)?
    {
        member.cgroups = vec![own];
        member.notes.clear();
    }
    member.shares_network_with = placing::Networks::default().neighbours(&member, id);
    if in_pod && !member.host_network {
        member.shares_network_with.push("its pod".to_owned());
    }
    Ok(member)
}

/// The cgroup of a process, if nobody else is in it or below it: one that is not named for its container is
/// its own all the same, while one that the runtime itself is in is not.
fn own_cgroup(pid: i32) -> Result<Option<std::path::PathBuf>, RuntimeError> {
    let cgroup = match cgroup::of_pid(pid) {
        Ok(cgroup) => cgroup,
        // A note says so.
        Err(cgroup::CgroupError::InRoot(_) | cgroup::CgroupError::NoUnified) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let alone = cgroup::pids(&cgroup)? == [pid];
    Ok(alone.then_some(cgroup.path))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::cgroup::tests::Scratch;

    #[test]
    fn a_cgroup_is_the_container_s_when_it_is_named_for_it_or_nobody_else_is_in_it() {
        let scratch = Scratch::new("born");
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                let mut sleep = std::process::Command::new("sleep");
                sleep.arg("60").spawn().unwrap()
            })
            .collect();
        let enter = |n: usize| {
            let pid = children[n].id();
            std::fs::write(scratch.0.join("cgroup.procs"), pid.to_string()).unwrap();
            i32::try_from(pid).unwrap()
        };
        let pid = enter(0);
        let alone = born("shop", pid, false);
        enter(1);
        let beside = born("shop", pid, false);
        let named = born(scratch.name().to_str().unwrap(), pid, false);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let alone = alone.unwrap();
        assert_eq!(alone.cgroups, [scratch.0.as_path()]);
        assert_eq!((alone.pid, alone.notes.len()), (Some(pid), 0));
        assert!(alone.label.contains("shop"), "{}", alone.label);
        let beside = beside.unwrap();
        assert_eq!((beside.cgroups.len(), beside.notes.len()), (0, 1));
        assert_eq!(named.unwrap().cgroups, [scratch.0.as_path()]);
    }

    #[test]
    fn one_without_a_cgroup_is_no_neighbour_of_its_own_and_neither_are_its_children() {
        let run = |words: &[&str]| {
            let mut command = std::process::Command::new(words[0]);
            command.args(&words[1..]).spawn().unwrap()
        };
        let pid_of = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        let ours = i32::try_from(std::process::id())
            .ok()
            .and_then(placing::netns_of);
        let arrives = |pid: i32, like: &dyn Fn(Option<u64>) -> bool| {
            let there = || like(placing::netns_of(pid));
            let arrived = (0..500).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                there()
            });
            assert!(arrived, "{pid} is not in its namespace");
        };
        // In the cgroup of whoever runs the tests.
        let mut first = run(&["unshare", "-n", "sh", "-c", "sleep 60 & sleep 60 & wait"]);
        let pid = pid_of(&first);
        arrives(pid, &|netns| netns.is_some() && netns != ours);
        let alone = born("shop", pid, false);
        let net = format!("--net=/proc/{pid}/ns/net");
        let mut other = run(&["nsenter", &net, "sleep", "60"]);
        arrives(pid_of(&other), &|netns| netns == placing::netns_of(pid));
        let beside = born("shop", pid, false);
        for child in [&mut first, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let alone = alone.unwrap();
        assert_eq!((alone.pid, alone.cgroups.len()), (Some(pid), 0));
        assert!(alone.shares_network_with.is_empty(), "{alone:?}");
        assert_eq!(beside.unwrap().shares_network_with.len(), 1);
    }

    #[test]
    fn without_a_process_there_is_nothing_to_say() {
        let error = born("shop", i32::MAX, true).unwrap_err();
        assert!(matches!(error, RuntimeError::Ended { .. }), "{error}");
    }
}
