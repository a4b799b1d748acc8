//! What the hook adds to the start of a container.
//!
//! In a guest of the laboratory real ones are made by crun and runc, with it and without it in turn. Elsewhere
//! these do not start: there the hook is started as they start it, for a process that stands for a container,
//! and the time that it takes is what a start is later.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::runtime::Kind;
use support::runtime::hooked::{Bundles, Spec};
use support::{Cgroup, Daemon, Lab, Options, is_laboratory};

use crate::times::{Limits, Table, Times};

/// How much later a container may start for it.
const ADDS: Limits = Limits {
    median: Some(Duration::from_millis(50)),
    max: None,
};
/// How much for a container that asks for nothing.
const ADDS_FOR_NOTHING: Limits = Limits {
    median: Some(Duration::from_millis(5)),
    max: None,
};
const PROFILE: &str = "version: 1\nfor: 10m\nfaults: [{drop: {rate: 1%}}]\n";
/// A daemon has loaded its programs ahead by then.
const WARMS_UP: Duration = Duration::from_secs(3);

/// Measures and prints it; true when every row holds.
pub fn run(rounds: usize) -> Result<bool> {
    let mut table = Table::default();
    if is_laboratory() {
        let crun = ["crun, no hook", "crun, not asked for", "crun, armed"];
        containers(Kind::Crun, crun, rounds, &mut table)?;
        let runc = ["runc, no hook", "runc, not asked for", "runc, armed"];
        containers(Kind::Runc, runc, rounds, &mut table)?;
    } else {
        eprintln!("{rounds} rounds; containers themselves start in the laboratory: --kernel 6.12");
        stand_ins(rounds, &mut table)?;
    }
    println!("{table}");
    Ok(table.holds())
}

/// A process in a namespace and a cgroup of its own. Dropped, it is killed.
struct StandIn {
    process: Child,
    _cgroup: Cgroup,
    _lab: Lab,
}

impl StandIn {
    fn new() -> Result<Self> {
        let lab = Lab::new("bench-hook")?;
        let cgroup = Cgroup::new()?.context("there is no unified cgroup tree")?;
        let mut sleep = cgroup.command("sleep");
        sleep.arg("600");
        let process = lab.target().enter(|| sleep.spawn())??;
        Ok(Self {
            process,
            _cgroup: cgroup,
            _lab: lab,
        })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn stand_ins(rounds: usize, table: &mut Table) -> Result<()> {
    let daemon = Daemon::start(&as_shipped())?;
    let profile = daemon.file("drop.yaml", PROFILE)?.display().to_string();
    let wish = json!({ "chaosd.profile": profile, "chaosd.required": "true" });
    let rows = [
        ("the hook, asked for nothing", ADDS_FOR_NOTHING),
        ("armed", ADDS),
        ("armed, at once after another", ADDS),
        ("armed, as the third at once", ADDS),
        ("armed, as the fourth at once", ADDS),
        ("armed, as the fifth at once", ADDS),
        ("ended", ADDS),
    ];
    let mut times = rows.map(|_| Vec::new());
    for round in 0..rounds {
        // A namespace each, as containers have.
        let five: Vec<StandIn> = (0..5).map(|_| StandIn::new()).collect::<Result<_>>()?;
        std::thread::sleep(WARMS_UP);
        let state = |n: usize, status: &str, annotations: &Value| {
            let pid = if status == "stopped" {
                0
            } else {
                five[n].process.id()
            };
            let id = format!("stand-in-{round}-{n}");
            json!({ "id": id, "pid": pid, "status": status, "annotations": annotations })
        };
        let [idle, armed @ .., ended] = &mut times;
        let nothing = json!({ "app": "shop" });
        for n in 0..five.len() {
            idle.push(hook(&daemon, &state(n, "creating", &nothing))?);
        }
        for (n, times) in armed.iter_mut().enumerate() {
            times.push(hook(&daemon, &state(n, "creating", &wish))?);
        }
        for n in 0..five.len() {
            ended.push(hook(&daemon, &state(n, "stopped", &wish))?);
        }
    }
    for ((what, limits), times) in rows.into_iter().zip(times) {
        table.push(Times::new(what, times, limits));
    }
    Ok(())
}

/// With as many programs loaded ahead as by default.
fn as_shipped() -> Options<'static> {
    Options {
        args: vec!["--spares".to_owned(), chaosd::engine::SPARES.to_string()],
        ..Options::default()
    }
}

/// How long it takes, as a runtime sees it.
fn hook(daemon: &Daemon, state: &Value) -> Result<Duration> {
    let mut command: Command = daemon.command()?;
    command
        .args(["hook", "--within", "30s"])
        .stdin(Stdio::piped());
    let since = Instant::now();
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(state.to_string().as_bytes())?;
    drop(stdin);
    let status = child.wait()?;
    let took = since.elapsed();
    ensure!(status.success(), "the hook failed: {}", daemon.log());
    Ok(took)
}

/// Of a processor that is computed: what counts there is the one beside the other.
fn containers(kind: Kind, rows: [&'static str; 3], rounds: usize, table: &mut Table) -> Result<()> {
    if let Some(reason) = kind.missing() {
        anyhow::bail!("{reason}");
    }
    eprintln!("{kind}, {rounds} rounds");
    let lab = Lab::new("bench-hook")?;
    let daemon = Daemon::start(&Options::default())?;
    std::thread::sleep(WARMS_UP);
    let profile = daemon.file("drop.yaml", PROFILE)?.display().to_string();
    let program = daemon.command()?.get_program().into();
    let socket = daemon.socket().display().to_string();
    let args = ["chaosd", "hook", "--within", "40s", "--socket", &socket];
    let hook = Some((program, args.map(str::to_owned).into()));
    let bundles = Bundles::new(kind)?;
    let bare = Spec {
        netns: Some(lab.target().path()),
        args: &["/bin/sleep", "600"],
        ..Spec::default()
    };
    let idle = Spec {
        hook,
        annotations: vec![("app".to_owned(), "shop".to_owned())],
        ..bare.clone()
    };
    let armed = Spec {
        annotations: vec![
            ("chaosd.profile".to_owned(), profile),
            ("chaosd.required".to_owned(), "true".to_owned()),
        ],
        ..idle.clone()
    };
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (spec, times) in [&bare, &idle, &armed].into_iter().zip(&mut times) {
            let container = bundles.bundle(&format!("bench-{kind}-{round}"), spec)?;
            let since = Instant::now();
            let said = container.create()?;
            times.push(since.elapsed());
            ensure!(said.done, "{said:?}");
            ensure!(container.delete()?.done);
        }
    }
    for (what, times) in rows.into_iter().zip(times) {
        table.push(Times::new(what, times, Limits::default()));
    }
    Ok(())
}
