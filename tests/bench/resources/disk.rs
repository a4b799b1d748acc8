//! A disk that is throttled: what fio gets of it, past the page cache and through it, and how soon the
//! limit is gone when chaosd dies.
//!
//! The disk is the laboratory's scratch disk: whatever is on it goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Cgroup, Daemon, Mount, Options, Run, is_laboratory, wait_until};

use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

const DISK: &str = "/dev/vda";
/// What fio writes through the page cache, all of it allocated before: a disk's journal of what is where
/// is nobody's but the kernel's.
const FILE_MIB: u32 = 64;
const OFF_PERCENT: f64 = 3.0;
/// From the death of the daemon to the watchdog's work done.
const RESTORED_MS: f64 = 2_000.0;
const LONG: Duration = Duration::from_secs(20);

/// What is limited, and how fio is to ask for it.
struct Case {
    what: &'static str,
    flag: &'static str,
    limit: &'static str,
    /// Per second, in bytes or in calls.
    asked: f64,
    /// `read` or `write`
    way: &'static str,
    block: &'static str,
    through_cache: bool,
}

const CASES: [Case; 6] = [
    Case {
        what: "disk write-bps 5 MB/s, O_DIRECT",
        flag: "--write-bps",
        limit: "5MB/s",
        asked: 5e6,
        way: "write",
        block: "64k",
        through_cache: false,
    },
    Case {
        what: "disk read-bps 5 MB/s, O_DIRECT",
        flag: "--read-bps",
        limit: "5MB/s",
        asked: 5e6,
        way: "read",
        block: "64k",
        through_cache: false,
    },
    Case {
        what: "disk write-iops 200, O_DIRECT",
        flag: "--write-iops",
        limit: "200",
        asked: 200.0,
        way: "write",
        block: "4k",
        through_cache: false,
    },
    Case {
        what: "disk read-iops 200, O_DIRECT",
        flag: "--read-iops",
        limit: "200",
        asked: 200.0,
        way: "read",
        block: "4k",
        through_cache: false,
    },
    Case {
        what: "disk write-bps 2 MB/s, buffered and fsync",
        flag: "--write-bps",
        limit: "2MB/s",
        asked: 2e6,
        way: "write",
        block: "64k",
        through_cache: true,
    },
    // Each comes to two: the block and the flush behind it (blk-throttle counts both).
    Case {
        what: "disk write-iops 100, buffered and fsync, in pairs",
        flag: "--write-iops",
        limit: "100",
        asked: 50.0,
        way: "write",
        block: "4k",
        through_cache: true,
    },
];

impl Case {
    fn counts_calls(&self) -> bool {
        self.flag.ends_with("iops")
    }

    fn said(&self, rate: f64) -> String {
        if self.counts_calls() {
            format!("{rate:.1} a second")
        } else {
            format!("{:.3} MB/s", rate / 1e6)
        }
    }
}

/// The disk with a file system on it, and who is throttled.
struct Scene {
    cgroup: Cgroup,
    mount: Mount,
}

impl Scene {
    /// None: there is no disk to spare, or no unified tree with its I/O controller.
    fn new() -> Result<Option<Self>> {
        if !is_laboratory() || !Path::new(DISK).exists() {
            return Ok(None);
        }
        let tree = Path::new("/sys/fs/cgroup");
        let controllers = tree.join("cgroup.controllers");
        let has_io = std::fs::read_to_string(controllers).is_ok_and(|list| list.contains("io"));
        if !has_io {
            return Ok(None);
        }
        // As services have it: what is written back counts for the cgroup that pages are charged to.
        std::fs::write(tree.join("cgroup.subtree_control"), "+memory")?;
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F", DISK])
            .status()?;
        ensure!(made.success(), "mkfs.ext4: {made}");
        let Some(cgroup) = Cgroup::new()? else {
            return Ok(None);
        };
        let mount = Mount::of(DISK, "ext4")?;
        let scene = Self { cgroup, mount };
        // Laid out by the target, whose pages they are then.
        scene.fio("layout", "write", "1m", None)?;
        Ok(Some(scene))
    }

    fn file(&self) -> PathBuf {
        self.mount.path().join("fio")
    }

    /// Runs fio in the cgroup; for so long, or once over the file. Bytes and calls per second.
    fn fio(
        &self,
        name: &str,
        way: &str,
        block: &str,
        time: Option<(Duration, bool)>,
    ) -> Result<Rates> {
        let mut command = self.cgroup.command("fio");
        command.args([
            "--output-format=json",
            "--ioengine=psync",
            "--overwrite=1",
            &format!("--name={name}"),
            &format!("--rw={way}"),
            &format!("--bs={block}"),
            &format!("--size={FILE_MIB}m"),
            &format!("--filename={}", self.file().display()),
        ]);
        match time {
            Some((time, through_cache)) => {
                let how = if through_cache {
                    "--fdatasync=1"
                } else {
                    "--direct=1"
                };
                command.args([how, "--time_based", "--ramp_time=1"]);
                command.arg(format!("--runtime={}", time.as_secs()));
            }
            None => {
                command.arg("--end_fsync=1");
            }
        }
        let output = command.output().context("failed to start fio")?;
        ensure!(output.status.success(), "{output:?}");
        // Warnings may stand before it.
        let text = String::from_utf8(output.stdout)?;
        let json = text.find('{').map_or("", |at| &text[at..]);
        let told: Value = serde_json::from_str(json).context("fio's result")?;
        let of = &told["jobs"][0][way];
        let number = |key: &str| of[key].as_f64().with_context(|| format!("{key} of {told}"));
        Ok(Rates {
            bytes: number("bw_bytes")?,
            calls: number("iops")?,
        })
    }

    fn limited<'a>(&self, daemon: &'a Daemon, flag: &str, limit: &str) -> Result<Run<'a>> {
        let words = ["inject", "disk", "--device", DISK, flag, limit];
        Run::start(
            daemon,
            words.into_iter().chain(["--cgroup", self.cgroup.path()]),
        )
    }

    /// What io.max says.
    fn io_max(&self) -> String {
        let name = self.cgroup.path().trim_start_matches('/');
        let path = Path::new("/sys/fs/cgroup").join(name).join("io.max");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Rates {
    bytes: f64,
    calls: f64,
}

impl Rates {
    fn of(self, case: &Case) -> f64 {
        if case.counts_calls() {
            self.calls
        } else {
            self.bytes
        }
    }
}

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let Some(scene) = Scene::new()? else {
        table.push(Row {
            what: "disk".to_owned(),
            chaosd: "-".to_owned(),
            beside: "-".to_owned(),
            target: "-".to_owned(),
            note: "only where a scratch disk is, and cgroup v2: --kernel 6.12".to_owned(),
            ..Row::default()
        });
        return Ok(());
    };
    for case in &CASES {
        throttled(&scene, case, effort, table)?;
    }
    killed(&scene, effort, table)
}

fn throttled(scene: &Scene, case: &Case, effort: Effort, table: &mut Table) -> Result<()> {
    let time = Duration::from_secs(effort.pick(10, 4));
    Table::progress(&format!("{}, {} s", case.what, time.as_secs()));
    let daemon = Daemon::start(&Options::default())?;
    let measure = |time| {
        scene.fio(
            "bench",
            case.way,
            case.block,
            Some((time, case.through_cache)),
        )
    };
    let free = measure(Duration::from_secs(2))?;
    let run = scene.limited(&daemon, case.flag, case.limit)?;
    let reached = measure(time)?.of(case);
    let told = run.revert()?;
    let off = (reached / case.asked - 1.0) * 100.0;
    table.push(Row {
        what: case.what.to_owned(),
        chaosd: format!("{}, {off:+.2} %", case.said(reached)),
        beside: "-".to_owned(),
        target: format!("within {OFF_PERCENT} %"),
        holds: Some(off.abs() <= OFF_PERCENT),
        note: format!("fio, {} s; {} without a limit", time.as_secs(), case.said(free.of(case))),
        figures: json!({"asked": case.asked, "reached": reached, "free": free.of(case), "told": told.0}),
        ..Row::default()
    });
    Ok(())
}

fn killed(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(10, 3);
    Table::progress(&format!("disk, SIGKILL of the daemon, {turns} turns"));
    let mut times = Vec::new();
    for _ in 0..turns {
        let daemon = Daemon::start(&Options::default())?;
        drop(scene.limited(&daemon, "--write-bps", "5MB/s")?);
        ensure!(
            scene.io_max().contains("wbps=5000000"),
            "{}",
            scene.io_max()
        );
        let struck = Instant::now();
        daemon.kill(Signal::SIGKILL)?;
        // With the limit goes the controller, and with that the file, where it was not enabled before.
        let restored = wait_until(LONG, || !scene.io_max().contains("wbps=5000000"));
        ensure!(restored, "it stays: {}", scene.io_max());
        times.push(ms(struck.elapsed()));
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: "disk, SIGKILL of the daemon".to_owned(),
        chaosd: format!("{:.0} ms to the prior io.max", median(&times)),
        beside: "-".to_owned(),
        target: format!("within {RESTORED_MS} ms"),
        holds: Some(most <= RESTORED_MS),
        note: format!("{least:.0} to {most:.0} ms in {turns} turns"),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
