//! `chaosd status`: what is in force, with or without a daemon.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Exit, Global, Output, called, failure::CliError, out, render, runtime};
use crate::{
    api::Client,
    instance::{Kind, Owner, StateDir},
    report::{Daemon, Phase, RunReport, Verdict},
};

/// `--watch` looks again this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Status {
    /// These runs alone (r-0123abcd, or the name of `--as`)
    #[arg(value_name = "RUN")]
    wanted: Vec<String>,
    /// Whether each of these runs is so: exit code 0, or 1 if not
    #[arg(
        long,
        value_name = "STATE",
        requires = "wanted",
        conflicts_with = "watch"
    )]
    expect: Option<State>,
    /// Look again every second
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// `--expect`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Its faults are in force
    Armed,
    /// Each of its faults has acted, in force or over
    Effective,
    /// It is over, and everything is as before
    Over,
}

impl State {
    fn is_of(self, run: &RunReport) -> bool {
        let acted = |verdict| matches!(verdict, Verdict::Effective | Verdict::NotTaken);
        match self {
            Self::Armed => run.phase == Phase::Armed,
            Self::Effective => {
                let mut faults = run.faults.iter().map(|fault| fault.verdict);
                faults.clone().all(acted) && faults.any(|verdict| verdict == Verdict::Effective)
            }
            Self::Over => run.phase == Phase::Reverted,
        }
    }
}

/// What `status -o json` prints.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Machine {
    /// The daemon, when one answers.
    pub(super) daemon: Option<Daemon>,
    /// Runs of the daemon: alive, then the last ones that are over, newest first.
    pub(super) runs: Vec<RunReport>,
    /// Foreground runs without a daemon.
    pub(super) foreground: Vec<Process>,
    /// Instances that died and were not undone.
    pub(super) left_over: Vec<Process>,
    /// What could not be learnt.
    pub(super) problems: Vec<String>,
}

/// An instance, alive or dead.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Process {
    pub(super) instance: u32,
    pub(super) pid: Option<u32>,
    pub(super) kind: Option<Kind>,
}

impl Status {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        runtime()?.block_on(async {
            let client = Client::new(&global.socket());
            let state = global.state();
            loop {
                let mut machine = look(&client, &state).await;
                if !self.wanted.is_empty() {
                    machine.runs = self.pick(&machine)?;
                }
                match (self.output.is_json(), self.watch) {
                    (true, true) => out::json_line(&machine),
                    (true, false) => out::json(&machine),
                    (false, true) => out::say(format_args!(
                        "{}{}",
                        render::fresh_screen(),
                        render::status(&machine, client.socket())
                    )),
                    (false, false) => out::say(render::status(&machine, client.socket())),
                }
                if !self.watch {
                    let as_expected =
                        |state: State| machine.runs.iter().all(|run| state.is_of(run));
                    return Ok(if !machine.problems.is_empty() {
                        Exit::Host
                    } else if self.expect.is_none_or(as_expected) {
                        Exit::Done
                    } else {
                        Exit::Unexpected
                    });
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    }
}

impl Status {
    /// The runs that are asked for.
    fn pick(&self, machine: &Machine) -> Result<Vec<RunReport>, CliError> {
        let mut picked: Vec<RunReport> = Vec::new();
        for wanted in &self.wanted {
            let found = called::find(&machine.runs, wanted);
            if found.is_empty() && machine.problems.is_empty() {
                return Err(CliError::Usage(format!(
                    "no run {wanted}; there are: {}",
                    called::known(&machine.runs)
                )));
            }
            for run in found {
                if !picked.iter().any(|other| other.id == run.id) {
                    picked.push(run.clone());
                }
            }
        }
        Ok(picked)
    }
}

async fn look(client: &Client, state: &StateDir) -> Machine {
    let mut problems = Vec::new();
    let (daemon, runs) = match client.status().await {
        Ok(status) => (status.daemon, status.runs),
        Err(error) => {
            if !error.is_no_daemon() {
                problems.push(out::chain(&error));
            }
            (None, Vec::new())
        }
    };
    let process = |instance, owner: Option<&Owner>| Process {
        instance,
        pid: owner.map(|owner| owner.pid),
        kind: owner.and_then(|owner| owner.kind),
    };
    let live = state.live().unwrap_or_else(|error| {
        problems.push(out::chain(&error));
        Vec::new()
    });
    if daemon.is_none() && problems.is_empty() {
        // Its socket was removed, or is another.
        let unheard = live.iter().filter_map(|live| live.owner.as_ref());
        let unheard = unheard.filter(|owner| owner.kind == Some(Kind::Daemon) && owner.is_alive());
        problems.extend(unheard.map(|owner| {
            format!(
                "a daemon lives (pid {}) and does not answer on {}: name its socket by --socket, or end it by `chaosd revert --all`",
                owner.pid,
                client.socket().display()
            )
        }));
    }
    let foreground = live
        .iter()
        .map(|live| process(live.number, live.owner.as_ref()))
        .filter(|process| process.kind == Some(Kind::Run))
        .collect();
    let left_over = match state.abandoned() {
        Ok(abandoned) => abandoned
            .iter()
            .map(|dead| process(dead.number, dead.owner.as_ref()))
            .collect(),
        // Said already, by `live`.
        Err(_) => Vec::new(),
    };
    Machine {
        daemon,
        runs,
        foreground,
        left_over,
        problems,
    }
}
