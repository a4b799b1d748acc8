//! Runs are kept whoever led them: a command by itself, a command through a daemon, a daemon alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::record::{End, Record};
use chaosd::experiment::store;
use chaosd::report::{Ended, Phase};
use nix::sys::signal::Signal;
use support::{Daemon, Instance, Options, wait_until};

/// A run of a second, and what comes after it.
const LONG: Duration = Duration::from_mins(1);
const SHORT: [&str; 6] = ["inject", "cpu", "--load", "5%", "--for", "1s"];

/// The records of an instance, the newest first.
fn kept(chaosd: &Instance) -> Result<Vec<Record>> {
    let output = chaosd.cli(["report", "--list", "-o", "json"])?;
    ensure!(output.status == Some(0), "{output:?}");
    let listed = output.json()?;
    let listed = listed.as_array().context("no list")?;
    listed
        .iter()
        .map(|one| {
            let id = one["id"].as_str().context("a run without an id")?;
            Ok(store::read(&chaosd.runs_dir().join(id))?)
        })
        .collect()
}

/// Says what a record has to say of such a run.
fn is_told(record: &Record) -> Result<()> {
    ensure!(record.end == End::Completed, "{:?}", record.end);
    let run = record.stages[0].run.as_ref().context("no report")?;
    ensure!(run.faults[0].kind == "cpu", "{run:?}");
    ensure!((0.5..30.0).contains(&record.seconds), "{}", record.seconds);
    Ok(())
}

#[test]
fn a_command_keeps_its_run_and_what_it_was() -> Result<()> {
    let chaosd = Instance::new()?;
    let profile = chaosd.file(
        "burn.yaml",
        "version: 1\nabout: A little heat.\nfor: 30s\nfaults: [{cpu: {load: 5%}}]\n",
    )?;
    let profile = profile.display().to_string();
    let command = ["--", "sh", "-c", "echo warm; exit 3"];
    let output = chaosd.cli(["run", &profile].into_iter().chain(command))?;
    ensure!(output.status == Some(3), "{output:?}");
    let kept = kept(&chaosd)?;
    let [record] = kept.as_slice() else {
        anyhow::bail!("{kept:?}")
    };
    ensure!(record.about == "A little heat.", "{}", record.about);
    ensure!(record.command[..2] == ["chaosd", "run"], "{record:?}");
    let load = record.load.as_ref().context("no load")?;
    ensure!(load.exit == Some(3) && load.output == "warm\n", "{load:?}");
    Ok(())
}

#[test]
fn a_daemon_keeps_what_nobody_follows_and_who_follows_keeps_it_once() -> Result<()> {
    let daemon = Daemon::start(&Options::default())?;
    let followed = daemon.cli(SHORT)?;
    ensure!(followed.status == Some(0), "{followed:?}");
    let detached = daemon.cli(SHORT.into_iter().chain(["--detach"]))?;
    ensure!(detached.status == Some(0), "{detached:?}");
    let both = || kept(&daemon).is_ok_and(|kept| kept.len() == 2);
    ensure!(wait_until(LONG, both), "{:?}", kept(&daemon));
    let kept = kept(&daemon)?;
    kept.iter().try_for_each(is_told)?;
    let id = detached.stdout.trim();
    let by_daemon = kept.iter().find(|record| record.id == id);
    let by_daemon = by_daemon.context("the detached run is not among them")?;
    // Nobody but whoever typed it knows the words.
    ensure!(by_daemon.command.is_empty(), "{by_daemon:?}");
    let other = kept.iter().find(|record| record.id != id);
    let command = &other.context("only one run")?.command;
    ensure!(command[..3] == ["chaosd", "inject", "cpu"], "{command:?}");
    let page = daemon.cli(["report", id])?;
    ensure!(page.stdout.contains("cpu"), "{page:?}");
    Ok(())
}

/// The one run that is kept, of a daemon that is there again.
fn the_run(daemon: &Daemon) -> Result<Record> {
    let one = || kept(daemon).is_ok_and(|kept| kept.len() == 1);
    ensure!(wait_until(LONG, one), "{:?}", kept(daemon));
    kept(daemon)?.pop().context("nothing is kept")
}

#[test]
fn what_was_in_force_when_a_daemon_died_is_kept_by_the_next() -> Result<()> {
    let mut daemon = Daemon::start(&Options::default())?;
    let words = ["inject", "cpu", "--load", "5%", "--for", "10m", "--detach"];
    let detached = daemon.cli(words)?;
    ensure!(detached.status == Some(0), "{detached:?}");
    let id = detached.stdout.trim().to_owned();
    let noted = daemon
        .runs_dir()
        .join("in-force")
        .join(format!("{id}.json"));
    ensure!(wait_until(LONG, || noted.is_file()), "{}", daemon.log());
    ensure!(kept(&daemon)?.is_empty(), "it is not over");
    daemon.restart(Signal::SIGKILL, &Options::default())?;
    let record = the_run(&daemon)?;
    ensure!(record.id == id, "{record:?}");
    let run = record.stages[0].run.as_ref().context("no report")?;
    ensure!(run.ended == Some(Ended::DaemonLost), "{run:?}");
    ensure!(run.phase == Phase::Reverted, "{run:?}");
    ensure!(record.seconds < 300.0, "{}", record.seconds);
    ensure!(matches!(record.end, End::Broken { .. }), "{:?}", record.end);
    ensure!(!noted.exists(), "the note is still there");
    Ok(())
}

#[test]
fn what_a_daemon_ended_when_it_was_told_to_stop_is_kept_by_itself() -> Result<()> {
    let mut daemon = Daemon::start(&Options::default())?;
    let words = ["inject", "cpu", "--load", "5%", "--for", "10m", "--detach"];
    let detached = daemon.cli(words)?;
    ensure!(detached.status == Some(0), "{detached:?}");
    daemon.restart(Signal::SIGTERM, &Options::default())?;
    let record = the_run(&daemon)?;
    let run = record.stages[0].run.as_ref().context("no report")?;
    ensure!(run.ended == Some(Ended::Shutdown), "{run:?}");
    Ok(())
}

#[test]
fn a_run_that_cannot_be_kept_ends_as_it_would_have() -> Result<()> {
    let chaosd = Instance::new()?;
    let file = chaosd.file("no-directory", "")?.display().to_string();
    let output = chaosd.cli(SHORT.into_iter().chain(["--runs-dir", &file]))?;
    ensure!(output.status == Some(0), "{output:?}");
    ensure!(output.stderr.contains("the run is not kept"), "{output:?}");
    Ok(())
}

#[test]
fn an_experiment_that_could_not_be_kept_is_not_begun() -> Result<()> {
    let chaosd = Instance::new()?;
    let begun = chaosd.file("begun", "")?;
    let profile = chaosd.file(
        "busy.yaml",
        &format!(
            "version: 1\nfaults: [{{cpu: {{load: 5%}}}}]\nsteady-state:\n- {{name: there, command: {{run: [sh, -c, \"echo seen >> {}\"]}}}}\nstages: [{{name: warm, for: 1s, faults: all}}]\n",
            begun.display()
        ),
    )?;
    let profile = profile.display().to_string();
    let place = begun.display().to_string();
    let output = chaosd.cli(["run", &profile, "--runs-dir", &place])?;
    ensure!(output.status == Some(3), "{output:?}");
    for said in ["was not begun", "--runs-dir", &place] {
        ensure!(output.stderr.contains(said), "{said}: {output:?}");
    }
    ensure!(
        std::fs::read(&begun)?.is_empty(),
        "its probe has looked: {output:?}"
    );
    Ok(())
}
