//! Why a request was not done. Nothing is changed when one of these is returned.

use crate::engine::EngineError;
use crate::profile::Problems;

/// Why a request was not done, for the API's status and the command line's exit code alike.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The profile is wrong.
    #[error("{0}")]
    Invalid(Problems),
    /// What it targets is not there.
    #[error("{0}")]
    Target(String),
    /// This host cannot do it.
    #[error("{0}")]
    Host(String),
    /// The engine would not.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
