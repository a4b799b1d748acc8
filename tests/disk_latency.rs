//! `disk-latency`: who is meant waits as long as asked for the files that are meant, and nobody else
//! waits for anything.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::{Cgroup, Daemon, Instance, Mount, Opener, Options, Run, is_emulated, wait_until};

use crate::limits::{LONG, Loop, refused};
use crate::mounted::Mounted;

const MS: Duration = Duration::from_millis(1);
pub const ASKED: Duration = Duration::from_millis(200);

/// More than it takes anybody who does not wait, on a machine that is busy.
pub fn at_once(time: Duration) -> bool {
    time < if is_emulated() { 150 * MS } else { 100 * MS }
}

/// As long as asked, and not much longer.
fn waited(time: Duration) -> bool {
    // The clock of the wall is what bash looks at.
    time >= ASKED.saturating_sub(MS) && time < ASKED * 4
}

/// Ends a test on a machine without cgroups.
macro_rules! cgroup {
    () => {
        match support::Cgroup::new()? {
            Some(cgroup) => cgroup,
            None => support::skip!(Ok(()), "this machine has no unified cgroup tree"),
        }
    };
}

pub(crate) use cgroup;

/// Injects `disk-latency` with these flags on a path.
pub fn start<'a>(daemon: &'a Daemon, path: &Path, flags: &str, target: &[&str]) -> Result<Run<'a>> {
    let path = path.to_str().context("no plain path")?;
    let mut words = vec!["inject", "disk-latency", "--path", path];
    words.extend(flags.split(' '));
    words.extend(target);
    Run::start(daemon, words)
}

fn in_cgroup(cgroup: &Cgroup) -> [&str; 2] {
    ["--cgroup", cgroup.path()]
}

#[test]
fn opens_of_the_target_take_as_long_as_asked_and_nobody_else_s_do() -> Result<()> {
    let cgroup = cgroup!();
    let below = cgroup.below("below")?;
    let (mount, other) = (Mount::tmpfs()?, Mount::tmpfs()?);
    let file = mount.file("slow/deep/file", "x\n")?;
    let beside = mount.file("slower/file", "x\n")?;
    let elsewhere = other.file("slow/file", "x\n")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let mut child = Opener::start(Some(&below))?;
    let mut stranger = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        &mount.path().join("slow"),
        "--open 200ms",
        &in_cgroup(&cgroup),
    )?;
    for opener in [&mut target, &mut child] {
        let time = opener.open(&file)?;
        ensure!(waited(time), "{time:?}");
        let read = opener.read()?;
        ensure!(at_once(read), "a read took {read:?}");
        for free in [&beside, &elsewhere] {
            let time = opener.open(free)?;
            ensure!(at_once(time), "{}: {time:?}", free.display());
        }
    }
    for path in [&file, &beside, &elsewhere] {
        let time = stranger.open(path)?;
        ensure!(at_once(time), "{}: {time:?}", path.display());
    }
    let told = run.revert()?;
    let free = target.open(&file)?;
    ensure!(at_once(free), "{free:?} after the revert");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    let reached = told.0["faults"][0]["effect"]["reached"].as_f64();
    ensure!(
        reached.is_some_and(|ms| (199.0..600.0).contains(&ms)),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn reads_wait_and_writes_do_not() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "one\ntwo\n")?;
    let written = mount.file("written", "")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let mut stranger = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, mount.path(), "--read 200ms", &in_cgroup(&cgroup))?;
    let open = target.open(&file)?;
    let read = target.read()?;
    let write = target.write(&written)?;
    stranger.open(&file)?;
    let other = stranger.read()?;
    drop(run.revert()?);
    ensure!(at_once(open), "an open took {open:?}");
    ensure!(waited(read), "a read took {read:?}");
    ensure!(at_once(write), "a write took {write:?}");
    ensure!(at_once(other), "a stranger's read took {other:?}");
    Ok(())
}

/// Of this kernel, as (6, 12).
fn version() -> Result<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split('.')
        .map_while(|word| word.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).context("no version")
}

#[test]
fn a_file_that_was_open_before_is_read_late_up_to_linux_6_1_alone() -> Result<()> {
    let version = version()?;
    if ((6, 2)..(6, 12)).contains(&version) {
        support::skip!(Ok(()), "nobody has looked at {version:?}");
    }
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "one\ntwo\n")?;
    let mut target = Opener::start(None)?;
    target.open(&file)?;
    let daemon = Daemon::start(&Options::default())?;
    let pid = target.pid().to_string();
    let run = start(&daemon, mount.path(), "--read 200ms", &["--pid", &pid])?;
    let time = target.read()?;
    drop(run.revert()?);
    if version <= (6, 1) {
        ensure!(waited(time), "{time:?}");
    } else {
        ensure!(at_once(time), "{time:?}");
    }
    Ok(())
}

#[test]
fn of_one_file_its_neighbours_know_nothing_and_one_process_waits_alone() -> Result<()> {
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let beside = mount.file("beside", "x\n")?;
    let mut target = Opener::start(None)?;
    let mut stranger = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let pid = target.pid().to_string();
    let run = start(&daemon, &file, "--open 200ms", &["--pid", &pid])?;
    let times = [
        target.open(&file)?,
        target.open(&beside)?,
        stranger.open(&file)?,
    ];
    drop(run.revert()?);
    ensure!(waited(times[0]), "{times:?}");
    ensure!(at_once(times[1]) && at_once(times[2]), "{times:?}");
    Ok(())
}

#[test]
fn a_host_waits_and_chaosd_does_not() -> Result<()> {
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let text = "version: 1\nfaults: [{process: {match: nobody-of-this-name}}]\n";
    let profile = mount.file("p.yaml", text)?;
    let mut anybody = Opener::start(None)?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, mount.path(), "--open 5s", &["--host"])?;
    anybody.begin_open(&file)?;
    let since = Instant::now();
    let path = profile.to_str().context("no plain path")?;
    let plan = daemon.cli(["plan", path])?;
    let time = since.elapsed();
    ensure!(plan.status == Some(0), "{plan:?}");
    ensure!(time < Duration::from_secs(4), "chaosd took {time:?}");
    ensure!(!anybody.ended(Duration::ZERO)?, "nobody waits");
    let since = Instant::now();
    drop(run.revert()?);
    ensure!(anybody.ended(LONG)?, "it waits on");
    ensure!(since.elapsed() < Duration::from_secs(2));
    anybody.time()?;
    Ok(())
}

#[test]
fn many_wait_side_by_side() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut openers = Vec::new();
    for _ in 0..8 {
        openers.push(Opener::start(Some(&cgroup))?);
    }
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, mount.path(), "--open 200ms", &in_cgroup(&cgroup))?;
    for opener in &mut openers {
        opener.begin_open(&file)?;
    }
    for opener in &mut openers {
        let time = opener.time()?;
        ensure!(waited(time), "{time:?}");
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_file_is_the_same_one_by_whichever_mount_and_disk_it_is_reached() -> Result<()> {
    let cgroup = cgroup!();
    let disk = match Loop::new("latency") {
        Ok(disk) => disk,
        Err(error) => support::skip!(Ok(()), "no loop device: {error:#}"),
    };
    support::run("mkfs.ext4", &["-q", disk.device()])?;
    let mount = Mount::of(disk.device(), "ext4")?;
    mount.file("in/file", "x\n")?;
    mount.file("out/file", "x\n")?;
    let inside = Mount::bind(&mount.path().join("in"))?;
    let outside = Mount::bind(&mount.path().join("out"))?;
    let mut target = Opener::start(Some(&cgroup))?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        &mount.path().join("in"),
        "--open 200ms",
        &in_cgroup(&cgroup),
    )?;
    let [slow, free] = [inside, outside].map(|there| target.open(&there.path().join("file")));
    drop(run.revert()?);
    let (slow, free) = (slow?, free?);
    ensure!(waited(slow) && at_once(free), "{slow:?}, {free:?}");
    Ok(())
}

#[test]
fn through_an_overlay_who_is_meant_waits_where_the_plan_says() -> Result<()> {
    let below = Mounted::tmpfs()?;
    let layers = ["lower", "upper", "work"].map(|name| below.path().join(name));
    for layer in &layers {
        std::fs::create_dir(layer)?;
    }
    std::fs::write(layers[0].join("low"), "x\n")?;
    let [lower, upper, work] = layers.each_ref().map(|layer| layer.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let merged = match Mounted::overlay(&options) {
        Ok(merged) => merged,
        Err(error) => support::skip!(Ok(()), "no overlay: {error:#}"),
    };
    std::fs::write(merged.path().join("up"), "x\n")?;
    let daemon = Daemon::start(&Options::default())?;
    let mut target = Opener::start(None)?;
    let pid = target.pid().to_string();
    // Through the overlay and in the layer, of the upper and of the lower.
    let files = [
        merged.path().join("up"),
        layers[1].join("up"),
        merged.path().join("low"),
        layers[0].join("low"),
    ];
    // Before Linux 6.7 an overlay opens its layers' files under its own path.
    let over = version()? >= (6, 7);
    let through = if over {
        "delays too who opens these"
    } else {
        "does not delay who opens these"
    };
    for (path, said, late) in [
        (
            merged.path(),
            "not who opens them in its layers",
            [true, false, true, false],
        ),
        (&layers[1], through, [over, true, false, false]),
        (&layers[0], through, [false, false, over, true]),
    ] {
        let run = start(&daemon, path, "--open 200ms", &["--pid", &pid])?;
        let told = run.report()?.0["notes"].to_string();
        ensure!(told.contains(said), "{told}");
        for (file, late) in files.iter().zip(late) {
            let time = target.open(file)?;
            let right = if late { waited(time) } else { at_once(time) };
            ensure!(right, "{} of {}: {time:?}", file.display(), path.display());
        }
        drop(run.revert()?);
    }
    Ok(())
}

#[test]
fn a_pulse_lets_them_wait_in_turns() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        mount.path(),
        "--open 200ms --pulse-on 1s --pulse-off 1s",
        &in_cgroup(&cgroup),
    )?;
    for wanted in [waited as fn(Duration) -> bool, at_once, waited, at_once] {
        let mut last = Ok(Duration::ZERO);
        let found = wait_until(LONG, || {
            last = target.open(&file);
            last.as_ref().map_or(true, |time| wanted(*time))
        });
        ensure!(found, "{last:?}");
        last?;
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn the_profile_slow_files_delays_opens_and_reads() -> Result<()> {
    let cgroup = cgroup!();
    let mount = Mount::tmpfs()?;
    let file = mount.file("file", "x\n")?;
    let mut target = Opener::start(Some(&cgroup))?;
    let daemon = Daemon::start(&Options::default())?;
    let path = format!("path={}", mount.path().display());
    let words = ["run", "slow-files", "--cgroup", cgroup.path(), "--set"];
    let sets = [path.as_str(), "--set", "open=200ms", "--set", "read=200ms"];
    let run = Run::start(&daemon, words.into_iter().chain(sets))?;
    let times = [target.open(&file)?, target.read()?];
    let told = run.revert()?;
    ensure!(times.into_iter().all(waited), "{times:?}: {told:?}");
    Ok(())
}

#[test]
fn what_cannot_be_delayed_is_refused_with_what_to_type_instead() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("disk-latency: {open: 50ms}", "disk-latency needs a path"),
        (
            "disk-latency: {path: /srv}",
            "disk-latency needs open or read",
        ),
        (
            "disk-latency: {path: srv, open: 1ms}",
            "not an absolute path",
        ),
        ("disk-latency: {path: /, open: 2h}", "did you mean `1m`?"),
        ("disk-latency: {path: /, open: 0s}", "0 is no time at all"),
        (
            "disk-latency: {path: /no/such/place, open: 1ms}",
            "failed to look at /no/such/place",
        ),
        (
            "disk-latency: {path: /dev/null, open: 1ms}",
            "neither a file nor a directory",
        ),
        ("disk-latency: {path: /proc, open: 1ms}", "none of a disk"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}
