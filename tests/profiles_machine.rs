//! The profiles that ship of faults that act on the machine: each acts as it says, and what it changed
//! is as before afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::{Daemon, Options, Run, wait_until};

use crate::burners::{burners, resident};
use crate::file_scene::{counted, unable};
use crate::limits::{LONG, Loop, place, share, ticks, write};
use crate::mounted::Mounted;
use crate::process::sleepers;

/// These profiles, and what they cannot do without.
pub const MACHINE: [(&str, &[&str]); 11] = [
    ("clock-skew", &[]),
    ("cpu-starved", &[]),
    ("disk-full", &["path=/"]),
    ("flaky-disk", &["path=/"]),
    ("frozen-process", &["program=sleep"]),
    ("kill-one", &["program=sleep"]),
    ("memory-pressure", &[]),
    ("noisy-neighbour", &[]),
    ("out-of-processes", &[]),
    ("slow-disk", &["path=/"]),
    ("slow-files", &["path=/"]),
];

fn run<'a>(daemon: &'a Daemon, name: &str, cgroup: &str, sets: &[&str]) -> Result<Run<'a>> {
    let needed = MACHINE.iter().find(|(machine, _)| *machine == name);
    let needed = needed.map_or(&[][..], |(_, needed)| needed);
    let given = |need: &&&str| !sets.iter().any(|set| key(set) == key(need));
    let needed = needed.iter().filter(given);
    let sets = needed.chain(sets).flat_map(|set| ["--set", set]);
    Run::start(
        daemon,
        ["run", name, "--cgroup", cgroup].into_iter().chain(sets),
    )
}

fn key(set: &str) -> &str {
    set.split('=').next().unwrap_or_default()
}

#[test]
fn a_plan_of_each_of_them_prints_and_changes_nothing() -> Result<()> {
    let mut place = place!();
    place.run("exec sleep 300")?;
    let disk = Loop::new("plans");
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let full = Mounted::tmpfs()?;
    for (name, sets) in MACHINE {
        let path = match (name, &disk) {
            ("flaky-disk", _) if unable().is_some() => continue,
            ("disk-full", _) => format!("path={}", full.path().display()),
            (_, Ok(disk)) => format!("path={}", disk.device()),
            ("slow-disk" | "flaky-disk", Err(_)) => continue,
            (_, Err(_)) => String::new(),
        };
        let sets = sets.iter().map(|set| {
            if name != "slow-files" && set.starts_with("path=") {
                &path
            } else {
                *set
            }
        });
        let sets = sets.flat_map(|set| ["--set", set]);
        // Nothing is smaller than a host that has a clock; this one's may be kept right.
        let target = match name {
            "clock-skew" => ["--host", "--set", "service=stop"].to_vec(),
            _ => vec!["--cgroup", place.path()],
        };
        let words = ["plan", name].into_iter().chain(target.iter().copied());
        let plan = daemon.cli(words.chain(sets))?;
        ensure!(plan.status == Some(0), "{name}: {plan:?}");
        let whom = target.last().copied().filter(|_| target.len() == 2);
        for word in [whom.unwrap_or("host"), "how", "undo", "nothing was changed"] {
            ensure!(plan.stdout.contains(word), "{name}: no {word} in {plan:?}");
        }
        ensure!(place.files()? == before, "{name}: {:?}", place.files()?);
    }
    Ok(())
}

#[test]
fn a_starved_cgroup_gets_what_is_left_to_it() -> Result<()> {
    let mut place = place!();
    let spinner = place.run("exec sh -c 'while :; do :; done'")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = run(&daemon, "cpu-starved", place.path(), &["limit=10%"])?;
    let held = share(spinner);
    let told = run.revert()?;
    ensure!((0.02..0.15).contains(&held), "{held} of a core: {told:?}");
    Ok(())
}

#[test]
fn a_noisy_neighbour_burns_in_waves() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let sets = ["load=20%", "on=1s", "off=1s"];
    let run = run(&daemon, "noisy-neighbour", place.path(), &sets)?;
    let neighbours = burners(&daemon);
    ensure!(!neighbours.is_empty());
    let used = || neighbours.iter().map(|pid| ticks(*pid)).sum::<u64>();
    ensure!(wait_until(LONG, || used() > 20), "{} ticks", used());
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    Ok(())
}

#[test]
fn memory_pressure_leaves_what_it_is_told_to_leave() -> Result<()> {
    const TAKEN: u64 = 96 << 20;
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let free = free.context("no MemAvailable")? * 1024;
    let leave = format!("leave={}B", free.saturating_sub(TAKEN));
    let run = run(
        &daemon,
        "memory-pressure",
        place.path(),
        &[&leave, "ramp=1s"],
    )?;
    let burners = burners(&daemon);
    ensure!(burners.len() == 1, "{burners:?}");
    // Others take and give memory meanwhile.
    let taken = || resident(burners[0]);
    ensure!(
        wait_until(LONG, || taken() > TAKEN / 4),
        "{} bytes",
        taken()
    );
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_full_disk_takes_nothing_more_and_then_does() -> Result<()> {
    let (place, full) = (place!(), Mounted::tmpfs()?);
    let free = full.free()?;
    let daemon = Daemon::start(&Options::default())?;
    let path = format!("path={}", full.path().display());
    let run = run(&daemon, "disk-full", place.path(), &[&path])?;
    ensure!(
        wait_until(LONG, || full.free().is_ok_and(|free| free == 0)),
        "{}",
        full.free()?
    );
    drop(run.revert()?);
    ensure!(full.free()? == free);
    Ok(())
}

#[test]
fn a_slow_disk_does_few_operations() -> Result<()> {
    let mut place = place!();
    let disk = match Loop::new("slow") {
        Ok(disk) => disk,
        Err(error) => support::skip!(Ok(()), "no loop device: {error:#}"),
    };
    let daemon = Daemon::start(&Options::default())?;
    let path = format!("path={}", disk.device());
    let run = run(&daemon, "slow-disk", place.path(), &[&path, "writes=20"])?;
    let held = write(&mut place, disk.device())?;
    let told = run.revert()?;
    ensure!(
        held > Duration::from_millis(1_500),
        "40 writes in {held:?}: {told:?}"
    );
    Ok(())
}

#[test]
fn a_flaky_disk_fails_now_and_then() -> Result<()> {
    if let Some(why) = unable() {
        support::skip!(Ok(()), "{why}");
    }
    let place = place!();
    let disk = match Loop::new("flaky") {
        Ok(disk) => disk,
        Err(error) => support::skip!(Ok(()), "no loop device: {error:#}"),
    };
    let daemon = Daemon::start(&Options::default())?;
    let path = format!("path={}", disk.device());
    let sets = [&*path, "rate=50%", "operations=10000"];
    let run = run(&daemon, "flaky-disk", place.path(), &sets)?;
    let script = format!(
        "LC_ALL=C dd if={} of=/dev/null bs=4k count=100 conv=noerror 2>&1",
        disk.device()
    );
    let output = place.command("sh").args(["-c", &script]).output()?;
    let told = run.revert()?;
    let (read, errors) = counted(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(read > 0 && errors > 0, "{output:?}: {told:?}");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    Ok(())
}

#[test]
fn kill_one_kills_one_after_the_other() -> Result<()> {
    let sleepers = sleepers!(3);
    let daemon = Daemon::start(&Options::default())?;
    let run = run(&daemon, "kill-one", sleepers.cgroup(), &["every=1s"])?;
    let dead = || sleepers.states().matches('Z').count();
    for count in 1..=3 {
        ensure!(
            wait_until(LONG, || dead() >= count),
            "{}",
            sleepers.states()
        );
        ensure!(dead() == count, "{}", sleepers.states());
    }
    let told = run.revert()?;
    ensure!(told.0["faults"][0]["effect"]["reached"] == 3.0, "{told:?}");
    Ok(())
}

#[test]
fn a_frozen_process_stands_still_in_turns_and_goes_on() -> Result<()> {
    let sleepers = sleepers!(2);
    let daemon = Daemon::start(&Options::default())?;
    let sets = ["on=1s", "off=1s"];
    let run = run(&daemon, "frozen-process", sleepers.cgroup(), &sets)?;
    for state in ['T', 'S', 'T'] {
        ensure!(sleepers.all(state), "{}", sleepers.states());
    }
    drop(run.revert()?);
    ensure!(sleepers.all('S'), "{}", sleepers.states());
    Ok(())
}
