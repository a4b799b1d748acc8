//! The command that runs under faults: all that it starts ends with it, and it has its terminal to itself.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Instance, Lab, Snapshot, wait_until};

use crate::experiments_scene::{LONG, Running};

/// Starts three that sleep: one that leaves its session and its parent, one that is not impressed by
/// signals, and one that waits for both.
const FAMILY: &str = "(setsid sleep 301 &); (trap '' INT TERM HUP; exec sleep 302) & sleep 303";

/// Fields are dropped in order: chaosd before the namespaces.
struct Scene {
    instance: Instance,
    before: Snapshot,
    lab: Lab,
}

impl Scene {
    fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        Ok(Self {
            instance: Instance::new()?,
            before: Snapshot::take(lab.target())?,
            lab,
        })
    }

    /// A profile with these keys besides its fault.
    fn profile(&self, keys: &str) -> Result<String> {
        let text = format!(
            "version: 1\ntarget: {{netns: {}}}\nfaults: [{{drop: 50%}}]\n{keys}\n",
            self.lab.target().netns()
        );
        let file = self.instance.file("profile.yaml", &text)?;
        Ok(file.display().to_string())
    }

    fn start(&self, words: &[&str]) -> Result<Running> {
        let mut command = self.instance.command()?;
        command
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Running(Some(command.spawn()?)))
    }

    /// Those of our processes that have this name.
    fn named(&self, name: &str) -> Vec<Pid> {
        let mut all = self.instance.processes();
        all.retain(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|comm| comm.trim() == name)
        });
        all
    }

    fn has_sleepers(&self, count: usize) -> Result<()> {
        let there = wait_until(LONG, || self.named("sleep").len() == count);
        ensure!(there, "{count} are to sleep: {:?}", self.named("sleep"));
        Ok(())
    }

    fn assert_clean(&self) -> Result<()> {
        let left = self.instance.processes();
        ensure!(left.is_empty(), "{left:?} are left");
        let said = self.instance.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        Snapshot::take(self.lab.target())?.assert_same(&self.before);
        Ok(())
    }
}

#[test]
fn what_a_command_has_started_ends_when_its_run_is_interrupted() -> Result<()> {
    let scene = Scene::new("loadint")?;
    let profile = scene.profile("for: 50s")?;
    let running = scene.start(&["run", &profile, "--", "sh", "-c", FAMILY])?;
    scene.has_sleepers(3)?;
    running.signal(Signal::SIGTERM)?;
    let output = running.ended()?;
    ensure!(output.status == Some(130), "{output:?}");
    scene.assert_clean()
}

#[test]
fn what_a_load_has_started_ends_with_its_experiment() -> Result<()> {
    let scene = Scene::new("loadexp")?;
    let stages = "stages: [{name: faults, for: 1s, faults: all}]";
    // One that stays, and one that leaves others behind at once.
    for (line, code) in [(FAMILY, 130), ("(setsid sleep 301 &); exit 0", 0)] {
        let profile = scene.profile(&format!("{stages}\nload: [sh, -c, {line:?}]"))?;
        let output = scene.start(&["run", &profile, "-o", "json"])?.ended()?;
        let record = output.json()?;
        ensure!(record["end"]["how"] == "completed", "{output:?}");
        ensure!(record["load"]["exit"] == code, "{}", record["load"]);
        scene.assert_clean()?;
    }
    Ok(())
}

#[test]
fn what_a_command_leaves_behind_by_itself_goes_on() -> Result<()> {
    let scene = Scene::new("loadleft")?;
    let profile = scene.profile("for: 50s")?;
    // It does not keep our pipes open.
    let line = "sleep 300 >/dev/null 2>&1 & exit 3";
    let output = scene
        .start(&["run", &profile, "--", "sh", "-c", line])?
        .ended()?;
    ensure!(output.status == Some(3), "{output:?}");
    // The keeper leaves a moment later.
    scene.has_sleepers(1)?;
    ensure!(
        wait_until(LONG, || scene.instance.processes() == scene.named("sleep")),
        "{:?}",
        scene.instance.processes()
    );
    kill(scene.named("sleep")[0], Signal::SIGKILL)?;
    ensure!(wait_until(LONG, || scene.instance.processes().is_empty()));
    scene.assert_clean()
}

#[test]
fn a_command_does_not_outlive_a_killed_chaosd() -> Result<()> {
    let scene = Scene::new("loadkill")?;
    let profile = scene.profile("for: 50s")?;
    let running = scene.start(&["run", &profile, "--", "sh", "-c", FAMILY])?;
    scene.has_sleepers(3)?;
    running.signal(Signal::SIGKILL)?;
    let gone = wait_until(LONG, || scene.instance.processes().is_empty());
    ensure!(gone, "{:?} are left", scene.instance.processes());
    drop(running);
    scene.assert_clean()
}

#[test]
fn a_command_dies_with_its_keeper_and_the_run_ends() -> Result<()> {
    let scene = Scene::new("loadkeep")?;
    let profile = scene.profile("for: 50s")?;
    let running = scene.start(&["run", &profile, "--", "sleep", "300"])?;
    scene.has_sleepers(1)?;
    let keepers = scene.named("chaosd-keeper");
    ensure!(keepers.len() == 1, "{keepers:?}");
    kill(keepers[0], Signal::SIGKILL)?;
    let output = running.ended()?;
    ensure!(output.status == Some(137), "{output:?}");
    scene.assert_clean()
}

#[test]
fn a_command_that_cannot_be_started_is_told_and_nothing_is_left() -> Result<()> {
    let scene = Scene::new("loadnone")?;
    let profile = scene.profile("for: 50s")?;
    for (program, why) in [
        ("/no/such/tool", "No such file"),
        ("/etc/passwd", "Permission denied"),
    ] {
        let output = scene.start(&["run", &profile, "--", program])?.ended()?;
        ensure!(output.status == Some(2), "{output:?}");
        ensure!(output.stderr.contains(why), "{output:?}");
        scene.assert_clean()?;
    }
    Ok(())
}

/// A chaosd with a terminal of its own: what is typed and what is shown.
struct Terminal {
    script: Running,
    keys: std::process::ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// `words`: without blanks or quotes.
    fn start(scene: &Scene, words: &[&str]) -> Result<Self> {
        let chaosd = scene.instance.command()?;
        let line = format!("{} {}", chaosd.get_program().display(), words.join(" "));
        let mut command = Command::new("script");
        command
            .args(["-qefc", &line, "/dev/null"])
            .envs(
                chaosd
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start script(1)")?;
        let keys = child.stdin.take().context("no pipe")?;
        let mut output = child.stdout.take().context("no pipe")?;
        let shown = Arc::<Mutex<String>>::default();
        let text = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Ok(Self {
            script: Running(Some(child)),
            keys,
            shown,
        })
    }

    fn shown(&self) -> String {
        let shown = self.shown.lock();
        shown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn shows(&self, text: &str) -> Result<()> {
        let there = wait_until(LONG, || self.shown().contains(text));
        ensure!(there, "{text:?} is not shown: {}", self.shown());
        Ok(())
    }

    fn types(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// The exit code, and all that was shown.
    fn ended(self) -> Result<(Option<i32>, String)> {
        let Self {
            script,
            keys: _keys,
            shown,
        } = self;
        let status = script.ended()?.status;
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((status, shown))
    }
}

#[test]
fn an_interruption_by_the_terminal_reaches_a_command_once() -> Result<()> {
    let scene = Scene::new("loadtty")?;
    let profile = scene.profile("for: 50s")?;
    let counts = "n=0; trap 'n=$((n+1)); echo interrupted $n' INT\nread line; echo heard $line\nwhile :; do sleep 0.05; done\n";
    let script = scene.instance.file("counts.sh", counts)?;
    let script = script.display().to_string();
    let mut terminal = Terminal::start(&scene, &["run", &profile, "--", "sh", &script])?;
    terminal.shows("armed")?;
    terminal.types("a word\n")?;
    terminal.shows("heard a word")?;
    terminal.types("\x03")?;
    let (status, shown) = terminal.ended()?;
    ensure!(status == Some(130), "{status:?}: {shown}");
    ensure!(shown.contains("interrupted 1"), "{shown}");
    ensure!(!shown.contains("interrupted 2"), "{shown}");
    scene.assert_clean()
}

#[test]
fn a_shell_under_faults_controls_its_jobs() -> Result<()> {
    let scene = Scene::new("loadsh")?;
    let profile = scene.profile("for: 50s")?;
    let words = ["run", &profile, "--", "bash", "--norc", "--noprofile", "-i"];
    let mut terminal = Terminal::start(&scene, &words)?;
    terminal.shows("armed")?;
    terminal.types("echo is $((6 * 7))\n")?;
    terminal.shows("is 42")?;
    terminal.types("sleep 304\n")?;
    scene.has_sleepers(1)?;
    // It is the shell's job that is interrupted, and neither the shell nor the run.
    terminal.types("\x03")?;
    scene.has_sleepers(0)?;
    terminal.types("sleep 305 &\nfg\n")?;
    scene.has_sleepers(1)?;
    terminal.types("\x03")?;
    scene.has_sleepers(0)?;
    terminal.types("exit 7\n")?;
    let (status, shown) = terminal.ended()?;
    ensure!(status == Some(7), "{status:?}: {shown}");
    ensure!(!shown.contains("no job control"), "{shown}");
    scene.assert_clean()
}
