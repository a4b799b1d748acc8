//! A bandwidth is that of a slow link: its rate, its queue that drops its tail and says so, and
//! nothing more.

use std::time::Duration;

use anyhow::{Context as _, Result};
use support::tcp::{Bulk, bulk};
use support::{Family, Node, Timed};

use crate::held::{Bench, EARLY, LONG, ROOM, assert_all, ms, needs_fq};

/// Ethernet, IPv4 and UDP before the payload.
const HEADERS: usize = 14 + 20 + 8;
/// Payload of a frame of 1000 bytes.
const PAYLOAD: usize = 1000 - HEADERS;

fn start(from: &Node, to: &Node, port: u16) -> Result<Timed> {
    let mut flow = Timed::start(from, to, Family::V4, port)?;
    flow.size = PAYLOAD;
    Ok(flow)
}

/// From the first arrival to the last.
fn span(flow: &Timed) -> Result<Duration> {
    let arrivals = flow.arrivals();
    let ends = arrivals.first().zip(arrivals.last());
    let (first, last) = ends.context("nothing has arrived")?;
    Ok(last.at - first.at)
}

/// Fails unless `frames` of 1000 bytes took as long as they do at a rate.
#[track_caller]
fn assert_rate_of(what: &str, frames: usize, span: Duration, bits_per_second: f64) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand frames")]
    let asked = frames as f64 * 8_000.0 / bits_per_second;
    let off = span.as_secs_f64() / asked;
    assert!(
        (0.97..1.06).contains(&off),
        "{what}: {frames} frames in {span:?}, {off} of {asked} s"
    );
}

#[test]
fn datagrams_pass_at_the_rate_and_what_finds_the_queue_full_is_counted() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("rate", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to) in [(target, peer), (peer, target)] {
        let run = bench.inject("bandwidth --rate 2mbit --queue 200ms")?;
        // 250 frames a second pass; it is offered more than twice as many.
        let flow = start(from, to, 0)?;
        flow.send(1_500, Duration::from_micros(1_000))?;
        let lost = flow.lost(ms(1_000)) as u64;
        let told = run.revert()?;
        let passed = flow.arrivals().len();
        let total = told.total(0);
        assert_eq!(total.tail_dropped, lost, "{told:?}");
        assert_eq!(
            (total.overflow, total.matched, total.affected),
            (0, 1_500, 1_500)
        );
        assert_eq!(told.word("/faults/0/verdict"), "effective");
        assert!(lost > 300, "{lost} of 1,500 found it full");
        assert_rate_of("UDP", passed - 1, span(&flow)?, 2e6);
        // The queue is full from early on: who passes waits for all of it, and never longer.
        let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
        assert_all("wait", &ways, ms(4) - EARLY..ms(208) + ROOM * 4);
        let full = ways.iter().filter(|way| **way > ms(190)).count();
        assert!(
            full * 2 > ways.len(),
            "{full} of {} waited for a full queue",
            ways.len()
        );
        assert_eq!(flow.overtaken(), 0);
    }
    Ok(())
}

#[test]
fn a_stream_has_the_rate_both_ways_at_once() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("rate-tcp", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let run = bench.inject("bandwidth --rate 4mbit --protocol tcp")?;
    let asked = |family| Bulk {
        family,
        bytes: 1_500_000,
        ..Bulk::default()
    };
    let both = std::thread::scope(|scope| {
        let out = scope.spawn(|| bulk(target, peer, &asked(Family::V4)));
        let into = scope.spawn(|| bulk(peer, target, &asked(Family::V6)));
        [out.join(), into.join()]
    });
    let told = run.revert()?;
    for moved in both {
        let moved = moved.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        assert!(moved.is_whole() && moved.received == 1_500_000, "{moved:?}");
        // 1448 of 1514 bytes are data, and acknowledgements of the other stream come in between.
        let least = Duration::from_secs_f64(1_500_000.0 * 8.0 / 4e6);
        assert!(
            (least..least.mul_f64(1.4)).contains(&moved.elapsed),
            "{moved:?}"
        );
    }
    assert_eq!(told.total(0).overflow, 0, "{told:?}");
    Ok(())
}

#[test]
fn flows_share_the_link_unless_each_has_its_own() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("per-flow", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (flags, rate) in [("", 1e6), (" --per flow", 2e6)] {
        let run = bench.inject(&format!("bandwidth --rate 2mbit --queue 5s{flags}"))?;
        let flows = [start(target, peer, 7001)?, start(target, peer, 7002)?];
        for _ in 0..200 {
            for flow in &flows {
                flow.send(1, Duration::ZERO)?;
            }
        }
        for flow in &flows {
            assert_eq!(flow.lost(LONG), 0, "{flags}");
            assert_rate_of(flags, 199, span(flow)?, rate);
        }
        assert_eq!(run.revert()?.total(0).tail_dropped, 0);
    }
    Ok(())
}

#[test]
fn each_direction_is_a_link_of_its_own_and_an_idle_one_saves_its_burst() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("two-ways", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let run = bench.inject("bandwidth --rate 1mbit --queue 5s")?;
    let flows = [start(target, peer, 0)?, start(peer, target, 0)?];
    for _ in 0..150 {
        for flow in &flows {
            flow.send(1, Duration::ZERO)?;
        }
    }
    for flow in &flows {
        assert_eq!(flow.lost(LONG), 0);
        assert_rate_of("each way", 149, span(flow)?, 1e6);
    }
    drop(run.revert()?);

    // 50 frames at once, and then 8 ms each.
    let run = bench.inject("bandwidth --rate 1mbit --queue 5s --burst 50KB")?;
    let flow = start(target, peer, 0)?;
    flow.send(100, Duration::ZERO)?;
    assert_eq!(flow.lost(LONG), 0);
    drop(run.revert()?);
    let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
    assert_all("burst", &ways[..49], ms(0)..ms(60));
    assert_all("after it", &ways[90..], ms(250)..ms(400) + ROOM * 2);
    Ok(())
}
