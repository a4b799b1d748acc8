//! chaosd killed or stopped in mid-fault: how long a total partition outlives it.
//!
//! A probe of each family sends a datagram every millisecond; the fault has ended when the first
//! was sent that arrived, the later of both.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Family, Probe, wait_until};

use crate::row::{Group, Row, Seen};
use crate::scene::{PERIOD, SETTLES, Scene};
use crate::words;

/// How long the fault holds before something happens. A daemon has loaded programs ahead again by
/// then.
const HOLD: Duration = Duration::from_millis(400);
const SECOND: Duration = Duration::from_secs(1);
/// The lease (2 s) and a tick.
const LEASE: Duration = Duration::from_millis(2250);
/// Nothing takes longer, or it never comes.
const LONGEST: Duration = Duration::from_secs(5);

pub fn deaths() -> Group {
    let killed = |what: &'static str, strike: fn(Pid, Pid) -> Result<()>| {
        Row::new(what, "4+6", "both", limit_words(SECOND), move |scene| {
            let seen = strikes(scene, SECOND, strike)?;
            scene.renew_daemon()?;
            Ok(seen)
        })
    };
    let stopped = |what: &'static str, strike: fn(Pid, Pid) -> Result<()>| {
        Row::new(what, "4+6", "both", limit_words(LEASE), move |scene| {
            let seen = strikes(scene, LEASE, strike)?;
            scene.restart_daemon()?;
            Ok(seen)
        })
    };
    Group {
        title: "chaosd dies in mid-fault: how long a partition outlives it",
        rows: vec![
            killed("kill daemon", |daemon, _| send(daemon, Signal::SIGKILL)),
            Row::new(
                "kill watchdog",
                "4+6",
                "both",
                limit_words(SECOND),
                |scene| {
                    let seen = loses_its_watchdog(scene)?;
                    scene.renew_daemon()?;
                    Ok(seen)
                },
            ),
            killed("kill both", |daemon, watchdog| {
                send(watchdog, Signal::SIGKILL)?;
                send(daemon, Signal::SIGKILL)
            }),
            stopped("stop daemon", |daemon, _| send(daemon, Signal::SIGSTOP)),
            stopped("stop both", |daemon, watchdog| {
                send(watchdog, Signal::SIGSTOP)?;
                send(daemon, Signal::SIGSTOP)
            }),
        ],
    }
}

fn limit_words(limit: Duration) -> String {
    format!("≤{} s", limit.as_secs_f64())
}

fn send(pid: Pid, signal: Signal) -> Result<()> {
    kill(pid, signal).with_context(|| format!("failed to send {signal} to {pid}"))
}

/// Both probes, and the fault in force.
fn cut(scene: &Scene) -> Result<[Probe; 2]> {
    let start = |family| Probe::start(scene.target(), scene.peer(), family, 0, PERIOD);
    let probes = [start(Family::V4)?, start(Family::V6)?];
    let started = Instant::now();
    for probe in &probes {
        probe
            .first_arrival(started, LONGEST)
            .context("no traffic before the fault")?;
    }
    scene.inject("partition")?;
    let armed = Instant::now();
    std::thread::sleep(HOLD);
    check_cut(&probes, armed)?;
    Ok(probes)
}

fn check_cut(probes: &[Probe], since: Instant) -> Result<()> {
    for probe in probes {
        let after = probe
            .samples()
            .into_iter()
            .filter(|sample| sample.sent > since);
        if after.clone().count() == 0 || after.into_iter().any(|sample| sample.arrived) {
            bail!("the fault does not hold");
        }
    }
    Ok(())
}

/// The later of both probes' first arrivals.
fn gone_after(probes: &[Probe], moment: Instant) -> Result<Duration> {
    let mut latest = Duration::ZERO;
    for probe in probes {
        let gone = probe
            .first_arrival(moment, LONGEST)
            .context("the fault does not end")?;
        latest = latest.max(gone);
    }
    std::thread::sleep(SETTLES);
    for probe in probes {
        // Once gone it is gone for all packets.
        let (sent, lost) = probe.lost(moment + latest, Instant::now());
        if sent == 0 || lost > 0 {
            bail!("{lost} of {sent} datagrams are lost after the fault's end");
        }
    }
    Ok(latest)
}

fn strikes(scene: &Scene, limit: Duration, strike: fn(Pid, Pid) -> Result<()>) -> Result<Seen> {
    let (gone, beside) = scene.beside(|| {
        let (daemon, watchdog) = (scene.daemon()?.pid(), scene.daemon()?.watchdog()?);
        let probes = cut(scene)?;
        let struck = Instant::now();
        strike(daemon, watchdog)?;
        gone_after(&probes, struck)
    })?;
    Ok(Seen {
        measured: format!("gone after {}", words::time(gone)),
        off: String::new(),
        holds: gone <= limit,
        beside,
    })
}

fn loses_its_watchdog(scene: &Scene) -> Result<Seen> {
    let ((replaced, gone), beside) = scene.beside(|| {
        let daemon = scene.daemon()?;
        let old = daemon.watchdog()?;
        let probes = cut(scene)?;
        let struck = Instant::now();
        send(old, Signal::SIGKILL)?;
        let is_another = || {
            daemon
                .watchdog()
                .is_ok_and(|new| new != old && new.as_raw() > 0)
        };
        if !wait_until(LONGEST, is_another) {
            bail!("no other watchdog was started");
        }
        let replaced = struck.elapsed();
        check_cut(&probes, struck)?;
        // The new one watches: it has to prove it.
        let struck = Instant::now();
        send(daemon.pid(), Signal::SIGKILL)?;
        Ok((replaced, gone_after(&probes, struck)?))
    })?;
    Ok(Seen {
        measured: format!(
            "anew in {}, gone {}",
            words::time(replaced),
            words::time(gone)
        ),
        off: String::new(),
        holds: replaced <= SECOND && gone <= SECOND,
        beside,
    })
}
