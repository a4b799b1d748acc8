//! The target restarts in mid-fault: from the start of its new process to a fault that is on again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::report::Phase;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use support::{Daemon, wait_until};

use super::echo::Echo;
use super::{Ask, Subject, bound, verdict};
use crate::delay::figures::{median, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

const LONGEST: Duration = Duration::from_mins(2);
const LIMIT_MS: f64 = 1000.0;

pub fn row(subject: &mut Subject, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(10, 3);
    Table::progress(&format!("{}: {turns} restarts", subject.name));
    let daemon = Daemon::start(&subject.options())?;
    let ask = Ask::new(&daemon)?;
    let id = ask.arm(subject)?.id;
    let mut times = Vec::new();
    for turn in 0..turns {
        let seats = ask.report(&id)?.members.len();
        let again = std::thread::scope(|scope| -> Result<f64> {
            let restarting = scope.spawn(|| subject.restart());
            let mut again = None;
            let on = wait_until(LONGEST, || {
                let report = ask.report(&id).ok();
                let last = report.as_ref().and_then(|report| report.members.get(seats));
                if last.is_some_and(|member| member.phase == Phase::Armed) {
                    again = uptime().ok();
                }
                again.is_some()
            });
            restarting
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            ensure!(on, "turn {turn}: not armed again: {}", daemon.log());
            again.context("no clock")
        })?;
        let pid = subject.pid()?;
        times.push((again - started(pid)?) * 1e3);
        ensure!(Echo::new(pid)?.is_cut()?, "turn {turn}: it is not hit");
    }
    ask.revert(&id)?;
    let left = Echo::new(subject.pid()?)?.is_cut()? || daemon.log().contains("ERROR");
    let (least, most) = spread(&times);
    table.push(Row {
        what: format!("{}: on again after a restart", subject.name),
        chaosd: format!("{most:.0} ms at most"),
        beside: format!("median {:.0} ms", median(&times)),
        target: "< 1 s, clean".to_owned(),
        holds: if left {
            Some(false)
        } else {
            verdict(most < LIMIT_MS)
        },
        note: format!(
            "{turns} restarts, {least:.0} to {most:.0} ms from the fork of the new first process to \
             `armed`; nothing left: {}{}",
            !left,
            bound()
        ),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}

/// Seconds since the boot.
fn uptime() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(Duration::from(time).as_secs_f64())
}

/// When a process was forked, in seconds since the boot, to 10 ms (`proc_pid_stat(5)`, field 22).
fn started(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("no name in a stat")?;
    let ticks: f64 = rest.split(' ').nth(19).context("a short stat")?.parse()?;
    Ok(ticks / 100.0)
}
