//! The faults of disks on the file systems that people have, on a file and on a disk of the laboratory.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::{Daemon, Opener, Options, Run, is_emulated};

use crate::disk_burn::is_busy;
use crate::disk_fill::fills;
use crate::disk_latency::{self, ASKED, at_once};
use crate::file_scene::unable;
use crate::limits::{self, Place, place};
use crate::mounted::{Disk, Mounted};

/// XFS wants as much.
const MIB: u64 = 400;

/// What fio says that it wrote or read a second, past the page cache, of the 16 MiB that it tries to.
fn fio(place: &Place, mounted: &Mounted, way: &str) -> Result<f64> {
    let file = mounted.path().join("fio").display().to_string();
    let output = place.output(&format!(
        "exec fio --name=x --filename={file} --rw={way} --bs=64k --direct=1 --size=16m \
         --time_based --runtime=4 --rate=16m --output-format=json"
    ))?;
    ensure!(output.status == Some(0), "fio: {output:?}");
    let report: Value = serde_json::from_str(&output.stdout).context("fio's report")?;
    let rate = report["jobs"][0][way]["bw_bytes"].as_f64();
    rate.context("fio tells no rate")
}

fn is_throttled(place: &mut Place, mounted: &Mounted) -> Result<()> {
    const HELD: f64 = 1e6;
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    for way in ["write", "read"] {
        let free = fio(place, mounted, way)?;
        let path = mounted.path().display();
        let fault = format!("disk --path {path} --{way}-bps 1MB/s");
        let run = limits::start(&daemon, place, &fault)?;
        let held = fio(place, mounted, way);
        let told = run.revert()?;
        let held = held?;
        // On a machine that others use it may get less, and it may begin with a burst. `bench resources` is
        // more exact.
        let least = if is_emulated() { 0.2 } else { 0.5 };
        ensure!((least..1.15).contains(&(held / HELD)), "{held}: {told:?}");
        ensure!(free > held * 1.3, "{free} before, {held} when throttled");
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
        ensure!(place.files()? == before, "{:?}", place.files()?);
    }
    Ok(())
}

fn fails(place: &Place, file: &Path) -> Result<()> {
    if unable().is_some() {
        return Ok(());
    }
    let daemon = Daemon::start(&Options::default())?;
    let directory = file.parent().context("a file in no directory")?;
    let path = directory.to_str().context("no plain path")?;
    let read = format!("exec cat {}", file.display());
    let words = [
        "inject",
        "disk-error",
        "--path",
        path,
        "--operation",
        "read",
    ];
    let target = ["--cgroup", place.path()];
    let run = Run::start(&daemon, words.into_iter().chain(target))?;
    let (failed, stranger) = (place.output(&read)?, std::fs::read(file));
    let told = run.revert()?;
    ensure!(failed.stderr.contains("Input/output error"), "{failed:?}");
    ensure!(stranger.is_ok(), "{stranger:?}");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    let after = place.output(&read)?;
    ensure!(after.status == Some(0), "{after:?}");
    Ok(())
}

fn waits(place: &Place, mounted: &Mounted, file: &Path) -> Result<()> {
    let beside = mounted.path().join("beside");
    std::fs::write(&beside, "x\n")?;
    let mut target = Opener::start(Some(place.cgroup()))?;
    let mut stranger = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let directory = file.parent().context("a file in no directory")?;
    let whom = ["--cgroup", place.path()];
    let run = disk_latency::start(&daemon, directory, "--open 200ms", &whom)?;
    let times = [
        target.open(file)?,
        soonest(&mut target, &beside)?,
        soonest(&mut stranger, file)?,
    ];
    drop(run.revert()?);
    let least = ASKED.saturating_sub(Duration::from_millis(1));
    ensure!(times[0] >= least, "{times:?}");
    ensure!(at_once(times[1]) && at_once(times[2]), "{times:?}");
    let free = soonest(&mut target, file)?;
    ensure!(at_once(free), "{free:?} after the revert");
    Ok(())
}

/// Of some tries: a disk that is busy with what was written makes an open wait too.
fn soonest(opener: &mut Opener, path: &Path) -> Result<Duration> {
    let tries = (0..3).map(|_| opener.open(path));
    let times = tries.collect::<Result<Vec<_>>>()?;
    times.into_iter().min().context("no tries")
}

/// Every fault of disks, one after the other, on this file system.
fn suffers(kind: &str, disk: Result<Disk>) -> Result<()> {
    let mounted = disk.and_then(|disk| Mounted::on(kind, disk));
    let mounted = match mounted {
        Ok(mounted) => mounted,
        Err(error) => support::skip!(Ok(()), "{error:#}"),
    };
    if let Err(error) = support::run("fio", &["--version"]) {
        support::skip!(Ok(()), "{error:#}");
    }
    let mut place = place!();
    let file = mounted.path().join("place/deep/file");
    std::fs::create_dir_all(file.parent().context("a file in no directory")?)?;
    std::fs::write(&file, "content\n")?;
    is_throttled(&mut place, &mounted).context("disk")?;
    fails(&place, &file).context("disk-error")?;
    waits(&place, &mounted, &file).context("disk-latency")?;
    std::fs::remove_dir_all(mounted.path().join("place"))?;
    for name in ["fio", "beside"] {
        std::fs::remove_file(mounted.path().join(name))?;
    }
    // What btrfs writes with each flush counts too.
    let flushed = if kind == "btrfs" { 20.0 } else { 1.25 };
    is_busy(&place, &mounted, flushed).context("disk-burn")?;
    fills(&mounted).context("disk-fill")
}

#[test]
fn ext4_on_a_file_suffers_every_fault_of_disks() -> Result<()> {
    suffers("ext4", Disk::file(MIB))
}

#[test]
fn xfs_on_a_file_suffers_every_fault_of_disks() -> Result<()> {
    suffers("xfs", Disk::file(MIB))
}

#[test]
fn btrfs_on_a_file_suffers_every_fault_of_disks() -> Result<()> {
    suffers("btrfs", Disk::file(MIB))
}

#[test]
fn ext4_on_a_disk_suffers_every_fault_of_disks() -> Result<()> {
    suffers("ext4", Disk::virtio())
}

#[test]
fn xfs_on_a_disk_suffers_every_fault_of_disks() -> Result<()> {
    suffers("xfs", Disk::virtio())
}

#[test]
fn btrfs_on_a_disk_suffers_every_fault_of_disks() -> Result<()> {
    suffers("btrfs", Disk::virtio())
}
