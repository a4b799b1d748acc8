//! The engine's thread.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    bpf::PeerSet,
    clock::now_ns,
    instance::Instance,
    report::{Ended, RunId, RunReport},
    watchdog::Watchdog,
};

use super::{
    Command, EngineError, Options, StartError, TICK,
    endings::RevertingAll,
    group::{Group, group_of},
    leaving::Leaving,
    names::{RESOLVE_EVERY, resolve_again},
    planes::Planes,
    queue::LOOK,
    run::Run,
    spares::Spares,
};

pub(super) struct Worker {
    pub(super) planes: Planes,
    pub(super) runs: Vec<Run>,
    /// Over, and not yet reverted.
    pub(super) leaving: Vec<Leaving>,
    pub(super) over: VecDeque<RunReport>,
    /// Runs on those that answer to a name; their members' are among `runs` and `leaving`.
    pub(super) groups: Vec<Group>,
    /// Who waits for the end of everything.
    pub(super) reverting_all: Vec<RevertingAll>,
    pub(super) problems: Vec<String>,
    pub(super) instance: Arc<Instance>,
    watchdog_pid: Arc<AtomicU32>,
    commands: Sender<Command>,
    linger: Duration,
    next_tick: Instant,
}

impl Worker {
    pub fn new(
        options: Options,
        commands: Sender<Command>,
        watchdog_pid: Arc<AtomicU32>,
    ) -> Result<Self, StartError> {
        let watchdog = Watchdog::start(&options.instance).map_err(StartError::Watchdog)?;
        watchdog_pid.store(watchdog.pid(), Ordering::Relaxed);
        let spares = Spares::new(options.spares);
        let planes = Planes::new(
            options.instance.number(),
            options.system,
            options.mechanism,
            commands.clone(),
            watchdog,
            spares,
        );
        Ok(Self {
            planes,
            runs: Vec::new(),
            leaving: Vec::new(),
            reverting_all: Vec::new(),
            over: VecDeque::new(),
            groups: Vec::new(),
            problems: Vec::new(),
            instance: Arc::new(options.instance),
            watchdog_pid,
            commands,
            linger: options.linger,
            next_tick: Instant::now(),
        })
    }

    /// Until told to stop; returns what could not be reverted.
    pub fn run(mut self, queue: &Receiver<Command>) -> Vec<String> {
        loop {
            let command = match self.wait_for() {
                Some(timeout) => match queue.recv_timeout(timeout) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                None => match queue.recv() {
                    Ok(command) => Some(command),
                    Err(mpsc::RecvError) => break,
                },
            };
            match command {
                Some(Command::Shutdown) => break,
                Some(command) => self.handle(command),
                None => {}
            }
            self.tick();
        }
        self.stop()
    }

    /// How long to sleep; `None`: until somebody asks for something.
    fn wait_for(&self) -> Option<Duration> {
        let now = now_ns();
        let armed = !self.runs.is_empty();
        let tick = armed.then(|| self.next_tick.saturating_duration_since(Instant::now()));
        let runs = self.runs.iter().map(|r| r.deadline_ns);
        let groups = self.groups.iter().filter(|group| group.ended.is_none());
        let deadline = runs
            .chain(groups.map(|group| group.span.deadline_ns))
            .map(|at| Duration::from_nanos(at.saturating_sub(now)))
            .min();
        let linger = self
            .planes
            .numbers()
            .into_iter()
            .filter_map(|n| self.planes.get(n)?.idle)
            .map(|since| self.linger.saturating_sub(since.elapsed()))
            .min();
        let acts = self.runs.iter().filter_map(Run::acts_in).min();
        let look = self.is_leaving().then_some(LOOK);
        let load = self.planes.spares.look_in();
        let close = self.closes().map(|_| Duration::ZERO);
        [
            tick,
            deadline,
            acts,
            linger.filter(|_| look.is_none()),
            look,
            load,
            close,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Arm(plan, reply) => {
                let result = self.arm(*plan);
                reply.send(result).ok();
            }
            Command::ArmGroup(plan, reply) => {
                let result = self.arm_group(*plan);
                reply.send(result).ok();
            }
            Command::Join(id, member, reply) => {
                reply.send(self.join(&id, *member)).ok();
            }
            Command::Note(id, note) => {
                if let Some(group) = self.group_mut(&id) {
                    group.notes.push(note);
                }
            }
            Command::Seated(id, reply) => {
                reply.send(self.seated(&id)).ok();
            }
            Command::Outlived(id) => {
                // It may have ended since.
                if self.runs.iter().any(|run| run.id == id) {
                    self.target_gone(&id, "it was made anew");
                }
            }
            Command::GroupGone(id, why) => self.group_gone(&id, &why),
            Command::Reports(reply) => {
                let groups = self.groups.iter().rev();
                let groups = groups.filter_map(|group| self.group_report(group));
                let alone = |id: &RunId| group_of(id).is_none();
                let alive = self.runs.iter().rev().filter(|run| alone(&run.id));
                let alive = alive.filter_map(|r| self.report_of(r));
                let leaving = self.leaving.iter().rev().map(|l| l.report.clone());
                let leaving = leaving.filter(|report| alone(&report.id));
                let over = self.over.iter().cloned();
                let all = groups.chain(alive).chain(leaving).chain(over);
                reply.send(all.collect()).ok();
            }
            Command::Report(id, reply) => {
                reply.send(self.report(&id)).ok();
            }
            Command::Wait(id, reply) => {
                let alive = self.runs.iter_mut().find(|r| r.id == id);
                let leaving = self.leaving.iter_mut().find(|l| l.report.id == id);
                let group = self.groups.iter_mut().find(|group| group.id == id);
                if let Some(group) = group {
                    group.waiting.push(reply);
                } else if let Some(run) = alive {
                    run.waiting.push(reply);
                } else if let Some(run) = leaving {
                    run.waiting.push(reply);
                } else {
                    reply.send(self.report(&id)).ok();
                }
            }
            Command::Revert(id, why, reply) => {
                let plane = self.runs.iter().find(|r| r.id == id).and_then(Run::plane);
                let group = self.groups.iter().any(|group| group.id == id);
                let ended = if group {
                    self.end_group(&id, why)
                } else {
                    self.dismiss(&id);
                    self.end(&id, why)
                };
                reply.send(ended.map_or_else(|| self.report(&id), Ok)).ok();
                if why == Ended::TargetGone {
                    self.close_if_idle(plane);
                }
            }
            Command::RevertAll(why, reply) => {
                self.revert_all(why, reply);
            }
            Command::Changed(plane) => self.interfaces_changed(plane),
            Command::Peers(id, fault, peers) => self.peers_changed(&id, fault, peers),
            Command::Shutdown => {}
        }
    }

    /// A watchdog lives, or is started now.
    pub(super) fn guarded(&mut self) -> bool {
        if self
            .planes
            .watchdog
            .as_ref()
            .is_some_and(|w| w.heartbeat().is_ok())
        {
            return true;
        }
        if let Some(old) = self.planes.watchdog.take() {
            tracing::warn!("the watchdog is gone: starting another");
            // It may only be stopped: it must not wake to an engine it takes for dead.
            self.planes.vouch();
            old.goodbye();
        }
        self.watchdog_pid.store(0, Ordering::Relaxed);
        match Watchdog::start(&self.instance) {
            Ok(watchdog) => {
                self.watchdog_pid.store(watchdog.pid(), Ordering::Relaxed);
                let heard = self.runs.is_empty() || watchdog.armed().is_ok();
                self.planes.watchdog = Some(watchdog);
                heard
            }
            Err(e) => {
                tracing::error!("failed to start the watchdog: {e}");
                false
            }
        }
    }

    pub(super) fn new_id(&self) -> RunId {
        loop {
            let id = format!(
                "r-{:08x}",
                RandomState::new().hash_one(Instant::now()) >> 32
            );
            if matches!(self.report(&id), Err(EngineError::NoSuchRun(_))) {
                return id;
            }
        }
    }

    fn report_of(&self, run: &Run) -> Option<RunReport> {
        let Some(number) = run.plane() else {
            return Some(run.report(None));
        };
        Some(run.report(Some(&self.planes.get(number)?.plane)))
    }

    pub(super) fn report(&self, id: &RunId) -> Result<RunReport, EngineError> {
        self.runs
            .iter()
            .find(|r| r.id == *id)
            .and_then(|r| self.report_of(r))
            .or_else(|| {
                let mut leaving = self.leaving.iter().map(|l| &l.report);
                leaving.find(|r| r.id == *id).cloned()
            })
            .or_else(|| self.over.iter().find(|r| r.id == *id).cloned())
            .or_else(|| {
                let group = self.groups.iter().find(|group| group.id == *id)?;
                self.group_report(group)
            })
            .or_else(|| {
                let group = self
                    .groups
                    .iter()
                    .find(|group| group_of(id) == Some(&group.id))?;
                group.done.iter().find(|r| r.id == *id).cloned()
            })
            .ok_or_else(|| EngineError::NoSuchRun(id.clone()))
    }

    fn tick(&mut self) {
        let now = now_ns();
        for id in self.ids(|r| r.deadline_ns <= now) {
            self.end(&id, Ended::Deadline);
        }
        self.runs.iter_mut().for_each(Run::act);
        if !self.runs.is_empty() && Instant::now() >= self.next_tick {
            self.next_tick = Instant::now() + TICK;
            self.vouch();
            self.look_around();
        }
        for held in self.planes.iter_mut() {
            held.closing |= held.idle.is_some_and(|i| i.elapsed() >= self.linger);
        }
        self.look_at_leaving();
        self.look_at_groups();
        self.close_further();
        self.planes.spares.look();
    }

    pub(super) fn ids(&self, which: impl Fn(&Run) -> bool) -> Vec<RunId> {
        self.runs
            .iter()
            .filter(|r| which(r))
            .map(|r| r.id.clone())
            .collect()
    }

    /// Tells the programs and the watchdog that the engine lives.
    fn vouch(&mut self) {
        if !self.guarded() {
            for id in self.ids(|_| true) {
                self.end(&id, Ended::WatchdogLost);
            }
            return;
        }
        self.planes.vouch();
        for held in self.planes.iter_mut().filter(|h| !h.plane.is_idle()) {
            held.plane.flush_log();
        }
    }

    /// Ends runs whose plane was taken away or whose target is gone; asks for names again.
    fn look_around(&mut self) {
        let fenced: Vec<u32> = self
            .planes
            .iter_mut()
            .filter(|h| h.plane.is_fenced() && !h.closing)
            .map(|h| h.plane.number())
            .collect();
        if self.instance.take_fenced() {
            tracing::error!("the watchdog put back what this process had changed: it was late");
            for id in self.ids(Run::is_on_machine) {
                self.end(&id, Ended::Fenced);
            }
        }
        for number in fenced {
            tracing::error!("the watchdog took a plane away: this process was late");
            for id in self.ids(|r| r.plane() == Some(number)) {
                self.end(&id, Ended::Fenced);
            }
            self.close(number);
        }
        let gone: Vec<(RunId, String)> = self
            .runs
            .iter()
            .filter_map(|r| Some((r.id.clone(), r.plan.scope.alive().err()?.to_string())))
            .collect();
        for (id, why) in gone {
            self.target_gone(&id, &why);
        }
        for i in 0..self.runs.len() {
            if self.runs[i].resolved.elapsed() >= RESOLVE_EVERY {
                self.runs[i].resolved = Instant::now();
                resolve_again(&self.runs[i], &self.runs, &self.commands);
            }
        }
    }

    fn target_gone(&mut self, id: &RunId, why: &str) {
        tracing::warn!(run = id, "the target is gone: {why}");
        if let Some(run) = self.runs.iter_mut().find(|r| r.id == *id) {
            run.plan.notes.push(format!("ended early: {why}"));
        }
        let run = self.runs.iter().find(|r| r.id == *id);
        let plane = run.and_then(Run::plane);
        self.end(id, Ended::TargetGone);
        self.close_if_idle(plane);
    }

    /// Lingering would keep alive what is to go: a namespace lives while it is held.
    pub(super) fn close_if_idle(&mut self, plane: Option<u32>) {
        if let Some(number) = plane
            && self.planes.get(number).is_some_and(|h| h.plane.is_idle())
        {
            self.close(number);
        }
    }

    fn interfaces_changed(&mut self, plane: u32) {
        for role in self.planes.reconcile(plane, &self.instance) {
            for id in self.ids(|r| r.plane() == Some(plane) && r.needs(role)) {
                self.target_gone(&id, "the detour device it needs was deleted or set down");
            }
        }
        let Some(held) = self.planes.get(plane) else {
            return;
        };
        // A run that has none left is over, though others still act on this plane. A container that is
        // being made has yet to get its own, and ends with its process.
        let bare = |r: &Run| {
            !r.plan.scope.is_being_made
                && !r
                    .plan
                    .faults
                    .iter()
                    .any(|f| held.plane.covers(&f.rule.matcher))
        };
        for id in self.ids(|r| r.plane() == Some(plane) && bare(r)) {
            self.target_gone(&id, "its last interface is gone");
        }
    }

    fn peers_changed(&mut self, id: &RunId, fault: usize, peers: PeerSet) {
        let Some(run) = self.runs.iter().find(|r| r.id == *id) else {
            return;
        };
        if let Some(packets) = &run.packets
            && let Some(held) = self.planes.get_mut(packets.plane)
            && let Err(e) = packets.change_peers(&mut held.plane, fault, peers)
        {
            tracing::warn!(run = id, "the peers stay as they were: {e}");
        }
    }
}
