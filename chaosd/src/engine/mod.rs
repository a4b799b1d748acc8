//! Runs plans: arm, tick, disarm, revert. Used by the daemon and by a foreground `chaosd run` alike.
//!
//! The engine is one plain thread with a queue of commands. It needs neither the tokio runtime nor
//! the network, sleeps while nothing is armed, and ticks every 250 ms while something is. When the
//! last `Handle` is gone, or the thread panics, it reverts everything.

mod begin;
mod dns;
mod endings;
mod follow;
mod group;
mod groups;
mod hooks;
mod leaving;
mod lives;
mod loopback;
mod lost;
mod machine;
mod names;
mod packets;
mod pairs;
mod planes;
mod queue;
mod run;
mod spares;
mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    bpf::{Mechanism, PeerSet},
    instance::Instance,
    plan::{GroupPlan, MemberPlan, Plan, Plans},
    report::{Ended, RunId, RunReport},
    undo::System,
};

use follow::Follower;
use groups::{Joined, Seated};
pub use spares::SPARES;

/// How often the engine renews leases and looks around while something is armed.
pub const TICK: Duration = Duration::from_millis(250);

/// What an engine needs.
pub struct Options {
    /// Its place in the state directory.
    pub instance: Instance,
    /// The machine.
    pub system: Arc<dyn System>,
    /// How long programs stay attached (and inert) after the last fault, so that the next one arms
    /// in milliseconds.
    pub linger: Duration,
    /// So many sets of programs are loaded ahead of the faults that take them, one for each network namespace.
    pub spares: u32,
    /// How programs come onto interfaces.
    pub mechanism: Mechanism,
}

/// Speaks to the engine's thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    watchdog: Arc<AtomicU32>,
    mechanism: Mechanism,
}

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

/// Why no engine was started. Nothing is left changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No second process, no faults.
    #[error("failed to start the watchdog: {0}")]
    Watchdog(#[source] crate::watchdog::WatchdogError),
    /// No thread.
    #[error("failed to start the engine's thread: {0}")]
    Thread(#[source] std::io::Error),
}

type Reply<T> = oneshot::Sender<T>;

enum Command {
    Arm(Box<Plan>, Reply<Result<RunReport, EngineError>>),
    ArmGroup(Box<GroupPlan>, Reply<Result<RunReport, EngineError>>),
    /// One that answers to a group's name has come, or is back.
    Join(
        RunId,
        Box<MemberPlan>,
        mpsc::Sender<Result<Joined, EngineError>>,
    ),
    /// What a group's follower has to tell of it.
    Note(RunId, String),
    /// Who of a group's is there: asked by its follower. `None`: it is over.
    Seated(RunId, mpsc::Sender<Option<Seated>>),
    /// Who this run of a group's was armed for has another life now.
    Outlived(RunId),
    /// Nobody answers to a group's name any more.
    GroupGone(RunId, String),
    Reports(Reply<Vec<RunReport>>),
    Report(RunId, Reply<Result<RunReport, EngineError>>),
    Wait(RunId, Reply<Result<RunReport, EngineError>>),
    Revert(RunId, Ended, Reply<Result<RunReport, EngineError>>),
    RevertAll(Ended, Reply<Vec<RunReport>>),
    /// Interfaces or addresses of this plane's namespace changed.
    Changed(u32),
    /// The host names of a run's fault resolved again.
    Peers(RunId, usize, PeerSet),
    Shutdown,
}

/// The engine's thread: [`Engine::stop`] ends it and says what could not be reverted.
#[must_use = "an engine that is not stopped is reverted by its watchdog"]
pub struct Engine {
    handle: Handle,
    thread: JoinHandle<Vec<String>>,
}

impl Engine {
    /// Starts the watchdog, then the thread.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let (commands, queue) = mpsc::channel();
        let watchdog = Arc::new(AtomicU32::new(0));
        let handle = Handle {
            commands: commands.clone(),
            watchdog: Arc::clone(&watchdog),
            mechanism: options.mechanism,
        };
        let worker = worker::Worker::new(options, commands, watchdog)?;
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || worker.run(&queue))
            .map_err(StartError::Thread)?;
        Ok(Self { handle, thread })
    }

    /// Speaks to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends every run, takes everything down, and returns what could not be put back and how to do
    /// it by hand.
    pub fn stop(self) -> Vec<String> {
        self.handle.commands.send(Command::Shutdown).ok();
        self.thread.join().unwrap_or_else(|_| {
            vec!["the engine panicked; its watchdog reverts: see `chaosd doctor`".into()]
        })
    }
}

impl Handle {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }

    /// Arms plans and returns their run.
    pub async fn arm(&self, plans: Plans) -> Result<RunReport, EngineError> {
        let plans = prepare(plans).await?;
        let group = match plans {
            Plans::One(plan) => return self.ask(|reply| Command::Arm(plan, reply)).await?,
            Plans::Group(group) => group,
        };
        let follower = Follower::of(&group);
        let report = self.ask(|reply| Command::ArmGroup(group, reply)).await??;
        follower.start(&report.id, &self.commands);
        Ok(report)
    }

    /// Runs alive, then the last ones that are over, newest first.
    pub async fn reports(&self) -> Result<Vec<RunReport>, EngineError> {
        self.ask(Command::Reports).await
    }

    /// One run.
    pub async fn report(&self, id: RunId) -> Result<RunReport, EngineError> {
        self.ask(|reply| Command::Report(id, reply)).await?
    }

    /// Resolves when the run is over; of one that is [`crate::report::Phase::Draining`], when nothing of it is under
    /// way any more and its report is final.
    pub async fn wait(&self, id: RunId) -> Result<RunReport, EngineError> {
        self.ask(|reply| Command::Wait(id, reply)).await?
    }

    /// Ends a run now: resolves once it acts on nothing, with what it held still on its way out
    /// ([`crate::report::Phase::Draining`]). A run that is over is returned as it is.
    pub async fn revert(&self, id: RunId, why: Ended) -> Result<RunReport, EngineError> {
        self.ask(|reply| Command::Revert(id, why, reply)).await?
    }

    /// Ends every run now, and resolves when every plane is taken down; returns the runs it ended.
    pub async fn revert_all(&self, why: Ended) -> Result<Vec<RunReport>, EngineError> {
        self.ask(|reply| Command::RevertAll(why, reply)).await
    }

    /// How programs come onto interfaces.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The watchdog's process id, 0 while it is being replaced.
    pub fn watchdog_pid(&self) -> u32 {
        self.watchdog.load(Ordering::Relaxed)
    }
}

/// What takes long is done aside: the engine has to tell others that it lives meanwhile.
async fn prepare(plans: Plans) -> Result<Plans, EngineError> {
    if plans.iter().all(|plan| plan.resources.is_empty()) {
        return Ok(plans);
    }
    let aside = tokio::task::spawn_blocking(move || {
        plans.iter().try_for_each(make_ready)?;
        Ok(plans)
    });
    aside.await.map_err(|_| EngineError::Stopped)?
}

/// May take long.
fn make_ready(plan: &Plan) -> Result<(), EngineError> {
    for planned in &plan.resources {
        let ready = planned.bound.prepare();
        ready.map_err(|e| EngineError::Refused(e.to_string()))?;
    }
    Ok(())
}
