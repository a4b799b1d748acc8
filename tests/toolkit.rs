//! The real Chaos Toolkit with chaosd as its driver: it injects into a namespace through a daemon, its
//! probes see what that does, and nothing is left, also when it is killed in the middle.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Daemon, Family, Instance, Lab, Options, Snapshot, wait_until};

use crate::scene::LONG;

/// Python starts, and a few hundred pings are sent, on a machine that is busy.
const ENDS: Duration = Duration::from_mins(3);

/// A namespace, a service beside it, a daemon, and a program that drives both.
struct Scene {
    daemon: Daemon,
    lab: Lab,
    before: Snapshot,
    chaos: PathBuf,
}

/// A `chaos run`; dropped, it is killed.
struct Experiment(Child);

impl Drop for Experiment {
    fn drop(&mut self) {
        // One that has ended is what we want.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Where `cargo xtask setup` puts the Chaos Toolkit: `target/tools`, beside `target/PROFILE/deps/NAME`.
fn chaos() -> Result<Option<PathBuf>> {
    let test = std::env::current_exe().context("failed to find the test's own binary")?;
    let target = test.ancestors().nth(3).context("it lies in no directory")?;
    let path = target.join("tools/chaostoolkit/bin/chaos");
    Ok(path.exists().then_some(path))
}

impl Scene {
    fn new(name: &str, chaos: PathBuf) -> Result<Self> {
        let lab = Lab::new(name)?;
        let daemon = Daemon::start(&Options::default())?;
        let before = Snapshot::settled(lab.target())?;
        Ok(Self {
            daemon,
            lab,
            before,
            chaos,
        })
    }

    /// Starts the experiment; `settings` are variables of its environment.
    fn start(&self, settings: &[(&str, &str)]) -> Result<Experiment> {
        let text = include_str!("toolkit/lossy.json");
        let path = self.daemon.file("lossy.json", text)?;
        let program = self.daemon.command()?;
        let binaries = Path::new(program.get_program()).parent();
        let binaries = binaries.context("chaosd lies in no directory")?;
        let binaries = binaries.canonicalize().context("no such directory")?;
        let search = std::env::var("PATH").unwrap_or_default();
        let log = std::fs::File::create(self.daemon.file("chaos.log", "")?)?;
        let service = self
            .lab
            .peer()
            .address_facing(self.lab.target(), Family::V4)?;
        let child = Command::new(&self.chaos)
            .args(["--no-version-check", "--no-log-file", "run"])
            .args(["--rollback-strategy", "always", "--journal-path"])
            .arg(self.journal_path())
            .arg(&path)
            .env("PATH", format!("{}:{search}", binaries.display()))
            .env("CHAOSD_STATE_DIR", self.daemon.state_dir())
            .env("CHAOSD_SOCKET", self.daemon.socket())
            .env("NETNS", self.lab.target().netns())
            .env("SERVICE", service.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start the Chaos Toolkit")?;
        Ok(Experiment(child))
    }

    fn journal_path(&self) -> PathBuf {
        self.daemon.state_dir().with_file_name("journal.json")
    }

    /// Runs it to its end, and returns what it has written down.
    fn run(&self, settings: &[(&str, &str)]) -> Result<Value> {
        let mut experiment = self.start(settings)?;
        let ended = wait_until(ENDS, || {
            experiment.0.try_wait().is_ok_and(|status| status.is_some())
        });
        ensure!(ended, "the Chaos Toolkit still runs: {}", self.log());
        let text = std::fs::read_to_string(self.journal_path()).with_context(|| self.log())?;
        serde_json::from_str(&text).with_context(|| self.log())
    }

    fn log(&self) -> String {
        let path = self.daemon.state_dir().with_file_name("chaos.log");
        let said = std::fs::read_to_string(path).unwrap_or_default();
        format!("{said}\n{}", self.daemon.log())
    }

    /// How the run of that name ended.
    fn ended(&self) -> Result<Value> {
        let status = self.daemon.cli(["status", "lossy", "-o", "json"])?.json()?;
        Ok(status["runs"][0]["ended"].clone())
    }

    fn is(&self, state: &str) -> Result<bool> {
        let said = self.daemon.cli(["status", "lossy", "--expect", state])?;
        ensure!(
            matches!(said.status, Some(0..=2)),
            "{said:?}\n{}",
            self.log()
        );
        Ok(said.status == Some(0))
    }

    fn assert_unchanged(&self) -> Result<()> {
        ensure!(self.is("over")?, "the fault is in force: {}", self.log());
        // An idle daemon keeps what it could need again.
        let said = self.daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        Snapshot::take(self.lab.target())?.assert_same(&self.before);
        Ok(())
    }
}

/// The share of pings that got no answer, in percent, as the probe of that name saw it.
fn lost(journal: &Value) -> Option<f64> {
    let run = journal["run"].as_array()?.iter();
    let mut run = run.filter(|run| run["activity"]["name"] == "how many get lost");
    let said = run.next()?["output"]["stdout"].as_str()?;
    let (before, _) = said.split_once("% packet loss")?;
    before.rsplit(' ').next()?.parse().ok()
}

macro_rules! scene {
    ($name:literal) => {
        match chaos()? {
            Some(chaos) => Scene::new($name, chaos)?,
            None => support::skip!(Ok(()), "no Chaos Toolkit: cargo xtask setup brings it"),
        }
    };
}

#[test]
fn an_experiment_that_holds_injects_sees_the_effect_and_reverts() -> Result<()> {
    let scene = scene!("toolkit");
    let journal = scene.run(&[("RATE", "30%")])?;
    ensure!(
        journal["status"] == "completed" && journal["deviated"] == false,
        "{journal:#}\n{}",
        scene.log()
    );
    // 30 % lost each way: 51 % of 200, of which 35 and 67 are 4.5 standard deviations away.
    let lost = lost(&journal).with_context(|| format!("{journal:#}"))?;
    println!("{lost} % of the pings were lost");
    ensure!((35.0..67.0).contains(&lost), "{lost} % were lost");
    for run in journal["run"].as_array().context("no run")? {
        ensure!(
            run["status"] == "succeeded" && run["output"]["status"] == 0,
            "{run:#}"
        );
    }
    let rollback = &journal["rollbacks"][0];
    ensure!(
        rollback["status"] == "succeeded" && rollback["output"]["status"] == 0,
        "{rollback:#}"
    );
    ensure!(scene.ended()? == "reverted", "{}", scene.log());
    scene.assert_unchanged()
}

#[test]
fn an_experiment_that_does_not_hold_is_told_so_and_reverted() -> Result<()> {
    let scene = scene!("deviates");
    let journal = scene.run(&[("RATE", "100%")])?;
    ensure!(
        journal["deviated"] == true
            && journal["steady_states"]["after"]["steady_state_met"] == false,
        "{journal:#}\n{}",
        scene.log()
    );
    ensure!(scene.ended()? == "reverted", "{}", scene.log());
    scene.assert_unchanged()
}

#[test]
fn a_fault_whose_experiment_is_killed_ends_by_itself() -> Result<()> {
    let scene = scene!("killed-kit");
    let mut experiment = scene.start(&[("TIME", "4s"), ("PAUSE", "60")])?;
    let armed = wait_until(ENDS, || scene.is("armed").unwrap_or(false));
    ensure!(armed, "no fault is in force: {}", scene.log());
    kill(
        Pid::from_raw(experiment.0.id().cast_signed()),
        Signal::SIGKILL,
    )?;
    experiment.0.wait()?;
    ensure!(
        wait_until(LONG, || scene.is("over").unwrap_or(false)),
        "the fault outlives its time: {}",
        scene.log()
    );
    // A daemon that is late on a busy machine loses it to its watchdog earlier.
    let ended = scene.ended()?;
    ensure!(
        ended == "deadline" || ended == "fenced",
        "{ended}: {}",
        scene.log()
    );
    scene.assert_unchanged()
}

#[test]
fn runs_are_ended_and_looked_at_by_name() -> Result<()> {
    let lab = Lab::new("names")?;
    let daemon = Daemon::start(&Options::default())?;
    let netns = lab.target().netns();
    let code = |words: &str| -> Result<(Option<i32>, String)> {
        let said = daemon.cli(words.split(' '))?;
        Ok((said.status, said.stderr))
    };
    let inject = |name: &str| {
        code(&format!(
            "inject drop --rate 1% --netns {netns} --for 60s --as {name} -d"
        ))
    };
    ensure!(code("status shop --expect armed")?.0 == Some(2));
    for name in ["shop", "shop", "db"] {
        ensure!(inject(name)?.0 == Some(0));
    }
    ensure!(code("status shop db --expect armed")?.0 == Some(0));
    ensure!(code("status shop --expect over")?.0 == Some(1));
    // No packet has met it.
    ensure!(code("status db --expect effective")?.0 == Some(1));
    let shown = daemon.cli(["status", "shop", "-o", "json"])?.json()?;
    ensure!(
        shown["runs"].as_array().is_some_and(|runs| runs.len() == 2),
        "{shown}"
    );

    let (status, said) = code("revert shpo")?;
    ensure!(status == Some(2) && said.contains("db, shop"), "{said}");
    ensure!(code("revert shop")?.0 == Some(0));
    ensure!(
        code("status db --expect armed")?.0 == Some(0),
        "the other ended too"
    );
    ensure!(code("status shop --expect over")?.0 == Some(0));
    // It is over already, which is what is asked for.
    ensure!(code("revert shop db")?.0 == Some(0));
    ensure!(code("status shop db --expect over")?.0 == Some(0));
    let (status, said) = code("inject drop --rate 1% --as r-mine -d")?;
    ensure!(status == Some(2) && said.contains("id"), "{said}");
    Ok(())
}

/// An experiment that needs neither a network nor a service.
fn written(chaosd: &Instance, provider: &Value) -> Result<String> {
    let words = ["inject", "cpu", "--load", "5%"];
    let action = |name: &str, words: &[&str]| {
        serde_json::json!({"type": "action", "name": name,
            "provider": {"type": "process", "path": "chaosd", "arguments": words}})
    };
    let experiment = serde_json::json!({
        "title": "Heat", "description": "A little of it.",
        "steady-state-hypothesis": {"title": "The room stays cool.", "probes": [
            {"type": "probe", "name": "cool", "tolerance": 0, "provider": provider},
        ]},
        "method": [{"type": "action", "name": "heat", "provider": action("", &words)["provider"],
            "pauses": {"after": 2}}],
        "rollbacks": [action("end", &["revert", "--all"])],
    });
    let path = chaosd.file("heat.json", &experiment.to_string())?;
    Ok(path.display().to_string())
}

#[test]
fn an_experiment_of_the_toolkit_runs_without_it() -> Result<()> {
    let chaosd = Instance::new()?;
    let file = written(
        &chaosd,
        &serde_json::json!({"type": "process", "path": "true"}),
    )?;
    let output = chaosd.cli(["run", &file, "-o", "json"])?;
    ensure!(output.status == Some(0), "{output:?}");
    let record = output.json()?;
    ensure!(record["hypothesis"] == "The room stays cool.", "{record}");
    ensure!(record["analysis"]["held"] == true, "{record}");
    let faults = record.pointer("/stages/0/run/faults/0/verdict");
    ensure!(faults.is_some_and(|v| v == "effective"), "{record}");
    Ok(())
}

#[test]
fn what_cannot_be_done_as_the_toolkit_means_it_is_refused_by_its_place() -> Result<()> {
    let chaosd = Instance::new()?;
    let python = serde_json::json!({"type": "python", "module": "os", "func": "getpid"});
    let file = written(&chaosd, &python)?;
    let output = chaosd.cli(["run", &file])?;
    ensure!(output.status == Some(2), "{output:?}");
    let place = "$.steady-state-hypothesis.probes[0].provider";
    ensure!(output.stderr.contains(place), "{output:?}");
    ensure!(!chaosd.runs_dir().exists(), "something was run");
    Ok(())
}
