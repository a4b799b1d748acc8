//! What this process may do.

use std::fs;

use super::{Capability, State, capability};

/// linux/capability.h: bit, name, and what chaosd needs it for.
const NEEDED: [(u32, &str, &str); 4] = [
    (
        12,
        "CAP_NET_ADMIN",
        "attaching programs to interfaces, making the detour",
    ),
    (21, "CAP_SYS_ADMIN", "entering network namespaces"),
    (38, "CAP_PERFMON", "programs that read packets"),
    (39, "CAP_BPF", "loading programs and maps"),
];

/// The capabilities without which no packet fault works.
pub(super) fn required() -> Vec<Capability> {
    let held = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective(&status));
    NEEDED
        .iter()
        .map(|(bit, name, needed_for)| {
            let found = match held {
                None => (State::Unknown, "/proc/self/status does not say".to_owned()),
                Some(held) if held & 1 << bit != 0 => (State::Available, "held".to_owned()),
                Some(_) => (State::Missing, "not in the effective set".to_owned()),
            };
            Capability {
                required: true,
                ..capability(name, needed_for, found, "run chaosd as root, with sudo")
            }
        })
        .collect()
}

/// The effective set, from /proc/PID/status (`proc_pid_status(5)`). `CAP_PERFMON` and `CAP_BPF` are
/// known since Linux 5.8; a kernel before that has neither bit.
fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_from_the_status() {
        let status = "Name:\tx\nCapPrm:\t0000000000000001\nCapEff:\t000001fffeffffff\n";
        assert_eq!(effective(status), Some(0x1ff_feff_ffff));
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
