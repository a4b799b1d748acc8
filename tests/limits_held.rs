//! Limits beside others: that two chaosd want at a time, of which one has them and what was there before is
//! not lost; beside a load; and that nobody comes to.

use anyhow::{Result, ensure};
use support::{Daemon, Instance, Options, wait_until};

use crate::limits::{LONG, Loop, place, start, write};

#[test]
fn a_limit_that_another_chaosd_holds_is_refused_and_free_again_afterwards() -> Result<()> {
    let mut place = place!();
    place.run("exec sleep 300")?;
    let before = place.files()?;
    // Of another state directory, so that neither knows of the other's runs.
    let (daemon, other) = (Daemon::start(&Options::default())?, Instance::new()?);
    for (fault, again) in [
        ("cpu-quota --limit 50%", "cpu-quota --limit 20%"),
        ("pids --leave 2", "pids"),
        (
            "freeze --pulse-on 100ms --pulse-off 1h",
            "freeze --pulse-on 100ms --pulse-off 1h",
        ),
    ] {
        let inject = || {
            let words = again.split_whitespace();
            let rest = ["--for", "300ms", "--cgroup", place.path()];
            other.cli(["inject"].into_iter().chain(words).chain(rest))
        };
        let run = start(&daemon, &place, fault)?;
        if fault.starts_with("freeze") {
            // It rests, and has it all the same.
            let rests = || place.files().is_ok_and(|now| now == before);
            ensure!(wait_until(LONG, rests), "{:?}", place.files()?);
        }
        let refused = inject()?;
        ensure!(refused.status == Some(3), "{fault}: {refused:?}");
        ensure!(
            refused.stderr.contains("in the hands of another chaosd"),
            "{fault}: {refused:?}"
        );
        drop(run.revert()?);
        let free = inject()?;
        ensure!(free.status == Some(0), "{fault}: {free:?}");
        ensure!(place.files()? == before, "{fault}: {:?}", place.files()?);
    }
    Ok(())
}

#[test]
fn limits_hold_a_load_that_is_burned_beside_their_target() -> Result<()> {
    let mut place = place!();
    place.run("exec sleep 300")?;
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let text = format!(
        "version: 1\ntarget: {{cgroup: {}}}\nfaults: [{{cpu: 5%}}, {{pids: 2}}, {{freeze: {{}}, after: 200ms, for: 300ms}}]\nfor: 3s\n",
        place.path()
    );
    let file = daemon.file("together.yaml", &text)?.display().to_string();
    let output = daemon.cli(["run", &file, "-o", "json"])?;
    ensure!(output.status == Some(0), "{output:?}");
    let told = output.json()?;
    for fault in [0, 2] {
        let verdict = told.pointer(&format!("/faults/{fault}/verdict"));
        ensure!(verdict == Some(&"effective".into()), "{told}");
    }
    ensure!(place.files()? == before, "{:?}", place.files()?);
    Ok(())
}

#[test]
fn a_disk_that_is_faster_than_anybody_needs_is_not_said_to_be_slow() -> Result<()> {
    let mut place = place!();
    let disk = match Loop::new("fast") {
        Ok(disk) => disk,
        Err(error) => support::skip!(Ok(()), "no loop device: {error:#}"),
    };
    let daemon = Daemon::start(&Options::default())?;
    let fault = format!("disk --device {} --write-bps 100GB/s", disk.device());
    let run = start(&daemon, &place, &fault)?;
    write(&mut place, disk.device())?;
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "spared", "{told:?}");
    let said = told.word("/faults/0/effect/told");
    ensure!(said.starts_with("let 4.1 MB of the target pass"), "{said}");
    Ok(())
}

#[test]
fn a_quota_of_all_that_the_host_has_is_refused() -> Result<()> {
    let place = place!();
    let instance = Instance::new()?;
    let words = ["plan", "inject", "cpu-quota", "--limit", "1024", "--cgroup"];
    let refused = instance.cli(words.into_iter().chain([place.path()]))?;
    ensure!(refused.status == Some(2), "{refused:?}");
    ensure!(refused.stderr.contains("would hold nobody"), "{refused:?}");
    let refused = instance.cli(["plan", "cpu-quota"])?;
    ensure!(
        refused.stderr.contains("chaosd plan inject cpu-quota"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn a_controller_that_two_runs_need_goes_with_the_last() -> Result<()> {
    let (mut one, mut other) = (place!(), place!());
    one.run("exec sleep 300")?;
    other.run("exec sleep 300")?;
    let before = one.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let first = start(&daemon, &one, "cpu-quota --limit 50%")?;
    let second = start(&daemon, &other, "cpu-quota --limit 50%")?;
    drop(first.revert()?);
    drop(second.revert()?);
    ensure!(one.files()? == before, "{:?} was {before:?}", one.files()?);
    Ok(())
}
