//! A run from its start to its report: through the daemon when its socket answers, else with an
//! engine in this process.

use std::{
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    Exit, Global, experiment,
    failure::CliError,
    keep::{keep, words},
    live::Live,
    machine::machine,
    out, render, runtime,
    side::Side,
    signals::Signals,
};
use crate::{
    api::{Client, Containers, Service},
    engine::{Engine, Options},
    experiment::{
        LoadCommand, Ran,
        record::{Load, Record},
    },
    instance::{Instance, Kind, Owner, StateDir, revert_abandoned},
    plan::Limits,
    report::{Ended, Phase, RunReport},
};

use super::ask::Ask;

/// The live line is drawn this often.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// The watchdog of a dead daemon has undone its work by then.
const WATCHDOG_WITHIN: Duration = Duration::from_secs(8);

/// How a run is followed.
#[derive(Debug)]
pub(super) struct How {
    pub(super) detach: bool,
    pub(super) json: bool,
    /// What runs under the fault; empty when nothing does.
    pub(super) command: Vec<OsString>,
}

/// A run that is over.
struct Over {
    report: RunReport,
    interrupted: bool,
    command: Option<u8>,
    /// What ran under it.
    load: Option<Load>,
    /// Seconds from its beginning to the end of all.
    seconds: f64,
    /// Notes that were told when it began.
    told: Vec<String>,
}

/// Runs what is asked, to its end.
pub(super) fn go(ask: &Ask, how: &How, global: &Global) -> Result<Exit, CliError> {
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        // Before anything is armed: a signal from here on reverts.
        let mut signals = Signals::catch()?;
        // The daemon says what its cap on the run's time is.
        if let Ok(profile) = ask.check(Duration::MAX)
            && profile.experiment.is_some()
        {
            // Without one, the cap is our own.
            let profile = match Client::new(&global.socket()).status().await {
                Ok(_) => profile,
                Err(_) => ask.check(Limits::default().max_for)?,
            };
            return experiment::go(ask, &profile, how, global, signals).await;
        }
        let client = Client::new(&global.socket());
        match client.status().await {
            Ok(_) => in_daemon(ask, how, global, client, &mut signals).await,
            Err(error) if error.is_no_daemon() => here(ask, how, global, &mut signals).await,
            Err(error) => Err(error.into()),
        }
    });
    // A probe's look for a host name may go on for a while, and nobody waits for it.
    runtime.shutdown_background();
    exit
}

async fn in_daemon(
    ask: &Ask,
    how: &How,
    global: &Global,
    client: Client,
    signals: &mut Signals,
) -> Result<Exit, CliError> {
    // The daemon says what its cap on the run's time is.
    ask.check(Duration::MAX)?;
    let side = Side::Daemon(client);
    if how.detach {
        let report = side.start(ask).await?;
        if how.json {
            out::json(&report);
        } else {
            out::say(&report.id);
        }
        return Ok(Exit::Done);
    }
    match follow(&side, ask, how, signals).await {
        Ok(over) => Ok(finish(over, how, ask, global)),
        Err(CliError::DaemonLost { id, source, .. }) => {
            let reverted = nothing_left(&global.state()).await;
            Err(CliError::DaemonLost {
                id,
                reverted,
                source,
            })
        }
        Err(error) => Err(error),
    }
}

async fn here(
    ask: &Ask,
    how: &How,
    global: &Global,
    signals: &mut Signals,
) -> Result<Exit, CliError> {
    if how.detach {
        return Err(CliError::Usage(format!(
            "--detach needs the daemon, and none answers on {}: start one with `chaosd serve`, or leave out --detach",
            global.socket().display()
        )));
    }
    let limits = Limits::default();
    // Bad input and a missing target are told before anything is started.
    ask.plan(limits)?;
    let state = global.state();
    let left = revert_abandoned(&state, &machine());
    render::reverted(&left).into_iter().for_each(out::tell);
    let instance = Instance::claim(&state, Kind::Run)?;
    let engine = Engine::start(Options {
        instance,
        system: Arc::new(machine()),
        linger: Duration::ZERO,
        spares: 0,
        mechanism: global.mechanism(),
    })?;
    let side = Side::Here(Service {
        engine: engine.handle(),
        limits,
        state,
        containers: Containers::default(),
        store: None,
    });
    let over = follow(&side, ask, how, signals).await;
    // Whatever happened, nothing is left in force.
    let problems = engine.stop();
    let mut over = match over {
        Ok(over) => over,
        Err(error) => {
            problems.iter().for_each(out::tell);
            return Err(error);
        }
    };
    for problem in problems {
        if !over.report.problems.contains(&problem) {
            over.report.problems.push(problem);
        }
        over.report.phase = Phase::Failed;
    }
    Ok(finish(over, how, ask, global))
}

async fn follow(
    side: &Side,
    ask: &Ask,
    how: &How,
    signals: &mut Signals,
) -> Result<Over, CliError> {
    let begun = Instant::now();
    let armed = side.start(ask).await?;
    let since = |moment: Instant| (moment - begun).as_secs_f64();
    render::started(&armed).into_iter().for_each(out::tell);
    let mut child = match command(&how.command) {
        Ok(child) => child,
        Err(error) => {
            side.revert(&armed.id, Ended::CommandEnded).await?;
            return Err(error);
        }
    };
    let loaded = since(Instant::now());
    // The command has the terminal to itself.
    let mut live = Live::new(child.is_none());
    let mut over = watch(side, &armed.id, child.as_mut(), signals, &mut live).await?;
    live.clear();
    over.told = armed.notes;
    if let (Some(child), None) = (&mut child, over.command) {
        over.command = Some(if over.interrupted {
            child.end().await
        } else {
            out::tell("the faults are over; waiting for the command");
            tokio::select! {
                code = child.ended() => code,
                _ = signals.next() => { over.interrupted = true; child.end().await }
            }
        });
    }
    if let Some(child) = &child {
        let times = (loaded, since(Instant::now()));
        over.load = Some(Load::of(&how.command, times, child));
    }
    while over.report.phase == Phase::Draining {
        let left = side.wait(&armed.id);
        over.report = patiently(left, &armed.id, signals).await?;
    }
    over.seconds = since(Instant::now());
    Ok(over)
}

/// Starts what runs under the fault. `None`: nothing does.
fn command(words: &[OsString]) -> Result<Option<LoadCommand>, CliError> {
    let Some(command) = words.first() else {
        return Ok(None);
    };
    let started = LoadCommand::start(words, false);
    started.map(Some).map_err(|source| CliError::Command {
        command: command.clone(),
        source,
    })
}

async fn watch(
    side: &Side,
    id: &str,
    mut child: Option<&mut LoadCommand>,
    signals: &mut Signals,
    live: &mut Live,
) -> Result<Over, CliError> {
    let mut interrupted = false;
    let mut command = None;
    let mut redraw = interval(REDRAW_EVERY);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = side.wait(id);
    tokio::pin!(over);
    let report = loop {
        let command_ends = async {
            match child.as_mut() {
                Some(child) => child.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            report = &mut over => break report?,
            _ = redraw.tick(), if live.is_on() => {
                // What is wrong is told by `over`.
                if let Ok(report) = side.report(id).await {
                    live.draw(&report);
                }
            }
            signal = signals.next() => {
                interrupted = true;
                live.clear();
                out::tell(format_args!("{signal}: reverting run {id}"));
                break revert(side, id, Ended::Shutdown, signals).await?;
            }
            code = command_ends, if command.is_none() => {
                command = Some(code);
                break revert(side, id, Ended::CommandEnded, signals).await?;
            }
        }
    };
    Ok(Over {
        report,
        interrupted,
        command,
        load: None,
        seconds: 0.0,
        told: Vec::new(),
    })
}

/// Ends the run.
async fn revert(
    side: &Side,
    id: &str,
    why: Ended,
    signals: &mut Signals,
) -> Result<RunReport, CliError> {
    patiently(side.revert(id, why), id, signals).await
}

/// Waits for it, however often it is interrupted.
async fn patiently(
    over: impl Future<Output = Result<RunReport, CliError>>,
    id: &str,
    signals: &mut Signals,
) -> Result<RunReport, CliError> {
    tokio::pin!(over);
    loop {
        tokio::select! {
            report = &mut over => return report,
            signal = signals.next() => out::tell(format_args!("{signal}: still reverting run {id}")),
        }
    }
}

fn finish(over: Over, how: &How, ask: &Ask, global: &Global) -> Exit {
    let Over {
        report,
        interrupted,
        command,
        load,
        seconds,
        told,
    } = over;
    if how.json {
        out::json(&report);
    } else {
        out::say(render::faults(&report));
    }
    render::ended(&report, &told)
        .into_iter()
        .for_each(out::tell);
    if let Some(code) = command.filter(|code| *code != 0) {
        out::tell(format_args!("the command ended with code {code}"));
    }
    let ran = Ran {
        command: words(),
        about: ask.about(),
        seconds: Some(seconds),
        load,
        ..Ran::default()
    };
    keep(&Record::of_run(&report, ran), global);
    Exit::of_run(&report, interrupted, command)
}

/// True once the watchdog of a dead daemon has undone everything.
pub(super) async fn nothing_left(state: &StateDir) -> bool {
    let attempts = WATCHDOG_WITHIN.as_millis() / REDRAW_EVERY.as_millis();
    for _ in 0..attempts {
        let abandoned = state.abandoned().is_ok_and(|left| left.is_empty());
        let orphaned = state.live().is_ok_and(|live| {
            live.iter()
                .any(|instance| !instance.owner.as_ref().is_some_and(Owner::is_alive))
        });
        if abandoned && !orphaned {
            return true;
        }
        sleep(REDRAW_EVERY).await;
    }
    false
}
