//! What the API asks of the engine, and how the engine answers it.
//!
//! The daemon and a foreground run go the same way: request, profile, plan, armed run.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, time::timeout};

use super::{
    containers::{ContainerKey, ContainerRequest, Containers},
    examine::{HOST, examine},
    refusal::Refusal,
    request::RunRequest,
};
use crate::{
    bpf::Mechanism,
    engine::{EngineError, Handle},
    experiment::{Ran, record::Record, store::Store},
    host::Doctor,
    instance::StateDir,
    plan::{Limits, Plan, Plans},
    profile::Profile,
    report::{Daemon, Ended, Phase, RunId, RunReport, Status},
};

/// Records are written one at a time: nobody waits for them.
static KEEPING: Semaphore = Semaphore::const_new(1);
/// More runs than an engine holds.
const MOST_UNDER_WAY: u32 = 1 << 16;
/// Runs that are not kept yet.
static UNDER_WAY: Semaphore = Semaphore::const_new(MOST_UNDER_WAY as usize);
/// The note of a run is so old at most.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// A daemon that ends waits for its records no longer.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the API speaks to.
pub trait Runs: Send + Sync + 'static {
    /// What would be done; changes nothing.
    fn plan(&self, request: RunRequest) -> Answer<'_, Result<Plans, Refusal>>;
    /// Arms a run.
    fn start(&self, request: RunRequest) -> Answer<'_, Result<RunReport, Refusal>>;
    /// Runs alive, then the last ones that are over, newest first.
    fn reports(&self) -> Answer<'_, Result<Vec<RunReport>, EngineError>>;
    /// One run.
    fn report(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>>;
    /// Resolves when the run is over; of one that is draining, when that is.
    fn wait(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>>;
    /// Ends a run now; a run that is over is returned as it is.
    fn revert(&self, id: RunId, why: Ended) -> Answer<'_, Result<RunReport, EngineError>>;
    /// Ends every run, and resolves when nothing is left of them; returns those it ended.
    fn revert_all(&self, why: Ended) -> Answer<'_, Result<Vec<RunReport>, EngineError>>;
    /// Arms what a container that is being made asks for, in the place of what it asked for before.
    fn begin_container(
        &self,
        key: ContainerKey,
        request: ContainerRequest,
    ) -> Answer<'_, Result<RunReport, Refusal>>;
    /// Ends what a container asked for; also what is on its way. Returns the runs that it ended.
    fn end_container(&self, key: ContainerKey) -> Answer<'_, Result<Vec<RunReport>, EngineError>>;
    /// How programs come onto interfaces.
    fn mechanism(&self) -> Mechanism;
    /// What the host's configuration allows.
    fn limits(&self) -> Limits;
    /// 0 while the watchdog is being replaced.
    fn watchdog_pid(&self) -> u32;
    /// What this host can do.
    fn doctor(&self) -> Answer<'_, Result<Doctor, Refusal>>;

    /// The daemon and its runs.
    fn status(&self) -> Answer<'_, Result<Status, EngineError>> {
        Box::pin(async {
            let limits = self.limits();
            Ok(Status {
                daemon: Some(Daemon {
                    pid: std::process::id(),
                    watchdog_pid: self.watchdog_pid(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    attach: self.mechanism(),
                    max_for_seconds: Some(limits.max_for.as_secs_f64()),
                    max_share_percent: Some(limits.max_share.get()),
                }),
                runs: self.reports().await?,
            })
        })
    }
}

/// The engine behind the API and behind a foreground run.
#[derive(Clone, Debug)]
pub struct Service {
    /// The engine.
    pub engine: Handle,
    /// What the host's configuration allows.
    pub limits: Limits,
    /// Whose neighbours and left-overs `doctor` tells.
    pub state: StateDir,
    /// The runs of containers that asked for them.
    pub containers: Containers,
    /// Where runs are kept when they are over; `None`: whoever follows them does that.
    pub store: Option<Store>,
}

/// Binds a profile to this host, or names everything the host lacks for it. Reads the machine,
/// changes nothing; may block.
pub fn bind(name: &str, profile: &Profile, limits: Limits) -> Result<Plans, Refusal> {
    HOST.require_packet_faults()?;
    able(Plans::make(name, profile, limits)?)
}

/// Names what the host lacks for these plans.
fn able(plans: Plans) -> Result<Plans, Refusal> {
    let faults = || plans.iter().flat_map(|plan| &plan.faults);
    if faults().any(|fault| fault.detour) {
        HOST.require_detour()?;
    }
    if faults().any(|fault| fault.rule.matcher.holds) {
        HOST.require_hold()?;
    }
    if faults().any(|fault| fault.rule.matcher.netem) {
        HOST.require_netem()?;
    }
    Ok(plans)
}

/// Reads and checks a request, and binds it to this host.
fn plan(request: &RunRequest, limits: Limits) -> Result<Plans, Refusal> {
    let profile = request.load(limits.max_for).map_err(Refusal::Invalid)?;
    bind(request.name(), &profile, limits)
}

/// The same for a container that is being made, which is the target.
pub(super) fn plan_container(
    id: &str,
    request: &ContainerRequest,
    limits: Limits,
) -> Result<Plans, Refusal> {
    let asked = &request.run;
    let profile = asked.load(limits.max_for).map_err(Refusal::Invalid)?;
    HOST.require_packet_faults()?;
    let plan = Plan::of_container(asked.name(), &profile, id, request.pid, request.in_pod)?;
    able(Plans::One(Box::new(plan)))
}

/// Planning walks /proc and asks netlink: off the runtime's thread.
async fn plan_aside(request: RunRequest, limits: Limits) -> Result<Plans, Refusal> {
    aside(move || plan(&request, limits)).await?
}

pub(super) async fn aside<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|error| Refusal::Broken(error.to_string()))
}

impl Service {
    /// Keeps the record of a run when that is over, unless who asked for it does (`asker_keeps`) and is there.
    /// Nobody waits for it, and one that cannot be kept is told in the log alone. Until then there is a note of
    /// how it stands, which whoever comes after a daemon that died makes a record of.
    pub(super) fn keep_at_its_end(&self, report: &RunReport, asker_keeps: bool) {
        let Some(store) = self.store.clone() else {
            return;
        };
        let (engine, mut report, begun) = (self.engine.clone(), report.clone(), Instant::now());
        tokio::spawn(async move {
            let Ok(_until_kept) = UNDER_WAY.acquire().await else {
                return;
            };
            while matches!(report.phase, Phase::Armed | Phase::Draining) {
                noted(&store, &report).await;
                let id = report.id.clone();
                let later = match timeout(NOTE_EVERY, engine.wait(id.clone())).await {
                    Ok(over) => over,
                    Err(_) => engine.report(id).await,
                };
                match later {
                    Ok(later) => report = later,
                    // The engine has died: its note says what was known of the run.
                    Err(_) => return,
                }
            }
            let seconds = begun.elapsed().as_secs_f64();
            let Ok(_turn) = KEEPING.acquire().await else {
                return;
            };
            let kept = aside(move || {
                let asker_has_it = asker_keeps && report.ended != Some(Ended::AskerGone);
                let kept = (!asker_has_it).then(|| {
                    let ran = Ran {
                        seconds: Some(seconds),
                        ..Ran::default()
                    };
                    store.keep(&Record::of_run(&report, ran))
                });
                store.forget(&report.id);
                kept.transpose()
            });
            match kept.await {
                Ok(Ok(kept)) => kept
                    .iter()
                    .flat_map(|kept| &kept.problems)
                    .for_each(|what| tracing::warn!("{what}")),
                Ok(Err(error)) => {
                    tracing::warn!("a run is not kept: {}", crate::undo::chain(&error));
                }
                Err(error) => tracing::warn!("a run is not kept: {}", crate::undo::chain(&error)),
            }
        });
    }
}

/// Notes how a run stands. Where that fails, its record does so too, and is told of.
async fn noted(store: &Store, report: &RunReport) {
    let (store, report) = (store.clone(), report.clone());
    if let Ok(Err(error)) = aside(move || store.note(&report)).await {
        tracing::debug!("no note of a run: {}", crate::undo::chain(&error));
    }
}

/// Resolves when every run that is over is kept, or cannot be.
pub async fn all_kept() {
    // It is never closed. One that hangs, on a disk say, is not waited for.
    timeout(KEPT_WITHIN, UNDER_WAY.acquire_many(MOST_UNDER_WAY))
        .await
        .ok();
}

impl Runs for Service {
    fn plan(&self, request: RunRequest) -> Answer<'_, Result<Plans, Refusal>> {
        Box::pin(plan_aside(request, self.limits))
    }

    fn start(&self, request: RunRequest) -> Answer<'_, Result<RunReport, Refusal>> {
        Box::pin(async {
            let asker_keeps = request.keeps_record;
            let plan = plan_aside(request, self.limits).await?;
            let report = self.engine.arm(plan).await?;
            self.keep_at_its_end(&report, asker_keeps);
            Ok(report)
        })
    }

    fn reports(&self) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(self.engine.reports())
    }

    fn report(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(self.engine.report(id))
    }

    fn wait(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(self.engine.wait(id))
    }

    fn revert(&self, id: RunId, why: Ended) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(self.engine.revert(id, why))
    }

    fn revert_all(&self, why: Ended) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(self.engine.revert_all(why))
    }

    fn begin_container(
        &self,
        key: ContainerKey,
        request: ContainerRequest,
    ) -> Answer<'_, Result<RunReport, Refusal>> {
        Box::pin(self.begin_of(key, request))
    }

    fn end_container(&self, key: ContainerKey) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(self.end_of(key))
    }

    fn mechanism(&self) -> Mechanism {
        self.engine.mechanism()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn watchdog_pid(&self) -> u32 {
        self.engine.watchdog_pid()
    }

    fn doctor(&self) -> Answer<'_, Result<Doctor, Refusal>> {
        let state = self.state.clone();
        Box::pin(aside(move || examine(&state)))
    }
}
