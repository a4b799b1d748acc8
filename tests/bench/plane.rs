//! A plane over the loopback device of a namespace of this process's own.

use std::{fs::File, os::unix::fs::MetadataExt as _, sync::Arc};

use anyhow::{Context as _, Result};
use chaosd::{
    bpf::{DnsRule, Matcher, Plane, Spare},
    plan::{Interface, Netns},
};
use chaosd_ebpf::{Fault, Kind, ONE};
use nix::{
    sched::{CloneFlags, unshare},
    time::{ClockId, clock_gettime},
};

const HERE: &str = "/proc/thread-self/ns/net";

/// Moves this thread into a new network namespace, which goes with it.
pub fn leave_the_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("failed to make a network namespace")
}

/// A plane on lo of this thread's namespace, armed for an hour, with `matchers` in it. Each drops
/// at a rate of 0: matched, and the packet goes on.
pub fn armed(matchers: impl IntoIterator<Item = Matcher>) -> Result<Plane> {
    armed_with(|plane, run| {
        for matcher in matchers {
            plane.install(matcher, at_a_rate_of_0(Kind::Drop, run), None, &[])?;
        }
        Ok(())
    })
}

/// The same with one fault of queries.
pub fn armed_dns(matcher: Matcher, rule: &DnsRule) -> Result<Plane> {
    armed_with(|plane, run| {
        plane.install_dns(matcher, at_a_rate_of_0(Kind::Dns, run), rule)?;
        Ok(())
    })
}

fn at_a_rate_of_0(kind: Kind, run: u32) -> Fault {
    Fault {
        kind: kind as u32,
        run,
        until_ns: u64::MAX,
        flows: ONE,
        ..Fault::default()
    }
}

fn armed_with(install: impl FnOnce(&mut Plane, u32) -> Result<()>) -> Result<Plane> {
    let mut plane = unarmed()?;
    let run = plane.reserve_run()?;
    let now = now_ns()?;
    install(&mut plane, run)?;
    plane.refresh();
    plane.arm(run, now, now + 3_600_000_000_000);
    plane.lease(now + 3_600_000_000_000);
    Ok(plane)
}

/// A plane on lo without faults.
pub fn unarmed() -> Result<Plane> {
    let file = File::open(HERE).context("failed to open the namespace")?;
    let meta = file.metadata().context("failed to read the namespace")?;
    let netns = Netns {
        path: HERE.into(),
        dev: meta.dev(),
        ino: meta.ino(),
        fd: Arc::new(file.into()),
    };
    let mut plane = Plane::open(0, netns, Spare::load()?)?;
    plane.attach(&Interface {
        index: 1,
        name: "lo".into(),
        mtu: 65536,
        ethernet: true,
        loopback: true,
        default: true,
    })?;
    Ok(plane)
}

fn now_ns() -> Result<u64> {
    let t = clock_gettime(ClockId::CLOCK_MONOTONIC).context("failed to read the clock")?;
    Ok(u64::try_from(t.tv_sec())? * 1_000_000_000 + u64::try_from(t.tv_nsec())?)
}
