//! Runs plans: arm, tick, disarm, revert. Used by the daemon and by a foreground `chaosd run` alike.
//!
//! The engine is one plain thread with a queue of commands. It needs neither the tokio runtime nor
//! the network, sleeps while nothing is armed, and ticks every 250 ms while something is.

use crate::{
    plan::Plan,
    report::{Ended, RunId, RunReport},
};

/// Speaks to the engine's thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {}

/// Why the engine did not do it. Nothing is left changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The id names no run.
    #[error("there is no run {0}")]
    NoSuchRun(RunId),
    /// More runs or faults than a plane holds.
    #[error("{0}")]
    Full(String),
    /// The host refused a step; it was undone.
    #[error("{0}")]
    Refused(String),
    /// The engine's thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}

impl Handle {
    /// Arms a plan and returns its run.
    pub async fn arm(&self, _plan: Plan) -> Result<RunReport, EngineError> {
        Err(EngineError::Stopped)
    }

    /// Runs alive, then the last ones that are over, newest first.
    pub async fn reports(&self) -> Result<Vec<RunReport>, EngineError> {
        Err(EngineError::Stopped)
    }

    /// One run.
    pub async fn report(&self, id: RunId) -> Result<RunReport, EngineError> {
        Err(EngineError::NoSuchRun(id))
    }

    /// Resolves when the run is over.
    pub async fn wait(&self, id: RunId) -> Result<RunReport, EngineError> {
        Err(EngineError::NoSuchRun(id))
    }

    /// Ends a run now. A run that is over is returned as it is.
    pub async fn revert(&self, id: RunId, _why: Ended) -> Result<RunReport, EngineError> {
        Err(EngineError::NoSuchRun(id))
    }

    /// Ends every run and takes every plane down; returns the runs it ended.
    pub async fn revert_all(&self, _why: Ended) -> Result<Vec<RunReport>, EngineError> {
        Err(EngineError::Stopped)
    }

    /// The watchdog's process id, 0 while it is being replaced.
    pub fn watchdog_pid(&self) -> u32 {
        0
    }
}
