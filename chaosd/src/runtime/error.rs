//! Why a name was not resolved: what is wrong, and what to type instead.

use std::{io, path::PathBuf, time::Duration};

/// See the module's page.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No runtime has a container of that name.
    #[error("there is no container {name}{}{}", hint(nearest), doubts(silent))]
    NoContainer {
        /// As typed.
        name: String,
        /// Names that are alike.
        nearest: Vec<String>,
        /// Runtimes that did not answer, and might have known it.
        silent: Vec<String>,
    },
    /// Several fit.
    #[error("{name} may be any of {}: {}", candidates.len(), candidates.join(", "))]
    Ambiguous {
        /// As typed.
        name: String,
        /// Those that fit, in words that tell them apart.
        candidates: Vec<String>,
    },
    /// One was found by the beginning of its id, and another may have that very name.
    #[error(
        "{name} is the beginning of the id {id}, and somebody else may have it for a name{}: type the whole \
         name or id, or name the runtime that is meant, or its socket (--runtime)",
        doubts(silent)
    )]
    Doubtful {
        /// As typed.
        name: String,
        /// Of the one that was found, as people are shown it.
        id: String,
        /// Runtimes that did not answer, and might know one of that name.
        silent: Vec<String>,
    },
    /// It is there and has no process.
    #[error("{label} does not run (it is {state}): start it, then try again")]
    NotRunning {
        /// Which.
        label: String,
        /// The runtime's word for it.
        state: String,
    },
    /// No runtime has a pod of that name.
    #[error("there is no pod {name}{}{}", hint(nearest), doubts(silent))]
    NoPod {
        /// Its name, with its namespace if one was given.
        name: String,
        /// Names that are alike.
        nearest: Vec<String>,
        /// Runtimes that did not answer.
        silent: Vec<String>,
    },
    /// A pod that is being made or ends.
    #[error("{label} is not ready: its network is not set up, or already gone")]
    NotReady {
        /// Which.
        label: String,
    },
    /// A pod whose containers do not share a network.
    #[error(
        "the containers of {label} have a network each: name one of them: --container {}",
        containers.join(", ")
    )]
    NoCommonNetwork {
        /// Which.
        label: String,
        /// Those that run.
        containers: Vec<String>,
    },
    /// Nothing has these labels.
    #[error("there are no {asked}{}", doubts(silent))]
    NoMatch {
        /// `pods with app=web in shop`
        asked: String,
        /// Runtimes that did not answer.
        silent: Vec<String>,
    },
    /// Some have these labels, or fit, and none of them runs.
    #[error(
        "none of the {of} {asked} runs: start one, then try again{}",
        doubts(silent)
    )]
    NoneRuns {
        /// `pods with app=web in shop`
        asked: String,
        /// How many there are.
        of: usize,
        /// Runtimes that did not answer.
        silent: Vec<String>,
    },
    /// No such unit.
    #[error("there is no unit {name}{}", hint(nearest))]
    NoUnit {
        /// As typed.
        name: String,
        /// Names that are alike.
        nearest: Vec<String>,
    },
    /// A unit without a cgroup.
    #[error("unit {name} has no cgroup, for it is {state}: `systemctl start {name}` starts it")]
    UnitNotActive {
        /// Its name.
        name: String,
        /// systemd's word for it.
        state: String,
    },
    /// A service that is on its way up or down, so that its network is not known.
    #[error(
        "unit {name} is {state} and its main process does not run yet, or any more: ask again when it does"
    )]
    UnitNotReady {
        /// Its name.
        name: String,
        /// systemd's word for it.
        state: String,
    },
    /// A unit of a kind that never has a cgroup.
    #[error(
        "unit {name} has no processes, for it is a {}: name a service, slice, scope, socket or mount",
        name.rsplit('.').next().unwrap_or_default()
    )]
    UnitWithoutProcesses {
        /// Its name.
        name: String,
    },
    /// No such process.
    #[error("there is no {asked}{}", hint(nearest))]
    NoProcess {
        /// `process nginx with "worker"`
        asked: String,
        /// Names that are alike.
        nearest: Vec<String>,
    },
    /// Nobody to ask.
    #[error(
        "no {what} is here: looked for {}; name another socket with --runtime PATH",
        list(looked)
    )]
    NoRuntime {
        /// `container runtime`
        what: &'static str,
        /// Where.
        looked: Vec<PathBuf>,
    },
    /// `--runtime` with something that is not there.
    #[error("there is no runtime {name} here; {}", if found.is_empty() {
        format!("no other was found either: looked for {}", list(looked))
    } else {
        format!("found: {}", found.join(", "))
    })]
    UnknownRuntime {
        /// As typed.
        name: String,
        /// Those that are there.
        found: Vec<String>,
        /// Where they were looked for.
        looked: Vec<PathBuf>,
    },
    /// A runtime that knows no such things.
    #[error("{runtime} cannot tell of {what}: leave --runtime out{}", if able.is_empty() {
        String::new()
    } else {
        format!(", or name one of {}", able.join(", "))
    })]
    Unable {
        /// Which.
        runtime: String,
        /// `a pod`
        what: &'static str,
        /// Kinds of runtimes that can.
        able: Vec<&'static str>,
    },
    /// The environment's time for an answer cannot be read.
    #[error(
        "CHAOSD_ASK_WITHIN={value} in chaosd's environment is no time ({why}): write one with its unit, \
         such as CHAOSD_ASK_WITHIN=10s, or leave it out"
    )]
    AskWithin {
        /// As it is there.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// It takes the connection, and then nothing.
    #[error(
        "{runtime} at {} did not answer within {}",
        socket.display(), humantime::format_duration(*after)
    )]
    Silent {
        /// Which.
        runtime: String,
        /// Where.
        socket: PathBuf,
        /// How long it had.
        after: Duration,
    },
    /// It cannot be spoken to, or refused.
    #[error("failed to ask {runtime} at {}: {message}", socket.display())]
    Ask {
        /// Which.
        runtime: String,
        /// Where.
        socket: PathBuf,
        /// What its client or it itself says.
        message: String,
    },
    /// A socket at which nobody speaks an interface that chaosd knows.
    #[error(
        "{} does not speak what is wanted of it: Docker's API, containerd's own, or Kubernetes' interface \
         of container runtimes", .0.display()
    )]
    Tongue(PathBuf),
    /// The process of a container ended meanwhile.
    #[error("{label} ended while it was being found")]
    Ended {
        /// Which.
        label: String,
    },
    /// The unified hierarchy.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    /// /proc cannot be listed.
    #[error("failed to list the processes")]
    Processes(#[source] io::Error),
    /// The thread that asks runtimes cannot be started, or is gone.
    #[error("failed to run the thread that asks runtimes")]
    Thread(#[source] io::Error),
    /// Changes cannot be watched for.
    #[error("failed to watch for changes of {what}")]
    Watch {
        /// Of what.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        several => format!("; the nearest are {}", several.join(", ")),
    }
}

fn doubts(silent: &[String]) -> String {
    if silent.is_empty() {
        String::new()
    } else {
        format!(" ({})", silent.join("; "))
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

impl RuntimeError {
    /// Everybody who could know says that nobody has the name. While a runtime is silent or dead this is
    /// `false`: its containers go on without it.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NoContainer { silent, .. }
            | Self::NoPod { silent, .. }
            | Self::NoMatch { silent, .. } => silent.is_empty(),
            Self::NoUnit { .. } | Self::NoProcess { .. } => true,
            _ => false,
        }
    }

    /// It is there, and nothing of it runs: whoever stopped it, or waits before a restart, may start it.
    pub fn is_stopped(&self) -> bool {
        match self {
            Self::NotRunning { .. } | Self::NotReady { .. } | Self::UnitNotActive { .. } => true,
            Self::NoneRuns { silent, .. } => silent.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_runtime_knows_is_not_absent() {
        let no_container = |silent: &[&str]| RuntimeError::NoContainer {
            name: "shop-db".to_owned(),
            nearest: Vec::new(),
            silent: silent.iter().map(ToString::to_string).collect(),
        };
        assert!(no_container(&[]).is_absence());
        let dead = no_container(&["docker did not answer"]);
        assert!(!dead.is_absence());
        let stopped = RuntimeError::NotRunning {
            label: "container shop-db (docker)".to_owned(),
            state: "exited".to_owned(),
        };
        assert!(stopped.is_stopped() && !stopped.is_absence());
        let none_runs = |silent: &[&str]| RuntimeError::NoneRuns {
            asked: "containers with app=shop".to_owned(),
            of: 2,
            silent: silent.iter().map(ToString::to_string).collect(),
        };
        assert!(none_runs(&[]).is_stopped() && !none_runs(&[]).is_absence());
        let others_may = none_runs(&["docker did not answer"]);
        assert!(!others_may.is_stopped() && !others_may.is_absence());
        let ambiguous = RuntimeError::Ambiguous {
            name: "3f".to_owned(),
            candidates: Vec::new(),
        };
        assert!(!ambiguous.is_absence() && !ambiguous.is_stopped());
    }

    #[test]
    fn hints_are_said_as_one_would_say_them() {
        let error = |nearest: &[&str]| RuntimeError::NoUnit {
            name: "x".to_owned(),
            nearest: nearest.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(error(&[]).to_string(), "there is no unit x");
        assert_eq!(
            error(&["y"]).to_string(),
            "there is no unit x; did you mean y?"
        );
        assert_eq!(
            error(&["y", "z"]).to_string(),
            "there is no unit x; the nearest are y, z"
        );
    }
}
