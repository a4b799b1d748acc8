//! Why a command did not do what it was asked, and the exit code of it.

use std::{ffi::OsString, io};

use super::exit::Exit;
use crate::{
    api::{ClientError, ErrorKind, Refusal, SocketError},
    engine::{EngineError, StartError},
    experiment::{Unready, store::StoreError, toolkit},
    hook::RegistrationError,
    instance::InstanceError,
    plan::PlanError,
    profile::{FindError, Problems},
};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// No such profile.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The profile is wrong.
    #[error("{0}")]
    Profile(#[from] Problems),
    /// An experiment of the Chaos Toolkit that cannot be done as it is meant.
    #[error("{name}:{}", listed(problems))]
    Toolkit {
        /// Its file.
        name: String,
        /// All of them.
        problems: Vec<toolkit::Problem>,
    },
    /// A probe or the load of an experiment lacks something.
    #[error(transparent)]
    Unready(#[from] Unready),
    /// A flag contradicts the situation.
    #[error("{0}")]
    Usage(String),
    /// The engine or its planner refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The daemon refused, or is not there.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// The daemon went away in mid-run.
    #[error("the daemon went away while run {id} was in force; {}", after_loss(*reverted))]
    DaemonLost {
        /// The run.
        id: String,
        /// True when its left-overs are seen to be gone.
        reverted: bool,
        /// How we know.
        #[source]
        source: ClientError,
    },
    /// The state directory does not serve.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// The runtimes' file is not ours to change, or cannot be.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// It is not known where this binary is.
    #[error("failed to find the path of this very program")]
    OwnPath(#[source] io::Error),
    /// The command after `--` cannot start.
    #[error("failed to start {}; nothing was changed that is not reverted", command.display())]
    Command {
        /// Its name.
        command: OsString,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A run cannot be kept or found.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An experiment would leave no record.
    #[error(
        "the experiment could not be kept, and was not begun; name another directory by --runs-dir"
    )]
    Unkept(#[source] StoreError),
    /// The kernel refused a handler or a descriptor.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
}

fn listed(problems: &[toolkit::Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    lines.collect()
}

fn after_loss(reverted: bool) -> &'static str {
    if reverted {
        "everything is as it was before"
    } else {
        "something may be left over: `chaosd doctor` shows it, `chaosd revert --all` undoes it"
    }
}

impl CliError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Refused(Refusal::Target(PlanError::NoEthernet { .. })) => Exit::Host,
            Self::Find(_)
            | Self::Profile(_)
            | Self::Toolkit { .. }
            | Self::Unready(_)
            | Self::Usage(_)
            | Self::Refused(
                Refusal::Invalid(_)
                | Refusal::Target(_)
                | Refusal::Engine(EngineError::NoSuchRun(_)),
            )
            | Self::Registration(RegistrationError::Foreign(_))
            | Self::Socket(SocketError::NoSuchGroup(_) | SocketError::NotASocket(_))
            | Self::Command { .. } => Exit::Usage,
            Self::Daemon(ClientError::Refused(body)) => match body.kind {
                ErrorKind::Request
                | ErrorKind::NoSuchRun
                | ErrorKind::Profile
                | ErrorKind::Target => Exit::Usage,
                ErrorKind::Full
                | ErrorKind::Host
                | ErrorKind::Defect
                | ErrorKind::TooSlow
                | ErrorKind::Stopping => Exit::Host,
            },
            Self::Store(error) if error.is_usage() => Exit::Usage,
            Self::DaemonLost { reverted: true, .. } => Exit::Interrupted,
            Self::DaemonLost {
                reverted: false, ..
            } => Exit::NotReverted,
            Self::Refused(_)
            | Self::Daemon(_)
            | Self::Instance(_)
            | Self::Socket(_)
            | Self::Engine(_)
            | Self::Registration(_)
            | Self::OwnPath(_)
            | Self::Store(_)
            | Self::Unkept(_)
            | Self::Runtime(_) => Exit::Host,
        }
    }
}
