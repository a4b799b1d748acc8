//! Parts of the kernel that may be built in, be a module, or be missing.
//!
//! What a fault may need is tried, in a network namespace that is gone a moment later; that loads
//! its module if there is one, as the fault would. For the rest files are asked first, and only a
//! kernel that has neither a configuration nor a module directory to show is tried.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Capability, State, capability, system::release};
use crate::netlink::{
    NetlinkError,
    detour::Kind,
    trial::{self, Part},
};

/// The detour is tried for real, with all that is asked of it.
pub(super) fn detour() -> Capability {
    capability(
        "detour",
        "deciding per wire segment; corrupt with mode: detected",
        made(trial::detour(), "a veth pair without offloads"),
        "the kernel needs CONFIG_VETH=m or =y (modprobe veth)",
    )
}

/// What programs are attached by where there is no tcx; the first part that is missing.
pub(super) fn clsact() -> (State, String) {
    let files = Files::of_this_kernel();
    let parts = [
        (
            Part::Qdisc("clsact"),
            "sch_ingress",
            "CONFIG_NET_SCH_INGRESS",
        ),
        (Part::Classifier("bpf"), "cls_bpf", "CONFIG_NET_CLS_BPF"),
    ];
    let found = parts.map(|(part, module, option)| {
        let (state, detail) = files.say(module, option).unwrap_or_else(|| tried(part));
        (state, format!("{module}: {detail}"))
    });
    let missing = found.iter().find(|(state, _)| *state != State::Available);
    missing.unwrap_or(&found[0]).clone()
}

/// The queue that holds packets: tried for real, with the limits that are asked of it.
pub(super) fn hold() -> Capability {
    let tried = trial::hold();
    let pair = match tried {
        Ok(Kind::Netkit) => "a netkit pair with this queue",
        // The slower one, and all that kernels before 6.7 have.
        _ => "a veth pair with this queue",
    };
    queue(
        "hold queue (fq)",
        "delay, reorder, bandwidth",
        (tried.map(drop), pair),
        ("sch_fq", "CONFIG_NET_SCH_FQ"),
    )
}

/// The kernel's emulator, tried for real.
pub(super) fn netem() -> Capability {
    queue(
        "netem",
        "the fault netem",
        (trial::netem(), "a veth pair with this queue"),
        ("sch_netem", "CONFIG_NET_SCH_NETEM"),
    )
}

fn queue(
    name: &str,
    needed_for: &str,
    (tried, pair): (Result<(), NetlinkError>, &str),
    (module, option): (&str, &str),
) -> Capability {
    let lacking = matches!(tried, Err(NetlinkError::NoQueue { .. }));
    let (state, mut detail) = made(tried, pair);
    // Files can tell a kernel that was built without it from one whose modules are not installed.
    if lacking && let Some((State::Missing, said)) = Files::of_this_kernel().say(module, option) {
        detail = format!("{detail}; {said}");
    }
    let fix = format!("modprobe {module}, or a kernel with {option}=m or =y");
    capability(name, needed_for, (state, detail), &fix)
}

/// From an attempt to make `what`.
fn made(attempt: Result<(), NetlinkError>, what: &str) -> (State, String) {
    match attempt {
        Ok(()) => (State::Available, format!("tried: {what}")),
        // Without the right to try it nothing is known of the kernel.
        Err(NetlinkError::Enter(error)) => (State::Unknown, format!("could not be tried: {error}")),
        Err(error) => (State::Missing, format!("tried: {}", chain(&error))),
    }
}

/// What older kernels use.
pub(super) fn optional() -> Vec<Capability> {
    let files = Files::of_this_kernel();
    [
        (
            "clsact",
            Part::Qdisc("clsact"),
            "sch_ingress",
            "CONFIG_NET_SCH_INGRESS",
            "packet faults before Linux 6.6; quick detours",
        ),
        (
            "cls_bpf",
            Part::Classifier("bpf"),
            "cls_bpf",
            "CONFIG_NET_CLS_BPF",
            "packet faults before Linux 6.6; quick detours",
        ),
    ]
    .into_iter()
    .map(|(name, part, module, option, needed_for)| {
        let found = files.say(module, option).unwrap_or_else(|| tried(part));
        let fix = format!("modprobe {module}, or a kernel with {option}=m");
        capability(name, needed_for, found, &fix)
    })
    .collect()
}

fn tried(part: Part) -> (State, String) {
    match trial::has(part) {
        Ok(true) => (State::Available, "tried: the kernel has it".to_owned()),
        Ok(false) => (
            State::Missing,
            "tried: the kernel does not know it".to_owned(),
        ),
        Err(error) => (
            State::Unknown,
            format!("could not be tried: {}", chain(&error)),
        ),
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// What the files of a kernel say of its parts.
#[derive(Debug, Default)]
struct Files {
    /// `/boot/config-RELEASE`
    config: Option<String>,
    /// `/proc/modules`, `modules.builtin` and `modules.dep`, in that order.
    lists: Vec<(PathBuf, String)>,
    /// True when the last two are there, so that what they do not list is not there.
    complete: bool,
}

impl Files {
    fn of_this_kernel() -> Self {
        let (release, _) = release();
        Self::read(
            Path::new("/proc/modules"),
            &Path::new("/lib/modules").join(&release),
            &Path::new("/boot").join(format!("config-{release}")),
        )
    }

    fn read(loaded: &Path, modules: &Path, config: &Path) -> Self {
        let known = [modules.join("modules.builtin"), modules.join("modules.dep")];
        let mut lists = Vec::new();
        for path in std::iter::once(loaded.to_owned()).chain(known.clone()) {
            if let Ok(text) = fs::read_to_string(&path) {
                lists.push((path, text));
            }
        }
        Self {
            config: fs::read_to_string(config).ok(),
            complete: known.iter().all(|path| path.exists()),
            lists,
        }
    }

    /// None when the files leave it open.
    fn say(&self, module: &str, option: &str) -> Option<(State, String)> {
        for (path, list) in &self.lists {
            if list.lines().any(|line| lists_module(line, module)) {
                return Some((State::Available, format!("in {}", path.display())));
            }
        }
        if let Some(config) = &self.config {
            let built_in = format!("{option}=y");
            if config.lines().any(|line| line == built_in) {
                return Some((State::Available, built_in));
            }
            if !config.lines().any(|line| line == format!("{option}=m")) {
                return Some((State::Missing, format!("{option} is not set")));
            }
            // A module that is nowhere: its package is not installed.
            return Some((
                State::Missing,
                format!("{option}=m, and no {module} on this host"),
            ));
        }
        self.complete
            .then(|| (State::Missing, format!("no {module} among the modules")))
    }
}

/// `sch_netem 20480 1 - Live` of /proc/modules; `kernel/net/sched/sch_netem.ko.xz: ...` of
/// modules.dep, and the same without the colon of modules.builtin.
fn lists_module(line: &str, module: &str) -> bool {
    let first = line.split([' ', ':']).next().unwrap_or_default();
    let file = first.rsplit('/').next().unwrap_or_default();
    file.split('.').next() == Some(module)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_missing_queue_names_the_faults_and_the_kernel_option() {
        let lacking = || {
            Err(NetlinkError::NoQueue {
                kind: "fq",
                option: "CONFIG_NET_SCH_FQ (module sch_fq)",
            })
        };
        let row = queue("hold", "delay", (lacking(), ""), ("sch_no", "CONFIG_NO"));
        assert_eq!(row.state, State::Missing);
        assert!(row.detail.starts_with(
            "tried: the kernel has no fq: it needs CONFIG_NET_SCH_FQ (module sch_fq)"
        ));
        assert_eq!(
            row.fix,
            "modprobe sch_no, or a kernel with CONFIG_NO=m or =y"
        );
        let row = queue("hold", "delay", (Ok(()), "a pair"), ("sch_no", "CONFIG_NO"));
        assert_eq!((row.state, row.fix.as_str()), (State::Available, ""));
    }

    fn files(config: Option<&str>, lists: &[&str], complete: bool) -> Files {
        Files {
            config: config.map(str::to_owned),
            lists: lists
                .iter()
                .map(|list| (PathBuf::from("list"), (*list).to_owned()))
                .collect(),
            complete,
        }
    }

    fn say(files: &Files) -> Option<State> {
        Some(files.say("sch_netem", "CONFIG_NET_SCH_NETEM")?.0)
    }

    #[test]
    fn a_module_is_found_in_each_of_the_lists() {
        for line in [
            "sch_netem 20480 1 - Live 0x0",
            "kernel/net/sched/sch_netem.ko.xz: kernel/x.ko.xz",
            "kernel/net/sched/sch_netem.ko",
        ] {
            assert!(lists_module(line, "sch_netem"), "{line}");
        }
        assert!(!lists_module(
            "kernel/x.ko: kernel/net/sched/sch_netem.ko",
            "sch_netem"
        ));
    }

    #[test]
    fn what_the_configuration_does_not_set_is_missing() {
        let set = files(Some("CONFIG_NET_SCH_NETEM=y"), &[], false);
        assert_eq!(say(&set), Some(State::Available));
        let unset = files(Some("# CONFIG_NET_SCH_NETEM is not set"), &[], false);
        assert_eq!(say(&unset), Some(State::Missing));
        let elsewhere = files(Some("CONFIG_NET_SCH_NETEM=m"), &[""], false);
        assert_eq!(say(&elsewhere), Some(State::Missing));
    }

    #[test]
    fn nothing_is_said_without_proof() {
        assert_eq!(say(&files(None, &["sch_fq 1 1"], false)), None);
        assert_eq!(
            say(&files(None, &["sch_fq 1 1"], true)),
            Some(State::Missing)
        );
    }

    #[test]
    fn the_lists_of_a_kernel_are_read_from_its_directory() {
        let root = std::env::temp_dir().join(format!("chaosd-modules-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("modules.builtin"), "").unwrap();
        fs::write(root.join("modules.dep"), "kernel/sch_netem.ko.zst:\n").unwrap();
        let files = Files::read(&root.join("none"), &root, &root.join("none"));
        fs::remove_dir_all(&root).unwrap();
        assert!(files.complete);
        assert_eq!(say(&files), Some(State::Available));
    }
}
