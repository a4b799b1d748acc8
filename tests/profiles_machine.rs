//! The profiles that ship of faults that act on the machine: each acts as it says, and what it changed
//! is as before afterwards.

use anyhow::{Result, ensure};
use support::{Daemon, Options, Run, wait_until};

use crate::process::{LONG, sleepers};

/// These profiles, and what they cannot do without.
pub const MACHINE: [(&str, &[&str]); 6] = [
    ("cpu-starved", &[]),
    ("frozen-process", &["program=sleep"]),
    ("kill-one", &["program=sleep"]),
    ("memory-pressure", &[]),
    ("noisy-neighbour", &[]),
    ("slow-disk", &["path=/"]),
];

fn run<'a>(daemon: &'a Daemon, name: &str, cgroup: &str, sets: &[&str]) -> Result<Run<'a>> {
    let needed = MACHINE.iter().find(|(machine, _)| *machine == name);
    let needed = needed.map_or(&[][..], |(_, needed)| needed);
    let sets = needed.iter().chain(sets).flat_map(|set| ["--set", set]);
    Run::start(
        daemon,
        ["run", name, "--cgroup", cgroup].into_iter().chain(sets),
    )
}

#[test]
fn a_plan_of_each_of_them_prints_and_changes_nothing() -> Result<()> {
    let sleepers = sleepers!(2);
    let daemon = Daemon::start(&Options::default())?;
    for (name, sets) in MACHINE {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let words = ["plan", name, "--cgroup", sleepers.cgroup()];
        let plan = daemon.cli(words.into_iter().chain(sets))?;
        ensure!(plan.status == Some(0), "{name}: {plan:?}");
        for word in [sleepers.cgroup(), "how", "undo", "nothing was changed"] {
            ensure!(plan.stdout.contains(word), "{name}: no {word} in {plan:?}");
        }
        ensure!(sleepers.states() == "SS");
    }
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
