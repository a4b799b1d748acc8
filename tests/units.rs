//! A fault of a unit hits that one, again after each restart, and one of a slice all that is in it; where
//! systemd is process 1 of a guest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::profile::Pattern;
use chaosd::runtime::{Asked, Member, Places, Runtimes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Daemon, Options, Run, is_emulated, is_laboratory, run, skip, wait_until};

use crate::containers::pings;

const WITHIN: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(40);
const SLICE: &str = "lot.slice";

/// A service that sleeps, in a slice. Dropped, it is stopped.
struct Service {
    name: &'static str,
    runtimes: Runtimes,
}

impl Service {
    fn start(name: &'static str, slice: &str) -> Result<Self> {
        Self::start_with(name, slice, "--property=Description=plain")
    }

    fn start_with(name: &'static str, slice: &str, property: &str) -> Result<Self> {
        let (unit, slice) = (format!("--unit={name}"), format!("--slice={slice}"));
        // It is started again more often than systemd takes for sane.
        let often = "--property=StartLimitIntervalSec=0";
        let words = [
            "--quiet",
            often,
            property,
            &unit,
            &slice,
            "/bin/sleep",
            "36000",
        ];
        run("systemd-run", &words)?;
        Ok(Self {
            name,
            runtimes: Runtimes::new(Places::of_this_host()),
        })
    }

    fn member(&self) -> Result<Member> {
        let asked = Asked::Unit(Pattern::new(self.name));
        let mut found = self.runtimes.find(&asked, None, WITHIN)?;
        found.pop().context("nobody answers")
    }

    /// Whether what it sends gets through, and what CPU time it may have of each tenth of a second.
    fn state(&self) -> Result<(bool, String)> {
        let member = self.member()?;
        let cgroup = member.cgroups.first().context("no cgroup")?;
        let quota = std::fs::read_to_string(cgroup.join("cpu.max")).unwrap_or_default();
        let talks = pings(member.pid.context("no process")?, cgroup)?;
        Ok((
            talks,
            quota.split(' ').next().unwrap_or_default().to_owned(),
        ))
    }

    fn is_hit(&self) -> bool {
        self.state()
            .is_ok_and(|(talks, quota)| !talks && quota == "20000")
    }

    /// Systemd may or may not have enabled a controller for it.
    fn is_free(&self) -> bool {
        self.state()
            .is_ok_and(|(talks, quota)| talks && (quota == "max" || quota.is_empty()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        run("systemctl", &["stop", self.name]).ok();
    }
}

fn start<'a>(daemon: &'a Daemon, unit: &str) -> Result<Run<'a>> {
    let profile = format!(
        "version: 1\nfor: 1h\ntarget: {{unit: {unit}}}\nfaults:\n  - drop: {{rate: 100%}}\n    \
         match: {{interfaces: [lo]}}\n  - cpu-quota: {{limit: 20%}}\n"
    );
    let file = daemon.file("profile.yaml", &profile)?;
    Run::start(daemon, ["run", &file.display().to_string()])
}

#[test]
fn a_unit_is_hit_again_after_each_restart_and_a_slice_with_all_in_it() -> Result<()> {
    if !is_laboratory() || !Path::new("/run/systemd/system").exists() {
        skip!(
            Ok(()),
            "units start in a guest whose process 1 is systemd alone"
        );
    }
    let shop = Service::start("lot-shop.service", SLICE)?;
    let beside = Service::start("lot-beside.service", SLICE)?;
    let other = Service::start("lot-other.service", "system.slice")?;
    let options = || Options {
        env: vec![("CHAOSD_ASK_WITHIN".into(), "60s".into())],
        ..Options::default()
    };
    let mut daemon = Daemon::start(&options())?;
    ensure!(shop.is_free() && beside.is_free() && other.is_free());

    let id = start(&daemon, shop.name)?.id().to_owned();
    ensure!(shop.is_hit(), "{:?}", shop.state()?);
    let limit = Duration::from_secs(if is_emulated() { 20 } else { 1 });
    for turn in 0..10 {
        run("systemctl", &["restart", shop.name])?;
        let since = Instant::now();
        let again = wait_until(limit, || shop.is_hit());
        ensure!(again, "turn {turn}: {:?}\n{}", shop.state()?, daemon.log());
        println!("turn {turn}: hit again within {:?}", since.elapsed());
        ensure!(beside.is_free() && other.is_free(), "turn {turn}");
    }
    let told = daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(shop.is_free(), "{:?}", shop.state()?);

    // A slice's quota is its own, and its sockets are those of all in it.
    let run_on_slice = start(&daemon, SLICE)?;
    let talk = [&shop, &beside, &other].map(|unit| unit.state().map(|(talks, _)| talks));
    let talk = talk.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(talk, [false, false, true]);
    drop(run_on_slice.revert()?);
    ensure!(shop.is_free() && beside.is_free() && other.is_free());

    let _run = start(&daemon, shop.name)?;
    ensure!(shop.is_hit(), "{:?}", shop.state()?);
    kill(daemon.watchdog()?, Signal::SIGKILL)?;
    let pid: Pid = daemon.pid();
    kill(pid, Signal::SIGKILL)?;
    daemon.wait(PATIENCE)?;
    let told = daemon.cli(["revert", "--all"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(
        wait_until(PATIENCE, || shop.is_free()),
        "{:?}",
        shop.state()?
    );
    Ok(())
}

/// systemd makes the cgroup first, starts the process in the host's network, and moves it then.
#[test]
fn a_unit_with_a_network_of_its_own_is_hit_there_after_each_restart() -> Result<()> {
    if !is_laboratory() || !Path::new("/run/systemd/system").exists() {
        skip!(
            Ok(()),
            "units start in a guest whose process 1 is systemd alone"
        );
    }
    let private = "--property=PrivateNetwork=yes";
    let shop = Service::start_with("lot-private.service", "system.slice", private)?;
    let other = Service::start("lot-public.service", "system.slice")?;
    let daemon = Daemon::start(&Options {
        env: vec![("CHAOSD_ASK_WITHIN".into(), "60s".into())],
        ..Options::default()
    })?;
    let _run = start(&daemon, shop.name)?;
    ensure!(shop.is_hit(), "{:?}", shop.state()?);
    let limit = Duration::from_secs(if is_emulated() { 20 } else { 2 });
    for turn in 0..10 {
        run("systemctl", &["restart", shop.name])?;
        let again = wait_until(limit, || shop.is_hit());
        ensure!(again, "turn {turn}: {:?}\n{}", shop.state()?, daemon.log());
        ensure!(other.is_free(), "turn {turn}");
    }
    Ok(())
}
