//! Processes in cgroups and namespaces that stand for containers, and a runtime that tells `chaosd hook` of them.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Cgroup, Daemon, Family, Instance, Lab, Node, Options, Output, ping, wait_until};

use crate::scene::LONG;

pub const PINGS: u32 = 3;
pub const PARTITION: &str = "version: 1\nfor: 10m\nfaults: [{partition: {}}]\n";

/// What stands for a container. Dropped, it is killed.
pub struct Container {
    pub process: Child,
    cgroup: Cgroup,
    id: &'static str,
    pub bundle: String,
}

impl Container {
    pub fn start(id: &'static str, node: &Node) -> Result<Option<Self>> {
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
            bundle: "/nonexistent".to_owned(),
        };
        let members = format!("/proc/{}/comm", container.process.id());
        let runs = || std::fs::read_to_string(&members).is_ok_and(|name| name.trim() == "sleep");
        ensure!(wait_until(LONG, runs), "it does not sleep");
        Ok(Some(container))
    }

    pub fn state(&self, status: &str, annotations: &Value) -> Value {
        let pid = if status == "stopped" {
            0
        } else {
            self.process.id()
        };
        json!({
            "ociVersion": "1.0.2", "id": self.id, "pid": pid, "status": status,
            "bundle": self.bundle, "annotations": annotations,
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

pub fn hook(instance: &Instance, words: &[&str], state: &[u8]) -> Result<(Output, Duration)> {
    let mut command = instance.command()?;
    command.arg("hook").args(words);
    let since = Instant::now();
    let output = told_to(&mut command, state)?;
    Ok((output, since.elapsed()))
}

pub fn told_to(command: &mut Command, state: &[u8]) -> Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("failed to start chaosd hook")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(state)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    })
}

/// The time is enough for a busy machine.
pub fn told(instance: &Instance, state: &Value) -> Result<Output> {
    let (output, _) = hook(instance, &["--within", "30s"], state.to_string().as_bytes())?;
    Ok(output)
}

pub fn answered(lab: &Lab) -> Result<u32> {
    ping::ping(lab.target(), lab.peer(), Family::V4, PINGS)
}

pub struct Scene {
    pub container: Container,
    pub daemon: Daemon,
    pub lab: Lab,
    pub profile: String,
}

impl Scene {
    /// None on a machine where packets cannot be told by cgroup.
    pub fn new(name: &'static str) -> Result<Option<Self>> {
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
    pub fn talks(&self, container: &Container) -> Result<bool> {
        let target = self.lab.target();
        let peer = self.lab.peer().address_facing(target, Family::V4)?;
        let mut ping = container.cgroup.command("ping");
        ping.args(["-q", "-c", "3", "-i", "0.05", "-W", "1"])
            .arg(peer.to_string())
            .stdout(Stdio::null());
        Ok(target.enter(|| ping.status())??.success())
    }

    pub fn wants(&self) -> Value {
        json!({ "chaosd.profile": self.profile })
    }
}

macro_rules! scene {
    ($name:literal) => {
        match $crate::hook_scene::Scene::new($name)? {
            Some(scene) => scene,
            None => support::skip!(Ok(()), "there is no unified cgroup tree"),
        }
    };
}

pub(crate) use scene;
