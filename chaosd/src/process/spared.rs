//! Processes that no fault may hit: without them the machine, or the way to call a fault off, is gone.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
};

use super::Stat;
use crate::burn;

/// Serves SSH sessions, and is in front of them (`sshd(8)`; since 9.8 in three programs).
const SSH: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];
/// Processes above one another that are looked at: a loop in what /proc tells ends there.
const DEEPEST: usize = 64;

/// Who is spared, as things stood when it was made.
#[derive(Clone, Debug)]
pub struct Spared {
    parents: HashMap<u32, (u32, String)>,
    /// This process and those above it: the shell it was typed into.
    above_us: HashSet<u32>,
    ours: Option<(u64, u64)>,
}

impl Spared {
    /// From a list of all processes.
    pub fn among(all: &[Stat]) -> Self {
        let parents = all
            .iter()
            .map(|stat| (stat.who.pid, (stat.parent, stat.who.name.clone())))
            .collect();
        let mut spared = Self {
            parents,
            above_us: HashSet::new(),
            ours: binary(std::process::id()),
        };
        spared.above_us = spared.chain(std::process::id()).collect();
        spared.above_us.insert(std::process::id());
        spared
    }

    /// Why a process is spared; `None`: it may be hit.
    pub fn why(&self, stat: &Stat) -> Option<&'static str> {
        let pid = stat.who.pid;
        if pid == 1 {
            Some("it is the first process: without it the machine stops")
        } else if stat.kernel {
            Some("it is a thread of the kernel's, which takes no signals")
        } else if self.ours.is_some() && binary(pid) == self.ours {
            Some("it is chaosd, which has to end the fault")
        } else if self.above_us.contains(&pid) {
            Some("chaosd runs below it")
        } else if SSH.contains(&stat.who.name.as_str()) {
            Some("it serves SSH sessions, by which the fault may have to be ended")
        } else if self.is_login(stat) {
            Some("it is the shell of an SSH session")
        } else {
            None
        }
    }

    /// The processes above one, from its parent up.
    fn chain(&self, pid: u32) -> impl Iterator<Item = u32> + '_ {
        let parent = |pid: &u32| self.parents.get(pid).map(|(parent, _)| *parent);
        std::iter::successors(parent(&pid), move |pid| parent(pid))
            .take_while(|pid| *pid > 1)
            .take(DEEPEST)
    }

    /// The first of a session with a terminal, right below sshd.
    pub fn is_login(&self, stat: &Stat) -> bool {
        let parent = self.parents.get(&stat.parent);
        stat.terminal
            && stat.session == stat.who.pid
            && parent.is_some_and(|(_, name)| SSH.contains(&name.as_str()))
    }
}

/// Who is spared now but for the kernel's threads, and why.
pub fn vital() -> Vec<(i32, &'static str)> {
    vital_among(|stat| !stat.kernel)
}

/// Who must not stand still, nor want for process slots: all of [`vital`] but burners, which are in a
/// cgroup to share its fate.
pub fn unstoppable() -> Vec<(i32, &'static str)> {
    vital_among(|stat| !stat.kernel && stat.who.name != burn::COMM)
}

fn vital_among(is_meant: impl Fn(&Stat) -> bool) -> Vec<(i32, &'static str)> {
    let all = super::all().unwrap_or_default();
    let spared = Spared::among(&all);
    let vital = all.iter().filter(|stat| is_meant(stat)).filter_map(|stat| {
        let why = spared.why(stat)?;
        Some((i32::try_from(stat.who.pid).ok()?, why))
    });
    vital.collect()
}

/// The program that a process runs, by device and inode.
fn binary(pid: u32) -> Option<(u64, u64)> {
    let metadata = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Identity;

    fn stat(pid: u32, parent: u32, name: &str) -> Stat {
        Stat {
            who: Identity {
                pid,
                started: 1,
                name: name.into(),
            },
            state: 'S',
            parent,
            session: pid,
            terminal: name == "bash",
            kernel: name == "kworker",
        }
    }

    #[test]
    fn what_ends_a_fault_is_spared_and_nothing_else() {
        let us = std::process::id();
        // Numbers that no process has.
        let far = 1 << 22;
        let all = [
            stat(1, 0, "systemd"),
            stat(far + 1, 2, "kworker"),
            stat(far + 2, 1, "sshd"),
            stat(far + 3, far + 2, "sshd-session"),
            stat(far + 4, far + 3, "bash"),
            stat(far + 5, far + 4, "app"),
            stat(far + 6, 1, "bash"),
            stat(far + 7, far + 6, "sudo"),
            stat(us, far + 7, "chaosd"),
            stat(far + 8, 1, "app"),
        ];
        let spared = Spared::among(&all);
        let hit: Vec<u32> = all
            .iter()
            .filter(|stat| spared.why(stat).is_none())
            .map(|stat| stat.who.pid.wrapping_sub(far))
            .collect();
        assert_eq!(hit, [5, 8]);
    }
}
