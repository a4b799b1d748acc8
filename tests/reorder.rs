//! A reordering lets the share of packets that was asked be overtaken, of wire segments too, and
//! loses none.

use anyhow::Result;
use support::counters::Counters;
use support::statistics::assert_rate;
use support::tcp::{Bulk, bulk};
use support::{Family, Timed};

use crate::held::{Bench, LONG, ROOM, least, ms, needs_fq};

#[test]
fn the_share_that_was_asked_is_overtaken_and_by_no_more_than_was_asked() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("reorder", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for family in Family::BOTH {
        for (from, to) in [(target, peer), (peer, target)] {
            let run = bench.inject("reorder --rate 20% --by 80ms")?;
            let flow = Timed::start(from, to, family, 0)?;
            flow.send(1_200, ms(1))?;
            assert_eq!(flow.lost(LONG), 0);
            let told = run.revert()?;
            assert_eq!(flow.arrivals().len(), 1_200);
            let held = flow
                .firsts()
                .iter()
                .filter(|one| one.way >= least(80))
                .count() as u64;
            let total = told.total(0);
            assert_rate("held back", 1_200, 0.2, total.affected);
            // On a busy machine others are late by as much.
            assert!(
                (total.affected..total.affected + 40).contains(&held),
                "{held} {told:?}"
            );
            // The last ones have nobody behind them.
            let overtaken = flow.overtaken();
            assert!(
                overtaken <= held && overtaken + 40 > total.affected,
                "{overtaken} of {held} were overtaken"
            );
            let passed = flow.firsts().iter().filter(|one| one.way < ROOM).count();
            assert!(passed > 800, "{passed} of 1,200 were not held");
        }
    }
    Ok(())
}

/// The receiver keeps what comes too early in a queue of its own, and counts it.
#[test]
fn segments_of_a_super_packet_are_reordered_one_by_one_and_the_stream_is_whole() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("reorder-tcp", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, family) in [(target, peer, Family::V4), (peer, target, Family::V6)] {
        let asked = Bulk {
            family,
            bytes: 3_000_000,
            ..Bulk::default()
        };
        let before = Counters::read(to)?;
        let without = bulk(from, to, &asked)?;
        let quiet = Counters::read(to)?.since(&before, "TcpExtTCPOFOQueue");
        let run = bench.inject("reorder --rate 5% --by 3ms --protocol tcp")?;
        let before = Counters::read(to)?;
        let with = bulk(from, to, &asked)?;
        let early = Counters::read(to)?.since(&before, "TcpExtTCPOFOQueue");
        let told = run.revert()?;
        assert!(without.is_whole() && with.is_whole(), "{with:?}");
        assert_eq!(with.received, 3_000_000);
        assert!(early > quiet + 50, "{early} came early, {quiet} without");
        let total = told.total(0);
        assert!(total.matched >= with.data_segments, "{with:?} {told:?}");
        assert_rate("held back", total.matched, 0.05, total.affected);
        assert_eq!(total.overflow, 0);
    }
    Ok(())
}
