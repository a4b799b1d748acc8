//! A duplication makes exactly as many copies as it says, of wire segments too, with and without a
//! delay.

use anyhow::Result;
use support::counters::Counters;
use support::statistics::assert_rate;
use support::tcp::{Bulk, bulk};
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Options, Run, Timed};

use crate::held::{Bench, LONG, assert_all, least, ms, needs_fq};

#[test]
fn each_copy_arrives_and_there_are_exactly_as_many_as_were_made() -> Result<()> {
    let lab = Lab::new("duplicate")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
            for (flags, rate, copies) in [
                ("--rate 100%", 1.0, 1),
                ("--rate 20%", 0.2, 1),
                ("--rate 20% --copies 3", 0.2, 3),
            ] {
                let asked = Flow {
                    family,
                    datagrams: 2_000,
                    rate: Some(4_000),
                    ..Flow::default()
                };
                let run = Run::inject(
                    &daemon,
                    lab.target(),
                    &format!("duplicate {flags} --protocol udp"),
                )?;
                let seen = flow(from, to, &asked)?;
                let told = run.revert()?;
                let total = told.total(0);
                assert_eq!(
                    (seen.sent, seen.received),
                    (2_000, 2_000),
                    "{flags}: {seen:?}"
                );
                assert_eq!(
                    seen.duplicated,
                    total.affected * copies,
                    "{flags}: {told:?}"
                );
                assert_eq!(
                    (seen.reordered, seen.corrupted),
                    (0, 0),
                    "{flags}: {seen:?}"
                );
                assert_eq!(total.matched, 2_000, "{flags}: {told:?}");
                assert_rate(flags, 2_000, rate, total.affected);
            }
            let seen = flow(
                from,
                to,
                &Flow {
                    datagrams: 200,
                    ..Flow::default()
                },
            )?;
            assert_eq!(
                (seen.received, seen.duplicated),
                (200, 0),
                "afterwards: {seen:?}"
            );
        }
    }
    Ok(())
}

/// A receiver answers what it has had already with a DSACK (RFC 2883), and counts that.
#[test]
fn segments_of_a_super_packet_are_copied_one_by_one_and_the_stream_is_whole() -> Result<()> {
    let lab = Lab::new("duplicate-tcp")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, family) in [
        (lab.target(), lab.peer(), Family::V4),
        (lab.peer(), lab.target(), Family::V6),
    ] {
        let asked = Bulk {
            family,
            bytes: 3_000_000,
            ..Bulk::default()
        };
        // Of the data alone: acknowledgements have the ports the other way round.
        let direction = if from.netns() == lab.target().netns() {
            "out"
        } else {
            "in"
        };
        let flags = format!("duplicate --rate 10% --protocol tcp --direction {direction}");
        let run = Run::inject(&daemon, lab.target(), &flags)?;
        let before = Counters::read(to)?;
        let seen = bulk(from, to, &asked)?;
        let told_by_receiver = Counters::read(to)?.since(&before, "TcpExtTCPDSACKOldSent");
        let total = run.revert()?.total(0);
        assert!(seen.is_whole() && seen.received == 3_000_000, "{seen:?}");
        assert!(total.matched >= seen.data_segments, "{seen:?} {total:?}");
        assert_rate("copies", total.matched, 0.1, total.affected);
        // Some copies are of segments without data, and of some the answer is merged.
        assert!(
            told_by_receiver * 2 > total.affected && told_by_receiver <= total.affected + 5,
            "{told_by_receiver} of {} copies were noticed",
            total.affected
        );
    }
    Ok(())
}

#[test]
fn what_is_copied_and_held_is_held_with_its_copies() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("held-copies", 1)?;
    // What a namespace says by itself when an interface comes up is not counted.
    let faults = "  - {delay: {time: 70ms}, match: {protocol: udp}}\n  - {duplicate: {rate: 100%, copies: 2}, match: {protocol: udp}}";
    for family in Family::BOTH {
        for (from, to) in [
            (bench.lab.target(), bench.lab.peer()),
            (bench.lab.peer(), bench.lab.target()),
        ] {
            let run = bench.faults(faults)?;
            let flow = Timed::start(from, to, family, 0)?;
            flow.send(200, ms(1))?;
            let all = || flow.arrivals().len() >= 600;
            assert!(support::wait_until(LONG, all), "{}", flow.arrivals().len());
            let told = run.revert()?;
            let arrivals = flow.arrivals();
            assert_eq!((arrivals.len(), flow.overtaken()), (600, 0));
            let ways: Vec<_> = arrivals.iter().map(|one| one.way).collect();
            assert_all("copies", &ways, least(70)..LONG);
            for fault in [0, 1] {
                assert_eq!(told.total(fault).affected, 200, "{told:?}");
            }
        }
    }
    Ok(())
}
