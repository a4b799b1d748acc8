//! Runs an experiment, from the look before anything is done to the record of all that was seen.
//!
//! Invariant: whatever ends a stage, its faults are reverted before anything is measured or told.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{
    SETTLED,
    condition::Condition,
    grid::{Event, Grid, Pace},
    load_command::LoadCommand,
    looked::{Looked, Role},
    probe::Looker,
    record::{End, Load, Record, Stage},
    telling::{News, Now, ProbeNow, Shows},
    writing::Heading,
};
use crate::{
    profile::{AbortOn, Experiment},
    report::RunReport,
};

/// The live line is drawn this often.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// A line that cannot be filled in by then is drawn without.
const ASK_WITHIN: Duration = Duration::from_millis(200);
/// Looks of each probe before anything is done.
pub(super) const LOOKS_BEFORE: u32 = 3;

/// Who arms the faults of a stage.
pub trait Arms {
    /// Resolves when they are in force; or says why not, and nothing is.
    fn arm(&self, stage: usize) -> impl Future<Output = Result<RunReport, String>>;
    /// Resolves when nothing of the run acts any more.
    fn revert(&self, id: &str) -> impl Future<Output = Result<RunReport, String>>;
    /// Resolves when the run is over, and all that it held has left.
    fn wait(&self, id: &str) -> impl Future<Output = Result<RunReport, String>>;
    /// How it stands.
    fn report(&self, id: &str) -> impl Future<Output = Result<RunReport, String>>;
}

/// Why a wait is over.
pub(super) enum Woke {
    /// It was time.
    Time,
    /// What was waited for is there.
    Reached,
    /// A condition of `abort-when` came true: its place in the list.
    Aborted(usize),
    /// Somebody interrupts.
    Interrupted(&'static str),
    /// The run is over.
    RunOver(Box<Result<RunReport, String>>),
}

/// What a wait is for, besides its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Nothing.
    Time,
    /// So many looks of each probe.
    Looks(u32),
    /// The steady state holds again. `true`: nothing else is waited for then.
    Recovered(bool),
}

/// What a wait may be ended by.
pub(super) struct Until<'r> {
    pub at: Option<Instant>,
    pub goal: Goal,
    pub run: Option<&'r str>,
    pub aborts: bool,
}

/// An experiment that runs.
pub struct Runner<'a, A, S> {
    pub(super) experiment: &'a Experiment,
    pub(super) arms: &'a A,
    pub(super) show: &'a mut S,
    interrupts: &'a mut mpsc::Receiver<&'static str>,
    pub(super) start: Instant,
    pub(super) looked: Vec<Looked>,
    pub(super) conditions: Vec<Condition>,
    pub(super) fired: Vec<Option<f64>>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    pace: watch::Sender<Pace>,
    watching: JoinSet<()>,
    load: Option<LoadCommand>,
    loaded: Option<Load>,
    pub(super) stages: Vec<Stage>,
    /// Since when no fault acts, until all is well again.
    pub(super) recovering: Option<Instant>,
    pub(super) stage: usize,
    pub(super) stage_ends: Instant,
}

impl<'a, A: Arms, S: Shows> Runner<'a, A, S> {
    /// One that has not begun. `interrupts`: names of signals that end it in order.
    pub fn new(
        experiment: &'a Experiment,
        arms: &'a A,
        show: &'a mut S,
        interrupts: &'a mut mpsc::Receiver<&'static str>,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let mut looked: Vec<Looked> = Vec::new();
        let steady = experiment.steady_state.iter();
        looked.extend(steady.map(|spec| Looked::new(spec.clone(), Role::Steady)));
        let twins = experiment
            .control
            .iter()
            .flat_map(|control| &control.probes);
        looked.extend(twins.map(|spec| Looked::new(spec.clone(), Role::Control)));
        let mut conditions = Vec::new();
        for abort in &experiment.abort_when {
            let probes = match &abort.on {
                AbortOn::Failing(which) => which.clone(),
                AbortOn::Fails(spec) | AbortOn::Comes(spec) => {
                    let comes = matches!(abort.on, AbortOn::Comes(_));
                    looked.push(Looked::new((**spec).clone(), Role::Condition { comes }));
                    vec![looked.len() - 1]
                }
            };
            let what = abort.what(&experiment.steady_state);
            conditions.push(Condition::new(what, probes, abort.lasting));
        }
        let now = Instant::now();
        Self {
            experiment,
            arms,
            show,
            interrupts,
            start: now,
            looked,
            fired: vec![None; conditions.len()],
            conditions,
            events,
            sender,
            pace: watch::Sender::new(Pace::Check),
            watching: JoinSet::new(),
            load: None,
            loaded: None,
            stages: Vec::new(),
            recovering: None,
            stage: 0,
            stage_ends: now,
        }
    }

    /// Runs it to its end. Nothing of it is in force any more when this resolves, unless the record's
    /// problems say so.
    pub async fn run(mut self, heading: Heading) -> Record {
        self.start = Instant::now();
        let heading = heading.begin();
        let end = self.all_stages().await;
        self.end_load(&end).await;
        self.hear_out().await;
        self.last_reports().await;
        let seconds = self.seconds(Instant::now());
        let Self {
            looked,
            conditions,
            fired,
            stages,
            loaded,
            experiment,
            ..
        } = self;
        let watched: Vec<Option<String>> = conditions
            .iter()
            .map(|condition| condition.of_steady_state(&looked))
            .collect();
        heading.record(experiment, end, seconds, |record| {
            record.stages = stages;
            record.probes = looked.into_iter().filter_map(Looked::into_record).collect();
            record.aborts = conditions
                .into_iter()
                .zip(watched)
                .zip(fired)
                .map(|((condition, probe), fired)| super::record::Abort {
                    what: condition.what,
                    probe,
                    fired,
                })
                .collect();
            record.load = loaded;
        })
    }

    /// Lets every probe look, until the end.
    pub(super) fn watch(&mut self) {
        for (probe, looked) in self.looked.iter().enumerate() {
            let grid = Grid {
                probe,
                spec: looked.spec.clone(),
                pace: self.pace.subscribe(),
                events: self.sender.clone(),
            };
            let spec = looked.spec.clone();
            let comes = looked.role == Role::Condition { comes: true };
            self.watching
                .spawn(grid.run(move || Looker::new(&spec, comes)));
        }
    }

    pub(super) fn look(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    /// Waits, and hears what probes have to tell.
    pub(super) async fn pump(&mut self, until: &Until<'_>) -> Woke {
        let arms = self.arms;
        let over = async {
            match until.run {
                Some(id) => arms.wait(id).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let mut redraw = interval(REDRAW_EVERY);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(woke) = self.decided(until) {
                return woke;
            }
            let due = self.conditions.iter().filter_map(Condition::due);
            let due = due.filter(|_| until.aborts);
            let wake = due.chain(until.at).min();
            let load_ends = async {
                match self.load.as_mut().filter(|load| load.code().is_none()) {
                    Some(load) => load.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = self.interrupts.recv() => {
                    return Woke::Interrupted(signal.unwrap_or("the end of signals"));
                }
                Some(event) = self.events.recv() => self.hear(event),
                report = &mut over => return Woke::RunOver(Box::new(report)),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                code = load_ends => self.load_over(code),
                _ = redraw.tick(), if self.show.is_live() => {
                    let run = match until.run {
                        Some(id) => timeout(ASK_WITHIN, arms.report(id)).await.ok(),
                        None => None,
                    };
                    self.draw(run.and_then(Result::ok).as_ref());
                }
            }
        }
    }

    /// What is known already.
    fn decided(&mut self, until: &Until<'_>) -> Option<Woke> {
        let now = Instant::now();
        if until.aborts {
            let is_due = |c: &Condition| c.due().is_some_and(|due| due <= now);
            if let Some(n) = self.conditions.iter().position(is_due) {
                return Some(Woke::Aborted(n));
            }
        }
        match until.goal {
            Goal::Looks(looks) if self.looked.iter().all(|l| l.looks >= looks) => {
                return Some(Woke::Reached);
            }
            Goal::Recovered(ends) if self.is_recovered(now) => {
                self.recovered();
                if ends {
                    return Some(Woke::Reached);
                }
            }
            _ => {}
        }
        let is_over = until.at.is_some_and(|at| at <= now);
        is_over.then_some(Woke::Time)
    }

    fn is_recovered(&self, now: Instant) -> bool {
        let mut steady = self.looked.iter().filter(|l| l.is_of_steady_state());
        self.recovering.is_some()
            && steady.all(|l| l.good_since().is_some_and(|since| now >= since + SETTLED))
    }

    /// The time for it is over.
    pub(super) fn recovered_or_not(&mut self) {
        let mut steady = self.looked.iter().filter(|l| l.is_of_steady_state());
        if self.recovering.is_none() || steady.next().is_none() {
            return;
        }
        let steady = self.looked.iter().filter(|l| l.is_of_steady_state());
        if steady.clone().all(|l| l.good_since().is_some()) {
            self.recovered();
        } else {
            self.show.news(&News::NotRecovered);
        }
    }

    fn recovered(&mut self) {
        let Some(gone) = self.recovering.take() else {
            return;
        };
        let steady = self.looked.iter().filter(|l| l.is_of_steady_state());
        let well = steady.filter_map(Looked::good_since).max().unwrap_or(gone);
        let after = well.saturating_duration_since(gone).as_secs_f64();
        self.show.news(&News::Recovered { after });
        self.look(Pace::Own);
    }

    /// Waits for those that looked under faults and have no answer yet, unless somebody interrupts.
    async fn hear_out(&mut self) {
        self.look(Pace::Over);
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.hear(event),
                over = self.watching.join_next() => if over.is_none() {
                    return;
                },
                _ = self.interrupts.recv() => return self.watching.abort_all(),
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Late { probe, at } => {
                let was = self.looked[probe].is_good();
                if self.looked[probe].be_late(at) {
                    self.judge(probe, at, was, Some("no answer in time"));
                }
            }
            Event::Saw { probe, sight } => {
                let was = self.looked[probe].is_good();
                if let Some(sight) = self.looked[probe].saw(sight, self.start) {
                    self.judge(probe, sight.at, was, sight.why.as_deref());
                }
            }
        }
    }

    /// `was`: how it stood before this look.
    fn judge(&mut self, probe: usize, at: Instant, was: Option<bool>, why: Option<&str>) {
        for condition in &mut self.conditions {
            condition.saw(probe, at, why);
        }
        let looked = &self.looked[probe];
        if was.unwrap_or(true) != why.is_none() && looked.is_of_steady_state() {
            self.show.news(&News::Probe {
                name: looked.name(),
                why: why.map(str::to_owned),
            });
        }
    }

    fn draw(&mut self, run: Option<&RunReport>) {
        let steady = self.looked.iter().filter(|l| l.is_of_steady_state());
        let probes = steady
            .map(|looked| ProbeNow {
                name: looked.name(),
                good: looked.is_good(),
                value: looked
                    .last()
                    .map_or(String::new(), |last| last.told(looked.spec.kind.unit())),
            })
            .collect();
        // What is looked at before the first one is told already.
        let Some(stage) = self.stages.last() else {
            return;
        };
        let left = self.stage_ends.saturating_duration_since(Instant::now());
        self.show.draw(&Now {
            stage: &stage.name,
            lasts: stage.planned,
            left: left.as_secs_f64(),
            probes,
            run,
        });
    }

    /// Starts the load; or says why not.
    pub(super) async fn begin_load(&mut self) -> Result<(), String> {
        let words = &self.experiment.load;
        if words.is_empty() {
            return Ok(());
        }
        let begin = self.seconds(Instant::now());
        let as_os: Vec<_> = words.iter().map(Into::into).collect();
        let load = LoadCommand::start(&as_os, self.show.has_stdout())
            .await
            .map_err(|error| format!("failed to start the load {}: {error}", words[0]))?;
        self.load = Some(load);
        self.loaded = Some(Load {
            command: words.clone(),
            begin,
            end: begin,
            exit: None,
            ended_by_us: None,
            tool: None,
            figures: Vec::new(),
            output: String::new(),
        });
        Ok(())
    }

    fn load_over(&mut self, code: u8) {
        self.note_load();
        self.show.news(&News::Load { code });
    }

    /// What is known of the load.
    fn note_load(&mut self) {
        let ended = self.load.as_ref().and_then(LoadCommand::ended_at);
        let end = self.seconds(ended.unwrap_or_else(Instant::now));
        if let (Some(load), Some(loaded)) = (&self.load, &mut self.loaded) {
            let words: Vec<_> = loaded.command.iter().map(Into::into).collect();
            *loaded = Load::of(&words, (loaded.begin, end), load);
        }
    }

    /// Ends it with all that it started, also what goes on without it.
    async fn end_load(&mut self, end: &End) {
        let Some(load) = &mut self.load else {
            return;
        };
        if load.is_gone() {
            return;
        }
        let told = load.code().is_some();
        let code = match end {
            // It was told how long to last, and has a summary to print.
            End::Completed => load.end_within(Duration::from_secs(3)).await,
            End::Interrupted { .. } => load.end().await,
            _ => load.end_within(Duration::ZERO).await,
        };
        if told {
            self.note_load();
        } else {
            self.load_over(code);
        }
    }
}
