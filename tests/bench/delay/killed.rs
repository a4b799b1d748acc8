//! Daemon and watchdog die together in the middle of a delay of a second.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use support::{Daemon, Options, Run};

use super::Effort;
use super::figures::{median, ms, spread};
use super::scene::Scene;
use super::steady::{Steady, Way};
use super::table::{Row, Table};

const PERIOD: Duration = Duration::from_millis(1);
/// Before they die: several delays.
const BEFORE: Duration = Duration::from_secs(3);
/// Half of the delay: what is faster is not delayed.
const NORMAL: Duration = Duration::from_millis(500);
/// A kernel without tcx leaves the programs attached until the lease is over.
const LEASE: Duration = Duration::from_secs(2);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(5, 2);
    Table::progress(&format!("SIGKILL of both, {turns} turns"));
    let mut times = Vec::new();
    let (mut held, mut arrived) = (0, 0);
    for _ in 0..turns {
        let daemon = Daemon::start(&Options::default())?;
        let watchdog = daemon.watchdog()?;
        let text = "  - delay: 1s\n    match: {direction: out}";
        let _run = Run::faults(&daemon, scene.chaosd.target(), text)?;
        let steady = Steady {
            way: Way::RoundTrip,
            to: &[],
            count: 6000,
            period: PERIOD,
            settle: Duration::from_secs(2),
        };
        let ([samples], struck) = steady.run([&scene.chaosd], || {
            std::thread::sleep(BEFORE);
            let struck = SystemTime::now();
            kill(watchdog, Signal::SIGKILL)?;
            daemon.kill(Signal::SIGKILL)?;
            anyhow::Ok(struck)
        })?;
        let struck = struck.context("failed to kill chaosd")?;
        let normal = samples
            .iter()
            .find(|s| s.sent >= struck && s.took().is_some_and(|took| took < NORMAL))
            .context("the delay never ended")?;
        times.push(ms(normal.sent.duration_since(struck)?));
        let under_way = samples
            .iter()
            .filter(|s| s.sent < struck && s.sent + Duration::from_secs(1) > struck);
        held += under_way.clone().count();
        arrived += under_way.filter(|s| s.arrived.is_some()).count();
    }
    let at_once = programs_die_with_us()?;
    let limit = if at_once {
        Duration::from_millis(100)
    } else {
        LEASE + Duration::from_millis(250)
    };
    let (least, most) = spread(&times);
    table.push(Row {
        what: "SIGKILL of both in 1 s of delay".to_owned(),
        chaosd: format!("{:.1} ms to normal", median(&times)),
        beside: "-".to_owned(),
        ratio: None,
        target: if at_once {
            "at once".to_owned()
        } else {
            format!("lease, {} s", LEASE.as_secs())
        },
        holds: Some(median(&times) <= ms(limit)),
        note: format!(
            "{least:.1} to {most:.1} ms in {turns} turns, a probe each {PERIOD:?}; of {held} \
             packets that were held then, {arrived} arrived"
        ),
        figures: json!({"ms": times, "held": held, "held_arrived": arrived, "limit_ms": ms(limit)}),
    });
    Ok(())
}

/// Whether programs go with the process that attached them: since 6.6 (tcx).
fn programs_die_with_us() -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("failed to read the kernel's version")?;
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok(version >= (6, 6))
}
