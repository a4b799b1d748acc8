//! A fault of one container of a real pod hits that one: not its sibling, not the other pod. It is on
//! again when the container or the whole pod is made anew, and nothing is left whoever dies.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Member, Runtimes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::runtime::{Engine, Kind, Network, PodSpec, Pods};
use support::{Daemon, Options, Output, Run, is_emulated, skip, wait_until};

use crate::pods_scene::{Line, SENT, Trio};

/// A runtime's service answers slowly where a processor is computed.
const WITHIN: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_mins(2);
/// Nobody has answered to a name for so long that nobody will, and what it takes to be told so.
const GONE: Duration = Duration::from_secs(40);

/// How soon a fault is on again. Where a processor is computed all takes up to 40 times as long.
fn again_within() -> Duration {
    Duration::from_secs(if is_emulated() { 20 } else { 1 })
}

/// A pod `web-0` of two containers, and another, `db-0`.
struct Scene {
    daemon: Daemon,
    runtimes: Runtimes,
    web: String,
    app: String,
    proxy: String,
    pods: Pods,
}

impl Scene {
    fn new() -> Result<Self> {
        let mut pods = Pods::start()?;
        let web = pods.run(PodSpec::new("shop", "web-0"))?;
        let db = pods.run(PodSpec::new("shop", "db-0"))?;
        let app = pods.start_container(&web, "app", 0)?;
        let proxy = pods.start_container(&web, "proxy", 0)?;
        pods.start_container(&db, "app", 0)?;
        Ok(Self {
            daemon: daemon(&pods.socket())?,
            runtimes: Runtimes::new(pods.places()),
            web,
            app,
            proxy,
            pods,
        })
    }

    fn member(&self, name: &str) -> Result<Member> {
        let asked = Asked::Container(name.to_owned());
        let mut found = self.runtimes.find(&asked, None, WITHIN)?;
        found.pop().context("nobody answers")
    }

    fn line(&self, name: &str) -> Result<Line> {
        Line::new(self.member(name)?.pid.context("it does not run")?)
    }

    fn lines(&self) -> Result<[Line; 3]> {
        let [app, proxy, other] = ["web-0/app", "web-0/proxy", "db-0/app"];
        Ok([self.line(app)?, self.line(proxy)?, self.line(other)?])
    }

    fn inject(&self, flags: &str) -> Result<Run<'_>> {
        let words = ["inject"].into_iter().chain(flags.split(' '));
        Run::start(&self.daemon, words)
    }
}

/// One that asks the runtime at this socket.
fn daemon(socket: &Path) -> Result<Daemon> {
    Daemon::start(&options("CONTAINER_RUNTIME_ENDPOINT", socket))
}

fn options(variable: &str, socket: &Path) -> Options<'static> {
    let socket = format!("unix://{}", socket.display());
    Options {
        env: vec![
            (variable.into(), socket),
            ("CHAOSD_ASK_WITHIN".into(), "90s".into()),
            ("CHAOSD_LOG".into(), "chaosd=debug".into()),
        ],
        // What lingers is no fault's, and would be compared.
        args: vec!["--linger".into(), "0s".into()],
        ..Options::default()
    }
}

fn refused(daemon: &Daemon, words: &str) -> Result<String> {
    let Output { status, stderr, .. } = daemon.cli(words.split(' '))?;
    ensure!(status == Some(2), "{words}: {status:?} {stderr}");
    Ok(stderr)
}

/// Nothing was said that needs a person.
fn is_clean(daemon: &Daemon) -> Result<()> {
    let log = daemon.log();
    ensure!(!log.contains("ERROR"), "{log}");
    Ok(())
}

/// Why a run is over; nothing while it is not.
fn ended(daemon: &Daemon, id: &str) -> Result<String> {
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    let runs = status["runs"].as_array().context("no runs")?;
    let run = runs.iter().find(|run| run["id"] == id);
    let run = run.context("it is not told of")?;
    Ok(run["ended"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn one_container_of_a_pod_is_hit_and_neither_its_sibling_nor_another_pod() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let scene = Scene::new()?;
    let mut trio = Trio {
        daemon: &scene.daemon,
        target: vec!["--container", "web-0/app"],
        lines: scene.lines()?,
    };
    trio.first_alone_is_hit()?;

    // All of the pod, by its namespace.
    trio.target = vec!["--pod", "shop/web-0"];
    let run = trio.inject("partition")?;
    assert_eq!(trio.pass()?, [[0; 2], [0; 2], [SENT; 2]]);
    drop(run.revert()?);
    assert_eq!(trio.pass()?, [[SENT; 2]; 3]);
    is_clean(&scene.daemon)
}

#[test]
fn one_container_of_a_podman_pod_is_hit_and_neither_its_sibling_nor_another_pod() -> Result<()> {
    if let Some(reason) = Kind::Podman.missing() {
        skip!(Ok(()), "{reason}");
    }
    let engine = Engine::start(Kind::Podman)?;
    for (pod, names) in [("web", &["app", "proxy"][..]), ("db", &["store"])] {
        engine.make_pod(pod)?;
        for name in names {
            engine.start_container(name, Network::Pod(pod))?;
        }
    }
    // By what crun writes down of it: podman's service takes half a minute to answer where a processor is
    // computed. By that, and by name, `containers` and `pods_podman` have it.
    let [app, proxy, store] = ["app", "proxy", "store"].map(|name| engine.identity(name));
    let ((id, app), (_, proxy), (_, store)) = (app?, proxy?, store?);
    let daemon = Daemon::start(&options("CONTAINER_HOST", &engine.socket()))?;
    let mut trio = Trio {
        daemon: &daemon,
        target: vec!["--container", &id[..12], "--runtime", "crun"],
        lines: [Line::new(app)?, Line::new(proxy)?, Line::new(store)?],
    };
    trio.first_alone_is_hit()?;
    is_clean(&daemon)
}

#[test]
fn a_container_of_a_pod_is_hit_again_after_each_of_ten_restarts() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut scene = Scene::new()?;
    let [first, proxy, other] = scene.lines()?;
    let before = proxy.state()?;
    let id = scene.inject("partition --container web-0/app --for 1h")?;
    let id = id.id().to_owned();
    ensure!(first.is_cut()?, "not hit");
    drop(first);
    for attempt in 1..=10 {
        scene.pods.remove_container(&scene.app)?;
        scene.app = scene.pods.start_container(&scene.web, "app", attempt)?;
        let since = Instant::now();
        let line = scene.line("web-0/app")?;
        let again = wait_until(again_within(), || line.is_cut().is_ok_and(|is| is));
        ensure!(again, "attempt {attempt}\n{}", scene.daemon.log());
        println!("attempt {attempt}: hit again within {:?}", since.elapsed());
        assert_eq!([proxy.pass()?, other.pass()?], [[SENT; 2]; 2]);
    }
    // The sibling is as little a target when it is made anew, and alone meanwhile.
    scene.pods.remove_container(&scene.proxy)?;
    drop(proxy);
    scene.pods.remove_container(&scene.app)?;
    scene.app = scene.pods.start_container(&scene.web, "app", 11)?;
    let line = scene.line("web-0/app")?;
    let again = wait_until(again_within(), || line.is_cut().is_ok_and(|is| is));
    ensure!(again, "{}", scene.daemon.log());
    scene.proxy = scene.pods.start_container(&scene.web, "proxy", 1)?;
    let proxy = scene.line("web-0/proxy")?;
    assert_eq!(proxy.pass()?, [SENT; 2]);

    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    let lines = [line, proxy, other];
    for line in &lines {
        assert_eq!(line.pass()?, [SENT; 2]);
    }
    // The limits are those of another cgroup now.
    let network = || lines[1].state().map(|now| now.0);
    if !wait_until(PATIENCE, || network().is_ok_and(|now| now == before.0)) {
        network()?.assert_same(&before.0);
    }
    is_clean(&scene.daemon)
}

#[test]
fn a_pod_is_hit_again_when_its_sandbox_is_made_anew() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut scene = Scene::new()?;
    let id = scene.inject("partition --pod shop/web-0 --for 1h")?;
    let id = id.id().to_owned();
    ensure!(scene.line("web-0/app")?.is_cut()?, "not hit");
    for turn in 0..2 {
        // Its cgroup stays, as with a kubelet.
        scene.pods.remove(&scene.web)?;
        scene.web = scene.pods.run(PodSpec::new("shop", "web-0"))?;
        scene.app = scene.pods.start_container(&scene.web, "app", 0)?;
        let line = scene.line("web-0/app")?;
        let again = wait_until(again_within(), || line.is_cut().is_ok_and(|is| is));
        ensure!(again, "turn {turn}\n{}", scene.daemon.log());
    }
    let line = scene.line("web-0/app")?;
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    assert_eq!(line.pass()?, [SENT; 2]);
    is_clean(&scene.daemon)
}

#[test]
fn whoever_dies_nothing_of_a_pod_s_fault_is_left() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut scene = Scene::new()?;
    let [app, proxy, _] = scene.lines()?;
    let before = app.state()?;
    // Late packets too, which take a device, and a limit, which stays in force by itself.
    let profile = "version: 1\nfor: 1h\ntarget: {container: web-0/app}\nfaults:\n  \
                   - partition: {}\n  - delay: {time: 1s}\n  - cpu-quota: {limit: 50%}\n";
    let socket = scene.pods.socket();
    for both in [false, true] {
        let file = scene.daemon.file("profile.yaml", profile)?;
        let _run = Run::start(&scene.daemon, ["run", &file.display().to_string()])?;
        ensure!(app.is_cut()? && app.state()?.1 != before.1, "not hit");
        if both {
            kill(scene.daemon.watchdog()?, Signal::SIGKILL)?;
        }
        scene.daemon.kill(Signal::SIGKILL)?;
        scene.daemon.wait(PATIENCE)?;
        let free = wait_until(PATIENCE, || app.is_cut().is_ok_and(|is| !is));
        ensure!(free, "still hit");
        if both {
            let told = scene.daemon.cli(["revert", "--all"])?;
            ensure!(told.status == Some(0), "{told:?}");
        }
        let clean = || app.state().is_ok_and(|now| now == before);
        ensure!(wait_until(PATIENCE, clean), "{:?}", app.state()?.1);
        scene.daemon = daemon(&socket)?;
    }

    // Its container, which is missed for longer than a name that nobody has would be.
    let id = scene.inject("partition --container web-0/app --for 1h")?;
    let id = id.id().to_owned();
    let pid = scene.member("web-0/app")?.pid.context("no process")?;
    drop(app);
    kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(ended(&scene.daemon, &id)?, "", "it may come back");
    scene.pods.remove_container(&scene.app)?;
    scene.app = scene.pods.start_container(&scene.web, "app", 1)?;
    let app = scene.line("web-0/app")?;
    let again = wait_until(again_within(), || app.is_cut().is_ok_and(|is| is));
    ensure!(again, "{}", scene.daemon.log());
    // It, and its name.
    drop(app);
    scene.pods.remove_container(&scene.app)?;
    let gone = || ended(&scene.daemon, &id).is_ok_and(|why| why == "target-gone");
    ensure!(wait_until(GONE, gone), "{}", scene.daemon.log());
    assert_eq!(proxy.pass()?, [SENT; 2]);

    // The runtime: its containers go on without it, and so does the fault.
    let run = scene.inject("partition --container web-0/proxy --for 1h")?;
    let id = run.id().to_owned();
    ensure!(proxy.is_cut()?, "not hit");
    scene.pods.kill_daemon()?;
    ensure!(proxy.is_cut()?, "the fault does not need the runtime");
    std::thread::sleep(Duration::from_secs(12));
    ensure!(proxy.is_cut()?, "what a dead runtime knows is not absent");
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    assert_eq!(proxy.pass()?, [SENT; 2]);
    is_clean(&scene.daemon)
}

#[test]
fn what_cannot_be_hit_of_a_pod_is_told_with_what_to_type_instead() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut scene = Scene::new()?;
    scene.pods.run(PodSpec::new("shop", "node-0").on_host())?;
    let daemon = &scene.daemon;
    let told = refused(daemon, "inject drop --rate 1% --pod shop/node-0")?;
    let offered = told.split("--cgroup ").nth(1).context("no cgroup")?;
    let cgroup = offered.split([')', ' ']).next().unwrap_or_default();
    ensure!(told.contains("uses the host's network"), "{told}");
    // What it says to type is taken.
    let words = ["inject", "drop", "--rate", "1%", "--cgroup", cgroup];
    drop(Run::start(daemon, words)?.revert()?);

    let told = refused(daemon, "inject partition --container app")?;
    for name in ["shop/web-0/app", "shop/db-0/app"] {
        ensure!(told.contains(name), "{told}");
    }
    for (typed, nearest) in [
        ("--container web-0/prox", "web-0/proxy"),
        ("--pod shop/web-1", "shop/web-0"),
    ] {
        let told = refused(daemon, &format!("inject partition {typed}"))?;
        ensure!(told.contains(nearest), "{told}");
    }
    is_clean(daemon)
}

#[test]
fn a_prefix_of_several_containers_lists_them() -> Result<()> {
    if let Some(reason) = Kind::Crun.missing() {
        skip!(Ok(()), "{reason}");
    }
    let engine = Engine::start(Kind::Crun)?;
    let names = ["prefix-web", "prefix-db"];
    for name in names {
        engine.start_container(name, Network::Own)?;
    }
    let daemon = Daemon::start(&Options::default())?;
    let told = refused(&daemon, "inject partition --container prefix-")?;
    for name in names {
        ensure!(told.contains(name), "{told}");
    }
    let told = refused(&daemon, "inject partition --container prefix-wbe")?;
    ensure!(told.contains("the nearest are prefix-web"), "{told}");
    Ok(())
}
