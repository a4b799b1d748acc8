//! Lists of processes.

use std::{fs, io};

use super::Stat;
use crate::{
    cgroup::{self, CgroupError},
    plan::Cgroup,
};

/// Every process of this machine that has not ended, in the order of their numbers. Those that end
/// meanwhile are left out.
pub fn all() -> io::Result<Vec<Stat>> {
    let mut found: Vec<Stat> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(running)
        .collect();
    found.sort_by_key(|stat| stat.who.pid);
    Ok(found)
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
