//! Calls on files that fail: how many of how many, and for how long when chaosd dies.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use support::statistics::sigmas;
use support::{Cgroup, Daemon, Options, Run};

use crate::delay::figures::{median, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

/// The word by which this program reads a file.
pub const READER: &str = "file-reader";
const CALLS: u64 = 10_000;
const RATE: f64 = 0.1;
const SIGMAS_MOST: f64 = 3.0;
/// The lease, and what the issue grants beyond it.
const MOST_MS: f64 = 2_250.0;

/// `COUNT` reads of `PATH`, and how many failed; or with 0 says `fails` when one does, and when the
/// first one passes again.
pub fn reader(path: &str, count: &str) -> Result<bool> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    let fails = || file.read_at(&mut [0], 0).is_err();
    let count: u64 = count.parse().context("no number of reads")?;
    if count > 0 {
        println!("{}", (0..count).filter(|_| fails()).count());
        return Ok(true);
    }
    while !fails() {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("fails");
    while fails() {}
    println!("{}", now()?);
    Ok(true)
}

/// `CLOCK_MONOTONIC` ns.
fn now() -> Result<i64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// A file in a directory of its own; removed in the end.
struct Scene(PathBuf);

impl Scene {
    fn new() -> Result<Self> {
        let name = format!("chaosd-bench-files-{}", std::process::id());
        let scene = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(scene.0.join("deep"))?;
        std::fs::write(scene.file(), "content")?;
        Ok(scene)
    }

    fn file(&self) -> PathBuf {
        self.0.join("deep/file")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0);
    }
}

/// Killed and reaped in the end.
struct Reader {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Reader {
    /// In the cgroup, or beside it.
    fn start(cgroup: Option<&Cgroup>, file: &Path, count: u64) -> Result<Self> {
        let this = std::env::current_exe().context("no binary")?;
        let mut command = match cgroup {
            Some(cgroup) => cgroup.command(&this.display().to_string()),
            None => Command::new(this),
        };
        let words = [READER, &file.display().to_string(), &count.to_string()];
        let mut child = command.args(words).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("no output")?;
        Ok(Self {
            child,
            output: BufReader::new(output),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a reader ended");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let list = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let cgroup = Cgroup::new()?;
    let (Some(cgroup), true) = (cgroup, list.trim().split(',').any(|lsm| lsm == "bpf")) else {
        table.push(Row {
            what: "disk-error".to_owned(),
            chaosd: "-".to_owned(),
            beside: "-".to_owned(),
            target: "-".to_owned(),
            note: "this kernel has no BPF LSM, or no unified cgroup tree: --kernel 6.12".to_owned(),
            ..Row::default()
        });
        return Ok(());
    };
    let scene = Scene::new()?;
    share(&scene, &cgroup, table)?;
    killed(&scene, &cgroup, effort, table)
}

fn arm<'a>(daemon: &'a Daemon, scene: &Scene, cgroup: &Cgroup, rate: &str) -> Result<Run<'a>> {
    let path = scene.0.display().to_string();
    let words = ["inject", "disk-error", "--path", &path, "--rate", rate];
    let more = ["--operation", "read", "--cgroup", cgroup.path()];
    Run::start(daemon, words.into_iter().chain(more))
}

fn share(scene: &Scene, cgroup: &Cgroup, table: &mut Table) -> Result<()> {
    Table::progress(&format!("disk-error, {CALLS} reads"));
    let daemon = Daemon::start(&Options::default())?;
    let run = arm(&daemon, scene, cgroup, "10%")?;
    let mut readers = [
        Reader::start(Some(cgroup), &scene.file(), CALLS)?,
        Reader::start(None, &scene.file(), CALLS)?,
    ];
    let failed: u64 = readers[0].line()?.parse()?;
    let others: u64 = readers[1].line()?.parse()?;
    let told = run.revert()?;
    let off = sigmas(CALLS, RATE, failed);
    table.push(Row {
        what: format!("disk-error rate 10 % over {CALLS} calls"),
        chaosd: format!("{failed} failed, {off:.1} sigma"),
        beside: "-".to_owned(),
        target: format!("{SIGMAS_MOST} sigma, others 0"),
        holds: Some(off <= SIGMAS_MOST && others == 0),
        note: format!("{others} of {CALLS} beside the target failed"),
        figures: json!({"calls": CALLS, "failed": failed, "others": others, "told": told.0}),
        ..Row::default()
    });
    Ok(())
}

fn killed(scene: &Scene, cgroup: &Cgroup, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(10, 3);
    Table::progress(&format!("disk-error, SIGKILL of both, {turns} turns"));
    let mut times = Vec::new();
    for _ in 0..turns {
        let daemon = Daemon::start(&Options::default())?;
        let watchdog = daemon.watchdog()?;
        drop(arm(&daemon, scene, cgroup, "100%")?);
        let mut reader = Reader::start(Some(cgroup), &scene.file(), 0)?;
        ensure!(reader.line()? == "fails", "reads do not fail");
        let struck = now()?;
        kill(watchdog, Signal::SIGKILL)?;
        daemon.kill(Signal::SIGKILL)?;
        let passed: i64 = reader.line()?.parse()?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
        times.push((passed - struck) as f64 / 1e6);
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: "disk-error, SIGKILL of both".to_owned(),
        chaosd: format!("{:.1} ms to no error", median(&times)),
        beside: "-".to_owned(),
        target: format!("within {MOST_MS} ms"),
        holds: Some(most <= MOST_MS),
        note: format!("{least:.1} to {most:.1} ms in {turns} turns"),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
