//! Finds what a target names: its network namespace, interfaces, cgroup and protected flows.
//!
//! What it finds it holds open, so that nothing that happens to the target's processes meanwhile
//! can keep a revert from reaching it. Changes nothing.

mod alive;
mod choice;
mod named;
mod netns;
mod process;
pub mod protected;
pub mod resolver;

pub use alive::Gone;
pub use choice::{Chosen, Now, Seats, Spared, Why, is_allowed};
pub use named::{again, choose, pin, place, watch};
pub use netns::own as own_netns;

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use chaosd_ebpf::FlowKey;
use serde::Serialize;

use crate::{
    cgroup::{self, CgroupError},
    netlink::{self, NetlinkError},
    plan::{Cgroup, Netns, Scope},
    profile::Target,
    runtime::RuntimeError,
};

/// Why a target cannot be hit: each says what to type instead.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No process of that number.
    #[error("there is no process {0}; `pgrep -a NAME` lists those that run")]
    NoProcess(i32),
    /// A process that ended and was not waited for.
    #[error("process {0} has ended and only waits for its parent to notice")]
    Zombie(i32),
    /// No namespace of that name.
    #[error("there is no network namespace {}{}", name.display(), known(nearest.as_deref()))]
    NoNetns {
        /// As typed.
        name: PathBuf,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A file which is something else.
    #[error(
        "{} is not a network namespace: name one that `ip netns` lists, or a file like \
         /proc/PID/ns/net", .0.display()
    )]
    NotNetns(PathBuf),
    /// The namespace cannot be opened.
    #[error("failed to open the network namespace {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A cgroup over several namespaces.
    #[error(
        "the processes of {} live in {} network namespaces ({}): name a cgroup below it, or one \
         process with --pid", cgroup.display(), found.len(), found.join(", ")
    )]
    ManyNetns {
        /// The cgroup.
        cgroup: PathBuf,
        /// A process of each, and its namespace.
        found: Vec<String>,
    },
    /// The cgroup cannot be used.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Nobody answers to a name, or nobody can be asked.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// All that answer are spared.
    #[error("nobody is left to hit of {asked}: {}", spared.join(", "))]
    AllSpared {
        /// What was asked for.
        asked: String,
        /// Who answers, and why it is spared.
        spared: Vec<String>,
    },
    /// The one that was chosen is not there, and another answers to its name.
    #[error("{asked} is not there any more, and {label} is another that answers to that name")]
    Another {
        /// What was asked for.
        asked: String,
        /// Who answers.
        label: String,
    },
    /// One that `exclude` names is in the cgroup of one that is hit.
    #[error(
        "{excluded} is excluded, and would be hit with {hit}, for such a fault hits all that is in the \
         cgroup {}: exclude both, or leave out `exclude` (--target-exclude)", cgroup.display()
    )]
    ExcludedWithin {
        /// Who is excluded.
        excluded: String,
        /// With whom it would be hit.
        hit: String,
        /// Where both are.
        cgroup: PathBuf,
    },
    /// A blast radius beyond what the host allows, for cgroups are hit as a whole.
    #[error(
        "it would hit {hit} of {of} that answer to {asked}, for they share cgroups, which such a fault \
         hits as a whole; this host allows {most}% (`--max-share` of `chaosd serve`): name one that is \
         in a cgroup of its own, or serve with a larger share"
    )]
    TooManyWithin {
        /// What was asked for.
        asked: String,
        /// How many would be hit.
        hit: usize,
        /// Of how many.
        of: usize,
        /// The share that is allowed, in percent.
        most: f64,
    },
    /// It exists, and nothing of it runs.
    #[error("{0} does not run: start it first")]
    NotRunning(String),
    /// Nothing tells it from others.
    #[error(
        "{label} has no cgroup of its own in the unified (v2) hierarchy and shares its network, so that others \
         would be hit with it: start it in a cgroup of its own, on a host with cgroup v1 alone after a boot with \
         systemd.unified_cgroup_hierarchy=1{}", netns.as_deref().map_or_else(String::new, whole)
    )]
    NoCgroup {
        /// Who.
        label: String,
        /// What it shares, unless that is the host's.
        netns: Option<PathBuf>,
    },
    /// A blast radius beyond what the host allows.
    #[error(
        "it would hit {hit} of {of} that answer to {asked}, and this host allows {most}% \
         (`--max-share` of `chaosd serve`): write `count: {allowed}` (--target-count {allowed}), or less"
    )]
    TooMany {
        /// What was asked for.
        asked: String,
        /// How many would be hit.
        hit: usize,
        /// Of how many.
        of: usize,
        /// The share that is allowed, in percent.
        most: f64,
        /// How many that is.
        allowed: usize,
    },
    /// A pod in the host's network.
    #[error(
        "{label} uses the host's network, all of which such a fault would hit: name its cgroup \
         (--cgroup {}), whose sockets alone are hit then", cgroup.display()
    )]
    HostNetwork {
        /// Who.
        label: String,
        /// Its cgroup.
        cgroup: PathBuf,
    },
    /// The interfaces cannot be listed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The connections cannot be listed.
    #[error("failed to list the TCP connections to protect")]
    Flows(#[source] io::Error),
}

impl TargetError {
    /// True when those who know say that nobody has the name: not when one that has it does not run, and
    /// not when somebody who might know did not answer.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Runtime(error) => error.is_absence(),
            Self::Another { .. } => true,
            _ => false,
        }
    }

    /// True when one that has the name is stopped, and may be started again.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Runtime(error) if error.is_stopped())
    }
}

fn whole(netns: &Path) -> String {
    let netns = netns.display();
    format!("; or hit all who share it: its pod (--pod), or --netns {netns}")
}

fn known(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `ip netns` lists those that have a name".to_owned(),
        |name| format!("; did you mean {name}?"),
    )
}

/// What faults want of their target's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: they act on the machine.
    NoNetwork,
    /// One namespace.
    Network,
    /// And its flows that are to be protected.
    Protection,
}

/// How far faults on packets reach in a target's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// To all packets: the namespace is the target's own.
    Namespace,
    /// To those of its cgroup's sockets.
    Sockets,
    /// To none: they would hit others.
    Nobody,
}

/// A cgroup whose processes are known to live in the network namespace of a file.
pub fn resolve_in(cgroup: &Path, netns: &Path, needs: Needs) -> Result<Scope, TargetError> {
    let target = Target::Cgroup(cgroup.to_owned());
    if needs == Needs::NoNetwork {
        return resolve(&target, needs);
    }
    let found = Found {
        cgroup: Some(cgroup::resolve(cgroup)?),
        ..Found::whole(format!("cgroup {}", cgroup.display()), netns::named(netns)?)
    };
    scope(&target, found, needs)
}

/// Finds a target and holds it open.
pub fn resolve(target: &Target, needs: Needs) -> Result<Scope, TargetError> {
    let found = match target {
        Target::Host => Found::whole("host".to_owned(), netns::own()?),
        Target::Netns(name) => {
            Found::whole(format!("netns {}", name.display()), netns::named(name)?)
        }
        Target::Pid(pid) => of_process(*pid, needs)?,
        Target::Cgroup(path) => of_cgroup(path, needs)?,
    };
    scope(target, found, needs)
}

fn scope(target: &Target, found: Found, needs: Needs) -> Result<Scope, TargetError> {
    let interfaces = netlink::interfaces(found.netns.fd.as_fd())?;
    let protected: Vec<FlowKey> = if needs == Needs::Protection {
        protected::flows(found.netns.fd.as_fd()).map_err(TargetError::Flows)?
    } else {
        Vec::new()
    };
    let (pid, process) = found.process.unzip();
    Ok(Scope {
        label: found.label,
        netns: found.netns,
        interfaces,
        cgroup: found.cgroup,
        pid,
        process: process.map(Into::into),
        notes: found.notes,
        reach: match target {
            Target::Host | Target::Netns(_) => Reach::Namespace,
            Target::Cgroup(_) | Target::Pid(_) => Reach::Sockets,
        },
        protected,
        is_being_made: false,
    })
}

/// Ends a run on this target when a process does.
pub fn tie(scope: &mut Scope, pid: i32) -> Result<(), TargetError> {
    scope.process = Some(process::open(pid)?.into());
    scope.pid = Some(pid);
    Ok(())
}

struct Found {
    label: String,
    netns: Netns,
    cgroup: Option<Cgroup>,
    process: Option<(i32, std::os::fd::OwnedFd)>,
    notes: Vec<String>,
}

impl Found {
    fn whole(label: String, netns: Netns) -> Self {
        Self {
            label,
            netns,
            cgroup: None,
            process: None,
            notes: Vec::new(),
        }
    }
}

fn of_process(pid: i32, needs: Needs) -> Result<Found, TargetError> {
    let process = process::open(pid)?;
    let netns = netns::of_process(pid, process.as_fd())?;
    let cgroup = match cgroup::of_pid(pid) {
        // Whoever needs it says so.
        Err(_) if needs == Needs::NoNetwork => None,
        cgroup => Some(cgroup?),
    };
    let name = process::name(process.as_fd()).ok_or(TargetError::NoProcess(pid))?;
    Ok(Found {
        label: format!("pid {pid} ({name})"),
        netns,
        cgroup,
        process: Some((pid, process)),
        notes: Vec::new(),
    })
}

fn of_cgroup(path: &Path, needs: Needs) -> Result<Found, TargetError> {
    let cgroup = cgroup::resolve(path)?;
    if needs == Needs::NoNetwork {
        let label = format!("cgroup {}", path.display());
        return Ok(Found {
            cgroup: Some(cgroup),
            ..Found::whole(label, netns::own()?)
        });
    }
    let mut found: Vec<(i32, Netns)> = Vec::new();
    for pid in cgroup::pids(&cgroup)? {
        // A process may end between the list and the look: it has no say any more.
        let Ok(process) = process::open(pid) else {
            continue;
        };
        let Ok(netns) = netns::of_process(pid, process.as_fd()) else {
            continue;
        };
        let known = |(_, other): &(i32, Netns)| (other.dev, other.ino) == (netns.dev, netns.ino);
        if !found.iter().any(known) {
            found.push((pid, netns));
        }
    }
    let label = format!("cgroup {}", path.display());
    let mut found = found.into_iter();
    let mut notes = Vec::new();
    let netns = match (found.next(), found.next()) {
        (None, _) => {
            notes.push(
                "the cgroup holds no process: its future ones are hit in chaosd's own network \
                 namespace"
                    .to_owned(),
            );
            netns::own()?
        }
        (Some((_, netns)), None) => netns,
        (Some(first), Some(second)) => {
            return Err(TargetError::ManyNetns {
                cgroup: path.to_owned(),
                found: [first, second]
                    .into_iter()
                    .chain(found)
                    .map(|(pid, netns)| format!("pid {pid} in net:[{}]", netns.ino))
                    .collect(),
            });
        }
    };
    Ok(Found {
        label,
        netns,
        cgroup: Some(cgroup),
        process: None,
        notes,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
