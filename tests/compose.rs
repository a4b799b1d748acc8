//! Several faults act on one packet, each as if it were alone.

use anyhow::Result;
use support::statistics::{assert_rate, mean_and_deviation, median};
use support::tcp::{Bulk, bulk};
use support::{Family, Timed};

use crate::held::{Bench, LONG, ROOM, assert_all, assert_held, least, ms, needs_fq};

/// What a namespace says by itself when an interface comes up is not counted.
const ALL: &str = "  - {delay: {time: 80ms, jitter: 20ms, distribution: uniform}, match: {protocol: udp}}\n\
                   \x20 - {drop: {rate: 2%}, match: {protocol: udp}}\n\
                   \x20 - {bandwidth: {rate: 10mbit}, match: {protocol: udp}}\n\
                   \x20 - {duplicate: {rate: 10%}, match: {protocol: udp}}";

#[test]
fn one_flow_is_delayed_thinned_narrowed_and_copied_at_once() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("compose", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, family) in [(target, peer, Family::V4), (peer, target, Family::V6)] {
        let run = bench.faults(ALL)?;
        let flow = Timed::start(from, to, family, 0)?;
        flow.send(3_000, ms(1))?;
        let lost = flow.lost(ms(1_500)) as u64;
        let told = run.revert()?;
        let [delay, drop, link, copies] = [0, 1, 2, 3].map(|fault| told.total(fault));
        assert_rate("lost", 3_000, 0.02, lost);
        assert_eq!((drop.matched, drop.affected), (3_000, lost), "{told:?}");
        let more = flow.arrivals().len() - flow.firsts().len();
        assert_eq!(more as u64, copies.affected, "{told:?}");
        assert_rate("copied", copies.matched, 0.1, copies.affected);
        for fault in [delay, link] {
            assert_eq!(fault.overflow, 0, "{told:?}");
            assert_eq!(fault.affected, fault.matched, "{told:?}");
            assert!((2_900..=3_000).contains(&fault.matched), "{told:?}");
        }
        assert_eq!(link.tail_dropped, 0, "{told:?}");
        let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
        assert_all("ways", &ways, least(60)..LONG);
        // In order at 1 ms apart: each waits for the latest before it.
        assert!(
            (ms(75)..ms(101) + ROOM).contains(&median(&ways)),
            "{:?}",
            median(&ways)
        );
        assert_eq!(flow.overtaken(), 0);
    }
    Ok(())
}

#[test]
fn a_stream_is_whole_after_all_of_it_and_corruption_too() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("compose-tcp", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let faults = "  - {delay: {time: 10ms, jitter: 2ms}}\n\
                  \x20 - {drop: {rate: 1%}}\n\
                  \x20 - {corrupt: {rate: 1%}}\n\
                  \x20 - {bandwidth: {rate: 50mbit}}\n\
                  \x20 - {reorder: {rate: 1%, by: 3ms}}\n\
                  \x20 - {duplicate: {rate: 5%}}";
    let run = bench.faults(faults)?;
    for (from, to, family) in [(target, peer, Family::V6), (peer, target, Family::V4)] {
        let asked = Bulk {
            family,
            bytes: 1_000_000,
            ..Bulk::default()
        };
        let moved = bulk(from, to, &asked)?;
        assert!(moved.is_whole() && moved.received == 1_000_000, "{moved:?}");
        assert!(moved.retransmits > 0, "{moved:?}");
    }
    let told = run.revert()?;
    for fault in 0..6 {
        let word = format!("/faults/{fault}/verdict");
        assert_eq!(told.word(&word), "effective", "{told:?}");
    }
    Ok(())
}

#[test]
fn delays_of_one_run_and_of_several_add_up() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("sum", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let first = bench.faults("  - {delay: {time: 40ms}}\n  - {delay: {time: 30ms}}")?;
    let second = bench.inject("delay --time 150ms")?;
    let measure = |asked: u64| -> Result<()> {
        for (from, to) in [(target, peer), (peer, target)] {
            let flow = Timed::start(from, to, Family::V4, 0)?;
            assert_held("the sum", &flow.ways(20, ms(1), LONG)?, ms(asked));
        }
        Ok(())
    };
    measure(220)?;
    drop(first.revert()?);
    measure(150)?;
    drop(second.revert()?);
    Ok(())
}

#[test]
fn a_correlated_jitter_has_the_same_spread_and_neighbours_alike() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("correlated", 1)?;
    let flow = Timed::start(bench.lab.target(), bench.lab.peer(), Family::V4, 0)?;
    let mut alike = Vec::new();
    for correlation in ["0%", "90%"] {
        let law = "--time 120ms --jitter 30ms --distribution uniform --keep-order false";
        let run = bench.inject(&format!("delay {law} --correlation {correlation}"))?;
        let ways = flow.ways(2_000, ms(1), LONG)?;
        drop(run.revert()?);
        let (_, deviation) = mean_and_deviation(&ways);
        assert!(
            (14.0..24.0).contains(&deviation),
            "{correlation}: {deviation}"
        );
        let near = ways
            .windows(2)
            .filter(|w| w[0].abs_diff(w[1]) < ms(8))
            .count();
        alike.push(near);
    }
    assert!(alike[1] > alike[0] * 3 / 2, "{alike:?}");
    Ok(())
}
