//! A delay makes each packet as late as it was told to, and never earlier: both IPs, both
//! directions, every protocol and target, from a millisecond to half a minute, with and without
//! jitter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use support::ping::round_trips;
use support::statistics::{mean_and_deviation, median};
use support::tcp::Echo;
use support::{
    Cgroup, Daemon, Family, Lab, Member, Node, Options, Run, SEED, Timed, skip, wait_until,
};

use crate::held::{Bench, EARLY, LONG, ROOM, assert_all, assert_held, least, ms, needs_fq};

/// The ways of some datagrams.
fn ways(from: &Node, to: &Node, family: Family) -> Result<Vec<Duration>> {
    Timed::start(from, to, family, 0)?.ways(10, ms(5), LONG)
}

/// A connection of two nodes; the second one's end comes second.
fn connection(from: &Node, to: &Node, family: Family) -> Result<[TcpStream; 2]> {
    let address = SocketAddr::new(to.address_facing(from, family)?, 0);
    let listener = to.enter(|| TcpListener::bind(address))??;
    let address = listener.local_addr()?;
    let ours = from.enter(|| TcpStream::connect(address))??;
    let ends = [ours, listener.accept()?.0];
    for end in &ends {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(LONG))?;
    }
    Ok(ends)
}

/// How long each of some bytes is under way from one end to the other.
fn byte_ways([from, to]: [&TcpStream; 2]) -> Result<Vec<Duration>> {
    let (mut from, mut to) = (from, to);
    let mut ways = Vec::new();
    for _ in 0..5 {
        let sent = Instant::now();
        from.write_all(b"x").context("failed to write")?;
        to.read_exact(&mut [0]).context("nothing was read")?;
        ways.push(sent.elapsed());
    }
    Ok(ways)
}

#[test]
fn udp_tcp_and_icmp_are_late_by_what_was_asked_in_the_direction_that_was_asked() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for family in Family::BOTH {
        let [ours, theirs] = connection(target, peer, family)?;
        for (flags, late) in [
            ("", [true, true]),
            (" --direction out", [true, false]),
            (" --direction in", [false, true]),
        ] {
            let measure = || -> Result<[Vec<Duration>; 5]> {
                Ok([
                    ways(target, peer, family)?,
                    ways(peer, target, family)?,
                    byte_ways([&ours, &theirs])?,
                    byte_ways([&theirs, &ours])?,
                    round_trips(target, peer, family, 10)?,
                ])
            };
            let run = bench.inject(&format!("delay --time 100ms{flags}"))?;
            let with = measure()?;
            let told = run.revert()?;
            assert_eq!(told.word("/faults/0/verdict"), "effective", "{told:?}");
            let after = measure()?;
            let [out, into] = late.map(|late| ms(if late { 100 } else { 0 }));
            let names = ["UDP out", "UDP in", "TCP out", "TCP in", "ICMP"];
            // An echo goes both ways, and ping rounds.
            let asked = [out, into, out, into, (out + into).saturating_sub(ms(1))];
            for (n, what) in names.into_iter().enumerate() {
                let what = format!("{family:?} {what}{flags}");
                assert_held(&what, &with[n], asked[n]);
                assert_held(&format!("{what}, afterwards"), &after[n], ms(0));
            }
        }
    }
    Ok(())
}

#[test]
fn the_host_a_namespace_a_process_and_a_cgroup_are_delayed() -> Result<()> {
    needs_fq!();
    let lab = Lab::new("delay-targets")?;
    let (target, peer) = (lab.target(), lab.peer());
    let Some(cgroup) = Cgroup::new()? else {
        skip!(Ok(()), "this machine has no unified cgroup tree");
    };
    let sibling = Cgroup::new()?.context("the tree has gone")?;
    // Whose host is the target's namespace.
    let daemon = Daemon::start(&Options {
        netns: Some(target),
        ..Options::default()
    })?;
    let mut member = Member::start(&cgroup, target)?;
    let mut other = Member::start(&sibling, target)?;
    let pid = member.pid().to_string();
    // Out, then in, over sockets of this member.
    let flows = |member: &mut Member, family| -> Result<[Timed; 2]> {
        let address = SocketAddr::new(peer.address_facing(target, family)?, 0);
        let theirs = peer.enter(|| UdpSocket::bind(address))??;
        let ours = member.udp(theirs.local_addr()?)?;
        theirs.connect(ours.local_addr()?)?;
        Ok([
            Timed::between(ours.try_clone()?, theirs.try_clone()?)?,
            Timed::between(theirs, ours)?,
        ])
    };
    for (flags, hits_other) in [
        (["--host", "--unprotected"], true),
        (["--netns", target.netns()], true),
        (["--pid", &pid], false),
        (["--cgroup", cgroup.path()], false),
    ] {
        for family in Family::BOTH {
            let (ours, beside) = (flows(&mut member, family)?, flows(&mut other, family)?);
            let words = ["inject", "delay", "--time", "80ms"];
            let run = Run::start(&daemon, words.into_iter().chain(flags))?;
            for (flow, late) in ours
                .iter()
                .map(|flow| (flow, true))
                .chain(beside.iter().map(|flow| (flow, hits_other)))
            {
                let ways = flow.ways(5, ms(5), LONG)?;
                let asked = ms(if late { 80 } else { 0 });
                assert_held(&format!("{flags:?} {family:?}"), &ways, asked);
            }
            drop(run.revert()?);
        }
    }
    Ok(())
}

/// Across the lengths of the chunks in which long holds go round (200 ms, 1 s, 5 s), and all at
/// once.
#[test]
fn delays_from_a_millisecond_to_half_a_minute_act_side_by_side() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-long", 1)?;
    let delays: BTreeMap<u16, u64> = (7001..)
        .zip([
            1, 10, 100, 199, 200, 201, 400, 700, 1_999, 2_001, 3_000, 19_999, 20_001, 27_000,
        ])
        .collect();
    let mut faults = String::new();
    for (port, time) in &delays {
        writeln!(
            faults,
            "  - {{delay: {{time: {time}ms}}, match: {{ports: [{port}]}}}}"
        )?;
    }
    let run = bench.faults(&faults)?;
    let mut flows = Vec::new();
    for (port, time) in &delays {
        for family in Family::BOTH {
            let (target, peer) = (bench.lab.target(), bench.lab.peer());
            flows.push((*time, Timed::start(target, peer, family, *port)?));
        }
    }
    for (_, flow) in &flows {
        flow.send(8, ms(10))?;
    }
    for (time, flow) in &flows {
        assert_eq!(flow.lost(LONG), 0, "{time} ms");
        let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
        assert_held(&format!("{time} ms"), &ways, ms(*time));
        assert_eq!(flow.overtaken(), 0, "{time} ms");
        assert_eq!(flow.arrivals().len(), 8, "{time} ms");
    }
    let told = run.revert()?;
    for fault in 0..delays.len() {
        let total = told.total(fault);
        assert_eq!((total.affected, total.overflow), (16, 0), "{told:?}");
    }
    Ok(())
}

#[test]
fn each_peer_has_its_own_delay_and_the_one_without_has_none() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-peers", 4)?;
    let target = bench.lab.target();
    let delays = [20, 80, 150];
    let mut faults = String::new();
    for (peer, time) in bench.lab.peers().iter().zip(delays) {
        let [v4, v6] = Family::BOTH.map(|family| peer.address_facing(target, family));
        writeln!(
            faults,
            "  - {{delay: {{time: {time}ms}}, match: {{peers: [\"{}\", \"{}\"]}}}}",
            v4?, v6?
        )?;
    }
    let bystander = &bench.lab.peers()[3];
    let beside = Echo::start(bystander, target, Family::V4, 0)?;
    assert!(wait_until(LONG, || beside.round_trips() > 10));
    let run = bench.faults(&faults)?;
    for family in Family::BOTH {
        for (peer, time) in bench.lab.peers().iter().zip(delays.into_iter().chain([0])) {
            for (from, to) in [(target, peer), (peer, target)] {
                assert_held(&format!("{family:?}"), &ways(from, to, family)?, ms(time));
            }
        }
    }
    let under = beside.round_trips();
    assert!(wait_until(LONG, || beside.round_trips() > under + 10));
    drop(run.revert()?);
    let report = beside.stop();
    assert_eq!(
        (report.lost_bytes, report.reconnects, report.retransmits),
        (0, 0, 0),
        "{report:?}"
    );
    Ok(())
}

#[test]
fn one_fault_has_a_delay_for_each_peer_and_jitters_them_all() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-by-peer", 4)?;
    let target = bench.lab.target();
    let delays = [20, 80, 150];
    let mut table = String::new();
    let mut flags = "delay --jitter 1ms".to_owned();
    for (peer, time) in bench.lab.peers().iter().zip(delays) {
        for family in Family::BOTH {
            let address = peer.address_facing(target, family)?;
            write!(table, "\"{address}\": {time}ms, ")?;
            write!(flags, " --by-peer {address}={time}ms")?;
        }
    }
    let check = |jitter: u64| -> Result<()> {
        for family in Family::BOTH {
            for (peer, time) in bench.lab.peers().iter().zip(delays.into_iter().chain([0])) {
                for (from, to) in [(target, peer), (peer, target)] {
                    // The fastest of ten lies within three deviations.
                    let asked = ms(time).saturating_sub(ms(3 * jitter));
                    assert_held(
                        &format!("{family:?} {time} ms"),
                        &ways(from, to, family)?,
                        asked,
                    );
                }
            }
        }
        Ok(())
    };
    let run = bench.faults(&format!("  - delay: {{by-peer: {{{table}}}}}"))?;
    check(0)?;
    let told = run.revert()?;
    let total = told.total(0);
    assert_eq!(
        (total.matched, total.affected, total.overflow),
        (120, 120, 0),
        "{told:?}"
    );
    let run = bench.inject(&flags)?;
    check(1)?;
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_bystander_is_neither_late_nor_lossy() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-beside", 2)?;
    let (target, peer, bystander) = (bench.lab.target(), bench.lab.peer(), bench.lab.bystander());
    let beside = Timed::start(target, bystander, Family::V4, 0)?;
    let without = beside.ways(300, ms(2), LONG)?;
    let [v4, v6] = Family::BOTH.map(|family| peer.address_facing(target, family));
    let run = bench.inject(&format!("delay --time 2s --peer {} --peer {}", v4?, v6?))?;
    let held = Timed::start(target, peer, Family::V4, 0)?;
    held.send(200, ms(1))?;
    let with = beside.ways(300, ms(2), LONG)?;
    assert_eq!(held.lost(LONG), 0);
    drop(run.revert()?);
    // Its middle is where it was, and not one of it was held.
    assert!(
        median(&with) < median(&without) + ROOM,
        "{:?}",
        median(&with)
    );
    assert_all("bystander", &with, ms(0)..ms(1_500));
    assert_eq!((beside.overtaken(), beside.arrivals().len()), (0, 600));
    Ok(())
}

#[test]
fn a_jitter_has_the_mean_and_the_spread_that_were_asked() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("jitter", 1)?;
    let flow = Timed::start(bench.lab.target(), bench.lab.peer(), Family::V4, 0)?;
    let uniform = "delay --time 100ms --jitter 40ms --distribution uniform --keep-order false";
    let run = bench.inject(uniform)?;
    let ways = flow.ways(2_000, ms(1), LONG)?;
    drop(run.revert()?);
    // 80 ms wide: a deviation of 80 / sqrt(12) = 23.1 ms, and three standard errors are 1.5 ms. A
    // busy machine adds to both: `cargo xtask bench delay` measures them where it is quiet.
    let (mean, deviation) = mean_and_deviation(&ways);
    assert!((98.0..115.0).contains(&mean), "{mean}");
    assert!((20.0..30.0).contains(&deviation), "{deviation}");
    assert_all("uniform", &ways, least(60)..LONG);
    let late = ways.iter().filter(|way| **way > ms(140) + ROOM).count();
    assert!(late < 100, "{late} of 2,000 lie beyond the bounds");
    for (name, range) in [("first", 60..80), ("middle", 80..120), ("last", 120..145)] {
        let inside = ways
            .iter()
            .filter(|way| range.contains(&way.as_millis()))
            .count();
        assert!(inside > 300, "{inside} of 2,000 in the {name} part");
    }

    let run = bench.inject("delay --time 120ms --jitter 20ms --keep-order false")?;
    let ways = flow.ways(2_000, ms(1), LONG)?;
    drop(run.revert()?);
    let (mean, deviation) = mean_and_deviation(&ways);
    assert!((118.0..135.0).contains(&mean), "{mean}");
    assert!((17.0..28.0).contains(&deviation), "{deviation}");
    Ok(())
}

#[test]
fn a_flow_keeps_its_order_under_jitter_unless_it_is_told_not_to() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("order", 1)?;
    for (from, to) in [
        (bench.lab.target(), bench.lab.peer()),
        (bench.lab.peer(), bench.lab.target()),
    ] {
        for (flags, overtakes) in [("", false), (" --keep-order false", true)] {
            let run = bench.inject(&format!("delay --time 50ms --jitter 20ms{flags}"))?;
            let flow = Timed::start(from, to, Family::V6, 0)?;
            flow.send(1_500, Duration::from_micros(500))?;
            assert_eq!(flow.lost(LONG), 0);
            drop(run.revert()?);
            assert_eq!(flow.arrivals().len(), 1_500);
            if overtakes {
                assert!(
                    flow.overtaken() > 300,
                    "{} were overtaken",
                    flow.overtaken()
                );
            } else {
                assert_eq!(flow.overtaken(), 0, "{flags}");
            }
        }
    }
    Ok(())
}

/// The ways of 40 datagrams under jitter of up to a second.
fn seeded(bench: &Bench, seed: u64) -> Result<Vec<Duration>> {
    let seed = seed.to_string();
    let words = "inject delay --time 500ms --jitter 490ms --distribution uniform --port 7000 \
                 --keep-order false";
    let target = ["--netns", bench.lab.target().netns(), "--seed", &seed];
    let run = Run::start(&bench.daemon, words.split_whitespace().chain(target))?;
    let flow = Timed::start(bench.lab.target(), bench.lab.peer(), Family::V4, 7000)?;
    let ways = flow.ways(40, ms(50), LONG)?;
    drop(run.revert()?);
    Ok(ways)
}

#[test]
fn a_seed_repeats_the_same_jitter_and_another_seed_makes_another() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("jitter-seed", 1)?;
    let [first, again, other] = [
        seeded(&bench, SEED)?,
        seeded(&bench, SEED)?,
        seeded(&bench, SEED + 1)?,
    ];
    let alike = |a: &[Duration], b: &[Duration]| {
        let near = |(a, b): (&Duration, &Duration)| a.abs_diff(*b) < ROOM;
        a.iter().zip(b).filter(|pair| near(*pair)).count()
    };
    // Some meet a machine that is busy; by chance, three are alike.
    assert!(alike(&first, &again) >= 28, "{first:?} {again:?}");
    assert!(alike(&first, &other) <= 12, "{first:?} {other:?}");
    Ok(())
}

#[test]
fn a_ramp_makes_packets_later_and_later() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-ramp", 1)?;
    let flow = Timed::start(bench.lab.target(), bench.lab.peer(), Family::V4, 0)?;
    let run = bench.inject("delay --time 400ms --ramp 4s")?;
    let armed = Instant::now();
    flow.send(500, ms(10))?;
    assert_eq!(flow.lost(LONG), 0);
    drop(run.revert()?);
    let mut judged = 0;
    for one in flow.firsts() {
        // Between the moment at which it was sent and the one at which the run was told of, which
        // may be half a second after it was armed.
        let since = one.sent.saturating_duration_since(armed);
        let share = |time: Duration| ms(400).mul_f64((time.as_secs_f64() / 4.0).min(1.0));
        let range = share(since).saturating_sub(EARLY + ms(5))..share(since + ms(500)) + ROOM * 2;
        judged += u32::from(range.contains(&one.way));
    }
    assert!(
        judged >= 480,
        "{judged} of 500 are as late as they should be"
    );
    Ok(())
}

#[test]
fn a_pulse_delays_and_rests_in_turn() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("delay-pulse", 1)?;
    let flow = Timed::start(bench.lab.target(), bench.lab.peer(), Family::V4, 0)?;
    let run = bench.inject("delay --time 150ms --pulse-on 600ms --pulse-off 900ms")?;
    flow.send(450, ms(10))?;
    assert_eq!(flow.lost(LONG), 0);
    drop(run.revert()?);
    let late: Vec<bool> = flow
        .firsts()
        .iter()
        .map(|one| one.way >= least(150))
        .collect();
    let count = late.iter().filter(|late| **late).count();
    // Two fifths; a slow machine sends them over more than three periods.
    assert!((110..280).contains(&count), "{count} of 450 are late");
    let turns = late.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((4..20).contains(&turns), "{turns} turns");
    Ok(())
}
