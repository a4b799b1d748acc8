//! The hook with real runtimes: the first packet of a container is under its fault already, its start is
//! hardly later for it, and whoever dies, nothing is left.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Runtimes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::counters::Counters;
use support::runtime::hooked::{Bundles, Container, Spec};
use support::runtime::{Engine, Kind, PodSpec, Pods};
use support::{
    Daemon, Family, Instance, Lab, Node, Options, Snapshot, is_emulated, skip, wait_until,
};

use crate::scene::LONG;

const PARTITION: &str = "version: 1\nfor: 10m\nfaults: [{partition: {}}]\n";
/// What a container sends first.
const PINGS: u64 = 4;

struct Scene {
    bundles: Bundles,
    daemon: Daemon,
    lab: Lab,
    profile: String,
    kind: Kind,
}

impl Scene {
    fn new(kind: Kind, name: &str) -> Result<Self> {
        let lab = Lab::with_bystander(name)?;
        let daemon = Daemon::start(&Options::default())?;
        let profile = daemon.file("cut.yaml", PARTITION)?.display().to_string();
        Ok(Self {
            bundles: Bundles::new(kind)?,
            daemon,
            lab,
            profile,
            kind,
        })
    }

    fn id(&self, name: &str) -> String {
        // The state directories of crun and runc are the machine's.
        format!("hook-{name}-{}-{}", self.kind, std::process::id())
    }

    fn wants(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let profile = ("chaosd.profile".to_owned(), self.profile.clone());
        std::iter::once(profile)
            .chain(more.iter().map(own))
            .collect()
    }

    /// One that pings the peer at once, and ends.
    fn pinging(&self, name: &str, spec: Spec<'_>) -> Result<Container> {
        let peer = self
            .lab
            .peer()
            .address_facing(self.lab.target(), Family::V4)?;
        let (peer, count) = (peer.to_string(), PINGS.to_string());
        let args = ["/bin/ping", "-q", "-c", &count, "-W", "1", &peer];
        self.bundles.bundle(
            &self.id(name),
            &Spec {
                args: &args,
                ..spec
            },
        )
    }

    fn spec(&self, annotations: Vec<(String, String)>) -> Result<Spec<'static>> {
        Ok(Spec {
            netns: Some(self.lab.target().path()),
            args: &["/bin/sleep", "600"],
            annotations,
            hook: Some(hook(&self.daemon)?),
        })
    }
}

/// The program, and arguments that suit a machine whose processor is computed.
fn hook(instance: &Instance) -> Result<(PathBuf, Vec<String>)> {
    let program = instance.command()?.get_program().into();
    let socket = instance.socket().display().to_string();
    let args = ["chaosd", "hook", "--within", "40s", "--socket", &socket];
    Ok((program, args.map(str::to_owned).into()))
}

/// Echo requests that arrived at a node.
fn echoes(node: &Node) -> Result<u64> {
    Ok(Counters::read(node)?.get("IcmpInEchos"))
}

fn is_calm(instance: &Instance) -> bool {
    wait_until(LONG, || instance.armed().is_ok_and(|runs| runs.is_empty()))
}

fn first_packet(kind: Kind) -> Result<()> {
    let scene = Scene::new(kind, &format!("hook-{kind}"))?;
    let before = Snapshot::take(scene.lab.target())?;
    let none = scene.pinging("none", scene.spec(Vec::new())?)?;
    let count = echoes(scene.lab.peer())?;
    let said = none.run()?;
    ensure!(said.done, "without annotations: {said:?}");
    ensure!(echoes(scene.lab.peer())? - count == PINGS, "{said:?}");

    let hit = scene.pinging(
        "hit",
        scene.spec(scene.wants(&[("chaosd.required", "true")]))?,
    )?;
    let count = echoes(scene.lab.peer())?;
    let said = hit.run()?;
    ensure!(said.text.contains("100% packet loss"), "{said:?}");
    ensure!(
        echoes(scene.lab.peer())? == count,
        "packets got through: {said:?}"
    );
    // crun and runc have called the hook once more by now.
    ensure!(is_calm(&scene.daemon), "{}", scene.daemon.log());
    let log = scene.daemon.log();
    ensure!(log.contains("DELETE /v1/containers/hook-hit"), "{log}");
    // Its runtime called it the same both times.
    ensure!(log.contains("over, or called off"), "{log}");
    ensure!(none.run()?.done, "the fault outlives its container");
    let all = scene.daemon.cli(["revert", "--all"])?;
    ensure!(all.status == Some(0), "{all:?}");
    Snapshot::take(scene.lab.target())?.assert_same(&before);
    Ok(())
}

fn required_or_not(kind: Kind) -> Result<()> {
    let scene = Scene::new(kind, &format!("hook-req-{kind}"))?;
    let absent = Instance::new()?;
    for (instance, more, word) in [
        (&*scene.daemon, ("chaosd.set.rate", "1%"), "rate"),
        (&absent, ("chaosd.for", "5m"), "no daemon answers"),
    ] {
        for required in ["true", "false"] {
            // crun keeps to itself what hooks say, unless it is told of a file.
            let log = scene.daemon.file("hook.log", "")?;
            let file = log.display().to_string();
            let kept = ("run.oci.hooks.stderr", file.as_str());
            let wants = scene.wants(&[more, ("chaosd.required", required), kept]);
            let spec = Spec {
                hook: Some(hook(instance)?),
                ..scene.spec(wants)?
            };
            let container = scene.pinging("req", spec)?;
            let count = echoes(scene.lab.peer())?;
            let said = container.run()?;
            let sent = echoes(scene.lab.peer())? - count;
            let expected = if required == "true" {
                (false, 0)
            } else {
                (true, PINGS)
            };
            ensure!(
                (said.done, sent) == expected,
                "{word}, {required}: {sent} {said:?}"
            );
            let told = std::fs::read_to_string(&log)? + &said.text;
            // runc tells it only of a hook that fails.
            let heard = kind == Kind::Crun || required == "true";
            ensure!(told.contains(word) || !heard, "{told}");
        }
    }
    ensure!(scene.daemon.armed()?.is_empty());
    Ok(())
}

fn whoever_dies(kind: Kind) -> Result<()> {
    let mut scene = Scene::new(kind, &format!("hook-die-{kind}"))?;
    let spec = scene.spec(scene.wants(&[]))?;

    // The container, without a word to anybody.
    let container = scene.bundles.bundle(&scene.id("dies"), &spec)?;
    let said = container.create()?;
    ensure!(said.done && scene.daemon.armed()?.len() == 1, "{said:?}");
    ensure!(container.start()?.done);
    kill(Pid::from_raw(container.pid()?), Signal::SIGKILL)?;
    ensure!(is_calm(&scene.daemon), "{}", scene.daemon.log());
    ensure!(container.delete()?.done);

    // The daemon, between the hook and the first instruction.
    let container = scene.pinging("orphan", spec)?;
    ensure!(container.create()?.done);
    ensure!(scene.daemon.armed()?.len() == 1);
    scene.daemon.kill(Signal::SIGKILL)?;
    scene.daemon.wait(LONG)?;
    ensure!(wait_until(LONG, || scene.daemon.processes().is_empty()));
    let count = echoes(scene.lab.peer())?;
    ensure!(container.start()?.done);
    let sent = || echoes(scene.lab.peer()).is_ok_and(|now| now - count == PINGS);
    ensure!(wait_until(LONG, sent), "the fault outlives the daemon");
    let said = container.delete()?;
    ensure!(said.done, "{said:?}");
    let doctor = scene.daemon.cli(["doctor", "-o", "json"])?.json()?;
    ensure!(doctor["leftovers"] == serde_json::json!([]), "{doctor}");
    Ok(())
}

fn two_at_once(kind: Kind) -> Result<()> {
    let scene = Scene::new(kind, &format!("hook-two-{kind}"))?;
    let spec = scene.spec(scene.wants(&[]))?;
    let other = Spec {
        netns: Some(scene.lab.bystander().path()),
        ..spec.clone()
    };
    let peer = scene
        .lab
        .target()
        .address_facing(scene.lab.bystander(), Family::V4)?;
    let peer = peer.to_string();
    let one = scene.pinging("one", spec)?;
    let args = ["/bin/ping", "-q", "-c", "4", "-W", "1", &peer];
    let two = scene.bundles.bundle(
        &scene.id("two"),
        &Spec {
            args: &args,
            ..other
        },
    )?;
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| one.run());
        let two = two.run();
        (one.join(), two)
    });
    let one = one.map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    for said in [one?, two?] {
        ensure!(said.text.contains("100% packet loss"), "{said:?}");
    }
    ensure!(is_calm(&scene.daemon), "{}", scene.daemon.log());
    Ok(())
}

fn start_is_hardly_later(kind: Kind) -> Result<()> {
    const STARTS: usize = 7;
    let scene = Scene::new(kind, &format!("hook-time-{kind}"))?;
    let wants = scene.wants(&[]);
    let with = scene.spec(wants.clone())?;
    let without = Spec {
        hook: None,
        ..with.clone()
    };
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        for (spec, times) in [&without, &with].into_iter().zip(&mut times) {
            let container = scene.bundles.bundle(&scene.id("time"), spec)?;
            let since = Instant::now();
            ensure!(container.create()?.done);
            times.push(since.elapsed());
            ensure!(container.delete()?.done);
        }
    }
    let [without, with] = times.map(|mut times| {
        times.sort_unstable();
        times[STARTS / 2]
    });
    println!(
        "{kind}: made in {without:?} without the hook, in {with:?} with it (medians of {STARTS})"
    );
    let most = if is_emulated() { 3000 } else { 300 };
    ensure!(with < without + Duration::from_millis(most));
    Ok(())
}

#[test]
fn podman_starts_the_hook_by_the_annotation() -> Result<()> {
    if let Some(reason) = Kind::Podman.missing() {
        skip!(Ok(()), "{reason}");
    }
    let engine = Engine::start(Kind::Podman)?;
    let daemon = Daemon::start(&Options::default())?;
    let hooks = daemon.file("mark", "")?.with_file_name("hooks.d");
    let dir = hooks.display().to_string();
    let installed = daemon.cli(["hook", "install", "--dir", &dir, "--within", "40s"])?;
    ensure!(installed.status == Some(0), "{installed:?}");
    // The bridge's own end, which is this machine.
    let ping = ["/bin/ping", "-q", "-c", "4", "-W", "1", "10.88.0.1"];
    let run =
        |annotations: &[(&str, &str)]| engine.run_hooked("hooked", &hooks, annotations, &ping);
    let said = run(&[])?;
    ensure!(said.text.contains(" 0% packet loss"), "{said:?}");
    let wish = [
        ("chaosd.profile", "packet-loss"),
        ("chaosd.set.rate", "100%"),
    ];
    let said = run(&wish)?;
    ensure!(said.text.contains("100% packet loss"), "{said:?}");
    ensure!(is_calm(&daemon), "{}", daemon.log());
    let log = daemon.log();
    ensure!(log.contains("DELETE /v1/containers/"), "{log}");
    let said = run(&[
        ("chaosd.profile", "packet-los"),
        ("chaosd.required", "true"),
    ])?;
    ensure!(!said.done, "{said:?}");
    println!("podman says of a container that is refused: {}", said.text);
    let said = run(&[("chaosd.profile", "packet-los")])?;
    ensure!(said.text.contains(" 0% packet loss"), "{said:?}");
    Ok(())
}

#[test]
fn a_container_of_a_pod_asks_by_its_pod_s_annotations() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let daemon = Daemon::start(&Options::default())?;
    let (program, args) = hook(&daemon)?;
    let mut pods = Pods::start_hooked(&serde_json::json!({ "path": program, "args": args }))?;
    let plain = pods.run(PodSpec::new("shop", "plain-0"))?;
    pods.start_container(&plain, "app", 0)?;
    ensure!(daemon.armed()?.is_empty());
    let wish = [
        ("chaosd.profile", "packet-loss"),
        ("chaosd.set.rate", "100%"),
        ("chaosd.required", "true"),
        ("chaosd.container", "app"),
    ];
    let web = pods.run(PodSpec::new("shop", "web-0").annotated(&wish))?;
    ensure!(daemon.armed()?.is_empty(), "the sandbox is hit");
    let app = pods.start_container(&web, "app", 0)?;
    pods.start_container(&web, "proxy", 0)?;
    let runs = daemon.armed()?;
    ensure!(runs.len() == 1, "{runs:?}\n{}", daemon.log());
    let target = runs[0]["target"].as_str().unwrap_or_default();
    ensure!(target.contains(app.get(..12).unwrap_or(&app)), "{target}");

    let runtimes = Runtimes::new(pods.places());
    let talks = |name: &str| -> Result<bool> {
        let asked = Asked::Container(name.to_owned());
        let member = runtimes
            .find(&asked, None, Duration::from_mins(1))?
            .remove(0);
        let pid = member.pid.context("it does not run")?;
        let cgroup = member.cgroups.first().context("it has no cgroup")?;
        let script = "echo $$ > \"$0/cgroup.procs\" && exec ping -q -c 3 -i 0.05 -W 1 10.213.7.1";
        let status = Command::new("nsenter")
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .args(["sh", "-c", script])
            .arg(cgroup)
            .stdout(Stdio::null())
            .status()?;
        Ok(status.success())
    };
    ensure!(!talks("web-0/app")?, "the fault has no effect");
    ensure!(talks("web-0/proxy")?, "its sibling is hit");
    ensure!(talks("plain-0/app")?, "another pod is hit");
    pods.remove_container(&app)?;
    ensure!(is_calm(&daemon), "{}", daemon.log());
    Ok(())
}

macro_rules! with_each {
    ($($name:ident, $other:ident: $check:ident;)+) => {$(
        #[test]
        fn $name() -> Result<()> {
            on(Kind::Crun, $check)
        }

        #[test]
        fn $other() -> Result<()> {
            on(Kind::Runc, $check)
        }
    )+};
}

with_each! {
    the_first_packet_of_a_container_of_crun_is_hit, the_first_packet_of_a_container_of_runc_is_hit: first_packet;
    crun_starts_what_does_not_require_its_fault, runc_starts_what_does_not_require_its_fault: required_or_not;
    nothing_is_left_by_crun_whoever_dies, nothing_is_left_by_runc_whoever_dies: whoever_dies;
    two_containers_of_crun_at_once, two_containers_of_runc_at_once: two_at_once;
    crun_is_hardly_held_up, runc_is_hardly_held_up: start_is_hardly_later;
}

fn on(kind: Kind, check: fn(Kind) -> Result<()>) -> Result<()> {
    if let Some(reason) = kind.missing() {
        skip!(Ok(()), "{reason}");
    }
    check(kind).with_context(|| kind.to_string())
}
