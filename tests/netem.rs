//! The kernel's own emulator acts on the packets that a fault matches, and on nothing else of the
//! interface: what only it models (loss by states, slots), and what it shares with other kinds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use support::statistics::assert_rate;
use support::tcp::{Bulk, bulk};
use support::{Daemon, Family, Instance, Lab, Options, Snapshot, Timed, run, skip};

use crate::held::{Bench, LONG, ROOM, assert_all, assert_held, least, ms, needs_netem, queues};
use crate::scene::files;

#[test]
fn a_chain_of_states_loses_packets_in_bursts() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("states", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, family) in [(target, peer, Family::V4), (peer, target, Family::V6)] {
        let run = bench.faults("  - {netem: {loss: {state: {p13: 5%, p31: 25%}}}}")?;
        let flow = Timed::start(from, to, family, 0)?;
        flow.send(4_000, Duration::from_micros(500))?;
        let lost = flow.lost(ms(500));
        let told = run.revert()?;
        // Lost for a sixth of the time, and for four packets in a row.
        assert!((450..900).contains(&lost), "{lost} of 4,000");
        let arrived = flow.firsts();
        let bursts = arrived
            .windows(2)
            .filter(|pair| pair[1].number != pair[0].number + 1)
            .count();
        assert!(
            (2.6..5.6).contains(&(ratio(lost, bursts))),
            "{lost} in {bursts} bursts"
        );
        assert_eq!(flow.overtaken(), 0);
        let total = told.total(0);
        assert_eq!(
            (total.matched, total.affected, total.overflow),
            (4_000, 4_000, 0)
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand packets")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[test]
fn slots_let_packets_out_together() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("slots", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let run = bench.inject("netem --slot min-delay=200ms,max-delay=200ms")?;
    let flow = Timed::start(target, peer, Family::V4, 0)?;
    flow.send(1_000, ms(2))?;
    assert_eq!(flow.lost(LONG), 0);
    drop(run.revert()?);
    let arrivals = flow.arrivals();
    let ends = arrivals.first().zip(arrivals.last());
    let span = ends.map(|(first, last)| last.at - first.at);
    let span = span.context("nothing has arrived")?.as_millis();
    let pauses = arrivals
        .windows(2)
        .filter(|pair| pair[1].at - pair[0].at > ms(100))
        .count() as u128;
    assert!(
        (span / 260..=span / 190).contains(&pauses),
        "{pauses} pauses in {span} ms"
    );
    assert_eq!(flow.overtaken(), 0);
    Ok(())
}

#[test]
fn a_rate_narrows_and_a_duplication_copies() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-rate", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to) in [(target, peer), (peer, target)] {
        let run = bench.inject("netem --rate 1mbit")?;
        let mut flow = Timed::start(from, to, Family::V4, 0)?;
        // Frames of 1000 bytes: 8 ms each.
        flow.size = 1000 - 42;
        flow.send(201, Duration::ZERO)?;
        assert_eq!(flow.lost(LONG), 0);
        drop(run.revert()?);
        let arrivals = flow.arrivals();
        let span = arrivals[200].at - arrivals[0].at;
        assert!((ms(1_560)..ms(1_750)).contains(&span), "{span:?}");

        let run = bench.inject("netem --duplicate 20%")?;
        let flow = Timed::start(from, to, Family::V6, 0)?;
        flow.send(2_000, Duration::from_micros(500))?;
        assert_eq!(flow.lost(ms(500)), 0);
        drop(run.revert()?);
        let copies = flow.arrivals().len() - 2_000;
        assert_rate("copied", 2_000, 0.2, copies as u64);
    }
    Ok(())
}

#[test]
fn only_what_matches_goes_through_it_and_the_interface_keeps_its_queue() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-match", 2)?;
    let (target, peer, bystander) = (bench.lab.target(), bench.lab.peer(), bench.lab.bystander());
    let eth0 = || -> Result<[String; 2]> {
        let of = |program: &str, args: &[&str]| target.enter(|| run(program, args))?;
        Ok([
            queues(target)?,
            of("ip", &["-d", "-o", "link", "show", "eth0"])?,
        ])
    };
    let before = (Snapshot::take(target)?, eth0()?);
    let held = bench.inject("netem --delay 120ms --loss 1% --port 7001")?;
    let other = bench.inject("netem --delay 60ms --port 7002")?;
    assert_eq!(eth0()?, before.1);
    let flows = [
        (Timed::start(target, peer, Family::V4, 7001)?, ms(120)),
        (Timed::start(target, peer, Family::V6, 7001)?, ms(120)),
        (Timed::start(target, peer, Family::V4, 7002)?, ms(60)),
        (Timed::start(target, peer, Family::V4, 7003)?, ms(0)),
        (Timed::start(target, bystander, Family::V4, 7004)?, ms(0)),
    ];
    for (flow, _) in &flows {
        flow.send(60, ms(1))?;
    }
    for (flow, asked) in &flows {
        let lost = flow.lost(ms(500));
        assert!(
            lost == 0 || *asked == ms(120) && lost < 10,
            "{lost}: {asked:?}"
        );
        let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
        assert_held("through netem", &ways, *asked);
    }
    assert_eq!(eth0()?, before.1);
    for over in [held, other] {
        let told = over.revert()?;
        assert!([60, 120].contains(&told.total(0).matched), "{told:?}");
    }
    drop(bench.daemon.cli(["revert", "--all"])?);
    assert_eq!(eth0()?, before.1);
    Snapshot::take(target)?.assert_same(&before.0);
    Ok(())
}

#[test]
fn a_packet_goes_through_every_netem_that_matches_and_through_the_hold() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-both", 1)?;
    let faults = "  - {netem: {delay: 40ms}}\n\
                  \x20 - {delay: {time: 90ms}}\n\
                  \x20 - {netem: {delay: 50ms}}\n\
                  \x20 - {drop: {rate: 10%}}";
    let run = bench.faults(faults)?;
    for family in Family::BOTH {
        for (from, to) in [
            (bench.lab.target(), bench.lab.peer()),
            (bench.lab.peer(), bench.lab.target()),
        ] {
            let flow = Timed::start(from, to, family, 0)?;
            flow.send(1_000, ms(1))?;
            assert_rate("lost", 1_000, 0.1, flow.lost(ms(800)) as u64);
            let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
            assert_all("sum", &ways, least(180)..LONG);
            assert_held("sum", &ways, ms(180));
            assert_eq!((flow.overtaken(), flow.arrivals().len()), (0, ways.len()));
        }
    }
    let told = run.revert()?;
    assert_eq!(told.total(0).affected, 4_000, "{told:?}");
    assert_eq!(told.total(2).affected, 4_000, "{told:?}");
    Ok(())
}

#[test]
fn it_decides_for_each_segment_of_a_stream() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-tcp", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, way) in [(target, peer, "out"), (peer, target, "in")] {
        let run = bench.inject(&format!("netem --loss 2% --direction {way}"))?;
        let asked = Bulk {
            bytes: 4_000_000,
            ..Bulk::default()
        };
        let moved = bulk(from, to, &asked)?;
        drop(run.revert()?);
        assert!(moved.is_whole() && moved.received == 4_000_000, "{moved:?}");
        assert_rate("lost", moved.data_segments, 0.02, moved.lost());
    }
    Ok(())
}

#[test]
fn a_revert_waits_for_what_it_holds_and_takes_its_device_away() -> Result<()> {
    needs_netem!();
    let bench = Bench::new("netem-drains", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let before = Snapshot::take(target)?;
    let run = bench.inject("netem --delay 600ms")?;
    let flow = Timed::start(target, peer, Family::V4, 0)?;
    flow.send(200, ms(1))?;
    drop(run.revert()?);
    assert_eq!(flow.lost(LONG), 0);
    assert_eq!(flow.overtaken(), 0);
    let ways = flow.ways(20, ms(1), LONG)?;
    assert!(ways.iter().all(|way| *way < ms(550) + ROOM), "{ways:?}");
    drop(bench.daemon.cli(["revert", "--all"])?);
    Snapshot::take(target)?.assert_same(&before);
    Ok(())
}

/// This one is for kernels that cannot.
#[test]
fn a_kernel_without_netem_is_told_so_and_nothing_is_changed() -> Result<()> {
    if support::queue::no_netem().is_none() {
        skip!(Ok(()), "this kernel has netem");
    }
    let lab = Lab::new("no-netem")?;
    let before = Snapshot::take(lab.target())?;
    let alone = Instance::new()?;
    let daemon = Daemon::start(&Options::default())?;
    for instance in [&alone, &daemon] {
        let words = ["inject", "netem", "--loss", "5%", "--for", "1s"];
        let said = instance.cli(words.into_iter().chain(["--netns", lab.target().netns()]))?;
        assert_eq!(said.status, Some(3), "{said:?}");
        assert!(said.stderr.contains("CONFIG_NET_SCH_NETEM"), "{said:?}");
        Snapshot::take(lab.target())?.assert_same(&before);
    }
    assert!(files(&alone.state_dir()).is_empty(), "something was begun");
    Ok(())
}
