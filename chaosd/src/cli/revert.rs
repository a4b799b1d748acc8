//! `chaosd revert`: the off-switch. Works through the daemon, without one, and against one that no
//! longer answers.

use std::time::{Duration, Instant};

use clap::Args;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;

use super::{
    Exit, Global, Output, called, failure::CliError, machine::machine, out, render, runtime,
};
use crate::{
    api::{Client, ClientError},
    host,
    instance::{InstanceError, Kind, Live, Owner, StateDir, revert_abandoned},
    report::{Ended, Phase, RunReport},
    undo::RevertReport,
};

/// A process that was asked to end has reverted by then: its held packets have left, which takes a
/// chunk of the longest hold ([`chaosd_ebpf::CHUNKS_NS`]), after what its netems held. Killing it
/// earlier would lose them.
const END_WITHIN: Duration = Duration::from_secs(12);
const _: () = assert!(
    END_WITHIN.as_nanos() >= 2 * chaosd_ebpf::CHUNKS_NS[3] as u128,
    "a process that drains would be killed"
);
/// One that is stopped does not revert, and is not waited for as long.
const STOPPED_WITHIN: Duration = Duration::from_secs(4);
/// A process that was killed is replaced by its watchdog, which is done by then, unless it is
/// stopped too.
const WATCHDOG_WITHIN: Duration = Duration::from_secs(2);
/// How often we look whether it is gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Args, Debug)]
pub(super) struct Revert {
    /// Runs of the daemon (r-0123abcd, or the name of `--as`: all of that name), or process ids of
    /// foreground runs (see `chaosd status`)
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<String>,
    /// All runs, of the daemon and of others, and what the dead have left
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// What `revert -o json` prints.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Reverted {
    /// Runs of the daemon that were ended.
    pub(super) runs: Vec<RunReport>,
    /// Processes that were ended, and reverted what they had done.
    pub(super) ended: Vec<u32>,
    /// What the dead had left.
    #[serde(flatten)]
    pub(super) left: RevertReport,
    /// What is still as it was.
    pub(super) problems: Vec<String>,
}

impl Revert {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        let client = Client::new(&global.socket());
        let state = global.state();
        let reverted = runtime()?.block_on(async {
            if self.all {
                all(&client, &state).await
            } else {
                some(&client, &state, &self.ids).await
            }
        })?;
        if self.output.is_json() {
            out::json(&reverted);
        } else {
            out::say(render::revert(&reverted));
        }
        let stuck = reverted.runs.iter().any(|run| run.phase == Phase::Failed);
        if stuck || !reverted.left.is_clean() || !reverted.problems.is_empty() {
            return Ok(Exit::NotReverted);
        }
        Ok(Exit::Done)
    }
}

async fn all(client: &Client, state: &StateDir) -> Result<Reverted, CliError> {
    let mut reverted = Reverted::default();
    let (mut deaf, mut unheard) = (false, false);
    match greet_then_revert_all(client).await {
        Ok(runs) => reverted.runs = runs,
        // Its socket may have been removed, or be another: told by its lock.
        Err(error) if error.is_no_daemon() => unheard = true,
        Err(error @ ClientError::Denied { .. }) => return Err(error.into()),
        // There is a daemon and it does not do it: it is ended, or else killed, and its watchdog
        // reverts.
        Err(error) => {
            tracing::warn!("{}; ending the daemon", out::chain(&error));
            deaf = true;
        }
    }
    for live in state.live()? {
        let daemon = live
            .owner
            .as_ref()
            .is_some_and(|o| o.kind == Some(Kind::Daemon));
        if daemon && unheard {
            tracing::warn!(
                "a daemon lives and does not answer on {}; ending it",
                client.socket().display()
            );
        }
        if deaf || unheard || !daemon {
            end(state, &live, &mut reverted).await?;
        }
    }
    reverted.left.merge(revert_abandoned(state, &machine()));
    // What no journal tells of: one that was deleted or cut by hand.
    reverted.left.merge(host::delete_orphans(&machine()));
    Ok(reverted)
}

/// A daemon that is stopped accepts connections and says nothing: the greeting finds out soon.
async fn greet_then_revert_all(client: &Client) -> Result<Vec<RunReport>, ClientError> {
    client.status().await?;
    client.revert_all().await
}

async fn some(client: &Client, state: &StateDir, ids: &[String]) -> Result<Reverted, CliError> {
    let mut reverted = Reverted::default();
    for id in ids {
        if !called::is_id(id) {
            named(client, state, id, &mut reverted).await?;
            continue;
        }
        let Ok(pid) = id.parse::<u32>() else {
            reverted.runs.push(run(client, state, id).await?);
            continue;
        };
        let live = state.live()?;
        let of_pid = |live: &&Live| {
            live.owner
                .as_ref()
                .is_some_and(|owner| owner.pid == pid && owner.kind == Some(Kind::Run))
        };
        match live.iter().find(of_pid) {
            Some(live) => end(state, live, &mut reverted).await?,
            None => {
                return Err(CliError::Usage(format!(
                    "process {pid} is no foreground run of chaosd; there are: {}",
                    foreground(&live)
                )));
            }
        }
    }
    Ok(reverted)
}

/// All runs of a name. One that is over already is no failure: its time may just have been up.
async fn named(
    client: &Client,
    state: &StateDir,
    name: &str,
    reverted: &mut Reverted,
) -> Result<(), CliError> {
    let runs = match client.status().await {
        Err(error) if error.is_no_daemon() => return Err(unheard(client, state, name)?),
        answer => answer?.runs,
    };
    let found = called::find(&runs, name);
    if found.is_empty() {
        return Err(CliError::Usage(format!(
            "no run is called {name}; there are: {}",
            called::known(&runs)
        )));
    }
    for run in found {
        let report = if called::is_alive(run) {
            settled(client, client.revert(&run.id, Ended::Reverted).await?).await?
        } else {
            run.clone()
        };
        reverted.runs.push(report);
    }
    Ok(())
}

async fn run(client: &Client, state: &StateDir, id: &str) -> Result<RunReport, CliError> {
    match client.revert(id, Ended::Reverted).await {
        Err(error) if error.is_no_daemon() => Err(unheard(client, state, id)?),
        answer => settled(client, answer?).await,
    }
}

/// Nobody knows of a run.
fn unheard(client: &Client, state: &StateDir, run: &str) -> Result<CliError, InstanceError> {
    Ok(CliError::Usage(format!(
        "run {run}: no daemon answers on {}; end a foreground run by its process id ({}), or everything by `chaosd revert --all`",
        client.socket().display(),
        foreground(&state.live()?)
    )))
}

/// Its faults act on nothing any more; what they held leaves yet, and is waited for.
async fn settled(client: &Client, mut report: RunReport) -> Result<RunReport, CliError> {
    while report.phase == Phase::Draining {
        report = client.wait(&report.id).await?;
    }
    Ok(report)
}

fn foreground(live: &[Live]) -> String {
    let pids: Vec<String> = live
        .iter()
        .filter_map(|live| live.owner.as_ref())
        .filter(|owner| owner.kind == Some(Kind::Run))
        .map(|owner| owner.pid.to_string())
        .collect();
    if pids.is_empty() {
        return "none".to_owned();
    }
    pids.join(", ")
}

/// Asks an instance to end; kills it when it does not, for then its watchdog reverts.
async fn end(state: &StateDir, live: &Live, reverted: &mut Reverted) -> Result<(), CliError> {
    let Some(owner) = &live.owner else {
        reverted.problems.push(format!(
            "instance {} is held by a process that has not said who it is: try again",
            live.number
        ));
        return Ok(());
    };
    for (signal, within) in [
        (Signal::SIGTERM, END_WITHIN),
        (Signal::SIGKILL, WATCHDOG_WITHIN),
    ] {
        match send(owner, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                reverted.problems.push(format!(
                    "failed to end process {}: {error}; by hand: kill -{signal} {}",
                    owner.pid, owner.pid
                ));
                return Ok(());
            }
        }
        if gone(state, live.number, owner, within).await? {
            reverted.ended.push(owner.pid);
            return Ok(());
        }
    }
    if !owner.is_alive() {
        // Its watchdog is stuck: it is killed, and replaced by us.
        reverted.left.merge(revert_abandoned(state, &machine()));
        if gone(state, live.number, owner, LOOK_EVERY).await? {
            reverted.ended.push(owner.pid);
            return Ok(());
        }
    }
    reverted.problems.push(format!(
        "process {} or its watchdog still holds instance {}; by hand: kill -KILL {0}{}",
        owner.pid,
        live.number,
        live.watchdog
            .as_ref()
            .map_or(String::new(), |watchdog| format!(" {}", watchdog.pid))
    ));
    Ok(())
}

/// The number may be another's by now: it is told by its start time.
fn send(owner: &Owner, signal: Signal) -> nix::Result<()> {
    match i32::try_from(owner.pid) {
        Ok(pid) if owner.is_alive() => kill(Pid::from_raw(pid), signal),
        _ => Err(Errno::ESRCH),
    }
}

async fn gone(
    state: &StateDir,
    number: u32,
    owner: &Owner,
    within: Duration,
) -> Result<bool, InstanceError> {
    let since = Instant::now();
    while since.elapsed() < within && !(owner.is_stopped() && since.elapsed() >= STOPPED_WITHIN) {
        let held = state
            .live()?
            .iter()
            .any(|live| live.number == number && live.owner.as_ref() == Some(owner));
        if !held {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}
