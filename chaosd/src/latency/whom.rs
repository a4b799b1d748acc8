//! Who is to wait, and who is not: told for every single open, so told fast.
//!
//! That somebody is not meant must cost next to nothing, since he pays for it. Whoever is meant waits
//! anyway, and is looked at closely. Where a process stands among the cgroups is asked each time, of a
//! file of /proc that is kept open, and that answers for this very process alone or, when it is dead,
//! not at all.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use super::Whom;
use crate::process::{Spared, Stat};

/// So many processes are remembered; then all are forgotten at once, which costs each of them one look.
pub(super) const REMEMBERED: usize = 512;
/// How long we stay with what we found of whom no fault may hit: a process may become another program.
const STAYS: Duration = Duration::from_millis(100);
/// Processes above one another that are looked at.
const DEEPEST: usize = 64;

#[derive(Debug)]
pub(super) struct Judge {
    whom: Whom,
    ourselves: i32,
    /// This process and those above it.
    above: Vec<Stat>,
    cgroups: HashMap<i32, File>,
    spared: HashMap<i32, (Instant, bool)>,
}

impl Judge {
    pub(super) fn new(whom: Whom) -> Self {
        let ourselves = std::process::id();
        let parent = |stat: &Stat| Stat::read(stat.parent).ok();
        Self {
            whom,
            ourselves: i32::try_from(ourselves).unwrap_or_default(),
            above: std::iter::successors(Stat::read(ourselves).ok(), parent)
                .take(DEEPEST)
                .collect(),
            cgroups: HashMap::new(),
            spared: HashMap::new(),
        }
    }

    /// True when that process is to wait.
    pub(super) fn meant(&mut self, pid: i32) -> bool {
        // 0 is one of which our namespace of processes knows nothing.
        if pid <= 0 || pid == self.ourselves {
            return false;
        }
        let among = match &self.whom {
            Whom::Everybody => true,
            Whom::Process(who) => who.pid.cast_signed() == pid && who.stat().is_some(),
            Whom::Cgroup(cgroup) => {
                let mut text = [0; 4096];
                let length = read(&mut self.cgroups, pid, &mut text);
                unified(&text[..length]).is_some_and(|path| is_in(path, cgroup.as_bytes()))
            }
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

/// What /proc/PID/cgroup says now; how much that is.
fn read(known: &mut HashMap<i32, File>, pid: i32, text: &mut [u8]) -> usize {
    if let Some(file) = known.get(&pid)
        && let Ok(length @ 1..) = file.read_at(text, 0)
    {
        return length;
    }
    // Not seen before, or it is dead and another has its number.
    let Ok(file) = File::open(format!("/proc/{pid}/cgroup")) else {
        known.remove(&pid);
        return 0;
    };
    let length = file.read_at(text, 0).unwrap_or_default();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(pid, file);
    length
}

/// The path in the unified hierarchy: what follows `0::` (`cgroups(7)`).
fn unified(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n')
        .rev()
        .find_map(|line| line.strip_prefix(b"0::"))
}

/// True for a cgroup itself and for those below it.
fn is_in(path: &[u8], cgroup: &[u8]) -> bool {
    let root = cgroup == b"/";
    root || path
        .strip_prefix(cgroup)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::process::Command;

    use super::*;
    use crate::process::Identity;

    #[test]
    fn a_cgroup_has_those_below_it_and_not_its_neighbours() {
        let text = b"2:cpu:/\n1:name=systemd:/x\n0::/shop/web\n";
        let path = unified(text).unwrap();
        assert_eq!(path, b"/shop/web");
        for (cgroup, has) in [
            ("/", true),
            ("/shop", true),
            ("/shop/web", true),
            ("/shop/we", false),
            ("/shop/web/x", false),
            ("/sho", false),
        ] {
            assert_eq!(is_in(path, cgroup.as_bytes()), has, "{cgroup}");
        }
        assert_eq!(unified(b"1:cpu:/\n"), None);
    }

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
