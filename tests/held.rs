//! What the tests of held packets have in common: they need a kernel that can hold packets, and a
//! laboratory under a daemon.

use std::time::Duration;

use anyhow::Result;
use support::{Daemon, Lab, Node, Options, Run, run};

/// The hold queue's timer has slack, and departures are as much earlier.
pub const EARLY: Duration = Duration::from_nanos(chaosd_ebpf::EARLY_NS);
/// What a busy machine may add to the fastest of some packets: an emulated one is late by tens of
/// milliseconds when others use its processors.
pub const ROOM: Duration = Duration::from_millis(40);
/// Everything that is waited for has happened by then.
pub const LONG: Duration = Duration::from_secs(30);

/// Ends a test on a kernel that cannot hold packets.
macro_rules! needs_fq {
    () => {
        if let Some(why) = support::queue::no_fq() {
            support::skip!(Ok(()), "{why}");
        }
    };
}
pub(crate) use needs_fq;

/// Ends a test on a kernel without netem.
macro_rules! needs_netem {
    () => {
        if let Some(why) = support::queue::no_netem() {
            support::skip!(Ok(()), "{why}");
        }
    };
}
pub(crate) use needs_netem;

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The shortest way of a packet that is held for so many milliseconds.
pub const fn least(asked: u64) -> Duration {
    ms(asked).saturating_sub(EARLY)
}

/// A laboratory and its daemon; dropped, the daemon goes first.
pub struct Bench {
    pub daemon: Daemon,
    pub lab: Lab,
}

impl Bench {
    /// With so many peers.
    pub fn new(name: &str, peers: u8) -> Result<Self> {
        Self::with(name, peers, &[])
    }

    /// The same with more arguments for `serve`.
    pub fn with(name: &str, peers: u8, args: &[&str]) -> Result<Self> {
        let lab = Lab::star(name, peers)?;
        let options = Options {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Options::default()
        };
        Ok(Self {
            daemon: Daemon::start(&options)?,
            lab,
        })
    }

    /// `chaosd inject FLAGS` against the target.
    pub fn inject(&self, flags: &str) -> Result<Run<'_>> {
        Run::inject(&self.daemon, self.lab.target(), flags)
    }

    /// Faults of a profile against the target.
    pub fn faults(&self, faults: &str) -> Result<Run<'_>> {
        Run::faults(&self.daemon, self.lab.target(), faults)
    }
}

/// Fails unless no packet was early and the fastest, on which a busy machine weighs least, was not
/// late.
#[track_caller]
pub fn assert_held(what: &str, ways: &[Duration], asked: Duration) {
    let Some(fastest) = ways.iter().min() else {
        panic!("{what}: nothing was measured");
    };
    let range = asked.saturating_sub(EARLY)..asked + ROOM;
    assert!(
        range.contains(fastest),
        "{what}: the fastest is not {range:?}: {ways:?}"
    );
}

/// Fails unless every time is in the range.
#[track_caller]
pub fn assert_all(what: &str, times: &[Duration], range: std::ops::Range<Duration>) {
    assert!(!times.is_empty(), "{what}: nothing was measured");
    let outside: Vec<_> = times.iter().filter(|time| !range.contains(time)).collect();
    assert!(
        outside.is_empty(),
        "{what}: {} of {} are not {range:?}: {outside:?}",
        outside.len(),
        times.len()
    );
}

/// The queues of `eth0`, but for clsact: it queues nothing, and where there is no tcx it is where
/// chaosd's filters hang.
pub fn queues(node: &Node) -> Result<String> {
    let text = node.enter(|| run("tc", &["qdisc", "show", "dev", "eth0"]))??;
    let queues = text.lines().filter(|line| !line.contains("clsact"));
    Ok(queues.collect::<Vec<_>>().join("\n"))
}
