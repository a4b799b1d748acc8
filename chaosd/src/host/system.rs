//! The kernel, the cgroup tree, limits and the clock.

use std::fs;

use nix::{
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit},
        utsname::uname,
    },
    unistd::geteuid,
};

use super::{Capability, State, capability};
use crate::cgroup;

/// Release and architecture.
pub(super) fn kernel() -> String {
    let (release, machine) = release();
    format!("Linux {release} {machine}")
}

/// Release, such as `6.18.44-1`, and architecture.
pub(super) fn release() -> (String, String) {
    uname().map_or_else(
        |_| ("unknown".to_owned(), String::new()),
        |name| {
            (
                name.release().to_string_lossy().into_owned(),
                name.machine().to_string_lossy().into_owned(),
            )
        },
    )
}

/// None of these stops a packet fault.
pub(super) fn optional() -> Vec<Capability> {
    vec![root(), cgroup_v2(), memlock(), clock()]
}

fn root() -> Capability {
    let uid = geteuid();
    let found = if uid.is_root() {
        (State::Available, "uid 0".to_owned())
    } else {
        (State::Missing, format!("uid {uid}"))
    };
    capability(
        "root",
        "finding the owner of every SSH connection; the state directory",
        found,
        "run chaosd with sudo",
    )
}

fn cgroup_v2() -> Capability {
    let found = match cgroup::unified() {
        Ok(tree) => (State::Available, format!("mounted on {}", tree.display())),
        Err(error) => (State::Missing, error.to_string()),
    };
    capability(
        "cgroup v2",
        "--cgroup and --pid",
        found,
        "mount -t cgroup2 none /sys/fs/cgroup/unified",
    )
}

/// Since Linux 5.11 maps are charged to the cgroup and the limit means nothing to them
/// (`kernel/bpf/syscall.c`).
fn memlock() -> Capability {
    let found = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        _ if charged_to_cgroup(&release().0) => (
            State::Available,
            "this kernel charges maps to the cgroup".to_owned(),
        ),
        Ok((RLIM_INFINITY, _)) => (State::Available, "unlimited".to_owned()),
        Ok((soft, _)) => (State::Missing, format!("RLIMIT_MEMLOCK is {soft} bytes")),
        Err(errno) => (State::Unknown, errno.to_string()),
    };
    capability(
        "locked memory",
        "maps, on kernels before 5.11",
        found,
        "ulimit -l unlimited",
    )
}

fn charged_to_cgroup(release: &str) -> bool {
    version(release) >= (5, 11)
}

/// This kernel's version, as (6, 12); (0, 0) when its release says none. For what shows itself in no other
/// way.
pub(crate) fn kernel_version() -> (u32, u32) {
    version(&release().0)
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn clock() -> Capability {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let found = match fs::read_to_string(path).as_deref().map(str::trim) {
        // These are read by trapping or over a bus: programs that ask for the time would crawl.
        Ok(slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies")) => {
            (State::Missing, format!("the clock source is {slow}"))
        }
        Ok(source) => (State::Available, format!("the clock source is {source}")),
        Err(error) => (State::Unknown, format!("{path}: {error}")),
    };
    capability(
        "fast clock",
        "speed of faults that read the time for each packet",
        found,
        "see why the kernel gave up on a better one: dmesg | grep -i clocksource",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_charged_to_the_cgroup_since_5_11() {
        for (release, charged) in [
            ("5.10.0-28-amd64", false),
            ("5.11.0", true),
            ("6.1.0-18-amd64", true),
            ("6.18.44", true),
            ("6-rc1", true),
            ("garbage", false),
        ] {
            assert_eq!(charged_to_cgroup(release), charged, "{release}");
        }
    }
}
