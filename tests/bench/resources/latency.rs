//! Files that take time to open: how exactly, what that costs who is not meant, and how soon who waits
//! goes on when chaosd dies.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::{Cgroup, Daemon, Mount, Opener, Options, Run};

use crate::delay::figures::{median, ms, percentile, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

/// The word by which this program is one that opens a file again and again.
pub const OPENER: &str = "opener";
const ASKED_MS: f64 = 50.0;
const OFF_MS: f64 = 1.0;
const STRANGER_US: f64 = 30.0;
/// On another mount it costs nothing: what is seen there is the machine's own noise.
const NOISE_US: f64 = 1.0;
const FREED_MS: f64 = 200.0;
const LONG: Duration = Duration::from_secs(20);

/// Opens `path` `count` times, `gap` microseconds apart, and says how many nanoseconds each took.
pub fn opener(path: &str, count: &str, gap: &str) -> Result<bool> {
    let gap = Duration::from_micros(gap.parse()?);
    let path = Path::new(path);
    let mut times = Vec::new();
    for _ in 0..count.parse()? {
        let since = Instant::now();
        let file = File::open(path)?;
        times.push(since.elapsed().as_nanos().to_string());
        drop(file);
        if !gap.is_zero() {
            thread::sleep(gap);
        }
    }
    println!("{}", times.join(" "));
    Ok(true)
}

/// Lets such a process run to its end; how long its opens took, in us.
fn opens(cgroup: Option<&Cgroup>, path: &Path, count: usize, gap: Duration) -> Result<Vec<f64>> {
    let exe = "/proc/self/exe";
    let us = std::fs::read_link(exe)?.display().to_string();
    let mut command = match cgroup {
        Some(cgroup) => cgroup.command(&us),
        None => Command::new(&us),
    };
    let output = command
        .arg(OPENER)
        .arg(path)
        .args([count.to_string(), gap.as_micros().to_string()])
        .output()
        .context("failed to start an opener")?;
    ensure!(output.status.success(), "{output:?}");
    let words = String::from_utf8(output.stdout)?;
    let times = words.split_whitespace();
    times.map(|ns| Ok(ns.parse::<f64>()? / 1e3)).collect()
}

/// Where it is measured.
struct Scene {
    cgroup: Cgroup,
    mount: Mount,
    other: Mount,
    daemon: Daemon,
}

impl Scene {
    fn new() -> Result<Self> {
        Ok(Self {
            cgroup: Cgroup::new()?.context("this machine has no unified cgroup tree")?,
            mount: Mount::tmpfs()?,
            other: Mount::tmpfs()?,
            daemon: Daemon::start(&Options::default())?,
        })
    }

    fn delayed(&self, time: &str) -> Result<Run<'_>> {
        let path = self.mount.path().join("slow");
        let path = path.to_str().context("no plain path")?;
        let words = [
            "inject",
            "disk-latency",
            "--path",
            path,
            "--open",
            time,
            "--cgroup",
            self.cgroup.path(),
        ];
        Run::start(&self.daemon, words)
    }
}

/// Times without and with the fault, in us.
#[derive(Default)]
struct Both {
    without: Vec<f64>,
    with: Vec<f64>,
}

impl Both {
    fn added(&self) -> f64 {
        median(&self.with) - median(&self.without)
    }

    fn told(&self) -> String {
        format!(
            "median {:.1} us without, {:.1} us with; 99 of 100 within {:.1} and {:.1} us",
            median(&self.without),
            median(&self.with),
            percentile(&self.without, 99),
            percentile(&self.with, 99)
        )
    }

    fn figures(&self) -> serde_json::Value {
        json!({
            "without_median_us": median(&self.without), "with_median_us": median(&self.with),
            "without_p99_us": percentile(&self.without, 99),
            "with_p99_us": percentile(&self.with, 99), "opens": self.with.len(),
        })
    }
}

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let scene = Scene::new()?;
    let slow = scene.mount.file("slow/file", "x")?;
    let beside = scene.mount.file("beside", "x")?;
    let elsewhere = scene.other.file("file", "x")?;
    let turns = effort.pick(5, 2);
    let [mut target, mut stranger, mut rare, mut far]: [Both; 4] = Default::default();
    for turn in 1..=turns {
        Table::progress(&format!("disk-latency, turn {turn} of {turns}"));
        for fault in [false, true] {
            let run = fault.then(|| scene.delayed("50ms")).transpose()?;
            let (gap, short) = (Duration::from_millis(1), Duration::ZERO);
            let measure = |both: &mut Both, cgroup, path, count, gap| -> Result<()> {
                let times = opens(cgroup, path, count, gap)?;
                if fault {
                    both.with.extend(times);
                } else {
                    both.without.extend(times);
                }
                Ok(())
            };
            measure(&mut target, Some(&scene.cgroup), &slow, 40, short)?;
            measure(&mut stranger, None, &slow, 10_000, short)?;
            measure(&mut stranger, None, &beside, 10_000, short)?;
            measure(&mut rare, None, &slow, 1_000, gap)?;
            measure(&mut far, None, &elsewhere, 20_000, short)?;
            run.map(Run::revert).transpose()?;
        }
    }
    let added = target.added() / 1e3;
    let (least, most) = spread(&target.with);
    table.push(Row {
        what: "disk-latency 50 ms on open".to_owned(),
        chaosd: format!("median adds {added:.2} ms"),
        beside: "-".to_owned(),
        target: format!("{ASKED_MS} ± {OFF_MS} ms"),
        holds: Some((added - ASKED_MS).abs() <= OFF_MS),
        note: format!(
            "{:.2} to {:.2} ms in {} opens",
            least / 1e3,
            most / 1e3,
            target.with.len()
        ),
        figures: target.figures(),
        ..Row::default()
    });
    for (what, both, most) in [
        ("of others on the mount, in a row", &stranger, STRANGER_US),
        ("of others on the mount, 1 ms apart", &rare, STRANGER_US),
        ("of others on another mount", &far, NOISE_US),
    ] {
        table.push(Row {
            what: format!("  {what}"),
            chaosd: format!("median adds {:.1} us", both.added()),
            beside: "-".to_owned(),
            target: format!("under {most} us"),
            holds: Some(both.added() < most),
            note: both.told(),
            figures: both.figures(),
            ..Row::default()
        });
    }
    killed(effort, &scene, &slow, table)
}

/// The listener of a daemon, by its name and its parent.
fn listener(daemon: &Daemon) -> Result<Pid> {
    let found = super::watch::tree(daemon.pid())?.into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim() == chaosd::latency::COMM)
    });
    found.context("no listener")
}

/// Somebody waits, and processes of ours are killed.
fn killed(effort: Effort, scene: &Scene, slow: &Path, table: &mut Table) -> Result<()> {
    let turns = effort.pick(10, 3);
    Table::progress(&format!("SIGKILL while somebody waits, 3 x {turns} turns"));
    let mut times = Vec::new();
    for _ in 0..turns {
        for whom in ["listener", "daemon", "both"] {
            let own = Scene::new()?;
            let scene = if whom == "listener" { scene } else { &own };
            let path = if whom == "listener" {
                slow.to_owned()
            } else {
                own.mount.file("slow/file", "x")?
            };
            let mut opener = Opener::start(Some(&scene.cgroup))?;
            let run = scene.delayed("60s")?;
            opener.begin_open(&path)?;
            ensure!(!opener.ended(Duration::from_millis(100))?, "nobody waits");
            let daemon = scene.daemon.pid();
            let pids = match whom {
                "listener" => vec![listener(&scene.daemon)?],
                "daemon" => vec![daemon],
                _ => vec![scene.daemon.watchdog()?, daemon],
            };
            let struck = Instant::now();
            for pid in pids {
                kill(pid, Signal::SIGKILL)?;
            }
            ensure!(opener.ended(LONG)?, "it waits on");
            times.push(ms(struck.elapsed()));
            opener.time()?;
            if whom == "listener" {
                drop(run.revert()?);
            }
        }
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: "  SIGKILL of listener, daemon, all".to_owned(),
        chaosd: format!("{:.1} ms to no opener", median(&times)),
        beside: "-".to_owned(),
        target: format!("within {FREED_MS} ms"),
        holds: Some(most <= FREED_MS),
        note: format!("{least:.1} to {most:.1} ms, {} times", times.len()),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
