//! SIGKILL of chaosd, of chaosd and its watchdog, of the target, and of its runtime, in mid-fault.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::{Daemon, wait_until};

use super::echo::Echo;
use super::{Ask, Subject};
use crate::delay::figures::ms;
use crate::delay::table::{Row, Table};

const LONGEST: Duration = Duration::from_mins(1);

pub fn row(subject: &mut Subject, table: &mut Table) -> Result<()> {
    Table::progress(&format!("{}: everybody dies", subject.name));
    let chaosd = chaosd_dies(subject, false)?;
    let both = chaosd_dies(subject, true)?;
    target_dies(subject)?;
    let runtime = runtime_dies(subject)?;
    let runtime = runtime.map_or(
        "nobody runs it",
        |()| "the fault and its end do not need the runtime",
    );
    table.push(Row {
        what: format!("{}: kill -9 of anybody", subject.name),
        chaosd: "nothing left".to_owned(),
        beside: format!("free in {:.0}, {:.0} ms", ms(chaosd), ms(both)),
        target: "nothing left".to_owned(),
        // Whatever is left is an error above.
        holds: Some(true),
        note: format!(
            "SIGKILL of chaosd, and of both its processes: free; of the target: hit again when it is started, \
             and reverted; of the runtime: {runtime}"
        ),
        figures: json!({"daemon_ms": ms(chaosd), "both_ms": ms(both)}),
        ..Row::default()
    });
    Ok(())
}

fn clean(daemon: &Daemon) -> Result<()> {
    let told = daemon.cli(["revert", "--all"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    Ok(())
}

fn chaosd_dies(subject: &Subject, both: bool) -> Result<Duration> {
    let echo = Echo::new(subject.pid()?)?;
    let daemon = Daemon::start(&subject.options())?;
    let watchdog = daemon.watchdog()?;
    Ask::new(&daemon)?.arm(subject)?;
    ensure!(echo.is_cut()?, "it is not hit");
    let struck = Instant::now();
    if both {
        kill(watchdog, Signal::SIGKILL)?;
    }
    daemon.kill(Signal::SIGKILL)?;
    let free = echo.free_after(struck, LONGEST)?;
    let gone = wait_until(LONGEST, || daemon.processes().is_empty());
    ensure!(gone, "processes of chaosd outlive it");
    clean(&daemon)?;
    Ok(free)
}

/// The target dies and somebody starts it again: it is hit again, and free afterwards.
fn target_dies(subject: &mut Subject) -> Result<()> {
    let daemon = Daemon::start(&subject.options())?;
    let ask = Ask::new(&daemon)?;
    let id = ask.arm(subject)?.id;
    kill(Pid::from_raw(subject.pid()?), Signal::SIGKILL)?;
    subject.restart()?;
    let echo = Echo::new(subject.pid()?)?;
    let again = wait_until(LONGEST, || echo.is_cut().is_ok_and(|is| is));
    ensure!(again, "it is not hit again: {}", daemon.log());
    ask.revert(&id)?;
    ensure!(!echo.is_cut()?, "it is hit still");
    clean(&daemon)
}

/// `None`: nobody runs it.
fn runtime_dies(subject: &mut Subject) -> Result<Option<()>> {
    let pid = subject.pid()?;
    let echo = Echo::new(pid)?;
    let daemon = Daemon::start(&subject.options())?;
    let ask = Ask::new(&daemon)?;
    let id = ask.arm(subject)?.id;
    if !subject.kill_runtime()? {
        ask.revert(&id)?;
        return Ok(None);
    }
    ensure!(echo.is_cut()?, "the fault went with the runtime");
    ask.revert(&id)?;
    ensure!(!echo.is_cut()?, "it is hit still");
    clean(&daemon)?;
    Ok(Some(()))
}
