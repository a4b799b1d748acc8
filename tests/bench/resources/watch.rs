//! Processes as the kernel accounts for them, read from outside.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_getcpuclockid, clock_nanosleep};
use nix::unistd::Pid;

/// Where things are measured, and where from.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    pub burnt: usize,
    /// Another one where there are two, so that the meter is not what is measured.
    pub meter: usize,
}

impl Cpus {
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("no affinity")?;
        let mut cpus = (0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or(false));
        let meter = cpus.next().context("no CPU is allowed")?;
        Ok(Self {
            meter,
            burnt: cpus.next_back().unwrap_or(meter),
        })
    }
}

/// Binds a process (0: this thread) to a CPU.
pub fn pin(pid: Pid, cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu).context("failed to name a CPU")?;
    sched_setaffinity(pid, &set).with_context(|| format!("failed to bind {pid} to CPU {cpu}"))
}

/// CPU time used by processes, by their CPU clocks (`clock_getcpuclockid(3)`): what
/// `/proc/PID/schedstat` shows, without being up to a tick late.
pub fn cpu_time(pids: &[Pid]) -> Result<Duration> {
    pids.iter()
        .map(|pid| {
            let clock = clock_getcpuclockid(*pid).with_context(|| format!("{pid} is gone"))?;
            Ok(Duration::from(clock.now()?))
        })
        .sum()
}

/// Memory of processes that is resident and no file's (`/proc/PID/smaps_rollup`), in bytes.
pub fn anonymous(pids: &[Pid]) -> Result<u64> {
    pids.iter()
        .map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("{pid} is gone"))?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("Anonymous:"));
            let words = line.context("no Anonymous")?.split_whitespace().next();
            Ok(words.context("no number")?.parse::<u64>()? * 1024)
        })
        .sum()
}

/// A process and all that it started.
pub fn tree(root: Pid) -> Result<Vec<Pid>> {
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that ends meanwhile is none of ours.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if let Some(parent) = after.split(' ').nth(1).and_then(|word| word.parse().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root.as_raw()];
    let mut next = 0;
    while let Some(one) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == one)
                .map(|(pid, _)| pid),
        );
        next += 1;
    }
    Ok(found.into_iter().map(Pid::from_raw).collect())
}

/// The monotonic clock.
pub fn now() -> Result<Duration> {
    Ok(Duration::from(ClockId::CLOCK_MONOTONIC.now()?))
}

pub fn sleep_until(end: Duration) {
    let end = TimeSpec::from_duration(end);
    let clock = ClockId::CLOCK_MONOTONIC;
    while clock_nanosleep(clock, ClockNanosleepFlags::TIMER_ABSTIME, &end) == Err(Errno::EINTR) {}
}

/// The load of processes, slice by slice, as shares of a CPU.
#[derive(Debug)]
pub struct Loads {
    /// Over all the time.
    pub mean: f64,
    pub slices: Vec<f64>,
}

/// Watches processes for some time, from a moment of their own: `tick` is called after each slice.
pub fn loads(
    pids: &[Pid],
    slice: Duration,
    time: Duration,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<Loads> {
    let read = || both(pids);
    let begun = read()?;
    let mut last = begun;
    let mut slices = Vec::new();
    let mut edge = begun.0;
    while last.0 < begun.0 + time {
        edge += slice;
        sleep_until(edge);
        let next = read()?;
        slices.push(share(last, next));
        last = next;
        tick()?;
    }
    ensure!(!slices.is_empty(), "nothing was measured");
    Ok(Loads {
        mean: share(begun, last),
        slices,
    })
}

/// Both clocks at a moment: again, if we were held up between them.
pub fn both(pids: &[Pid]) -> Result<(Duration, Duration)> {
    const TRIES: usize = 10;
    for _ in 1..TRIES {
        let (before, used, after) = (now()?, cpu_time(pids)?, now()?);
        if after.saturating_sub(before) < Duration::from_micros(20) {
            return Ok((before, used));
        }
    }
    Ok((now()?, cpu_time(pids)?))
}

/// The load between two such moments.
pub fn share(from: (Duration, Duration), to: (Duration, Duration)) -> f64 {
    to.1.saturating_sub(from.1).as_secs_f64() / to.0.saturating_sub(from.0).as_secs_f64()
}
