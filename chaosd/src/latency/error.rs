//! Why nobody can be made to wait.

use std::{io, path::PathBuf};

use super::listener::READY_TIME;

/// Why nobody can be made to wait here, or does any more.
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    /// The path cannot be looked at.
    #[error("failed to look at {}", path.display())]
    Look {
        /// As asked.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A device, a pipe, a socket.
    #[error("{} is neither a file nor a directory", .0.display())]
    NoFile(PathBuf),
    /// The kernel was built without it.
    #[error(
        "this kernel asks nobody before a file is opened: it takes CONFIG_FANOTIFY and \
         CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
    )]
    NoPermissionEvents,
    /// The kernel does not ask on such a file system.
    #[error("the kernel asks nobody before a file of {} is opened: it is none of a disk", .0.display())]
    NoDisk(PathBuf),
    /// No right, or too many listeners.
    #[error("failed to {what}")]
    Refused {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The process could not be started.
    #[error("failed to start a listener")]
    Start(#[source] io::Error),
    /// It was started and did not say that it is ready.
    #[error("the listener did not come up within {} s", READY_TIME.as_secs())]
    NotReady,
    /// It was started, and cannot do its work.
    #[error("the listener failed to {0}")]
    Unable(String),
    /// It has died.
    #[error("the listener is gone")]
    Gone,
}
