//! Each profile that ships is planned without a trace, acts as it says, and is gone afterwards.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use support::counters::Counters;
use support::statistics::assert_rate;
use support::udp::{Delivered, Flow, flow};

use crate::held_profiles::HELD;
use crate::profiles_dns::DNS;
use crate::profiles_machine::MACHINE;
use support::{Daemon, Family, Lab, Node, Options, Run, SEED, Snapshot, wait_until};

/// The profiles that hold no packets, and what they cannot do without.
const SHIPPED: [(&str, &[&str]); 6] = [
    ("corrupt-wire", &[]),
    ("flaky-network", &[]),
    ("half-open-partition", &["peers=198.18.0.2,fd00:c4a0::2"]),
    ("packet-loss", &[]),
    ("partition-zone", &["zone=198.18.0.0/24,fd00:c4a0::/64"]),
    ("reset-storm", &["ports=1-65535"]),
];

/// A command line about a profile, with what it is told by `--set`.
pub fn words<'w>(
    verb: &'w str,
    name: &'w str,
    sets: &[&'w str],
    target: &'w Node,
    seed: &'w str,
) -> Vec<&'w str> {
    let mut words = vec![verb, name, "--netns", target.netns(), "--seed", seed];
    for set in sets {
        words.extend(["--set", set]);
    }
    words
}

/// A laboratory under a profile, with its own settings beside the needed ones.
struct Bench {
    lab: Lab,
    daemon: Daemon,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        Ok(Self {
            lab: Lab::new(name)?,
            daemon: Daemon::start(&Options::default())?,
        })
    }

    fn run(&self, name: &str, sets: &[&str]) -> Result<Run<'_>> {
        let needed = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
        let sets = [needed.map_or(&[][..], |(_, needed)| needed), sets].concat();
        let seed = SEED.to_string();
        Run::start(
            &self.daemon,
            words("run", name, &sets, self.lab.target(), &seed),
        )
    }

    fn datagrams(&self, out: bool, datagrams: u32) -> Result<Delivered> {
        let asked = Flow {
            datagrams,
            settle: Duration::from_millis(100),
            ..Flow::default()
        };
        let (target, peer) = (self.lab.target(), self.lab.peer());
        let (from, to) = if out { (target, peer) } else { (peer, target) };
        flow(from, to, &asked)
    }

    /// Ends the run, which must have acted, and then nothing may be lost.
    fn end(&self, run: Run<'_>) -> Result<()> {
        let told = run.revert()?;
        assert_eq!(told.word("/phase"), "reverted", "{told:?}");
        assert_eq!(told.word("/faults/0/verdict"), "effective", "{told:?}");
        for out in [true, false] {
            assert_eq!(self.datagrams(out, 2_000)?.received, 2_000);
        }
        Ok(())
    }
}

#[test]
fn every_profile_that_ships_is_listed_here() -> Result<()> {
    let bench = Bench::new("shipped")?;
    let listed = bench.daemon.cli(["profiles"])?;
    assert_eq!(listed.status, Some(0), "{listed:?}");
    let all = [&SHIPPED[..], &HELD[..], &DNS[..], &MACHINE[..]].concat();
    for (name, _) in &all {
        assert!(listed.stdout.contains(name), "{name} is not in {listed:?}");
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"))?;
    assert_eq!(
        files.count(),
        all.len(),
        "a new profile wants a test of its own"
    );
    Ok(())
}

#[test]
fn a_plan_of_each_profile_prints_and_changes_nothing() -> Result<()> {
    let bench = Bench::new("plans")?;
    let target = bench.lab.target();
    let before = Snapshot::take(target)?;
    for (name, sets) in SHIPPED {
        let seed = SEED.to_string();
        let plan = bench.daemon.cli(words("plan", name, sets, target, &seed))?;
        assert_eq!(plan.status, Some(0), "{name}: {plan:?}");
        for word in [target.netns(), "eth0", "undo"] {
            let text = plan.stdout.to_lowercase();
            assert!(text.contains(word), "{name}: no {word} in {plan:?}");
        }
        Snapshot::take(target)?.assert_same(&before);
    }
    let status = bench.daemon.cli(["status", "-o", "json"])?.json()?;
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(0), "{status}");
    Ok(())
}

#[test]
fn a_profile_without_what_it_needs_is_refused() -> Result<()> {
    let bench = Bench::new("needs")?;
    let all = SHIPPED.into_iter().chain(HELD).chain(DNS).chain(MACHINE);
    for (name, sets) in all {
        for set in sets {
            let parameter = set.split('=').next().unwrap_or_default();
            let output = bench.daemon.cli(["run", name, "--detach"])?;
            assert_eq!(output.status, Some(2), "{name}: {output:?}");
            assert!(output.stderr.contains(parameter), "{name}: {output:?}");
        }
    }
    Ok(())
}

#[test]
fn packet_loss_loses_the_share_it_is_told_to() -> Result<()> {
    let bench = Bench::new("packet-loss")?;
    let run = bench.run("packet-loss", &["rate=30%"])?;
    for out in [true, false] {
        let seen = bench.datagrams(out, 5_000)?;
        assert_rate("packet-loss", seen.sent, 0.3, seen.lost());
    }
    bench.end(run)
}

#[test]
fn flaky_network_loses_in_bursts() -> Result<()> {
    let bench = Bench::new("flaky")?;
    let run = bench.run("flaky-network", &["enter=2%", "leave=10%", "lost=100%"])?;
    let seen = bench.datagrams(true, 20_000)?;
    // A sixth on average; the spread of bursts is judged where drop is.
    assert!((2_000..5_000).contains(&seen.lost()), "{seen:?}");
    bench.end(run)
}

#[test]
fn corrupt_wire_fails_checksums_or_hands_on_flipped_bits() -> Result<()> {
    let bench = Bench::new("corrupt-wire")?;
    let before = Counters::read(bench.lab.peer())?;
    let run = bench.run("corrupt-wire", &["rate=20%"])?;
    let seen = bench.datagrams(true, 2_000)?;
    let wrong = Counters::read(bench.lab.peer())?.since(&before, "UdpInCsumErrors");
    assert_rate("corrupt-wire", seen.sent, 0.2, wrong);
    assert_eq!((seen.lost(), seen.corrupted), (wrong, 0), "{seen:?}");
    bench.end(run)?;
    let run = bench.run("corrupt-wire", &["rate=20%", "mode=undetected", "bits=2"])?;
    let seen = bench.datagrams(false, 2_000)?;
    assert_eq!(seen.lost(), 0, "{seen:?}");
    assert!(seen.corrupted > 300, "{seen:?}");
    bench.end(run)
}

#[test]
fn partition_zone_cuts_a_zone_off() -> Result<()> {
    let bench = Bench::new("zone")?;
    let run = bench.run("partition-zone", &[])?;
    for out in [true, false] {
        assert_eq!(bench.datagrams(out, 50)?.received, 0);
    }
    bench.end(run)
}

#[test]
fn half_open_partition_cuts_one_direction() -> Result<()> {
    let bench = Bench::new("half")?;
    for (sets, passes) in [(&[][..], [50, 0]), (&["deaf=out"][..], [0, 50])] {
        let run = bench.run("half-open-partition", sets)?;
        let out = bench.datagrams(true, 50)?.received;
        let into = bench.datagrams(false, 50)?.received;
        assert_eq!([out, into], passes, "{sets:?}");
        bench.end(run)?;
    }
    Ok(())
}

#[test]
fn reset_storm_resets_in_waves() -> Result<()> {
    let bench = Bench::new("storm")?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let address = SocketAddr::new(peer.address_facing(target, Family::V4)?, 0);
    let listener = peer.enter(|| TcpListener::bind(address))??;
    let address = listener.local_addr()?;
    let mut here = target.enter(|| TcpStream::connect(address))??;
    let mut there = listener.accept()?.0;
    here.set_read_timeout(Some(Duration::from_millis(20)))?;
    there.set_read_timeout(Some(Duration::from_secs(10)))?;
    let run = bench.run("reset-storm", &["on=1s", "off=1s"])?;
    // A wave passes within two seconds.
    let reset = wait_until(Duration::from_secs(20), || {
        let written = here.write_all(b"x").err();
        let read = here.read(&mut [0; 1]).err();
        [written, read]
            .iter()
            .flatten()
            .any(|error| error.kind() == ErrorKind::ConnectionReset)
    });
    assert!(reset, "the local end is reset");
    let mut all = Vec::new();
    let error = there.read_to_end(&mut all).map_err(|error| error.kind());
    assert_eq!(
        error,
        Err(ErrorKind::ConnectionReset),
        "the remote end is reset"
    );
    // And between two waves a connection can be made.
    let calm = wait_until(Duration::from_secs(20), || {
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(1));
        target.enter(connect).is_ok_and(|made| made.is_ok())
    });
    assert!(calm, "there is quiet between the waves");
    bench.end(run)
}
