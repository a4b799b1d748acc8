//! Daemon and watchdog die while every query is denied.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use support::dns::message;
use support::{Daemon, Options, Run};

use super::Effort;
use super::scene::Scene;
use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};

const NAME: &str = "api.payments.example";
const LONG: Duration = Duration::from_secs(5);
/// Several queries before they die.
const BEFORE: Duration = Duration::from_millis(50);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(20, 3);
    Table::progress(&format!("SIGKILL of both, {turns} turns"));
    let server = SocketAddr::new(scene.chaosd.server()?, 53);
    let socket = message::socket(scene.chaosd.client(), server)?;
    socket.set_read_timeout(Some(LONG)).context("no time-out")?;
    let query = message::query(5, NAME, message::A);
    let code = || -> Result<u8> {
        socket.send(&query).context("failed to ask")?;
        let answer = message::receive(&socket)?.context("no answer")?;
        message::code(&answer).context("an answer of three bytes")
    };
    let mut times = Vec::new();
    for _ in 0..turns {
        let daemon = Daemon::start(&Options::default())?;
        let watchdog = daemon.watchdog()?;
        let fault = format!("  - dns: {{names: [{NAME}], answer: nxdomain}}");
        let _run = Run::faults(&daemon, scene.chaosd.client(), &fault)?;
        let strike = || -> Result<Instant> {
            thread::sleep(BEFORE);
            let struck = Instant::now();
            kill(watchdog, Signal::SIGKILL)?;
            daemon.kill(Signal::SIGKILL)?;
            Ok(struck)
        };
        let (real, struck) = thread::scope(|scope| -> Result<_> {
            let striking = scope.spawn(strike);
            let begun = Instant::now();
            ensure!(code()? == 3, "the fault has no effect");
            let mut asked = Instant::now();
            while code()? != 0 {
                ensure!(begun.elapsed() < LONG, "the fault goes on");
                asked = Instant::now();
            }
            let struck = striking
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((asked, struck))
        })?;
        times.push(ms(real.saturating_duration_since(struck)));
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: "SIGKILL of daemon and watchdog".to_owned(),
        chaosd: format!("{:.1} ms to real answers", median(&times)),
        beside: "-".to_owned(),
        target: "at once".to_owned(),
        holds: Some(median(&times) < 10.0 && most < 1000.0),
        note: format!("{least:.1} to {most:.1} ms in {turns} turns; one query after the other"),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
