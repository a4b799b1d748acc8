//! How fast a fault comes and goes, as a peer saw it.
//!
//! A probe sends a datagram to the peer every 0.2 ms. A fault has come when the first was sent
//! that did not arrive, and has gone when the first was sent that did; the time runs from before
//! the request is written to the API's socket, or before the signal is sent. Each figure is thus
//! at most one period too long, and never too short.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::api::{Client, RunRequest};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::{Daemon, Family, Lab, Options, Probe, Sample, wait_until};
use tokio::runtime::Runtime;

use crate::times::{Limits, Table, Times};

const PERIOD: Duration = Duration::from_micros(200);
/// Between two changes: longer than the longest warm change takes.
const REST: Duration = Duration::from_millis(20);
/// What is under way has arrived by then.
const SETTLES: Duration = Duration::from_millis(100);
/// A daemon has loaded its programs ahead by then.
const WARMS_UP: Duration = Duration::from_millis(600);
/// Nothing takes longer.
const LONGEST: Duration = Duration::from_secs(5);

const fn median(ms: u64) -> Limits {
    Limits {
        median: Some(Duration::from_millis(ms)),
        max: None,
    }
}

const fn max(ms: u64) -> Limits {
    Limits {
        median: None,
        max: Some(Duration::from_millis(ms)),
    }
}

/// Measures everything and prints it; true when every row holds.
pub fn run(rounds: usize) -> Result<bool> {
    let bench = Bench::new()?;
    let mut table = Table::default();
    eprintln!("{rounds} rounds; a peer is probed every {PERIOD:?}");
    eprintln!("warm");
    bench.warm(rounds, &mut table)?;
    eprintln!("cold");
    bench.cold(rounds, &mut table)?;
    let fewer = rounds.div_ceil(4);
    table.push(bench.just_started(fewer)?);
    eprintln!("killed, {fewer} rounds each");
    let limits = Limits {
        max: max(1000).max,
        ..median(100)
    };
    table.push(bench.killed("SIGKILL of the daemon, to gone", fewer, limits, false)?);
    let limits = Limits {
        max: max(1000).max,
        ..median(10)
    };
    table.push(bench.killed("SIGKILL of both, to gone", fewer, limits, true)?);
    table.push(bench.watchdog(fewer)?);
    let few = rounds.div_ceil(20);
    eprintln!("stopped, {few} rounds each");
    table.push(bench.stopped("SIGSTOP of the daemon, to gone", few, false)?);
    table.push(bench.stopped("SIGSTOP of both, to gone", few, true)?);
    println!("{table}");
    Ok(table.holds())
}

/// The laboratory. Fields are dropped in order: traffic before namespaces.
struct Bench {
    probe: Probe,
    lab: Lab,
    runtime: Runtime,
    request: RunRequest,
}

impl Bench {
    fn new() -> Result<Self> {
        let lab = Lab::new("apply")?;
        let peer = lab.peer().address_facing(lab.target(), Family::V4)?;
        let profile = json!({
            "version": 1,
            "for": "60s",
            "target": {"netns": lab.target().netns()},
            "faults": [{"partition": {}, "match": {"peers": [peer.to_string()]}}],
        });
        Ok(Self {
            probe: Probe::start(lab.target(), lab.peer(), Family::V4, 0, PERIOD)?,
            lab,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("failed to start a runtime")?,
            request: RunRequest {
                profile,
                ..RunRequest::default()
            },
        })
    }

    /// Returns when the request was sent, when it was answered, and the run.
    fn arm(&self, daemon: &Daemon) -> Result<(Instant, Duration, String)> {
        let client = Client::new(&daemon.socket());
        let sent = Instant::now();
        let report = self.runtime.block_on(client.start(&self.request))?;
        Ok((sent, sent.elapsed(), report.id))
    }

    fn disarm(&self, daemon: &Daemon, id: &str) -> Result<(Instant, Duration)> {
        let client = Client::new(&daemon.socket());
        let sent = Instant::now();
        self.runtime
            .block_on(client.revert(id, chaosd::report::Ended::Reverted))?;
        Ok((sent, sent.elapsed()))
    }

    /// A daemon that keeps its programs attached.
    fn warm(&self, rounds: usize, table: &mut Table) -> Result<()> {
        let daemon = Daemon::start(&Options::default())?;
        let (_, _, id) = self.arm(&daemon)?;
        self.disarm(&daemon, &id)?;
        let (mut armed, mut disarmed) = (Vec::new(), Vec::new());
        let (mut arm_answers, mut disarm_answers) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            std::thread::sleep(REST);
            let (sent, answered, id) = self.arm(&daemon)?;
            armed.push(sent);
            arm_answers.push(answered);
            std::thread::sleep(REST);
            let (sent, answered) = self.disarm(&daemon, &id)?;
            disarmed.push(sent);
            disarm_answers.push(answered);
        }
        std::thread::sleep(SETTLES);
        let samples = self.probe.samples();
        let come = first(&samples, &armed, false)?;
        let gone = first(&samples, &disarmed, true)?;
        table.push(Times::new("arm, warm: to the first loss", come, median(5)));
        table.push(Times::new(
            "arm, warm: to the answer",
            arm_answers,
            Limits::default(),
        ));
        table.push(Times::new("disarm: to the first arrival", gone, median(5)));
        table.push(Times::new(
            "disarm: to the answer",
            disarm_answers,
            Limits::default(),
        ));
        Ok(())
    }

    /// A daemon that has armed nothing yet: no plane is open, nothing is attached.
    fn cold(&self, rounds: usize, table: &mut Table) -> Result<()> {
        let (mut come, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (first, answered) = self.first_fault(WARMS_UP)?;
            come.push(first);
            answers.push(answered);
        }
        table.push(Times::new("arm, cold: to the first loss", come, median(60)));
        table.push(Times::new(
            "arm, cold: to the answer",
            answers,
            Limits::default(),
        ));
        Ok(())
    }

    /// One that is asked the moment its socket is there: the verifier reads its programs still.
    fn just_started(&self, rounds: usize) -> Result<Times> {
        let come: Result<_> = (0..rounds)
            .map(|_| Ok(self.first_fault(Duration::ZERO)?.0))
            .collect();
        Ok(Times::new(
            "arm, programs not loaded yet",
            come?,
            Limits::default(),
        ))
    }

    /// The times to the first loss and to the answer, of a daemon that is this old.
    fn first_fault(&self, age: Duration) -> Result<(Duration, Duration)> {
        let daemon = Daemon::start(&Options::default())?;
        std::thread::sleep(age);
        let (sent, answered, _) = self.arm(&daemon)?;
        std::thread::sleep(SETTLES);
        let come = first(&self.probe.samples(), &[sent], false)?;
        Ok((come.into_iter().sum(), answered))
    }

    /// A daemon, its watchdog, and a fault that holds.
    fn armed(&self) -> Result<(Daemon, Pid)> {
        let daemon = Daemon::start(&Options::default())?;
        std::thread::sleep(WARMS_UP);
        let watchdog = daemon.watchdog()?;
        self.arm(&daemon)?;
        // It loads the next plane's programs now, and dies some milliseconds later while it does.
        std::thread::sleep(WARMS_UP);
        Ok((daemon, watchdog))
    }

    fn killed(
        &self,
        what: &'static str,
        rounds: usize,
        limits: Limits,
        both: bool,
    ) -> Result<Times> {
        let mut gone = Vec::new();
        for _ in 0..rounds {
            let (daemon, watchdog) = self.armed()?;
            let struck = Instant::now();
            if both {
                send(watchdog, Signal::SIGKILL)?;
            }
            daemon.kill(Signal::SIGKILL)?;
            gone.push(self.gone(struck)?);
            ensure!(
                wait_until(LONGEST, || daemon.processes().is_empty()),
                "processes of chaosd outlive it"
            );
        }
        Ok(Times::new(what, gone, limits))
    }

    fn stopped(&self, what: &'static str, rounds: usize, both: bool) -> Result<Times> {
        let mut gone = Vec::new();
        for _ in 0..rounds {
            let (daemon, watchdog) = self.armed()?;
            let struck = Instant::now();
            if both {
                send(watchdog, Signal::SIGSTOP)?;
            }
            daemon.kill(Signal::SIGSTOP)?;
            gone.push(self.gone(struck)?);
        }
        // The lease (2 s) and a tick.
        Ok(Times::new(what, gone, max(2250)))
    }

    fn watchdog(&self, rounds: usize) -> Result<Times> {
        let (daemon, mut watchdog) = self.armed()?;
        let client = Client::new(&daemon.socket());
        let mut replaced = Vec::new();
        for _ in 0..rounds {
            std::thread::sleep(REST);
            let struck = Instant::now();
            send(watchdog, Signal::SIGKILL)?;
            let found = wait_until(LONGEST, || {
                let status = self.runtime.block_on(client.status());
                let pid = status
                    .ok()
                    .and_then(|s| s.daemon)
                    .map_or(0, |d| d.watchdog_pid);
                let new = Pid::from_raw(pid.cast_signed());
                let another = pid != 0 && new != watchdog;
                if another {
                    watchdog = new;
                }
                another
            });
            replaced.push(if found { struck.elapsed() } else { LONGEST });
        }
        Ok(Times::new(
            "SIGKILL of the watchdog, to another",
            replaced,
            max(1000),
        ))
    }

    fn gone(&self, struck: Instant) -> Result<Duration> {
        self.probe
            .first_arrival(struck, LONGEST)
            .with_context(|| format!("the fault does not end in {}", self.lab.target().netns()))
    }
}

fn send(pid: Pid, signal: Signal) -> Result<()> {
    kill(pid, signal).with_context(|| format!("failed to send {signal} to {pid}"))
}

/// For each moment, the time until the first datagram was sent that arrived, or did not.
fn first(samples: &[Sample], moments: &[Instant], arrived: bool) -> Result<Vec<Duration>> {
    moments
        .iter()
        .map(|moment| {
            let after = samples.partition_point(|sample| sample.sent < *moment);
            samples[after..]
                .iter()
                .find(|sample| sample.arrived == arrived)
                .map(|sample| sample.sent - *moment)
                .context("a change without effect")
        })
        .collect()
}
