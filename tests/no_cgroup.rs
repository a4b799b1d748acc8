//! A container without a cgroup of its own is hit by its network namespace: one that is started so, and each on
//! a host with cgroup v1 alone. For that chaosd lives in a mount namespace without a unified tree; the containers
//! do not.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Runtimes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::runtime::{Engine, Kind, Network};
use support::{Instance, Lab, Options, skip, wait_until};

use crate::containers::pings;
use crate::hook_scene::{PARTITION, PINGS, answered, told};
use crate::scene::LONG;

const WITHIN: Duration = Duration::from_secs(90);

/// A daemon that sees no unified tree. Dropped, it is ended, which reverts.
struct OnV1 {
    child: Child,
    instance: Instance,
}

impl OnV1 {
    fn start(engine: &Engine) -> Result<Self> {
        let instance = Instance::new()?;
        let chaosd = instance.command()?;
        let script = "umount -a -t cgroup2 && exec \"$0\" serve";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .arg(chaosd.get_program())
            .env("CHAOSD_ASK_WITHIN", "90s")
            .env(Kind::Crun.variable(), engine.socket());
        for (name, value) in chaosd.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let child = command.stdin(Stdio::null()).spawn()?;
        let daemon = Self { child, instance };
        let answers = || UnixStream::connect(daemon.instance.socket()).is_ok();
        ensure!(wait_until(WITHIN, answers), "it does not answer");
        Ok(daemon)
    }

    fn inject(&self, flags: &str) -> Result<support::Output> {
        let words = ["inject"].into_iter().chain(flags.split(' '));
        self.instance.cli(words)
    }
}

impl Drop for OnV1 {
    fn drop(&mut self) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .ok();
        self.child.wait().ok();
    }
}

#[test]
fn with_cgroup_v1_alone_a_container_is_hit_by_its_network_and_what_takes_a_cgroup_is_refused()
-> Result<()> {
    if let Some(reason) = Kind::Crun.missing() {
        skip!(Ok(()), "{reason}");
    }
    let engine = Engine::start(Kind::Crun)?;
    let [shop, other, beside] = ["v1-shop", "v1-other", "v1-beside"];
    engine.start_container(shop, Network::Own)?;
    engine.start_container(other, Network::Own)?;
    let runtimes = Runtimes::new(engine.places());
    let talks = |name: &str| -> Result<bool> {
        let mut found = runtimes.find(&Asked::Container(name.into()), None, WITHIN)?;
        let member = found.pop().context("nobody answers")?;
        let at = member.cgroups.first().map_or(Path::new("/"), AsRef::as_ref);
        pings(member.pid.context("it does not run")?, at)
    };
    let daemon = OnV1::start(&engine)?;

    let cut = format!("partition --interface lo --container {shop} --for 10m --detach");
    let said = daemon.inject(&cut)?;
    ensure!(said.status == Some(0), "{said:?}");
    let notes = daemon.instance.armed()?[0]["notes"].to_string();
    ensure!(notes.contains("cgroup v1 alone"), "{notes}");
    ensure!(!talks(shop)? && talks(other)?);
    engine.restart(shop)?;
    let again = wait_until(WITHIN, || talks(shop).is_ok_and(|talks| !talks));
    ensure!(again && talks(other)?, "it is not hit again");
    let told = daemon.instance.cli(["revert", "--all"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(talks(shop)?, "it is not free again");

    let said = daemon.inject(&format!("freeze --container {shop} --for 1m"))?;
    ensure!(said.status == Some(2), "{said:?}");
    ensure!(said.stderr.contains("systemd.unified_cgroup_hierarchy=1"));
    engine.start_container(beside, Network::Of(shop))?;
    let said = daemon.inject(&cut)?;
    ensure!(said.status == Some(2), "{said:?}");
    ensure!(said.stderr.contains("--netns /proc/"), "{said:?}");
    ensure!(talks(shop)? && talks(beside)? && talks(other)?);
    Ok(())
}

#[test]
fn one_that_its_network_alone_tells_apart_is_hit_and_let_go_when_it_is_over() -> Result<()> {
    let lab = Lab::new("hook-bare")?;
    let daemon = support::Daemon::start(&Options::default())?;
    let profile = daemon.file("cut.yaml", PARTITION)?.display().to_string();
    // In the cgroup of the tests, with a child beside it.
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 600 & exec sleep 600"]);
    let mut container = lab.target().enter(|| shell.spawn())??;
    let pid = container.id();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let child = || std::fs::read_to_string(&children).unwrap_or_default();
    let started = wait_until(LONG, || !child().is_empty());
    let state = json!({
        "ociVersion": "1.0.2", "id": "bare", "pid": pid, "status": "created",
        "bundle": "/nonexistent", "annotations": { "chaosd.profile": profile },
    });
    let said = told(&daemon, &state);
    let hit = answered(&lab);
    let child: i32 = child().trim().parse()?;
    container.kill()?;
    container.wait()?;
    kill(Pid::from_raw(child), Signal::SIGKILL)?;
    ensure!(
        started && said.as_ref().is_ok_and(|said| said.status == Some(0)),
        "{said:?}"
    );
    ensure!(hit? == 0, "the fault has no effect");
    let over = || daemon.armed().is_ok_and(|runs| runs.is_empty());
    ensure!(wait_until(LONG, over), "its run outlives it");
    ensure!(answered(&lab)? == PINGS);
    Ok(())
}
