//! A bandwidth is that of a slow link: its rate, its queue that drops its tail and says so, and
//! nothing more.

use std::time::Duration;

use anyhow::{Context as _, Result};
use support::tcp::{Bulk, bulk};
use support::{Family, Node, Timed};

use crate::held::{Bench, LONG, ROOM, assert_all, least, ms, needs_fq};

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

/// The time that so many frames of 1000 bytes take at a rate.
fn time_of(frames: u32, bits_per_second: u32) -> Duration {
    Duration::from_secs(8_000) * frames / bits_per_second
}

/// Fails unless `frames` that followed each other took as long as they do at a rate.
#[track_caller]
fn assert_rate_of(what: &str, frames: u32, span: Duration, bits_per_second: u32) {
    let asked = time_of(frames, bits_per_second);
    let range = asked.mul_f64(0.97)..asked.mul_f64(1.06) + ROOM * 4;
    assert!(
        range.contains(&span),
        "{what}: {frames} frames in {span:?}, not {range:?}"
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
        flow.send(1_500, ms(1))?;
        let lost = flow.lost(ms(1_000)) as u64;
        let told = run.revert()?;
        let passed = u32::try_from(flow.arrivals().len())?;
        let total = told.total(0);
        assert_eq!(total.tail_dropped, lost, "{told:?}");
        assert_eq!(
            (total.overflow, total.matched, total.affected),
            (0, 1_500, 1_500)
        );
        assert_eq!(told.word("/faults/0/verdict"), "effective");
        assert!(lost > 100, "{lost} of 1,500 found it full");
        // Never faster; the link rests when a busy machine stops offering.
        let (shortest, took) = (time_of(passed - 1, 2_000_000).mul_f64(0.97), span(&flow)?);
        assert!(
            (shortest..shortest.mul_f64(1.6)).contains(&took),
            "{passed} frames in {took:?}"
        );
        // Who passes waits for what is in the queue, and never for more than it has room for.
        let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
        assert_all("wait", &ways, least(4)..LONG);
        let full = ways.iter().filter(|way| **way > ms(150)).count();
        let late = ways.iter().filter(|way| **way > ms(204) + ROOM * 2).count();
        assert!(
            full * 3 > ways.len(),
            "{full} of {} waited for a full queue",
            ways.len()
        );
        assert!(
            late * 5 < ways.len(),
            "{late} of {} waited longer",
            ways.len()
        );
        // A processor that stands still keeps one behind those of the others now and then.
        assert!(flow.overtaken() < 5, "{} were overtaken", flow.overtaken());
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

/// Offers this many frames of each flow at once, and waits for them.
fn offer(flows: &[Timed; 2], frames: u32) -> Result<()> {
    std::thread::scope(|scope| {
        let sending = flows
            .each_ref()
            .map(|flow| scope.spawn(move || flow.send(frames, Duration::ZERO)));
        for thread in sending {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    for flow in flows {
        assert_eq!(flow.lost(LONG), 0);
    }
    Ok(())
}

#[test]
fn flows_share_the_link_unless_each_has_its_own() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("per-flow", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (flags, share) in [("", 2), (" --per flow", 1)] {
        let run = bench.inject(&format!("bandwidth --rate 2mbit --queue 20s{flags}"))?;
        let flows = [start(target, peer, 7001)?, start(target, peer, 7002)?];
        offer(&flows, 400)?;
        assert_eq!(run.revert()?.total(0).tail_dropped, 0);
        let of_both = || flows.iter().flat_map(Timed::arrivals).map(|one| one.at);
        let ends = of_both().min().zip(of_both().max());
        let (first, last) = ends.context("nothing has arrived")?;
        // One of them may have begun later.
        let shortest = time_of(400 * share - 1, 2_000_000).mul_f64(0.97);
        let range = shortest..shortest + ms(800);
        assert!(
            range.contains(&(last - first)),
            "{flags}: {:?} is not {range:?}",
            last - first
        );
    }
    Ok(())
}

#[test]
fn each_direction_is_a_link_of_its_own_and_an_idle_one_saves_its_burst() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("two-ways", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let run = bench.inject("bandwidth --rate 1mbit --queue 20s")?;
    let flows = [start(target, peer, 0)?, start(peer, target, 0)?];
    offer(&flows, 250)?;
    drop(run.revert()?);
    for flow in &flows {
        assert_rate_of("each way", 249, span(flow)?, 1_000_000);
        // Nor does it wait behind the other's.
        let slowest = flow.firsts().iter().map(|one| one.way).max();
        assert!(slowest < Some(ms(2_000) + ROOM * 10), "{slowest:?}");
    }

    // 50 frames at once, and then 8 ms each.
    let run = bench.inject("bandwidth --rate 1mbit --queue 20s --burst 50KB")?;
    let flow = start(target, peer, 0)?;
    flow.send(200, Duration::ZERO)?;
    assert_eq!(flow.lost(LONG), 0);
    drop(run.revert()?);
    let ways: Vec<_> = flow.firsts().iter().map(|one| one.way).collect();
    let at_once = ways.iter().filter(|way| **way < ROOM * 2).count();
    // The link goes on while a slow machine sends.
    assert!(
        (50..120).contains(&at_once),
        "{at_once} of 200 passed at once"
    );
    let last = ways[199];
    assert!((ms(600)..ms(1_208) + ROOM * 4).contains(&last), "{last:?}");
    Ok(())
}
