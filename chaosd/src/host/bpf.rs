//! What the kernel's BPF can do.

use std::{fs, io, path::Path};

use super::{Capability, State, capability, modules};
use crate::bpf::{Mechanism, probe};

/// Without these no packet fault works.
pub(super) fn required() -> Vec<Capability> {
    let all = [
        btf(),
        capability(
            "tc programs",
            "every packet fault",
            tried(probe::tc_programs()),
            "the kernel needs CONFIG_BPF_SYSCALL=y and CONFIG_NET_CLS_ACT=y, and \
             lockdown or a security module must let root load programs",
        ),
        capability(
            "packet hooks",
            "every packet fault",
            hooks(),
            "run Linux 6.6 or later with CONFIG_NET_XGRESS=y, or one with CONFIG_NET_SCH_INGRESS=m \
             and CONFIG_NET_CLS_BPF=m (modprobe -a sch_ingress cls_bpf)",
        ),
    ];
    all.map(|capability| Capability {
        required: true,
        ..capability
    })
    .to_vec()
}

/// What programs are attached by. Only a kernel without tcx is asked for more.
fn hooks() -> (State, String) {
    match Mechanism::of_this_kernel() {
        Mechanism::Tcx => match probe::tcx() {
            Ok(_) => (State::Available, "in use: tcx".to_owned()),
            Err(error) => (State::Unknown, format!("could not be tried: {error}")),
        },
        Mechanism::Clsact => match modules::clsact() {
            (State::Available, _) => (
                State::Available,
                "in use: clsact and cls_bpf, for there is no tcx".to_owned(),
            ),
            (state, found) => (state, format!("there is no tcx; {found}")),
        },
    }
}

/// Without these some are slower or not there.
pub(super) fn optional() -> Vec<Capability> {
    vec![
        capability(
            "tcx",
            "taking programs off by the kernel itself when chaosd is killed",
            tried(probe::tcx()),
            "run Linux 6.6 or later with CONFIG_NET_XGRESS=y",
        ),
        capability(
            "cgroup programs",
            "hitting a cgroup's incoming packets",
            tried(probe::cgroup_programs()),
            "the kernel needs CONFIG_CGROUP_BPF=y",
        ),
        jit(),
        lockdown(),
        lsm(),
        bpffs(),
    ]
}

/// From the kernel's own answer.
fn tried(answer: io::Result<bool>) -> (State, String) {
    match answer {
        Ok(true) => (State::Available, "tried: the kernel has it".to_owned()),
        Ok(false) => (
            State::Missing,
            "tried: the kernel does not know it".to_owned(),
        ),
        Err(error) => (State::Unknown, format!("could not be tried: {error}")),
    }
}

fn btf() -> Capability {
    let path = "/sys/kernel/btf/vmlinux";
    let found = match fs::metadata(path) {
        Ok(_) => (State::Available, path.to_owned()),
        Err(error) => (State::Missing, format!("{path}: {error}")),
    };
    capability(
        "kernel BTF",
        "storing the cgroup of a socket with it",
        found,
        "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs on /sys",
    )
}

fn jit() -> Capability {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    let found = match fs::read_to_string(path).as_deref().map(str::trim) {
        Ok("0") => (State::Missing, format!("{path} is 0")),
        Ok(value) => (State::Available, format!("{path} is {value}")),
        // CONFIG_BPF_JIT_ALWAYS_ON leaves out nothing but the choice; no JIT leaves out the file.
        Err(error) => (State::Unknown, format!("{path}: {error}")),
    };
    capability(
        "BPF JIT",
        "speed: interpreted programs cost several times as much",
        found,
        "sysctl net.core.bpf_jit_enable=1",
    )
}

fn lockdown() -> Capability {
    let path = "/sys/kernel/security/lockdown";
    let found = match fs::read_to_string(path) {
        Ok(modes) => match chosen(&modes) {
            Some("confidentiality") => (State::Missing, "lockdown is confidentiality".to_owned()),
            Some(mode) => (State::Available, format!("lockdown is {mode}")),
            None => (State::Unknown, format!("{path} says {}", modes.trim())),
        },
        Err(_) if mounted("/sys/kernel/security", "securityfs") => {
            (State::Available, "the kernel has no lockdown".to_owned())
        }
        Err(_) => (State::Unknown, "securityfs is not mounted".to_owned()),
    };
    capability(
        "no lockdown",
        "programs that read kernel memory",
        found,
        "boot without lockdown=confidentiality",
    )
}

/// The one in brackets: `none [integrity] confidentiality`.
fn chosen(modes: &str) -> Option<&str> {
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

fn lsm() -> Capability {
    let path = "/sys/kernel/security/lsm";
    let found = match fs::read_to_string(path) {
        Ok(list) if list.trim().split(',').any(|lsm| lsm == "bpf") => {
            (State::Available, format!("active: {}", list.trim()))
        }
        Ok(list) => (State::Missing, format!("active: {}", list.trim())),
        Err(_) => (State::Unknown, "securityfs is not mounted".to_owned()),
    };
    capability(
        "BPF LSM",
        "disk errors (not packet faults)",
        found,
        "boot with lsm=...,bpf and CONFIG_BPF_LSM=y",
    )
}

fn bpffs() -> Capability {
    let path = "/sys/fs/bpf";
    let found = if mounted(path, "bpf") {
        (State::Available, format!("mounted on {path}"))
    } else {
        (State::Missing, format!("not mounted on {path}"))
    };
    capability(
        "bpffs",
        "nothing: chaosd pins nothing; other tools keep their programs there",
        found,
        "mount -t bpf bpf /sys/fs/bpf",
    )
}

/// True when a file system of that type is mounted there.
fn mounted(path: &str, kind: &str) -> bool {
    let mounts = fs::read_to_string(Path::new("/proc/self/mounts")).unwrap_or_default();
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(path) && fields.next() == Some(kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_lockdown_is_the_one_in_brackets() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n"),
            Some("integrity")
        );
        assert_eq!(chosen("nothing of the kind"), None);
    }

    #[test]
    fn proc_is_mounted() {
        assert!(mounted("/proc", "proc"));
        assert!(!mounted("/proc", "bpf"));
    }
}
