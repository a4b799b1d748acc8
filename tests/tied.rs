//! Runs of a daemon, of which one end is killed: whoever asked for them, or the daemon.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::{Daemon, Family, Lab, Options, Output, Snapshot, wait_until};

use crate::experiments_scene::{LONG, Running};

/// A connection that is not there by then is cut.
const CONNECTS_WITHIN: Duration = Duration::from_millis(200);

/// A daemon, and a server in the peer that the target reaches. Fields are dropped in order.
struct Scene {
    daemon: Daemon,
    server: TcpListener,
    address: SocketAddr,
    before: Snapshot,
    lab: Lab,
}

impl Scene {
    fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let address = lab.peer().address_facing(lab.target(), Family::V4)?;
        let server = lab.peer().enter(|| TcpListener::bind((address, 0)))??;
        server.set_nonblocking(true)?;
        Ok(Self {
            daemon: Daemon::start(&Options::default())?,
            address: server.local_addr()?,
            server,
            before: Snapshot::take(lab.target())?,
            lab,
        })
    }

    fn is_reached(&self) -> bool {
        let connect = || TcpStream::connect_timeout(&self.address, CONNECTS_WITHIN).is_ok();
        let reached = self.lab.target().enter(connect).unwrap_or(false);
        // Its queue has room for the next.
        while self.server.accept().is_ok() {}
        reached
    }

    /// The target is cut off, by a run of a profile with these keys and with these words behind it. Another
    /// fault has a device there, which somebody has to take away.
    fn cut(&self, keys: &str, words: &[&str]) -> Result<Running> {
        ensure!(self.is_reached(), "there is no server");
        let text = format!(
            "version: 1\ntarget: {{netns: {}}}\nfaults: [{{partition: , match: {{ports: [{}]}}}}, {{drop: 1%, match: {{ports: [9]}}}}]\n{keys}\n",
            self.lab.target().netns(),
            self.address.port()
        );
        let file = self.daemon.file("profile.yaml", &text)?;
        let mut run = self.daemon.command()?;
        run.arg("run").arg(file).args(words);
        run.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = Running(Some(run.spawn()?));
        ensure!(
            wait_until(LONG, || !self.is_reached()),
            "{}",
            self.daemon.log()
        );
        Ok(running)
    }

    /// It is killed, and the target reaches its server again: how soon.
    fn kill(&self, running: &Running) -> Result<Duration> {
        running.signal(Signal::SIGKILL)?;
        let killed = Instant::now();
        ensure!(
            wait_until(LONG, || self.is_reached()),
            "{}",
            self.daemon.log()
        );
        Ok(killed.elapsed())
    }

    fn status(&self) -> Result<serde_json::Value> {
        self.daemon.cli(["status", "-o", "json"])?.json()
    }

    fn end(self) -> Result<()> {
        let Output { status, stderr, .. } = self.daemon.cli(["revert", "--all"])?;
        ensure!(status == Some(0), "{stderr}");
        drop(self.daemon);
        Snapshot::take(self.lab.target())?.assert_same(&self.before);
        Ok(())
    }
}

#[test]
fn the_faults_of_a_killed_experimenter_end_at_once() -> Result<()> {
    let scene = Scene::new("tiedexp")?;
    let stages = "stages: [{name: cut, for: 10m, faults: all}, {name: recovery, for: 10s}]";
    let running = scene.cut(stages, &[])?;
    let outlived = scene.kill(&running)?;
    println!("reached again {outlived:?} after the experimenter was killed");
    // As soon as it would be without a daemon; the machine may be busy.
    ensure!(outlived < Duration::from_secs(10), "{outlived:?}");
    let over = || {
        scene
            .status()
            .is_ok_and(|status| status["runs"][0]["phase"] == "reverted")
    };
    ensure!(wait_until(LONG, over), "{}", scene.daemon.log());
    let run = scene.status()?["runs"][0].clone();
    ensure!(run["ended"] == "asker-gone", "{run}");
    // Nobody else would keep what it came to.
    let id = run["id"].as_str().context("no id")?;
    let told = || scene.daemon.cli(["report", id]);
    ensure!(
        wait_until(LONG, || told().is_ok_and(|told| told.status == Some(0))),
        "{:?}",
        told()
    );
    let told = told()?.stdout;
    ensure!(told.contains("Who ran it was gone"), "{told}");
    scene.end()
}

#[test]
fn a_killed_run_takes_its_faults_and_its_command_along() -> Result<()> {
    let scene = Scene::new("tiedrun")?;
    let running = scene.cut("for: 10m", &["--", "sh", "-c", "sleep 306 & sleep 307"])?;
    let outlived = scene.kill(&running)?;
    println!("reached again {outlived:?} after the run was killed");
    ensure!(outlived < Duration::from_secs(10), "{outlived:?}");
    let sleepers = || {
        let mut all = scene.daemon.processes();
        all.retain(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n")
        });
        all
    };
    ensure!(
        wait_until(LONG, || sleepers().is_empty()),
        "{:?}",
        sleepers()
    );
    scene.end()
}

/// The daemon dies in the middle of an experiment, alone or with its watchdog.
fn dies(name: &str, alone: bool) -> Result<()> {
    let scene = Scene::new(name)?;
    // With a probe, the way back is looked at.
    let stages = "stages: [{name: cut, for: 10m, faults: all}, {name: recovery, for: 1s}]\nload: [sleep, 308]\nsteady-state: [{command: {run: [\"true\"]}}]";
    let watchdog = scene.daemon.watchdog()?;
    let running = scene.cut(stages, &["-o", "json"])?;
    if !alone {
        kill(watchdog, Signal::SIGKILL)?;
    }
    scene.daemon.kill(Signal::SIGKILL)?;
    ensure!(
        wait_until(LONG, || scene.is_reached()),
        "the fault is still there"
    );
    let output = running.ended()?;
    ensure!(output.status == Some(130), "{output:?}");
    ensure!(output.stderr.contains("the daemon went away"), "{output:?}");
    let record = output.json()?;
    ensure!(record["end"]["how"] == "broken", "{record}");
    let run = &record["stages"][0]["run"];
    ensure!(
        run["ended"] == "daemon-lost" && run["phase"] == "reverted",
        "{run}"
    );
    let problems = record["problems"].as_array();
    ensure!(problems.is_some_and(Vec::is_empty), "{record}");
    let page = scene
        .daemon
        .runs_dir()
        .join(record["id"].as_str().context("no id")?);
    ensure!(page.join("report.html").is_file(), "{}", page.display());
    // Before anything else could have taken away what was left.
    Snapshot::take(scene.lab.target())?.assert_same(&scene.before);
    let left = scene.daemon.processes();
    ensure!(
        left.iter().all(|pid| *pid == scene.daemon.pid()),
        "{left:?}"
    );
    scene.end()
}

#[test]
fn an_experiment_ends_with_its_daemon_and_is_kept() -> Result<()> {
    dies("tieddead", true)
}

#[test]
fn an_experiment_whose_daemon_dies_with_its_watchdog_puts_everything_back() -> Result<()> {
    dies("tiedboth", false)
}

#[test]
fn a_run_that_nobody_follows_stays_until_its_time() -> Result<()> {
    let scene = Scene::new("tiednot")?;
    let target = scene.lab.target().netns().to_string();
    let port = scene.address.port().to_string();
    let said = scene.daemon.cli([
        "inject",
        "partition",
        "--netns",
        &target,
        "--port",
        &port,
        "--for",
        "10m",
        "--detach",
    ])?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(!scene.is_reached(), "the fault has no effect");
    // Long after its connection has closed.
    std::thread::sleep(Duration::from_secs(1));
    ensure!(!scene.is_reached(), "the fault is gone");
    scene.end()
}
