//! Memory that grows, and a limit that it stops before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::burn::{Burner, Guard, Work};
use nix::unistd::Pid;
use serde_json::json;

use super::chaosd;
use super::rival::{Rival, precede};
use super::watch::{anonymous, now, sleep_until};
use crate::delay::figures::{float, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

const MIB: u64 = 1 << 20;
const SIZE_MIB: u64 = 256;
const ERROR_MOST: f64 = 2.0;
const STEP: Duration = Duration::from_millis(50);
const LIMIT_MIB: u64 = 128;
const KEEP_PERCENT: f64 = 5.0;

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let ramp = effort.pick(Duration::from_secs(5), Duration::from_secs(2));
    Table::progress(&format!("{SIZE_MIB} MiB, ramp of {ramp:?}"));
    let (errors, after) = ramped(ramp)?;
    let theirs = stress(ramp)?;
    let (least, most) = spread(&errors);
    let percent = 100.0 * after / float(SIZE_MIB * MIB) - 100.0;
    let beside = 100.0 * theirs / float(SIZE_MIB * MIB) - 100.0;
    table.push(Row {
        what: format!("{SIZE_MIB} MiB with a ramp of {} s", ramp.as_secs()),
        chaosd: format!("{percent:+.2} %, on the way {least:+.2} to {most:+.2}"),
        beside: format!("{beside:+.2} %, no ramp"),
        target: format!("within {ERROR_MOST} %"),
        holds: Some(percent.abs() <= ERROR_MOST && least.abs().max(most.abs()) <= ERROR_MOST),
        note: "of all, by smaps_rollup".to_owned(),
        figures: json!({"chaosd": percent, "stress_ng": beside, "ramp": errors}),
        ..Row::default()
    });
    guarded(table)
}

fn work(mib: u64, guards: Vec<Guard>) -> Work {
    Work::Memory {
        bytes: mib * MIB,
        lock: false,
        guards,
    }
}

fn pid_of(burner: &Burner) -> Result<[Pid; 1]> {
    Ok([Pid::from_raw(burner.pid().try_into()?)])
}

/// How far it is off at each step, in percent of all; and the bytes in the end.
fn ramped(ramp: Duration) -> Result<(Vec<f64>, f64)> {
    let burner = Burner::start_by(&chaosd()?, &work(SIZE_MIB, Vec::new()), &[])?;
    let pids = pid_of(&burner)?;
    precede(pids[0]);
    let before = anonymous(&pids)?;
    let all = float(SIZE_MIB * MIB);
    let begun = now()?;
    let mut errors = Vec::new();
    let mut at = begun;
    while at < begun + ramp + Duration::from_millis(500) {
        let asked = (at.saturating_sub(begun).as_secs_f64() / ramp.as_secs_f64()).min(1.0);
        burner.vouch(asked)?;
        at += STEP;
        sleep_until(at);
        let held = float(anonymous(&pids)?.saturating_sub(before));
        errors.push(100.0 * (held / all - asked));
    }
    let after = anonymous(&pids)?.saturating_sub(before);
    Ok((errors, float(after)))
}

/// What stress-ng has of it after the same time, with all that it needs itself.
fn stress(time: Duration) -> Result<f64> {
    let rival = Rival::memory(SIZE_MIB)?;
    sleep_until(now()? + time);
    anonymous(&rival.pids()?).map(float)
}

/// A cgroup with a limit, removed in the end.
struct Limited {
    path: PathBuf,
    limit: &'static str,
    current: &'static str,
    peak: &'static str,
}

impl Limited {
    /// None: this machine has no memory controller for us.
    fn new() -> Option<Self> {
        let name = format!("chaosd-bench-{}", std::process::id());
        let kinds = [
            (
                "/sys/fs/cgroup/memory",
                [
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "memory.max_usage_in_bytes",
                ],
            ),
            (
                "/sys/fs/cgroup",
                ["memory.max", "memory.current", "memory.peak"],
            ),
        ];
        for (root, [limit, current, peak]) in kinds {
            let path = Path::new(root).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let one = Self {
                path,
                limit,
                current,
                peak,
            };
            if fs::write(one.file(limit), (LIMIT_MIB * MIB).to_string()).is_ok() {
                return Some(one);
            }
        }
        None
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn bytes(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(self.file(name)).with_context(|| format!("no {name}"))?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let gone = || fs::remove_dir(&self.path).is_ok();
        if !support::wait_until(Duration::from_secs(2), gone) {
            eprintln!("failed to remove {}", self.path.display());
        }
    }
}

/// Twice as much is asked as the limit allows.
fn guarded(table: &mut Table) -> Result<()> {
    Table::progress("a limit of a cgroup");
    let Some(limited) = Limited::new() else {
        Table::progress("no memory controller: left out");
        return Ok(());
    };
    let guard = Guard::Cgroup {
        limit: limited.file(limited.limit),
        current: limited.file(limited.current),
        stat: None,
        keep_percent: KEEP_PERCENT,
    };
    let into = [limited.file("cgroup.procs")];
    let mut burner = Burner::start_by(&chaosd()?, &work(LIMIT_MIB * 2, vec![guard]), &into)?;
    let held = support::wait_until(Duration::from_secs(20), || {
        burner.vouch(1.0).is_ok() && burner.progress().held_back
    });
    ensure!(held, "it is not held back: {:?}", burner.progress());
    // Time to go wrong.
    let mut used = Vec::new();
    for _ in 0..10 {
        sleep_until(now()? + Duration::from_millis(100));
        burner.vouch(1.0)?;
        used.push(float(limited.bytes(limited.current)?));
    }
    // Kernels before 5.19 have no peak of version 2; the samples stand for it there.
    let peak = limited.bytes(limited.peak).map_or(spread(&used).1, float);
    let limit = float(LIMIT_MIB * MIB);
    let [reached, most] = [spread(&used).0, peak].map(|bytes| 100.0 * bytes / limit);
    table.push(Row {
        what: format!("{} MiB under a limit of {LIMIT_MIB}", LIMIT_MIB * 2),
        chaosd: format!("{reached:.2} %, at most {most:.2}"),
        beside: "-".to_owned(),
        target: format!("{} % of it", 100.0 - KEEP_PERCENT),
        holds: Some(most <= 100.0 - KEEP_PERCENT + 0.01 && reached >= 93.0),
        note: "alive, and says that it is held back; by the cgroup's own account".to_owned(),
        figures: json!({"reached": reached, "most": most}),
        ..Row::default()
    });
    Ok(())
}
