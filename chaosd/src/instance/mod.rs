//! The state directory and its locks: who is alive on this machine, and what the dead have left.
//!
//! ```text
//! /run/chaosd/                  0700 root
//!   daemon.lock                 held by the one daemon
//!   chaosd.sock                 its API
//!   instances/N/lock            held by a live instance: a daemon or a foreground run
//!   instances/N/*.journal       what it has to undo
//! ```
//!
//! An instance is alive while somebody holds its lock: the process itself, or its watchdog, which
//! has the same open file. So nobody else replays the journals of an instance while either lives.
//! A lock is a flock(2): the kernel lets go of it when the last holder dies, however it dies.

mod claim;
mod daemon;
mod owner;
mod recover;
mod state;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use self::{
    claim::Instance,
    daemon::DaemonLock,
    owner::{Kind, Owner},
    recover::revert_abandoned,
    state::{Abandoned, DEFAULT_STATE_DIR, Live, StateDir},
};

/// Instances that can live at once.
pub const MAX_INSTANCES: u32 = 64;

/// Why the state directory does not serve.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The system refused.
    #[error("failed to {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could write journals there, which root would obey.
    #[error("{path} is not safe: {why}; name another with --state-dir, or see why that is")]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An ordinary user looks at root's.
    #[error("{path} belongs to uid {uid}: run chaosd as that user, with sudo")]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// There is a daemon already.
    #[error("a chaosd daemon runs already (pid {})", pid.map_or_else(|| "unknown".to_owned(), |p| p.to_string()))]
    DaemonRunning {
        /// The daemon.
        pid: Option<u32>,
    },
    /// All numbers are taken.
    #[error("{MAX_INSTANCES} instances live or have left something behind: see `chaosd doctor`")]
    Full,
}

/// Makes an [`InstanceError::Io`] of an error, for `map_err`.
fn failed(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> InstanceError {
    let path = path.into();
    move |source| InstanceError::Io { verb, path, source }
}
