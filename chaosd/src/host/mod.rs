//! What this kernel can do: probes, each made once and kept.
//!
//! A probe changes nothing that lasts: it reads files, asks the kernel, or tries a thing in a
//! network namespace of its own that is gone a moment later; a module that the kernel loads for
//! that stays loaded. `chaosd doctor` prints all of them; a run asks for those it needs before it
//! changes anything.

mod bpf;
mod leftovers;
mod modules;
mod rights;
mod system;

pub use self::leftovers::delete_orphans;
pub(crate) use self::system::kernel_version;

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Proven to be there.
    Available,
    /// Proven to be missing.
    Missing,
    /// Neither could be proven.
    Unknown,
}

/// One thing a host may or may not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Capability {
    /// What it is called.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// True when no packet fault works without it.
    pub required: bool,
    /// What of chaosd needs it.
    pub needed_for: String,
    /// How that was found, or what exactly was found.
    pub detail: String,
    /// What to do when it is missing; empty when there is nothing to do.
    pub fix: String,
}

/// Another chaosd that runs on this machine: its devices are no left-overs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct LiveInstance {
    /// Its number, which its devices bear.
    pub number: u32,
    /// Its process.
    pub pid: u32,
    /// What it is: `serve`, `run`, ...
    pub kind: String,
    /// Its state directory.
    pub state_dir: String,
}

/// Something that a chaosd which is gone has left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Leftover {
    /// What it is.
    pub what: String,
    /// Where it is.
    pub place: String,
    /// What to type to be rid of it.
    pub fix: String,
}

/// All that `chaosd doctor` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Doctor {
    /// Kernel release and architecture.
    pub kernel: String,
    /// True when packet faults work here.
    pub ready: bool,
    /// Everything probed, required things first.
    pub capabilities: Vec<Capability>,
    /// Those that run now.
    pub instances: Vec<LiveInstance>,
    /// What dead ones left.
    pub leftovers: Vec<Leftover>,
}

/// What a fault needs and this host lacks; all of it at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host cannot do that: {}", listed(.0))]
pub struct Missing(pub Vec<Capability>);

fn listed(missing: &[Capability]) -> String {
    let line = |capability: &Capability| {
        let Capability {
            name, detail, fix, ..
        } = capability;
        if fix.is_empty() {
            format!("{name} is missing ({detail})")
        } else {
            format!("{name} is missing ({detail}): {fix}")
        }
    };
    missing.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// The host, probed as far as somebody asked.
#[derive(Debug, Default)]
pub struct Host {
    required: OnceLock<Vec<Capability>>,
    detour: OnceLock<Capability>,
    hold: OnceLock<Capability>,
    netem: OnceLock<Capability>,
    others: OnceLock<Vec<Capability>>,
}

impl Host {
    /// Probes nothing yet.
    pub const fn new() -> Self {
        Self {
            required: OnceLock::new(),
            detour: OnceLock::new(),
            hold: OnceLock::new(),
            netem: OnceLock::new(),
            others: OnceLock::new(),
        }
    }

    /// Fails when no packet fault can work here. Under a millisecond the first time, then free.
    pub fn require_packet_faults(&self) -> Result<(), Missing> {
        all_there(self.required())
    }

    /// Fails when the faults that work per wire segment cannot work here. It tries the detour out,
    /// which takes a few milliseconds the first time.
    pub fn require_detour(&self) -> Result<(), Missing> {
        all_there(std::slice::from_ref(self.detour()))
    }

    /// Fails when packets cannot be held here: no delay, reorder or bandwidth. It tries
    /// the queue out, which takes a few milliseconds the first time.
    pub fn require_hold(&self) -> Result<(), Missing> {
        all_there(std::slice::from_ref(self.hold()))
    }

    /// Fails when this kernel has no netem. As [`Self::require_hold`].
    pub fn require_netem(&self) -> Result<(), Missing> {
        all_there(std::slice::from_ref(self.netem()))
    }

    /// Everything that was probed, required things first.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut all = self.required().to_vec();
        all.extend([self.detour(), self.hold(), self.netem()].map(Capability::clone));
        all.extend_from_slice(self.others.get_or_init(|| {
            let mut others = system::optional();
            others.extend(bpf::optional());
            others.extend(modules::optional());
            others
        }));
        all
    }

    /// Everything there is to say. The caller knows the state directory: it names the instances
    /// that live and what the journals of dead ones hold.
    pub fn doctor(&self, instances: Vec<LiveInstance>, mut abandoned: Vec<Leftover>) -> Doctor {
        abandoned.extend(leftovers::all(&instances));
        Doctor {
            kernel: system::kernel(),
            ready: self.require_packet_faults().is_ok(),
            capabilities: self.capabilities(),
            instances,
            leftovers: abandoned,
        }
    }

    fn required(&self) -> &[Capability] {
        self.required.get_or_init(|| {
            let mut required = rights::required();
            required.extend(bpf::required());
            required
        })
    }

    fn detour(&self) -> &Capability {
        self.detour.get_or_init(modules::detour)
    }

    fn hold(&self) -> &Capability {
        self.hold.get_or_init(modules::hold)
    }

    fn netem(&self) -> &Capability {
        self.netem.get_or_init(modules::netem)
    }
}

/// Unknown is let through: the step itself will say, and be undone.
fn all_there(capabilities: &[Capability]) -> Result<(), Missing> {
    let missing: Vec<Capability> = capabilities
        .iter()
        .filter(|capability| capability.state == State::Missing)
        .cloned()
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// An optional capability; [`Capability::required`] is set by the caller that requires it.
fn capability(
    name: &str,
    needed_for: &str,
    (state, detail): (State, String),
    fix: &str,
) -> Capability {
    Capability {
        name: name.to_owned(),
        state,
        required: false,
        needed_for: needed_for.to_owned(),
        detail,
        fix: if state == State::Available {
            String::new()
        } else {
            fix.to_owned()
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn lacking(name: &str) -> Capability {
        capability(name, "", (State::Missing, "probed".to_owned()), "get it")
    }

    #[test]
    fn this_host_does_packet_faults() {
        let host = Host::new();
        assert_eq!(host.require_packet_faults(), Ok(()));
        assert_eq!(host.require_detour(), Ok(()));
        let doctor = host.doctor(Vec::new(), Vec::new());
        assert!(doctor.ready);
        let named: Vec<&str> = doctor
            .capabilities
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        for name in [
            "CAP_BPF",
            "kernel BTF",
            "packet hooks",
            "tcx",
            "detour",
            "cgroup v2",
            "hold queue (fq)",
            "netem",
        ] {
            assert!(named.contains(&name), "{name} is not among {named:?}");
        }
    }

    #[test]
    fn a_refusal_names_everything_that_is_missing_at_once() {
        let mut there = lacking("a");
        there.state = State::Available;
        let mut unsure = lacking("b");
        unsure.state = State::Unknown;
        let all = [there, lacking("c"), unsure, lacking("d")];
        let error = all_there(&all).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this host cannot do that: c is missing (probed): get it; d is missing (probed): get it"
        );
    }

    #[test]
    fn a_doctor_survives_the_trip_through_json() {
        let doctor = Host::new().doctor(Vec::new(), Vec::new());
        let json = serde_json::to_string(&doctor).unwrap();
        assert_eq!(serde_json::from_str::<Doctor>(&json).unwrap(), doctor);
    }
}
