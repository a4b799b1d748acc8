//! `chaosd hook`, told of containers by a runtime's words: a process in a cgroup and a namespace stands for
//! each. What becomes of real ones is in `hook_runtimes`.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{
    Cgroup, Daemon, Family, Instance, Lab, Node, Options, Output, ping, skip, wait_until,
};

use crate::scene::LONG;

pub const PINGS: u32 = 3;
pub const PARTITION: &str = "version: 1\nfor: 10m\nfaults: [{partition: {}}]\n";

/// What stands for a container. Dropped, it is killed.
struct Container {
    process: Child,
    cgroup: Cgroup,
    id: &'static str,
}

impl Container {
    fn start(id: &'static str, node: &Node) -> Result<Option<Self>> {
        let Some(cgroup) = Cgroup::new()? else {
            return Ok(None);
        };
        let mut sleep = cgroup.command("sleep");
        sleep.arg("600");
        let process = node
            .enter(|| sleep.spawn())?
            .context("failed to start sleep")?;
        let container = Self {
            process,
            cgroup,
            id,
        };
        let members = format!("/proc/{}/comm", container.process.id());
        let runs = || std::fs::read_to_string(&members).is_ok_and(|name| name.trim() == "sleep");
        ensure!(wait_until(LONG, runs), "it does not sleep");
        Ok(Some(container))
    }

    fn state(&self, status: &str, annotations: &Value) -> Value {
        let pid = if status == "stopped" {
            0
        } else {
            self.process.id()
        };
        json!({
            "ociVersion": "1.0.2", "id": self.id, "pid": pid, "status": status,
            "bundle": "/nonexistent", "annotations": annotations,
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn hook(instance: &Instance, words: &[&str], state: &[u8]) -> Result<(Output, Duration)> {
    let mut command = instance.command()?;
    command.arg("hook").args(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let since = Instant::now();
    let mut child = command.spawn().context("failed to start chaosd hook")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(state)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let output = Output {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    Ok((output, since.elapsed()))
}

/// The time is enough for a busy machine.
pub fn told(instance: &Instance, state: &Value) -> Result<Output> {
    let (output, _) = hook(instance, &["--within", "30s"], state.to_string().as_bytes())?;
    Ok(output)
}

pub fn answered(lab: &Lab) -> Result<u32> {
    ping::ping(lab.target(), lab.peer(), Family::V4, PINGS)
}

struct Scene {
    container: Container,
    daemon: Daemon,
    lab: Lab,
    profile: String,
}

impl Scene {
    /// None on a machine where packets cannot be told by cgroup.
    fn new(name: &'static str) -> Result<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(container) = Container::start(name, lab.target())? else {
            return Ok(None);
        };
        let daemon = Daemon::start(&Options::default())?;
        let profile = daemon.file("cut.yaml", PARTITION)?.display().to_string();
        Ok(Some(Self {
            container,
            daemon,
            lab,
            profile,
        }))
    }

    /// Whether a ping of the container's own reaches the peer.
    fn talks(&self, container: &Container) -> Result<bool> {
        let target = self.lab.target();
        let peer = self.lab.peer().address_facing(target, Family::V4)?;
        let mut ping = container.cgroup.command("ping");
        ping.args(["-q", "-c", "3", "-i", "0.05", "-W", "1"])
            .arg(peer.to_string())
            .stdout(Stdio::null());
        Ok(target.enter(|| ping.status())??.success())
    }

    fn wants(&self) -> Value {
        json!({ "chaosd.profile": self.profile })
    }
}

macro_rules! scene {
    ($name:literal) => {
        match Scene::new($name)? {
            Some(scene) => scene,
            None => skip!(Ok(()), "there is no unified cgroup tree"),
        }
    };
}

#[test]
fn a_container_is_hit_from_the_hook_on_and_let_go_when_it_is_over() -> Result<()> {
    let scene = scene!("hook-life");
    let said = told(
        &scene.daemon,
        &scene.container.state("creating", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    ensure!(answered(&scene.lab)? == 0, "the fault has no effect");
    let runs = scene.daemon.armed()?;
    let target = runs[0]["target"].as_str().unwrap_or_default();
    ensure!(
        target == "container hook-life (by its annotations)",
        "{runs:?}"
    );
    let status = scene.daemon.cli(["status"])?;
    ensure!(status.stdout.contains("container hook-life"), "{status:?}");

    let said = told(
        &scene.daemon,
        &scene.container.state("stopped", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    ensure!(scene.daemon.armed()?.is_empty());
    ensure!(answered(&scene.lab)? == PINGS, "the fault goes on");
    // Once more is no mistake.
    let said = told(
        &scene.daemon,
        &scene.container.state("stopped", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    Ok(())
}

#[test]
fn one_that_dies_without_a_word_leaves_nothing() -> Result<()> {
    let mut scene = scene!("hook-dies");
    let said = told(
        &scene.daemon,
        &scene.container.state("created", &scene.wants()),
    )?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(answered(&scene.lab)? == 0, "the fault has no effect");
    kill(
        Pid::from_raw(scene.container.process.id().cast_signed()),
        Signal::SIGKILL,
    )?;
    scene.container.process.wait()?;
    let gone = wait_until(LONG, || {
        scene.daemon.armed().is_ok_and(|runs| runs.is_empty())
    });
    ensure!(gone, "the run goes on: {}", scene.daemon.log());
    ensure!(answered(&scene.lab)? == PINGS, "the fault goes on");
    Ok(())
}

#[test]
fn containers_that_start_at_once_are_each_hit_and_free_again_when_chaosd_dies() -> Result<()> {
    // More than programs are loaded for ahead: while the daemon dies, others are being loaded.
    let scene = scene!("hook-burst");
    let mut others = Vec::new();
    for id in ["hook-burst-1", "hook-burst-2", "hook-burst-3"] {
        let lab = Lab::new(id)?;
        let container = Container::start(id, lab.target())?.context("no cgroup")?;
        others.push((lab, container));
    }
    let containers = others.iter().map(|(_, container)| container);
    let states = containers
        .chain([&scene.container])
        .map(|container| container.state("creating", &scene.wants()));
    let states: Vec<Value> = states.collect();
    let said = std::thread::scope(|scope| {
        let hooks = states
            .iter()
            .map(|state| scope.spawn(|| told(&scene.daemon, state)));
        let hooks: Vec<_> = hooks.collect();
        let said = hooks.into_iter().map(|hook| {
            let said = hook.join();
            said.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        said.collect::<Result<Vec<Output>>>()
    })?;
    for said in said {
        ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    }
    let labs = || others.iter().map(|(lab, _)| lab).chain([&scene.lab]);
    for lab in labs() {
        ensure!(answered(lab)? == 0, "a fault has no effect");
    }
    kill(scene.daemon.watchdog()?, Signal::SIGKILL)?;
    scene.daemon.kill(Signal::SIGKILL)?;
    for lab in labs() {
        let free = || answered(lab).is_ok_and(|answered| answered == PINGS);
        ensure!(wait_until(LONG, free), "a fault outlives chaosd");
    }
    Ok(())
}

#[test]
fn one_that_shares_its_network_is_hit_by_its_own_sockets_alone() -> Result<()> {
    let scene = scene!("hook-shared");
    let Some(beside) = Container::start("beside", scene.lab.target())? else {
        skip!(Ok(()), "there is no unified cgroup tree");
    };
    let said = told(
        &scene.daemon,
        &scene.container.state("created", &scene.wants()),
    )?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(!scene.talks(&scene.container)?, "the fault has no effect");
    ensure!(scene.talks(&beside)?, "its neighbour is hit");
    ensure!(answered(&scene.lab)? == PINGS, "others are hit");
    let notes = scene.daemon.armed()?[0]["notes"].to_string();
    ensure!(notes.contains("shares its network"), "{notes}");
    Ok(())
}

/// CRI-O starts nobody before it that would hold the pod's namespaces.
#[test]
fn the_first_of_a_pod_is_hit_and_not_who_comes_into_its_network_later() -> Result<()> {
    let scene = scene!("hook-first");
    let mut wants = scene.wants();
    wants["io.kubernetes.cri-o.ContainerType"] = json!("container");
    let said = told(&scene.daemon, &scene.container.state("created", &wants))?;
    ensure!(said.status == Some(0), "{said:?}");
    let Some(sidecar) = Container::start("sidecar", scene.lab.target())? else {
        skip!(Ok(()), "there is no unified cgroup tree");
    };
    ensure!(!scene.talks(&scene.container)?, "the fault has no effect");
    ensure!(scene.talks(&sidecar)?, "the one beside it is hit");
    let notes = scene.daemon.armed()?[0]["notes"].to_string();
    ensure!(notes.contains("shares its network"), "{notes}");
    Ok(())
}

#[test]
fn a_container_that_is_made_again_is_hit_once() -> Result<()> {
    let scene = scene!("hook-again");
    for _ in 0..3 {
        let said = told(
            &scene.daemon,
            &scene.container.state("created", &scene.wants()),
        )?;
        ensure!(said.status == Some(0), "{said:?}");
        ensure!(scene.daemon.armed()?.len() == 1);
    }
    Ok(())
}

#[test]
fn what_is_wrong_keeps_a_container_from_starting_only_if_it_says_so() -> Result<()> {
    let scene = scene!("hook-wrong");
    let broken = scene
        .daemon
        .file("broken.yaml", "version: 1\nfaults: [{drop: {rtae: 1%}}]\n")?;
    let absent = Instance::new()?;
    for (instance, annotations, words) in [
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-los" }),
            &["chaosd.profile", "did you mean `packet-loss`?"][..],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": broken.display().to_string() }),
            &["chaosd.profile", "broken.yaml:2:", "`rate`"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-loss", "chaosd.set.rtae": "1%", "chaosd.for": "soon" }),
            &["rtae", "soon"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": scene.profile, "chaosd.for": "300d" }),
            &["the fault is not armed", "cap of 1h"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "clock-skew" }),
            &["no container may ask for"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-loss", "chaosd.requierd": "true" }),
            &["did you mean chaosd.required?"],
        ),
        (
            &absent,
            json!({ "chaosd.profile": "packet-loss" }),
            &[
                "the fault is not armed",
                "no daemon answers",
                "chaosd serve",
            ],
        ),
    ] {
        for required in ["true", "false"] {
            let mut annotations = annotations.clone();
            annotations["chaosd.required"] = json!(required);
            let said = told(instance, &scene.container.state("creating", &annotations))?;
            let refused = said.status != Some(0);
            ensure!(refused == (required == "true"), "{annotations}: {said:?}");
            for word in words {
                ensure!(said.stderr.contains(word), "{word}: {said:?}");
            }
            let outcome = if refused {
                "does not start"
            } else {
                "goes on without"
            };
            ensure!(said.stderr.contains(outcome), "{said:?}");
        }
        // A container that ends is never held up.
        let mut annotations = annotations.clone();
        annotations["chaosd.required"] = json!("true");
        let said = told(instance, &scene.container.state("stopped", &annotations))?;
        ensure!(said.status == Some(0), "{said:?}");
    }
    ensure!(scene.daemon.armed()?.is_empty());
    ensure!(answered(&scene.lab)? == PINGS, "something was armed");
    Ok(())
}

#[test]
fn a_daemon_that_hangs_holds_nobody_up_and_arms_nothing_later() -> Result<()> {
    let scene = scene!("hook-hangs");
    for required in ["true", "false"] {
        let mut annotations = scene.wants();
        annotations["chaosd.required"] = json!(required);
        let state = scene.container.state("creating", &annotations).to_string();
        scene.daemon.kill(Signal::SIGSTOP)?;
        let (said, took) = hook(&scene.daemon, &["--within", "2s"], state.as_bytes())?;
        scene.daemon.kill(Signal::SIGCONT)?;
        ensure!((said.status != Some(0)) == (required == "true"), "{said:?}");
        ensure!(said.stderr.contains("no answer within 2s"), "{said:?}");
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
        // It wakes, and reads what it was asked.
        let read = || {
            let log = scene.daemon.log();
            log.matches("DELETE /v1/containers/hook-hangs").count() > 0
        };
        ensure!(wait_until(LONG, read), "{}", scene.daemon.log());
        let calm = || answered(&scene.lab).is_ok_and(|answers| answers == PINGS);
        ensure!(wait_until(LONG, calm), "{}", scene.daemon.log());
        ensure!(scene.daemon.armed()?.is_empty(), "{}", scene.daemon.log());
    }
    Ok(())
}

#[test]
fn containers_that_ask_for_nothing_cost_nothing() -> Result<()> {
    let instance = Instance::new()?;
    let state = json!({
        "ociVersion": "1.0.2", "id": "shop", "pid": 1, "status": "creating", "bundle": "/",
        "annotations": { "app": "shop" },
    });
    let mut times = Vec::new();
    for _ in 0..20 {
        let (said, took) = hook(&instance, &[], state.to_string().as_bytes())?;
        ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
        times.push(took);
    }
    times.sort_unstable();
    println!(
        "a hook for nothing: median {:?}, best {:?}",
        times[10], times[0]
    );
    let most = if support::is_emulated() { 2000 } else { 100 };
    ensure!(times[0] < Duration::from_millis(most), "{times:?}");
    Ok(())
}

#[test]
fn what_is_no_state_keeps_no_container_from_starting() -> Result<()> {
    let instance = Instance::new()?;
    for state in [&b""[..], b"{", b"\xff", br#"{"id": 7}"#] {
        let (said, _) = hook(&instance, &["--within", "30s"], state)?;
        ensure!(said.status == Some(0), "{said:?}");
        ensure!(said.stderr.contains("chaosd hook install"), "{said:?}");
    }
    // Nor does a runtime that never closes its end.
    let mut command = instance.command()?;
    command
        .args(["hook", "--within", "200ms"])
        .stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let kept = child.stdin.take();
    let mut status = None;
    let ended = wait_until(LONG, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    child.kill().ok();
    child.wait()?;
    drop(kept);
    ensure!(
        ended && status.is_some_and(|status| status.success()),
        "{status:?}"
    );
    Ok(())
}

#[test]
fn the_hook_is_installed_once_and_taken_away_once() -> Result<()> {
    let instance = Instance::new()?;
    let dir = instance.file("mark", "")?.with_file_name("hooks.d");
    let dir = dir.display().to_string();
    let cli = |verb: &str| instance.cli(["hook", verb, "--dir", &dir]);
    let said = cli("install")?;
    ensure!(
        said.status == Some(0) && said.stdout.contains("wrote "),
        "{said:?}"
    );
    for word in [
        "--annotation chaosd.profile",
        "pod_annotations",
        "CRI-O",
        "docker",
    ] {
        ensure!(said.stdout.contains(word), "{word}: {said:?}");
    }
    let file = format!("{dir}/chaosd.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let path = document["hook"]["path"].as_str().context("no path")?;
    ensure!(
        Command::new(path)
            .arg("--version")
            .output()?
            .status
            .success()
    );
    let args = document["hook"]["args"].to_string();
    ensure!(args.contains("--socket"), "the socket is another: {args}");
    ensure!(cli("install")?.stdout.contains("is there already"));
    ensure!(cli("uninstall")?.stdout.contains("removed "));
    ensure!(cli("uninstall")?.stdout.contains("is not there"));
    std::fs::write(&file, "{}")?;
    for verb in ["install", "uninstall"] {
        let said = cli(verb)?;
        ensure!(said.status == Some(2), "{said:?}");
        ensure!(said.stderr.contains("not a file of chaosd's"), "{said:?}");
    }
    ensure!(std::fs::read_to_string(&file)? == "{}");
    Ok(())
}
