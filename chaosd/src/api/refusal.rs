//! Why a request was not done. Nothing is changed when one of these is returned.

use crate::{engine::EngineError, host::Missing, plan::PlanError, profile::Problems};

/// Why a request was not done, for the API's status and the command line's exit code alike.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The profile is wrong.
    #[error("{0}")]
    Invalid(Problems),
    /// What it targets is not there, or cannot carry it.
    #[error(transparent)]
    Target(#[from] PlanError),
    /// This host cannot do it.
    #[error(transparent)]
    Host(#[from] Missing),
    /// Whoever asked has given up meanwhile.
    #[error("it was called off, or is too late: whoever asked for it does not wait any more")]
    Late,
    /// A defect of chaosd.
    #[error("the planner failed: {0}")]
    Broken(String),
    /// The engine would not.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
