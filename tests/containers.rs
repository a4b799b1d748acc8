//! A fault of one container hits that one, with every runtime: not its neighbour, and not the one that
//! shares its network; it is on again after a restart, and goes whoever dies.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Member, Runtimes};
use nix::sys::signal::Signal;
use support::runtime::{Engine, Kind, Network};
use support::{Daemon, Options, Run, skip, wait_until};

/// A runtime's service answers slowly where a processor is computed.
const WITHIN: Duration = Duration::from_secs(90);
/// podman takes a minute where a processor is computed and others use it too.
const PATIENCE: Duration = Duration::from_mins(2);

struct Scene {
    runtimes: Runtimes,
    daemon: Daemon,
    engine: Engine,
}

impl Scene {
    fn new(kind: Kind) -> Result<Self> {
        let engine = Engine::start(kind)?;
        let socket = format!("unix://{}", engine.socket().display());
        let options = Options {
            env: vec![
                (kind.variable().into(), socket),
                ("CHAOSD_ASK_WITHIN".into(), "90s".into()),
            ],
            ..Options::default()
        };
        Ok(Self {
            runtimes: Runtimes::new(engine.places()),
            daemon: Daemon::start(&options)?,
            engine,
        })
    }

    fn member(&self, name: &str) -> Result<Member> {
        let asked = Asked::Container(name.to_owned());
        let mut found = self.runtimes.find(&asked, None, WITHIN)?;
        found.pop().context("nobody answers")
    }

    /// Whether a ping gets through that is of the container's: of its cgroup, in its network.
    fn talks(&self, name: &str) -> Result<bool> {
        let member = self.member(name)?;
        let pid = member.pid.context("it does not run")?;
        let cgroup = member.cgroups.first().context("it has no cgroup")?;
        pings(pid, cgroup)
    }

    fn inject(&self, flags: &str) -> Result<Run<'_>> {
        let words = ["inject"].into_iter().chain(flags.split(' '));
        Run::start(&self.daemon, words)
    }
}

/// Whether a process beside that one gets answers from its own host.
pub fn pings(pid: i32, cgroup: &Path) -> Result<bool> {
    let script = "echo $$ > \"$0/cgroup.procs\" && exec ping -q -c 3 -i 0.05 -W 1 127.0.0.1";
    let status = Command::new("nsenter")
        .arg(format!("--net=/proc/{pid}/ns/net"))
        .args(["sh", "-c", script])
        .arg(cgroup)
        .stdout(Stdio::null())
        .status()
        .context("failed to start nsenter")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        other => anyhow::bail!("ping ended with {other:?}"),
    }
}

fn one_is_hit(kind: Kind) -> Result<()> {
    if let Some(reason) = kind.missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut scene = Scene::new(kind)?;
    // The state directories of crun and runc are the machine's, where other tests write too.
    let [shop, other, beside] = ["shop", "other", "beside"].map(|name| format!("{name}-{kind}"));
    let (shop, other, beside) = (shop.as_str(), other.as_str(), beside.as_str());
    scene.engine.start_container(shop, Network::Own)?;
    scene.engine.start_container(other, Network::Own)?;
    let mut names = vec![shop, other];
    if kind.has_daemon() {
        scene.engine.start_container(beside, Network::Of(shop))?;
        names.push(beside);
    }
    let talk = || -> Result<Vec<bool>> { names.iter().map(|name| scene.talks(name)).collect() };
    let all = vec![true; names.len()];
    let mut one = all.clone();
    one[0] = false;
    assert_eq!(talk()?, all, "before");

    let run = scene.inject(&format!(
        "partition --interface lo --container {shop} --for 10m"
    ))?;
    assert_eq!(talk()?, one);
    let told = run.report()?;
    println!("{kind}: armed in {} ms", told.0["arm-ms"]);
    let id = run.id().to_owned();

    for turn in 0..if kind.has_daemon() { 2 } else { 5 } {
        // What shares a network with it would lose that.
        if kind.has_daemon() {
            scene.engine.remove(beside).ok();
        }
        scene.engine.restart(shop)?;
        let since = Instant::now();
        let again = wait_until(PATIENCE, || scene.talks(shop).is_ok_and(|talks| !talks));
        ensure!(again, "turn {turn}: not hit again\n{}", scene.daemon.log());
        println!("{kind}, turn {turn}: hit again after {:?}", since.elapsed());
        ensure!(scene.talks(other)?, "turn {turn}");
    }
    if kind.has_daemon() {
        let member = scene.member(shop)?;
        let (pid, cgroup) = (member.pid.context("no process")?, member.cgroups[0].clone());
        scene.engine.kill_daemon()?;
        let hit = !pings(pid, &cgroup)?;
        ensure!(hit, "it needs the runtime: {}", scene.daemon.log());
        let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
        ensure!(told.status == Some(0), "{told:?}");
        ensure!(pings(pid, &cgroup)?, "after the revert");
        return Ok(());
    }
    scene.daemon.kill(Signal::SIGKILL)?;
    scene.daemon.wait(PATIENCE)?;
    let free = wait_until(PATIENCE, || scene.talks(shop).is_ok_and(|talks| talks));
    ensure!(free, "still hit");
    Ok(())
}

#[test]
fn one_container_of_crun_is_hit() -> Result<()> {
    one_is_hit(Kind::Crun)
}

#[test]
fn one_container_of_runc_is_hit() -> Result<()> {
    one_is_hit(Kind::Runc)
}

#[test]
fn one_container_of_podman_is_hit() -> Result<()> {
    one_is_hit(Kind::Podman)
}

#[test]
fn one_container_of_docker_is_hit() -> Result<()> {
    one_is_hit(Kind::Docker)
}

#[test]
fn one_container_of_containerd_s_own_is_hit() -> Result<()> {
    one_is_hit(Kind::Containerd)
}
