//! The profiles that ship and hold packets: each is late as it says, and nothing is afterwards.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use support::tcp::{Bulk, bulk};
use support::{Daemon, Family, Lab, Node, Options, Run, SEED, Snapshot, record_skip};

use crate::profiles::words;

/// The profiles that need the hold queue, and what they cannot do without.
pub const HELD: [(&str, &[&str]); 7] = [
    ("bandwidth-cap", &[]),
    ("bufferbloat", &[]),
    ("jittery-wifi", &[]),
    ("mobile-3g", &[]),
    ("satellite", &[]),
    ("slow-network", &[]),
    (
        "zone-latency-matrix",
        &[
            "near=198.18.0.2,fd00:c4a0::2",
            "region=198.18.1.2",
            "far=198.18.2.2",
        ],
    ),
];

/// Later than asked by this much on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_millis(15);
/// A datagram that has not come by then is lost.
const LOST: Duration = Duration::from_secs(2);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A laboratory and its daemon.
struct Bench {
    lab: Lab,
    daemon: Daemon,
}

impl Bench {
    /// `None`, and a word on it, when the kernel cannot hold packets.
    fn new(name: &str, peers: u8) -> Result<Option<Self>> {
        let bench = Self {
            lab: Lab::star(name, peers)?,
            daemon: Daemon::start(&Options::default())?,
        };
        let seed = SEED.to_string();
        let asked = words("plan", "slow-network", &[], bench.lab.target(), &seed);
        let plan = bench.daemon.cli(asked)?;
        if plan.status == Some(3) && plan.stderr.contains("CONFIG_NET_SCH_FQ") {
            record_skip(plan.stderr.trim());
            return Ok(None);
        }
        assert_eq!(plan.status, Some(0), "{plan:?}");
        Ok(Some(bench))
    }

    fn run(&self, name: &str, sets: &[&str]) -> Result<Run<'_>> {
        let needed = HELD.iter().find(|(shipped, _)| *shipped == name);
        let sets = [needed.map_or(&[][..], |(_, needed)| needed), sets].concat();
        let seed = SEED.to_string();
        let asked = words("run", name, &sets, self.lab.target(), &seed);
        Run::start(&self.daemon, asked)
    }

    /// The way of some datagrams from the target to its peer, or back.
    fn ways(&self, out: bool, datagrams: u32) -> Result<Vec<Duration>> {
        let (target, peer) = (self.lab.target(), self.lab.peer());
        let (from, to) = if out { (target, peer) } else { (peer, target) };
        ways(from, to, datagrams)
    }

    /// Ends the run, which must have acted and kept its packets; then nothing is late any more.
    fn end(&self, run: Run<'_>) -> Result<()> {
        let told = run.revert()?;
        assert_eq!(told.word("/phase"), "reverted", "{told:?}");
        assert_eq!(told.word("/faults/0/verdict"), "effective", "{told:?}");
        for out in [true, false] {
            let after = median(&self.ways(out, 10)?);
            assert!(after < SLACK, "{after:?} after the revert");
        }
        Ok(())
    }
}

/// How long each of some datagrams is under way, one after the other; lost ones are left out.
fn ways(from: &Node, to: &Node, datagrams: u32) -> Result<Vec<Duration>> {
    let (sender, receiver) = sockets(from, to)?;
    let mut ways = Vec::new();
    for number in 0..datagrams {
        let started = Instant::now();
        sender
            .send(&number.to_be_bytes())
            .context("failed to send")?;
        loop {
            let mut buffer = [0; 4];
            match receiver.recv(&mut buffer) {
                Ok(_) if buffer == number.to_be_bytes() => {
                    ways.push(started.elapsed());
                    break;
                }
                // One that was given up comes at last.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => return Err(error).context("failed to receive"),
            }
        }
    }
    Ok(ways)
}

fn sockets(from: &Node, to: &Node) -> Result<(UdpSocket, UdpSocket)> {
    let bind = |node: &Node, other: &Node| -> Result<UdpSocket> {
        let address = SocketAddr::new(node.address_facing(other, Family::V4)?, 0);
        node.enter(|| UdpSocket::bind(address))?
            .context("failed to bind")
    };
    let (sender, receiver) = (bind(from, to)?, bind(to, from)?);
    receiver
        .set_read_timeout(Some(LOST))
        .context("failed to set a timeout")?;
    sender
        .connect(receiver.local_addr().context("failed to read the port")?)
        .context("failed to connect")?;
    Ok((sender, receiver))
}

#[track_caller]
fn median(ways: &[Duration]) -> Duration {
    let mut sorted = ways.to_vec();
    sorted.sort_unstable();
    match sorted.get(sorted.len() / 2) {
        Some(median) => *median,
        None => panic!("no datagram arrived"),
    }
}

#[track_caller]
fn assert_way(ways: &[Duration], asked: Duration) {
    let median = median(ways);
    let range = asked..asked + SLACK;
    assert!(range.contains(&median), "{median:?} is not {range:?}");
}

#[test]
fn a_plan_of_each_profile_that_holds_packets_prints_and_changes_nothing() -> Result<()> {
    let Some(bench) = Bench::new("held-plans", 3)? else {
        return Ok(());
    };
    let target = bench.lab.target();
    let before = Snapshot::take(target)?;
    for (name, sets) in HELD {
        let seed = SEED.to_string();
        let plan = bench.daemon.cli(words("plan", name, sets, target, &seed))?;
        assert_eq!(plan.status, Some(0), "{name}: {plan:?}");
        for word in ["hold queue", "packets held leave at once"] {
            assert!(plan.stdout.contains(word), "{name}: no {word} in {plan:?}");
        }
        Snapshot::take(target)?.assert_same(&before);
    }
    Ok(())
}

#[test]
fn slow_network_is_late_by_the_same_time_both_ways() -> Result<()> {
    let Some(bench) = Bench::new("slow", 1)? else {
        return Ok(());
    };
    let run = bench.run("slow-network", &["delay=80ms"])?;
    for out in [true, false] {
        assert_way(&bench.ways(out, 20)?, ms(80));
    }
    bench.end(run)
}

#[test]
fn satellite_is_as_far_as_the_orbit() -> Result<()> {
    let Some(bench) = Bench::new("orbit", 1)? else {
        return Ok(());
    };
    let run = bench.run("satellite", &[])?;
    for out in [true, false] {
        assert_way(&bench.ways(out, 5)?, ms(270));
    }
    bench.end(run)
}

#[test]
fn jittery_wifi_varies_with_a_tail_of_late_packets() -> Result<()> {
    let Some(bench) = Bench::new("wifi", 1)? else {
        return Ok(());
    };
    let sets = [
        "correlation=0%",
        "enter=0.0001%",
        "delay=20ms",
        "jitter=10ms",
    ];
    let run = bench.run("jittery-wifi", &sets)?;
    let ways = bench.ways(true, 300)?;
    let count = u32::try_from(ways.len()).unwrap_or(u32::MAX);
    let mean = ways.iter().sum::<Duration>() / count.max(1);
    // The least of a Pareto distribution with exponent 3 lies 0.58 deviations below its mean.
    assert!(ways.iter().all(|way| *way > ms(14)), "{ways:?}");
    assert!((ms(17)..ms(30)).contains(&mean), "{mean:?}");
    assert!(ways.iter().any(|way| *way > ms(35)), "{ways:?}");
    assert!(median(&ways) < mean, "{ways:?}");
    bench.end(run)
}

#[test]
fn bandwidth_cap_lets_tcp_have_its_rate() -> Result<()> {
    let Some(bench) = Bench::new("cap", 1)? else {
        return Ok(());
    };
    let run = bench.run("bandwidth-cap", &["rate=8mbit"])?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let asked = Bulk {
        bytes: 2_000_000,
        ..Bulk::default()
    };
    for (from, to) in [(target, peer), (peer, target)] {
        let moved = bulk(from, to, &asked)?;
        assert!(moved.is_whole(), "{moved:?}");
        // 1448 of 1514 bytes are data.
        let range = ms(1_950)..ms(2_600);
        assert!(range.contains(&moved.elapsed), "{moved:?}");
    }
    bench.end(run)
}

#[test]
fn bufferbloat_is_only_late_when_the_line_is_busy() -> Result<()> {
    let Some(bench) = Bench::new("bloat", 1)? else {
        return Ok(());
    };
    let run = bench.run("bufferbloat", &["rate=1mbit"])?;
    assert_way(&bench.ways(true, 5)?, Duration::ZERO);
    let (flood, _into) = sockets(bench.lab.target(), bench.lab.peer())?;
    for _ in 0..120 {
        flood.send(&[0; 1400]).context("failed to send")?;
    }
    let late = bench.ways(true, 1)?;
    // 120 frames of 1442 bytes take 1.38 s.
    let range = ms(1_200)..ms(1_600);
    assert!(late.iter().all(|way| range.contains(way)), "{late:?}");
    assert_eq!(late.len(), 1);
    bench.end(run)
}

#[test]
fn mobile_3g_is_narrow_and_far() -> Result<()> {
    let Some(bench) = Bench::new("phone", 1)? else {
        return Ok(());
    };
    let run = bench.run("mobile-3g", &[])?;
    for out in [true, false] {
        let way = median(&bench.ways(out, 30)?);
        assert!((ms(45)..ms(75)).contains(&way), "{way:?}");
    }
    let asked = Bulk {
        bytes: 100_000,
        ..Bulk::default()
    };
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, least) in [(target, peer, ms(3_200)), (peer, target, ms(1_060))] {
        let moved = bulk(from, to, &asked)?;
        assert!(moved.is_whole() && moved.elapsed > least, "{moved:?}");
    }
    bench.end(run)
}

#[test]
fn zone_latency_matrix_gives_each_zone_its_own_delay() -> Result<()> {
    let Some(bench) = Bench::new("zones", 3)? else {
        return Ok(());
    };
    let target = bench.lab.target();
    let addresses = bench
        .lab
        .peers()
        .iter()
        .map(|peer| peer.address_facing(target, Family::V4))
        .collect::<Result<Vec<_>>>()?;
    let sets: Vec<String> = ["near", "region", "far"]
        .iter()
        .zip(addresses)
        .map(|(zone, address)| format!("{zone}={address}"))
        .chain(["near-delay=5ms".to_owned(), "region-delay=40ms".to_owned()])
        .collect();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let seed = SEED.to_string();
    let asked = words("run", "zone-latency-matrix", &sets, target, &seed);
    let run = Run::start(&bench.daemon, asked)?;
    for (peer, delay) in bench.lab.peers().iter().zip([5, 40, 60]) {
        for (from, to) in [(target, peer), (peer, target)] {
            let way = median(&ways(from, to, 10)?);
            let range = ms(delay - 1)..ms(delay) + SLACK;
            assert!(range.contains(&way), "{way:?} is not {range:?}");
        }
    }
    bench.end(run)
}
