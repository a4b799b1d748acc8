//! Faults that act on a machine rather than on its packets.
//!
//! A kind says in words what it does (`ResourceFault`), finds on this host what it takes
//! (`Bound`, which `plan` prints and which changes nothing), and acts until it is ended
//! (`Acting`). A new kind is one new file, a line in `fault` and in `fault::KINDS`, and its tests.
//!
//! Invariant: whatever outlives this process is changed in a transaction of the instance's, by
//! `Host::txn`; whatever else a kind starts dies with it.

mod burners;
mod clock;
mod cpu;
mod cpu_quota;
mod disk;
mod disk_burn;
mod disk_error;
mod disk_fill;
mod disk_latency;
mod freeze;
mod limit;
mod memory;
mod pids;
mod process;
mod shutdown;
mod timeline;

use std::{error::Error, fmt::Debug, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    instance::Instance,
    journal::JournalError,
    plan::Scope,
    profile::Resource,
    report::Verdict,
    txn::{Txn, TxnError},
    undo::{RevertReport, System},
};

pub use timeline::Now;

/// Why this host or target cannot suffer a fault, and what to ask for instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BindError(pub String);

/// Why a fault was not armed, or does not act as it should. What it changed is undone.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Its transaction failed.
    #[error("{}", crate::undo::chain(.0))]
    Txn(#[from] TxnError),
    /// No journal.
    #[error("{}", crate::undo::chain(.0))]
    Journal(#[from] JournalError),
    /// The host refused.
    #[error("failed to {what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ActError {
    /// What of a revert has failed.
    fn of(report: &RevertReport) -> Result<(), Self> {
        match report.failed.first() {
            Some(failure) => Err(Self::Refused {
                what: "put everything back while it rests".into(),
                source: failure.to_string().into(),
            }),
            None => Ok(()),
        }
    }
}

/// A kind with its settings, as asked for. Pure.
pub trait ResourceFault {
    /// What it does, as a sentence without subject: `sends KILL to nginx`.
    fn what(&self) -> String;
    /// Finds what it takes on this host for this target. Reads; changes nothing. `seed`: of the run.
    fn bind(&self, scope: &Scope, seed: u64) -> Result<Arc<dyn Bound>, BindError>;
}

/// A fault bound to this host.
pub trait Bound: Debug + Send + Sync {
    /// How it is done, in one line.
    fn mechanism(&self) -> String;
    /// How it is undone, in one line.
    fn undo(&self) -> String;
    /// What the user should know of it, as sentences without subject.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// What nobody else may change meanwhile, by name: two faults that change one thing cannot both
    /// put it back.
    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
    /// True when its target is a process that it hits alone: others of its cgroup go on.
    fn is_on_one_process(&self) -> bool {
        false
    }
    /// Makes ready what takes so long that the engine cannot wait for it: called before the plan is
    /// handed over, on another thread. Nothing suffers yet, and what it made goes with the plan.
    fn prepare(&self) -> Result<(), ActError> {
        Ok(())
    }
    /// Gets ready to act. What takes long is done here; nothing suffers yet.
    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError>;
}

/// A fault in force.
pub trait Acting: Send {
    /// Acts as much as the moment asks for. Called when that changes, and at least every
    /// [`crate::engine::TICK`] as a sign of life. Returns when it is to be called again at the latest,
    /// if that is sooner.
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError>;
    /// What it has done so far, and what that comes to.
    fn effect(&mut self) -> (Effect, Verdict);
    /// Puts everything back, to the end whatever fails. Nothing acts any more when it returns.
    fn end(self: Box<Self>) -> RevertReport;
}

/// What a fault did, in a kind's own terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Effect {
    /// In one line, without subject: `sent KILL to 3 processes, 812 (nginx) last`.
    pub told: String,
    /// What was asked for, in `unit`; none where no number says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<f64>,
    /// What was reached, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<f64>,
    /// `percent`, `bytes`, `bytes-per-second`, `processes`, ...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// What a fault needs of the engine that it acts for.
#[derive(Clone)]
pub struct Host {
    instance: Arc<Instance>,
    system: Arc<dyn System>,
    /// `run-ID-N`: names its journals.
    owner: String,
    journals: u32,
    /// How long the run lasts at most, from the first [`Acting::act`] on.
    run_for: Duration,
}

impl Host {
    /// `owner` names its journals.
    pub fn new(
        instance: Arc<Instance>,
        system: Arc<dyn System>,
        owner: String,
        run_for: Duration,
    ) -> Self {
        Self {
            run_for,
            instance,
            system,
            owner,
            journals: 0,
        }
    }

    /// Names what is its own.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// A transaction of its own.
    pub fn txn(&mut self) -> Result<Txn, JournalError> {
        self.journals += 1;
        let name = format!("{}-{}", self.owner, self.journals);
        let journal = self.instance.journal(&name)?;
        Ok(Txn::begin(journal, Arc::clone(&self.system)))
    }
}

/// What a kind is.
pub fn fault(resource: &Resource) -> &dyn ResourceFault {
    match resource {
        Resource::Process(process) => process,
        Resource::Freeze(freeze) => freeze,
        Resource::CpuQuota(quota) => quota,
        Resource::Disk(disk) => disk,
        Resource::DiskFill(fill) => fill,
        Resource::Cpu(cpu) => cpu,
        Resource::Memory(memory) => memory,
        Resource::DiskError(error) => error,
        Resource::Pids(pids) => pids,
        Resource::Clock(clock) => clock,
        Resource::Shutdown(shutdown) => shutdown,
        Resource::DiskLatency(latency) => latency,
        Resource::DiskBurn(burn) => burn,
    }
}
