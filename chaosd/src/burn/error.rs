//! Why there is no burner.

use std::{io, path::PathBuf};

use super::burner::READY_TIME;

/// Why a burner could not be started, or is no more.
#[derive(Debug, thiserror::Error)]
pub enum BurnError {
    /// No burner can do this.
    #[error("a burner was asked for {0}")]
    Invalid(String),
    /// The process could not be started.
    #[error("failed to start a burner")]
    Start(#[source] io::Error),
    /// It was started and did not say that it is ready.
    #[error("the burner did not come up within {} s", READY_TIME.as_secs())]
    NotReady,
    /// It was started, and cannot do its work.
    #[error("the burner failed to {0}")]
    Unable(String),
    /// A cgroup did not take it.
    #[error("failed to move the burner into a cgroup by {}", path.display())]
    Enter {
        /// The `cgroup.procs` file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The CPU is not there or offline, or the cgroup's cpuset does not have it.
    #[error("failed to bind the burner to CPU {cpu}")]
    Pin {
        /// Which.
        cpu: u32,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its priority could not be set.
    #[error("failed to set the burner's nice value to {nice}")]
    Nice {
        /// The value.
        nice: i8,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It has died.
    #[error("the burner is gone")]
    Gone,
}
