//! `disk-burn`: a disk is as busy as was asked, by the kernel's own accounts, in the target's cgroup, and
//! nothing is left of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::{Daemon, Instance, Options, Run, is_emulated, wait_until};

use crate::burners::{burners, lives};
use crate::limits::{self, LONG, Place, place, refused};
use crate::mounted::Mounted;

/// A file system on a disk, or the end of a test that cannot have one.
macro_rules! disk {
    () => {
        match Mounted::ext4() {
            Ok(disk) => disk,
            Err(error) => support::skip!(Ok(()), "no file system on a disk: {error:#}"),
        }
    };
}

fn start<'a>(daemon: &'a Daemon, disk: &Mounted, flags: &str) -> Result<Run<'a>> {
    let path = disk.path().display().to_string();
    let words = ["inject", "disk-burn", "--path", &path];
    Run::start(daemon, words.into_iter().chain(flags.split_whitespace()))
}

/// Bytes that a process has read from disks and written to them (`proc_pid_io(5)`).
fn account(pid: u32) -> Result<[f64; 2]> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().parse().ok())
    };
    let whole = of("read_bytes:").zip(of("write_bytes:"));
    let (read, written) = whole.context("no accounts")?;
    Ok([read, written])
}

#[test]
fn a_disk_is_read_and_written_at_the_rates_that_were_asked_for() -> Result<()> {
    let (place, disk) = (place!(), disk!());
    is_busy(&place, &disk, 1.25)
}

/// As busy as was asked, past the page cache and through it, where it may write so many times as much.
pub fn is_busy(place: &Place, disk: &Mounted, flushed: f64) -> Result<()> {
    let free = disk.free()?;
    let daemon = Daemon::start(&Options::default())?;
    for (cache, most) in [("", 1.25), (" --direct false", flushed)] {
        let flags = format!(
            "--read 4MB/s --write 2MB/s --block 16KiB --cgroup {}{cache}",
            place.path()
        );
        let run = start(&daemon, disk, &flags)?;
        let pids = burners(&daemon);
        ensure!(pids.len() == 2, "{pids:?}");
        for pid in &pids {
            let of = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
            ensure!(of.contains(place.path()), "{of}");
        }
        let sum = || -> Result<[f64; 2]> {
            let mut sum = [0.0; 2];
            for pid in &pids {
                let [read, written] = account(*pid)?;
                sum = [sum[0] + read, sum[1] + written];
            }
            Ok(sum)
        };
        let (before, since) = (sum()?, Instant::now());
        std::thread::sleep(Duration::from_secs(3));
        let (after, seconds) = (sum()?, since.elapsed().as_secs_f64());
        let rates = [after[0] - before[0], after[1] - before[1]].map(|bytes| bytes / seconds);
        let told = run.revert()?;
        // A machine that is slow, or whose disk others use, does what it can, and never more than was asked
        // for in the long run.
        let least = if is_emulated() { 0.05 } else { 0.5 };
        for (rate, asked, most) in [(rates[0], 4e6, 1.25), (rates[1], 2e6, most)] {
            let of_it = rate / asked;
            ensure!((least..most).contains(&of_it), "{rates:?}: {told:?}");
        }
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
        ensure!(
            told.word("/faults/0/effect/told").contains("operations/s"),
            "{told:?}"
        );
        ensure!(!pids.iter().any(|pid| lives(*pid)));
        ensure!(disk.files()?.is_empty());
        // A file system keeps more for what it knows of files as that grows.
        let missing = free / 50;
        let free_now = || disk.sync().and_then(|()| disk.free());
        let back = || free_now().is_ok_and(|now| now + missing > free);
        ensure!(wait_until(LONG, back), "{} of {free}", disk.free()?);
    }
    Ok(())
}

#[test]
fn nobody_is_late_while_a_burner_comes_up_on_a_slow_disk() -> Result<()> {
    let (mut place, home, disk) = (place!(), place!(), disk!());
    place.run("exec sleep 300")?;
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    home.take(daemon.pid().as_raw().unsigned_abs())?;
    let bystander = limits::start(&daemon, &place, "cpu-quota --limit 10%")?;
    let limited = place.files()?;
    ensure!(limited != before);
    // What it reads it writes first, 16 MiB, in the cgroup where it is born.
    let other = Daemon::start(&Options::default())?;
    let path = disk.path().display().to_string();
    let slow = format!("disk --path {path} --write-bps 5MB/s");
    let slow = limits::start(&other, &home, &slow)?;
    let since = Instant::now();
    let run = start(&daemon, &disk, "--read 1MB/s")?;
    let took = since.elapsed();
    ensure!(took > Duration::from_secs(2), "it was up after {took:?}");
    // After a second a watchdog would have taken the daemon for late, and put the quota back.
    let told = bystander.report()?;
    ensure!(told.word("/phase") == "armed", "{told:?}");
    ensure!(place.files()? == limited, "{:?}", place.files()?);
    drop((run.revert()?, bystander.revert()?, slow.revert()?));
    ensure!(place.files()? == before, "{:?}", place.files()?);
    Ok(())
}

#[test]
fn a_ramp_begins_slowly() -> Result<()> {
    let disk = disk!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &disk, "--write 8MB/s --ramp 8s")?;
    let pids = burners(&daemon);
    ensure!(pids.len() == 1, "{pids:?}");
    let written = || account(pids[0]).map_or(0.0, |[_, written]| written);
    std::thread::sleep(Duration::from_secs(2));
    // An eighth of it on average, and a quarter at its end.
    let early = written();
    ensure!((1.0..6e6).contains(&early), "{early}");
    ensure!(wait_until(LONG, || written() > 20e6), "{}", written());
    drop(run.revert()?);
    Ok(())
}

#[test]
fn it_ends_with_chaosd_and_rests_when_that_is_late() -> Result<()> {
    let disk = disk!();
    let free = disk.free()?;
    let back = || disk.free().is_ok_and(|now| now + 1_000_000 > free);
    let daemon = Daemon::start(&Options::default())?;
    drop(start(&daemon, &disk, "--write 4MB/s")?);
    let pids = burners(&daemon);
    ensure!(pids.len() == 1, "{pids:?}");
    let begun = wait_until(LONG, || {
        account(pids[0]).is_ok_and(|[_, bytes]| bytes > 0.0)
    });
    ensure!(begun, "nothing was written");
    daemon.kill(Signal::SIGKILL)?;
    ensure!(wait_until(LONG, || !lives(pids[0])));
    ensure!(wait_until(LONG, back), "{} of {free}", disk.free()?);
    drop(daemon);

    let daemon = Daemon::start(&Options::default())?;
    drop(start(&daemon, &disk, "--write 4MB/s")?);
    let pids = burners(&daemon);
    ensure!(pids.len() == 1, "{pids:?}");
    daemon.kill(Signal::SIGSTOP)?;
    // The lease is 2 s; 5 s after it stopped it is killed, and the burner with it.
    std::thread::sleep(Duration::from_millis(2500));
    let resting = account(pids[0]).map_or(0.0, |[_, bytes]| bytes);
    std::thread::sleep(Duration::from_millis(500));
    let later = account(pids[0]).map_or(0.0, |[_, bytes]| bytes);
    ensure!(later <= resting, "{later} after {resting}");
    ensure!(wait_until(LONG, || !lives(pids[0])));
    ensure!(wait_until(LONG, back), "{} of {free}", disk.free()?);
    Ok(())
}

#[test]
fn what_is_no_disk_or_no_rate_is_refused() -> Result<()> {
    let instance = Instance::new()?;
    let memory = Mounted::tmpfs()?;
    let tmpfs = memory.path().display();
    for (fault, said) in [
        (
            &*format!("disk-burn: {{path: {tmpfs}, read: 1MB/s}}"),
            "is in memory (tmpfs)",
        ),
        ("disk-burn: {path: /srv}", "needs read or write"),
        ("disk-burn: {read: 1MB/s}", "needs a path"),
        ("disk-burn: {path: srv, read: 1MB/s}", "not an absolute"),
        ("disk-burn: {path: /etc/passwd, read: 1MB/s}", "directory"),
        (
            "disk-burn: {path: /, read: 1MB/s, block: 5KB}",
            "multiples of 4KiB",
        ),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}
