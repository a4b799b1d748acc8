//! `disk-fill`: a file system is full for everybody, and has its room again, whatever becomes of
//! chaosd.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::{Daemon, Instance, Options, Run, wait_until};

use crate::limits::{LONG, refused};
use crate::mounted::Mounted;

/// A watchdog kills a daemon that is late by so much.
const KILL_AFTER: Duration = Duration::from_secs(5);

fn start<'a>(daemon: &'a Daemon, place: &Mounted, flags: &str) -> Result<Run<'a>> {
    let path = place.path().display().to_string();
    let mut words = vec!["inject", "disk-fill", "--path", &path];
    words.extend(flags.split_whitespace());
    Run::start(daemon, words)
}

pub fn fills(place: &Mounted) -> Result<()> {
    let free = place.free()?;
    let daemon = Daemon::start(&Options::default())?;
    place.write()?;
    // What that gave back is free by then.
    place.sync()?;
    let run = start(&daemon, place, "--leave 1MB")?;
    // btrfs tells of what was taken, and of what was given back, with its next transaction.
    let free_now = || place.sync().and_then(|()| place.free());
    let full = wait_until(LONG, || free_now().is_ok_and(|free| free <= 1_000_000));
    ensure!(full, "{} of {free} are free", place.free()?);
    // What has no name cannot be left behind, by a loss of power either.
    ensure!(place.files()?.is_empty(), "{:?}", place.files()?);
    let error = place.write().err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(libc::ENOSPC), "{error:?}");
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    // It keeps more for what it knows of files as that grows.
    let missing = free / 50;
    let back = || free_now().is_ok_and(|now| now + missing > free);
    ensure!(wait_until(LONG, back), "{} of {free}", place.free()?);
    ensure!(place.files()?.is_empty(), "{:?}", place.files()?);
    place.write()?;
    Ok(())
}

#[test]
fn a_file_system_in_memory_is_full_and_has_room_again() -> Result<()> {
    fills(&Mounted::tmpfs()?)
}

#[test]
fn a_file_system_on_a_disk_is_full_and_has_room_again() -> Result<()> {
    match Mounted::ext4() {
        Ok(place) => fills(&place),
        Err(error) => support::skip!(Ok(()), "no file system on a disk: {error:#}"),
    }
}

/// Some kernels have no file without a name there, nor have vfat and NFS.
#[test]
fn an_overlay_as_containers_have_it_is_full_and_has_room_again() -> Result<()> {
    let below = Mounted::tmpfs()?;
    let layers = ["lower", "upper", "work"].map(|name| below.path().join(name));
    for layer in &layers {
        std::fs::create_dir(layer)?;
    }
    let [lower, upper, work] = layers.map(|layer| layer.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    match Mounted::overlay(&options) {
        Ok(place) => fills(&place),
        Err(error) => support::skip!(Ok(()), "no overlay: {error:#}"),
    }
}

#[test]
fn it_runs_full_slowly_and_in_waves() -> Result<()> {
    const ALL: u64 = 40_000_000;
    let place = Mounted::tmpfs()?;
    let free = place.free()?;
    let daemon = Daemon::start(&Options::default())?;
    let taken = || place.free().map_or(0, |now| free.saturating_sub(now));
    let run = start(&daemon, &place, "--size 40MB --ramp 4s")?;
    ensure!(wait_until(LONG, || taken() > ALL / 10));
    ensure!(taken() < ALL / 10 * 9, "{}", taken());
    ensure!(wait_until(LONG, || taken() >= ALL), "{}", taken());
    drop(run.revert()?);
    let run = start(
        &daemon,
        &place,
        "--size 40MB --pulse-on 500ms --pulse-off 500ms",
    )?;
    for _ in 0..2 {
        ensure!(wait_until(LONG, || taken() >= ALL), "{}", taken());
        ensure!(wait_until(LONG, || taken() < ALL / 10), "{}", taken());
    }
    drop(run.revert()?);
    ensure!(place.files()?.is_empty());
    Ok(())
}

#[test]
fn whatever_becomes_of_chaosd_the_room_is_given_back() -> Result<()> {
    let place = Mounted::tmpfs()?;
    let free = place.free()?;
    let is_back = || place.free().is_ok_and(|now| now == free);
    let full = || wait_until(LONG, || place.free().is_ok_and(|free| free <= 1_000_000));
    let given_back = || wait_until(LONG, is_back);
    let daemon = Daemon::start(&Options::default())?;
    drop(start(&daemon, &place, "--leave 1MB")?);
    ensure!(full(), "{} are free", place.free()?);
    daemon.kill(Signal::SIGKILL)?;
    ensure!(given_back(), "daemon killed: {}", place.free()?);
    drop(daemon);

    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "--leave 1MB")?;
    ensure!(full(), "{} are free", place.free()?);
    daemon.kill(Signal::SIGSTOP)?;
    // Before it is killed for being late, though it has the file open.
    let soon = wait_until(KILL_AFTER / 2, is_back);
    ensure!(soon, "daemon stopped: {}", place.free()?);
    daemon.kill(Signal::SIGCONT)?;
    let fenced = || {
        run.report()
            .is_ok_and(|told| told.word("/ended") == "fenced")
    };
    ensure!(wait_until(LONG, fenced), "{:?}", run.report()?);
    drop(daemon);

    let daemon = Daemon::start(&Options::default())?;
    drop(start(&daemon, &place, "--leave 1MB")?);
    ensure!(full(), "{} are free", place.free()?);
    kill(daemon.watchdog()?, Signal::SIGKILL)?;
    daemon.kill(Signal::SIGKILL)?;
    let output = daemon.cli(["revert", "--all"])?;
    ensure!(output.status == Some(0), "{output:?}");
    ensure!(given_back(), "both killed: {}", place.free()?);
    ensure!(place.files()?.is_empty());
    Ok(())
}

#[test]
fn what_is_told_is_of_its_file_system_whatever_is_mounted_over_it() -> Result<()> {
    let place = Mounted::tmpfs()?;
    let path = place.path().display().to_string();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "--leave 1MB")?;
    let told = || -> Result<String> { Ok(run.report()?.word("/faults/0/effect/told").to_owned()) };
    ensure!(wait_until(LONG, || place
        .free()
        .is_ok_and(|free| free <= 1_000_000)));
    let before = told()?;
    support::run("mount", &["-t", "tmpfs", "tmpfs", &path])?;
    let over = told();
    support::run("umount", &[&path])?;
    let over = over?;
    ensure!(over == before, "{over} after {before}");
    drop(run.revert()?);
    Ok(())
}

#[test]
fn what_cannot_be_written_cannot_be_filled() -> Result<()> {
    let place = Mounted::tmpfs()?;
    let path = place.path().display().to_string();
    support::run("mount", &["-o", "remount,ro", &path])?;
    let instance = Instance::new()?;
    let output = refused(
        &instance,
        &format!("disk-fill: {{path: {path}, size: 1MB}}"),
    )?;
    ensure!(output.stderr.contains("is mounted read-only"), "{output:?}");
    Ok(())
}

#[test]
fn what_would_harm_the_host_or_make_no_sense_is_refused() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("disk-fill: {path: /, leave: 1MB}", "leave 256"),
        ("disk-fill: {path: /, size: 1000GB}", "use leave to fill it"),
        ("disk-fill: {path: /run, leave: 1MB}", "what it has to undo"),
        (
            "disk-fill: {path: /etc/passwd, size: 1MB}",
            "is not a directory",
        ),
        (
            "disk-fill: {path: /no/such/place, size: 1MB}",
            "No such file",
        ),
        ("disk-fill: {path: srv, size: 1MB}", "not an absolute path"),
        (
            "disk-fill: {path: /proc, size: 1MB}",
            "without room of its own",
        ),
        (
            "disk-fill: {path: /, size: 1MB, leave: 1MB}",
            "leave beside size",
        ),
        ("disk-fill: {path: /}", "needs size or leave"),
        ("disk-fill: {path: /, size: 0}", "0 bytes are nothing"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}
