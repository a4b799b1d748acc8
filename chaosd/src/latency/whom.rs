//! Who is to wait, and who is not: told for every single open, so told fast.
//!
//! That somebody is not meant must cost next to nothing, since he pays for it. Whoever is meant waits
//! anyway, and is looked at closely. What is read of him in /proc (`cgroup`, `stat`, `exe`) takes no lock
//! that he may hold while he waits: exec has its program opened under `cred_guard_mutex`
//! (`prepare_bprm_creds`, fs/exec.c), and none of these takes that.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    Whom,
    members::{Members, REMEMBERED},
};
use crate::process::{Identity, Spared, Stat, ancestry};

/// How long we stay with what we found of whom no fault may hit: a process may become another program.
const STAYS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Judge {
    among: Among,
    ourselves: i32,
    /// This process and those above it.
    above: Vec<Stat>,
    spared: HashMap<i32, (Instant, bool)>,
}

#[derive(Debug)]
enum Among {
    Members(Members),
    One(Identity),
    All,
}

impl Judge {
    pub(super) fn new(whom: Whom) -> Self {
        let ourselves = std::process::id();
        Self {
            among: match whom {
                Whom::Cgroup(path) => Among::Members(Members::of(path)),
                Whom::Process(who) => Among::One(who),
                Whom::Everybody => Among::All,
            },
            ourselves: i32::try_from(ourselves).unwrap_or_default(),
            above: ancestry(ourselves).collect(),
            spared: HashMap::new(),
        }
    }

    /// True when that process is to wait.
    pub(super) fn meant(&mut self, pid: i32) -> bool {
        // 0 is one of which our namespace of processes knows nothing.
        if pid <= 0 || pid == self.ourselves {
            return false;
        }
        let among = match &mut self.among {
            Among::All => true,
            Among::One(who) => who.pid.cast_signed() == pid && who.stat().is_some(),
            Among::Members(members) => members.have(pid),
        };
        among && !self.is_spared(pid)
    }

    fn is_spared(&mut self, pid: i32) -> bool {
        let now = Instant::now();
        if let Some((found, spared)) = self.spared.get(&pid)
            && now.duration_since(*found) < STAYS
        {
            return *spared;
        }
        if self.spared.len() >= REMEMBERED {
            self.spared.clear();
        }
        let spared = self.look(pid);
        self.spared.insert(pid, (now, spared));
        spared
    }

    fn look(&self, pid: i32) -> bool {
        // One that is gone waits for nothing.
        let Ok(stat) = Stat::read(pid.cast_unsigned()) else {
            return true;
        };
        let mut around = self.above.clone();
        around.extend(Stat::read(stat.parent));
        Spared::among(&around).why(&stat).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::process::Command;

    use super::*;

    #[test]
    fn one_process_waits_and_neither_another_nor_we() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let who = Stat::read(pid).unwrap().who;
        let later = Identity {
            started: who.started + 1,
            ..who.clone()
        };
        let meant = |whom: Whom, pid: u32| Judge::new(whom).meant(pid.cast_signed());
        let found = [
            meant(Whom::Process(who.clone()), pid),
            meant(Whom::Process(who), pid + 1),
            meant(Whom::Process(later), pid),
            meant(Whom::Everybody, pid),
            meant(Whom::Everybody, std::process::id()),
            meant(Whom::Everybody, 1),
            meant(Whom::Cgroup("/".into()), pid),
        ];
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [true, false, false, true, false, false, true]);
        assert!(!meant(Whom::Cgroup("/".into()), pid), "it is dead");
    }
}
