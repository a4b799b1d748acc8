//! Lists of processes.

use std::{fs, io, iter::successors, str::FromStr};

use super::Stat;
use crate::{
    cgroup::{self, CgroupError},
    plan::Cgroup,
};

/// Processes above one another that are looked at: numbers are used again, so that there may be a loop.
const DEEPEST: usize = 64;

/// Every process of this machine that has not ended, in the order of their numbers. Those that end
/// meanwhile are left out.
pub fn all() -> io::Result<Vec<Stat>> {
    let mut found: Vec<Stat> = numbers()?.filter_map(running).collect();
    found.sort_by_key(|stat| stat.who.pid);
    Ok(found)
}

/// The number of every process of this machine, in no order.
pub fn numbers<N: FromStr>() -> io::Result<impl Iterator<Item = N>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// A process, who started it, who started that one, and so on.
pub fn ancestry(pid: u32) -> impl Iterator<Item = Stat> {
    let parent = |stat: &Stat| Stat::read(stat.parent).ok();
    successors(Stat::read(pid).ok(), parent).take(DEEPEST)
}

/// Those of a cgroup and its subtree.
pub fn of_cgroup(cgroup: &Cgroup) -> Result<Vec<Stat>, CgroupError> {
    let pids = cgroup::pids(cgroup)?;
    let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    Ok(pids.filter_map(running).collect())
}

fn running(pid: u32) -> Option<Stat> {
    let stat = Stat::read(pid).ok()?;
    (!stat.is_over()).then_some(stat)
}
