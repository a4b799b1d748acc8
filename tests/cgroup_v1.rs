//! On a host with cgroup v1 alone a container is hit by its network namespace, and what takes more is refused
//! with what to do. chaosd lives in a mount namespace without a unified tree; the containers do not.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Runtimes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::runtime::{Engine, Kind, Network};
use support::{Instance, skip, wait_until};

use crate::containers::pings;

const WITHIN: Duration = Duration::from_secs(90);

/// A daemon that sees no unified tree. Dropped, it is ended, which reverts.
struct Daemon {
    child: Child,
    instance: Instance,
}

impl Daemon {
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
        let answers = || {
            let status = daemon.instance.cli(["status"]);
            status.is_ok_and(|said| said.status == Some(0))
        };
        ensure!(wait_until(WITHIN, answers), "it does not answer");
        Ok(daemon)
    }

    fn inject(&self, flags: &str) -> Result<support::Output> {
        let words = ["inject"].into_iter().chain(flags.split(' '));
        self.instance.cli(words)
    }
}

impl Drop for Daemon {
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
fn a_container_is_hit_by_its_network_and_what_takes_a_cgroup_is_refused() -> Result<()> {
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
    let daemon = Daemon::start(&engine)?;

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
    ensure!(said.status == Some(3), "{said:?}");
    ensure!(said.stderr.contains("systemd.unified_cgroup_hierarchy=1"));
    engine.start_container(beside, Network::Of(shop))?;
    let said = daemon.inject(&cut)?;
    ensure!(said.status == Some(3), "{said:?}");
    ensure!(said.stderr.contains("--netns /proc/"), "{said:?}");
    ensure!(talks(shop)? && talks(beside)? && talks(other)?);
    Ok(())
}
