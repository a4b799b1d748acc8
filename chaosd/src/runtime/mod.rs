//! Who answers for names: container runtimes, systemd, and /proc. Turns the name of a container, a pod, a
//! unit or a process into cgroups, a network namespace and processes, and tells when the answer may have
//! changed.
//!
//! Invariants: it changes nothing, on the machine or in a runtime; what it returns was there a moment ago
//! and is opened by whoever uses it; a cgroup that it names belongs to the target alone, unless that is a
//! process; and no runtime keeps a caller waiting for longer than it was given.
//!
//! In reading order: `places` (where runtimes are), `oci`, `docker`, `podman`, `cri`, `containerd`, `systemd`
//! and `process` (one file or folder per kind of runtime), `grpc` (a server that is asked by it), `lines` and `placing` (from a process to its container's cgroup), `choose`
//! (which of those that a runtime knows is meant), `born` (one that its runtime is making), `hub` (the connections), `resolve` (whom to ask, and
//! whom to believe), `worker` (the thread that asks), `watch`.

pub mod places;

mod born;
mod choose;
mod containerd;
mod cri;
mod docker;
mod error;
#[cfg(test)]
mod fake;
mod grpc;
mod hub;
mod lines;
mod oci;
mod placing;
mod podman;
mod process;
mod resolve;
mod systemd;
pub mod watch;
mod worker;

pub use crate::profile::Asked;
pub use born::born;
pub use error::RuntimeError;
pub use places::Places;
pub use watch::Watch;
pub use worker::Runtimes;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::OnceLock, time::Duration};

use serde::Serialize;

use crate::printable::printable;

/// How long a runtime may take to answer, unless told otherwise.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The kinds of runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// Docker's API at its socket.
    Docker,
    /// The same API, spoken by podman.
    Podman,
    /// Kubernetes' interface of container runtimes: containerd, which has an API of its own there, and CRI-O.
    Cri,
    /// What crun and runc write down of their containers, whoever started them.
    Oci,
    /// systemd, by D-Bus.
    Systemd,
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Cri => "cri",
            Self::Oci => "oci",
            Self::Systemd => "systemd",
        })
    }
}

/// One that answers to a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// `container shop-db (docker 3f2a4b5c6d7e)`, `pod shop/web-0 (containerd)`, `unit shop.service`.
    pub label: String,
    /// What names it through a restart, and through being made anew: its name, where it has one.
    pub id: String,
    /// Which runtime said so; `only` takes it.
    pub runtime: String,
    /// Its cgroups, as directories of the unified hierarchy. Several: a pod without a cgroup of its own.
    /// None: it has none there that is its alone, and a note says why. Of a process: the one that it is in,
    /// which others may be in too.
    pub cgroups: Vec<PathBuf>,
    /// Its first process; of a pod, that which holds its namespaces.
    pub pid: Option<i32>,
    /// A file to open its network namespace by; `None`: it is not known to have one.
    pub netns: Option<PathBuf>,
    /// That namespace is the host's.
    pub host_network: bool,
    /// Others with processes in that namespace, where it is not the host's: its pod and the containers in
    /// that, `--network container:`. By name, or by cgroup where nobody has a name for them.
    pub shares_network_with: Vec<String>,
    /// As its runtime has them.
    pub labels: BTreeMap<String, String>,
    /// What a person has to know of it.
    pub notes: Vec<String>,
}

impl Member {
    /// What people see of it holds names that others chose.
    fn make_printable(&mut self) {
        let others = self.shares_network_with.iter_mut().chain(&mut self.notes);
        for text in others.chain([&mut self.label]) {
            *text = printable(text);
        }
    }
}

/// The variable that gives runtimes more time, or less.
const ASK_WITHIN: &str = "CHAOSD_ASK_WITHIN";

/// How long a runtime may take: `CHAOSD_ASK_WITHIN`, for one that is slow, else [`ANSWERS_WITHIN`].
///
/// # Errors
/// [`RuntimeError::AskWithin`] when the variable is no time above 0.
pub fn ask_within() -> Result<Duration, RuntimeError> {
    std::env::var_os(ASK_WITHIN).map_or(Ok(ANSWERS_WITHIN), |value| {
        patience(&value.to_string_lossy())
    })
}

fn patience(text: &str) -> Result<Duration, RuntimeError> {
    let wrong = |why: String| RuntimeError::AskWithin {
        value: text.to_owned(),
        why,
    };
    let time = humantime::parse_duration(text.trim()).map_err(|error| wrong(error.to_string()))?;
    if time.is_zero() {
        return Err(wrong("nobody answers in no time".to_owned()));
    }
    Ok(time)
}

/// Finds whom a name names, with connections that the whole process shares. `only` is a runtime's name
/// (`docker`, `podman`, `containerd`, `cri-o`, `cri-dockerd`, `cri`, `crun`, `runc`, `systemd`) or the path of
/// its socket.
///
/// Blocks for at most about `within`, which each runtime has for itself; may be called from any thread.
///
/// # Errors
/// See [`RuntimeError`]; an empty list is never returned.
pub fn find(
    asked: &Asked,
    only: Option<&str>,
    within: Duration,
) -> Result<Vec<Member>, RuntimeError> {
    shared().find(asked, only, within)
}

/// The names of runtimes that know containers.
const KNOW_CONTAINERS: [&str; 7] = [
    "docker",
    "podman",
    "containerd",
    "cri-o",
    cri::DOCKERS,
    "crun",
    "runc",
];

/// Whether [`find`] takes this for the name of the one runtime to ask.
pub fn is_named(name: &str) -> bool {
    KNOW_CONTAINERS.contains(&name)
}

/// What [`find`] asks, for those who want a [`Watch`] too.
pub fn shared() -> &'static Runtimes {
    static SHARED: OnceLock<Runtimes> = OnceLock::new();
    SHARED.get_or_init(|| Runtimes::new(Places::of_this_host()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_s_time_has_a_unit_and_is_more_than_none() {
        assert_eq!(patience("10s").unwrap(), Duration::from_secs(10));
        assert_eq!(patience(" 1m 30s ").unwrap(), Duration::from_secs(90));
        for wrong in ["10", "", "0s", "soon", "-1s"] {
            let told = patience(wrong).unwrap_err().to_string();
            assert!(told.contains("such as CHAOSD_ASK_WITHIN=10s"), "{told}");
        }
    }
}
