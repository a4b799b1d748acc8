//! What is held when its run ends leaves while chaosd goes on: an end is told at once, other runs are
//! begun meanwhile, and what a queue cannot be made to let go is told as lost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Family, Snapshot, Timed};

use crate::api::request;
use crate::held::{Bench, LONG, ms, needs_fq, needs_netem};
use crate::scene::files;

/// The report in the API's answer.
fn asked(bench: &Bench, method: &str, path: &str) -> Result<Value> {
    let answer = request(&bench.daemon.socket(), method, path, "")?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(serde_json::from_str(body)?)
}

/// Holds some packets by this fault, ends it, and begins another run before they have left.
fn goes_on(bench: &Bench, flags: &str) -> Result<(Timed, String)> {
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let ends = bench.inject(flags)?;
    let path = format!("/v1/runs/{}", ends.id());
    let held = Timed::start(target, peer, Family::V4, 0)?;
    held.send(50, ms(1))?;
    let told = asked(bench, "DELETE", &path)?;
    assert_eq!(
        (&told["phase"], &told["ended"]),
        (&"draining".into(), &"reverted".into()),
        "{told}"
    );
    // Its fault acts on nothing any more, and another one does.
    let passes = Timed::start(target, peer, Family::V4, 7_001)?;
    passes.ways(1, ms(1), LONG)?;
    let lost = bench.inject("drop --rate 100% --port 7001")?;
    let told = asked(bench, "GET", &path)?;
    assert_eq!(told["phase"], "draining", "{told}");
    assert!(held.arrivals().is_empty(), "it has left before that");
    passes.send(10, ms(1))?;
    assert_eq!(lost.revert()?.total(0).affected, 10);
    Ok((held, format!("{path}?wait=true")))
}

#[test]
fn what_a_delay_held_leaves_while_other_runs_are_begun() -> Result<()> {
    needs_fq!();
    let bench = Bench::with("delay-goes-on", 1, &["--linger", "0s"])?;
    let before = Snapshot::take(bench.lab.target())?;
    let (held, end) = goes_on(&bench, "delay --time 40s")?;
    let told = asked(&bench, "GET", &end)?;
    assert_eq!(told["phase"], "reverted", "{told}");
    assert_eq!(told["faults"][0]["verdict"], "effective", "{told}");
    assert_eq!((held.lost(LONG), held.overtaken()), (0, 0));
    drop(bench.daemon.cli(["revert", "--all"])?);
    Snapshot::take(bench.lab.target())?.assert_same(&before);
    Ok(())
}

#[test]
fn what_a_netem_does_not_let_go_is_told_as_lost_while_other_runs_are_begun() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-goes-on", 1)?;
    let before = Snapshot::take(bench.lab.target())?;
    let (held, end) = goes_on(&bench, "netem --delay 30s")?;
    let told = asked(&bench, "GET", &end)?;
    assert_eq!(told["phase"], "reverted", "{told}");
    assert_eq!(told["faults"][0]["out"]["overflow"], 50, "{told}");
    assert_eq!(told["faults"][0]["verdict"], "overflow", "{told}");
    let notes = told["notes"].as_array().context("no notes")?;
    let says = |note: &Value| {
        note.as_str()
            .is_some_and(|note| note.contains("50 packets were lost"))
    };
    assert!(notes.iter().any(says), "{told}");
    assert!(held.arrivals().is_empty());
    drop(bench.daemon.cli(["revert", "--all"])?);
    Snapshot::take(bench.lab.target())?.assert_same(&before);
    Ok(())
}

#[test]
fn netems_that_hold_for_long_are_waited_for_together() -> Result<()> {
    needs_netem!();
    for end_by_signal in [false, true] {
        let mut bench = Bench::new("netems-together", 1)?;
        let before = Snapshot::take(bench.lab.target())?;
        let mut runs = Vec::new();
        for port in 7_001..7_007 {
            runs.push(bench.inject(&format!("netem --delay 30s --port {port}"))?);
            let (target, peer) = (bench.lab.target(), bench.lab.peer());
            Timed::start(target, peer, Family::V4, port)?.send(1, ms(1))?;
        }
        drop(runs);
        let since = Instant::now();
        if end_by_signal {
            bench.daemon.kill(Signal::SIGTERM)?;
            let status = bench.daemon.wait(LONG)?;
            assert!(status.success(), "{status}: {}", bench.daemon.log());
        } else {
            let said = bench
                .daemon
                .cli(["revert", "--all", "-o", "json"])?
                .json()?;
            let runs = said["runs"].as_array().context("no runs")?;
            let lost = |run: &Value| run["faults"][0]["verdict"] == "overflow";
            assert!(runs.len() == 6 && runs.iter().all(lost), "{said}");
        }
        // One after the other they would take 12 s.
        let elapsed = since.elapsed();
        assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
        Snapshot::take(bench.lab.target())?.assert_same(&before);
        if end_by_signal {
            assert!(files(&bench.daemon.state_dir()).is_empty());
        }
    }
    Ok(())
}

/// A packet leaves at the end of its chunk, which for one that was sent earlier may come later.
#[test]
fn a_revert_in_the_middle_of_what_goes_round_keeps_its_order() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("in-order", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let run = bench.inject("delay --time 12s")?;
    let held = Timed::start(target, peer, Family::V4, 0)?;
    held.send(700, ms(2))?;
    drop(run.revert()?);
    assert_eq!((held.lost(LONG), held.overtaken()), (0, 0));
    Ok(())
}
