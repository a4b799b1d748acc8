//! `chaosd run` of a profile that is an experiment: its faults by the daemon when its socket answers,
//! else by an engine in this process; its probes from here.

use std::{ffi::OsString, time::Duration};

use tokio::sync::mpsc;

use super::{
    Exit, Global,
    ask::Checked,
    experiment_show::Show,
    failure::CliError,
    follow::How,
    keep::{keep, verdict, words},
    lost::nothing_left,
    out, render,
    side::Side,
    signals::Signals,
};
use crate::{
    api::{Client, Refusal, RunRequest, Runs, bind},
    experiment::{Arms, Heading, Runner, hit, ready, record::Record},
    plan::{Limits, Plans, draw},
    profile::{Experiment, Profile, fill_in},
    report::{Ended, Phase, RunReport},
};

/// Signals that nobody has heard yet.
const SIGNALS: usize = 16;
/// Programs of an engine of our own stay attached for so long without a run.
const LINGER: Duration = Duration::from_secs(30);

/// The runs of the stages.
struct Stages {
    side: Side,
    requests: Vec<Option<RunRequest>>,
}

impl Stages {
    fn told(error: &CliError) -> String {
        match error {
            // Whether something is left is found out when all else is over.
            CliError::DaemonLost { id, .. } => {
                format!("the daemon went away while run {id} was in force")
            }
            error => out::chain(error),
        }
    }
}

impl Arms for Stages {
    async fn arm(&self, stage: usize) -> Result<RunReport, String> {
        let request = self.requests.get(stage).and_then(Option::as_ref);
        let request = request.ok_or("the stage has no faults")?;
        let started = match &self.side {
            Side::Daemon(client) => client.start(request).await.map_err(CliError::from),
            // Planning is done aside: probes look on meanwhile.
            Side::Here(service) => Runs::start(service, request.clone())
                .await
                .map_err(CliError::from),
        };
        started.map_err(|error| Self::told(&error))
    }

    async fn revert(&self, id: &str) -> Result<RunReport, String> {
        let reverted = self.side.revert(id, Ended::Reverted).await;
        reverted.map_err(|error| Self::told(&error))
    }

    async fn wait(&self, id: &str) -> Result<RunReport, String> {
        let over = self.side.wait(id).await;
        over.map_err(|error| Self::told(&error))
    }

    async fn report(&self, id: &str) -> Result<RunReport, String> {
        let report = self.side.report(id).await;
        report.map_err(|error| Self::told(&error))
    }
}

/// Runs it, by the daemon if there is one.
pub(super) async fn go(
    asked: Checked,
    daemon: Option<Client>,
    how: &How,
    global: &Global,
    signals: Signals,
) -> Result<Exit, CliError> {
    let name = asked.request.name().to_owned();
    let mut profile = asked.profile;
    let Some(mut experiment) = profile.experiment.take() else {
        return Err(CliError::Usage(format!("{name} is no experiment")));
    };
    if how.detach {
        let what = "--detach beside an experiment: its probes look from here; leave --detach out";
        return Err(CliError::Usage(what.to_owned()));
    }
    load(&mut experiment, &how.command)?;
    ready(&experiment).map_err(CliError::Unready)?;
    // It is made for its record.
    global.runs.store().try_out().map_err(CliError::Unkept)?;
    let seed = profile.seed.unwrap_or_else(draw);
    let requests = requests(&name, &experiment, seed);
    let heading = Heading {
        profile: name,
        command: words(),
        about: profile.about,
        seed,
        spared: Vec::new(),
        started: String::new(),
    };
    let place = (global, how.json);
    let record = match daemon {
        Some(client) => in_daemon(&experiment, requests, heading, client, place, signals).await?,
        None => here(&experiment, requests, heading, place, signals).await?,
    };
    let record = record.analysed();
    if how.json {
        out::json(&record);
    }
    Ok(finish(&record, how, global))
}

fn finish(record: &Record, how: &How, global: &Global) -> Exit {
    if !how.json {
        for stage in &record.stages {
            if let Some(run) = &stage.run {
                out::say(format_args!("stage {}", out::paint(out::BOLD, &stage.name)));
                out::say(render::faults(run));
            }
        }
    }
    record
        .problems
        .iter()
        .for_each(|problem| out::tell(out::paint(out::BAD, problem)));
    keep(record, global);
    verdict(record, !how.command.is_empty())
}

/// What stands after `--` is the load.
fn load(experiment: &mut Experiment, command: &[OsString]) -> Result<(), CliError> {
    if command.is_empty() {
        return Ok(());
    }
    if !experiment.load.is_empty() {
        let what = "a command after -- beside the profile's own load: leave out one of them";
        return Err(CliError::Usage(what.to_owned()));
    }
    let lasts = experiment.lasts();
    experiment.load = command
        .iter()
        .map(|word| fill_in(&word.to_string_lossy(), lasts))
        .collect();
    Ok(())
}

/// What is asked of the engine at each stage.
pub(super) fn requests(name: &str, experiment: &Experiment, seed: u64) -> Vec<Option<RunRequest>> {
    let of = |profile: &Profile| RunRequest {
        profile: profile.to_document(),
        name: Some(name.to_owned()),
        // The same in each stage: who was drawn stays drawn.
        seed: Some(seed),
        keeps_record: true,
        while_connected: true,
        ..RunRequest::default()
    };
    let stages = experiment.stages.iter();
    stages
        .map(|stage| stage.profile.as_deref().map(of))
        .collect()
}

async fn in_daemon(
    experiment: &Experiment,
    requests: Vec<Option<RunRequest>>,
    mut heading: Heading,
    client: Client,
    (global, json): (&Global, bool),
    signals: Signals,
) -> Result<Record, CliError> {
    for stage in experiment.stages.iter().filter_map(|s| s.profile.as_ref()) {
        let limits = Limits {
            max_for: Duration::MAX,
            ..Limits::default()
        };
        if experiment
            .control
            .as_ref()
            .is_some_and(|c| c.target.is_some())
        {
            let plans = bind(&heading.profile, stage, limits)?;
            spares_twin(&heading.profile, experiment, stage, &plans, limits)?;
        }
    }
    // The daemon says what its cap is, and what is missing, before anything is done.
    for request in requests.iter().flatten() {
        let plan = client.plan(request).await?;
        spare(&mut heading, &plan);
    }
    let side = Side::Daemon(client.clone());
    let mut record = run(
        experiment,
        Stages { side, requests },
        heading,
        signals,
        json,
    )
    .await;
    if client.status().await.is_err() {
        lost(&mut record, nothing_left(global).await);
    }
    Ok(record)
}

/// The daemon died: of a run that it had then, nobody learns more.
fn lost(record: &mut Record, reverted: bool) {
    let runs = record.stages.iter_mut().filter_map(|s| s.run.as_mut());
    for run in runs.filter(|run| run.phase == Phase::Armed) {
        run.phase = if reverted {
            Phase::Reverted
        } else {
            Phase::Failed
        };
        run.ended = Some(Ended::DaemonLost);
    }
    if !reverted {
        let what = "the daemon died, and something may be left over: `chaosd doctor` shows it, `chaosd revert --all` undoes it";
        record.problems.push(what.to_owned());
    }
}

async fn here(
    experiment: &Experiment,
    requests: Vec<Option<RunRequest>>,
    mut heading: Heading,
    (global, json): (&Global, bool),
    signals: Signals,
) -> Result<Record, CliError> {
    let limits = Limits::default();
    for stage in experiment.stages.iter().filter_map(|s| s.profile.as_ref()) {
        let plans = bind(&heading.profile, stage, limits)?;
        spares_twin(&heading.profile, experiment, stage, &plans, limits)?;
        let plan = serde_json::to_value(&plans).map_err(|e| Refusal::Broken(e.to_string()))?;
        spare(&mut heading, &plan);
    }
    // From stage to stage, programs stay where they are.
    let (side, engine) = Side::here(global, LINGER, 1)?;
    let mut record = run(
        experiment,
        Stages { side, requests },
        heading,
        signals,
        json,
    )
    .await;
    // Whatever happened, nothing is left in force.
    for problem in engine.stop() {
        if !record.problems.contains(&problem) {
            record.problems.push(problem);
        }
    }
    Ok(record)
}

/// Fails when a stage would hit the twin.
pub(super) fn spares_twin(
    name: &str,
    experiment: &Experiment,
    stage: &Profile,
    plans: &Plans,
    limits: Limits,
) -> Result<(), CliError> {
    let target = experiment.control.as_ref().and_then(|c| c.target.clone());
    let Some(target) = target else {
        return Ok(());
    };
    let twin = Profile {
        target,
        ..stage.clone()
    };
    let twin = bind(name, &twin, limits)?;
    match hit(plans, &twin) {
        None => Ok(()),
        Some((hit, twin)) => Err(CliError::Usage(format!(
            "the control's target, {}, would be hit too, by the faults on {}: name a twin that is spared",
            twin.label, hit.label
        ))),
    }
}

/// Those of a plan that are not hit, with why.
fn spare(heading: &mut Heading, plan: &serde_json::Value) {
    let spared = plan["spared"].as_array().into_iter().flatten();
    for one in spared {
        let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let line = format!("{}: {}", word("label"), word("why").replace('-', " "));
        if !heading.spared.contains(&line) {
            heading.spared.push(line);
        }
    }
}

async fn run(
    experiment: &Experiment,
    stages: Stages,
    heading: Heading,
    mut signals: Signals,
    json: bool,
) -> Record {
    let (sender, mut interrupts) = mpsc::channel(SIGNALS);
    let listener = tokio::spawn(async move {
        loop {
            let signal = signals.next().await;
            if sender.try_send(signal).is_err() {
                out::tell(format_args!("{signal}: it is ending already"));
            }
        }
    });
    let mut show = Show::new(experiment, &heading, json);
    let runner = Runner::new(experiment, &stages, &mut show, &mut interrupts);
    let record = runner.run(heading).await;
    show.clear();
    listener.abort();
    record
}
