//! The CPUs that the processes of a cgroup may use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{mount, tree_of};
use crate::{mounts, plan::Cgroup};

/// Of the unified tree (Documentation/admin-guide/cgroup-v2.rst, "Cpuset"), in each cgroup that has the
/// controller; the nearest above it counts for others.
const V2: &str = "cpuset.cpus.effective";
/// Of v1 (cpuset(7)).
const V1: &str = "cpuset.effective_cpus";
/// Those that work (Documentation/ABI/testing/sysfs-devices-system-cpu).
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Those of its cpuset, and the file that says so. `None`: it has none.
pub fn allowed(cgroup: &Cgroup) -> Option<(Vec<u32>, PathBuf)> {
    let tree = tree_of(cgroup);
    let above = cgroup.path.ancestors().take(cgroup.level as usize + 1);
    let unified = above.map(|path| path.join(V2));
    let mounts = mounts::read("/proc/self/mountinfo").unwrap_or_default();
    let relative = cgroup.path.strip_prefix(&tree).ok();
    let v1 = mount::v1(&mounts, "cpuset").zip(relative);
    let v1 = v1.map(|(root, relative)| root.join(relative).join(V1));
    unified
        .chain(v1)
        .find_map(|file| Some((read(&file)?, file)))
}

/// Those that the machine has, at work.
pub fn online() -> Option<Vec<u32>> {
    read(Path::new(ONLINE))
}

fn read(file: &Path) -> Option<Vec<u32>> {
    parse(&fs::read_to_string(file).ok()?).filter(|cpus| !cpus.is_empty())
}

/// `0-2,7` (cpuset(7), "List Format").
fn parse(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u32>().ok();
        cpus.extend(number(first)?..=number(last)?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_list_of_cpus_is_read() {
        assert_eq!(parse("0-2,7\n"), Some(vec![0, 1, 2, 7]));
        assert_eq!(parse("\n"), Some(vec![]));
        assert_eq!(parse("0-x"), None);
        assert!(online().unwrap().contains(&0));
    }
}
