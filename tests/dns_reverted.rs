//! Real answers come back at once, whichever way a DNS fault ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::dns::message;
use support::{Daemon, Family, Options, Run, Snapshot, wait_until};

use crate::dns_scene::{Names, needs_dns};
use crate::scene::LONG;

const NAME: &str = "api.payments.example";
const FAULT: &str = "  - dns: {names: [api.payments.example], answer: nxdomain}";
/// The promise of chaosd for every fault.
const WITHIN: Duration = Duration::from_secs(1);

/// The code of the answer that the target gets now.
fn code(names: &Names, family: Family) -> Result<Option<u8>> {
    let server = SocketAddr::new(names.address(family)?, 53);
    let query = message::query(9, NAME, message::A);
    let answer = message::ask(names.target(), server, &query, WITHIN)?;
    Ok(answer.as_deref().and_then(message::code))
}

fn assert_denied(names: &Names) -> Result<()> {
    for family in Family::BOTH {
        let seen = code(names, family)?;
        ensure!(seen == Some(3), "{family:?}: {seen:?}");
    }
    Ok(())
}

/// How long until a real answer comes.
fn back(names: &Names, since: Instant) -> Result<Duration> {
    let back = wait_until(LONG, || {
        Family::BOTH
            .into_iter()
            .all(|family| code(names, family).is_ok_and(|code| code == Some(0)))
    });
    ensure!(back, "the fault goes on");
    Ok(since.elapsed())
}

#[test]
fn after_a_revert_the_very_next_query_gets_its_real_answer() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-revert")?;
    let before = Snapshot::take(names.target())?;
    for _ in 0..5 {
        let run = Run::faults(&names.daemon, names.target(), FAULT)?;
        assert_denied(&names)?;
        let told = run.revert()?;
        for family in Family::BOTH {
            let seen = code(&names, family)?;
            ensure!(seen == Some(0), "{family:?}: {seen:?}");
        }
        ensure!(told.total(0).affected == 2, "{told:?}");
    }
    let said = names.daemon.cli(["revert", "--all"])?;
    ensure!(said.status == Some(0), "{said:?}");
    Snapshot::take(names.target())?.assert_same(&before);
    names.assert_real(NAME)
}

#[test]
fn with_daemon_and_watchdog_killed_real_answers_come_back_at_once() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-killed")?;
    let before = Snapshot::take(names.target())?;
    let mut times = Vec::new();
    for both in [true, true, true, false] {
        let mut daemon = Daemon::start(&Options::default())?;
        let watchdog = daemon.watchdog()?;
        let _run = Run::faults(&daemon, names.target(), FAULT)?;
        assert_denied(&names)?;
        let killed = Instant::now();
        if both {
            kill(watchdog, Signal::SIGKILL)?;
        }
        daemon.kill(Signal::SIGKILL)?;
        let took = back(&names, killed)?;
        ensure!(took < WITHIN, "both: {both}: {took:?}");
        times.push(took);
        daemon.wait(LONG)?;
        let said = daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        Snapshot::take(names.target())?.assert_same(&before);
    }
    println!("real answers after {times:?}");
    names.assert_real(NAME)
}

#[test]
fn a_fault_whose_time_is_over_answers_no_more() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-over")?;
    let netns = names.target().netns();
    let text = format!("version: 1\nfor: 2s\ntarget: {{netns: {netns}}}\nfaults:\n{FAULT}\n");
    let file = names.daemon.file("short.yaml", &text)?;
    let run =
        Run::start(&names.daemon, ["run", &file.display().to_string()]).context("not armed")?;
    assert_denied(&names)?;
    ensure!(wait_until(LONG, || run.is_over()), "it goes on");
    names.assert_real(NAME)
}
