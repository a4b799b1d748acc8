//! A fault acts when it was told to, repeats itself with the same seed, and ends.
//!
//! Each datagram's moment is known to lie between two readings of the clock, as is the moment at
//! which the fault was armed. Only datagrams that are inside or outside of a window whatever the
//! true moments are, are judged; so a slow machine judges fewer, not wrongly.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Options, Run, SEED, wait_until};

/// The programs' clock moves in jiffies, of at most 10 ms.
const JIFFY: Duration = Duration::from_millis(10);

/// One datagram: sent between these two, and whether it arrived.
struct Sent {
    from: Instant,
    to: Instant,
    arrived: bool,
}

/// Sends from the target to port 7000 of the peer, one a `pace`, and tells what became of each.
fn numbered(lab: &Lab, count: u32, pace: Duration) -> Result<Vec<Sent>> {
    let there = lab.peer().address_facing(lab.target(), Family::V4)?;
    let here = lab.target().address_facing(lab.peer(), Family::V4)?;
    let there = SocketAddr::new(there, 7000);
    let receiver = lab.peer().enter(|| UdpSocket::bind(there))??;
    let sender = lab
        .target()
        .enter(|| UdpSocket::bind(SocketAddr::new(here, 0)))??;
    receiver.set_nonblocking(true)?;
    let mut sent: Vec<Sent> = Vec::new();
    let mut buffer = [0; 4];
    let mut take = |sent: &mut Vec<Sent>| {
        while let Ok(4) = receiver.recv(&mut buffer) {
            if let Some(one) = sent.get_mut(u32::from_be_bytes(buffer) as usize) {
                one.arrived = true;
            }
        }
    };
    for number in 0..count {
        let from = Instant::now();
        sender.send_to(&number.to_be_bytes(), there)?;
        let to = Instant::now();
        sent.push(Sent {
            from,
            to,
            arrived: false,
        });
        take(&mut sent);
        std::thread::sleep(pace);
    }
    // Delivery takes microseconds here; the last ones may be under way.
    std::thread::sleep(Duration::from_millis(50));
    take(&mut sent);
    Ok(sent)
}

/// Arms the fault and sends 1,000 datagrams a second for as long as asked. Returns how many surely
/// fell into the windows of `is_on` (of a moment since arming, in ms) and how many surely did not,
/// and how many of each arrived.
fn judged(
    name: &str,
    fault: &str,
    seconds: u32,
    is_on: impl Fn(u128) -> bool,
) -> Result<[(usize, usize); 2]> {
    let lab = Lab::new(name)?;
    let daemon = Daemon::start(&Options::default())?;
    // The first run of a daemon takes longest: its moment would be known least.
    drop(Run::inject(&daemon, lab.target(), "drop --rate 100% --port 9")?.revert()?);
    let before = Instant::now();
    let run = Run::faults(&daemon, lab.target(), fault)?;
    let after = Instant::now();
    let sent = numbered(&lab, seconds * 800, Duration::from_millis(1))?;
    drop(run.revert()?);
    let (mut on, mut off) = ((0, 0), (0, 0));
    for one in sent {
        let earliest = one
            .from
            .saturating_duration_since(after + JIFFY)
            .as_millis();
        let latest = (one.to + JIFFY).duration_since(before).as_millis();
        let all = |want: bool| (earliest..=latest).all(|moment| is_on(moment) == want);
        let count = match (all(true), all(false)) {
            (true, _) => &mut on,
            (_, true) => &mut off,
            _ => continue,
        };
        count.0 += 1;
        count.1 += usize::from(one.arrived);
    }
    Ok([on, off])
}

#[test]
fn a_fault_waits_for_its_time_and_ends_after_it() -> Result<()> {
    let fault = "  - {drop: {rate: 100%}, match: {ports: [7000]}, after: 1s, for: 1s}";
    let [on, off] = judged("after", fault, 4, |ms| (1_000..2_000).contains(&ms))?;
    assert!(on.0 > 50 && off.0 > 200, "too slow to tell: {on:?} {off:?}");
    assert_eq!(on.1, 0, "everything is lost in its second: {on:?}");
    assert_eq!(off.1, off.0, "nothing is lost before and after: {off:?}");
    Ok(())
}

#[test]
fn a_pulse_goes_on_and_off() -> Result<()> {
    let fault = "  - {drop: {rate: 100%}, match: {ports: [7000]}, pulse: {on: 600ms, off: 900ms}}";
    let [on, off] = judged("pulse", fault, 5, |ms| ms % 1_500 < 600)?;
    assert!(
        on.0 > 100 && off.0 > 100,
        "too slow to tell: {on:?} {off:?}"
    );
    assert_eq!(on.1, 0, "everything is lost in a pulse: {on:?}");
    assert_eq!(off.1, off.0, "nothing is lost between pulses: {off:?}");
    Ok(())
}

#[test]
fn a_ramp_loses_more_and_more() -> Result<()> {
    let lab = Lab::new("ramp")?;
    let daemon = Daemon::start(&Options::default())?;
    let fault = "  - {drop: {rate: 100%}, match: {ports: [7000]}, ramp: 4s}";
    let run = Run::faults(&daemon, lab.target(), fault)?;
    let armed = Instant::now();
    let sent = numbered(&lab, 4_500, Duration::from_millis(1))?;
    drop(run.revert()?);
    let lost = |from: f32, to: f32| {
        let window = sent.iter().filter(|one| {
            let at = one.from.saturating_duration_since(armed).as_secs_f32() / 4.0;
            (from..to).contains(&at)
        });
        let (lost, all) = window.fold((0_u32, 0_u32), |(lost, all), one| {
            (lost + u32::from(!one.arrived), all + 1)
        });
        assert!(all > 20, "too slow to tell: {all} datagrams");
        f64::from(lost) / f64::from(all)
    };
    // The means are 5 %, 50 % and 95 %, and the run may have been armed 100 ms before it was told.
    let [early, middle, late] = [lost(0.0, 0.1), lost(0.4, 0.6), lost(0.9, 1.0)];
    assert!(early < 0.25, "{early} {middle} {late}");
    assert!((0.3..0.7).contains(&middle), "{early} {middle} {late}");
    assert!(late > 0.8, "{early} {middle} {late}");
    assert!(
        (1.01..10.0).contains(&(lost(1.05, 10.0) + 0.5)),
        "full at its end"
    );
    Ok(())
}

/// The numbers of the datagrams that a run with this seed loses.
fn losses(daemon: &Daemon, lab: &Lab, seed: u64) -> Result<Vec<usize>> {
    let seed = seed.to_string();
    let words = ["inject", "drop", "--rate", "10%", "--port", "7000"];
    let words = words
        .into_iter()
        .chain(["--netns", lab.target().netns(), "--seed", &seed]);
    let run = Run::start(daemon, words)?;
    let sent = numbered(lab, 2_000, Duration::from_micros(10))?;
    drop(run.revert()?);
    let lost = sent.iter().enumerate().filter(|(_, one)| !one.arrived);
    Ok(lost.map(|(number, _)| number).collect())
}

#[test]
fn a_seed_repeats_the_same_losses_and_another_seed_makes_others() -> Result<()> {
    let lab = Lab::new("seed")?;
    let daemon = Daemon::start(&Options::default())?;
    let first = losses(&daemon, &lab, SEED)?;
    assert!(
        (140..260).contains(&first.len()),
        "{} of 2,000",
        first.len()
    );
    assert_eq!(losses(&daemon, &lab, SEED)?, first);
    let other = losses(&daemon, &lab, SEED + 1)?;
    let shared = other.iter().filter(|number| first.contains(number)).count();
    assert!(
        shared * 4 < first.len(),
        "{shared} of {} are shared",
        first.len()
    );
    drop(daemon);
    let daemon = Daemon::start(&Options::default())?;
    assert_eq!(losses(&daemon, &lab, SEED)?, first, "in another daemon");
    Ok(())
}

#[test]
fn a_run_ends_at_its_deadline_by_itself() -> Result<()> {
    let lab = Lab::new("deadline")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = Run::inject(&daemon, lab.target(), "partition --for 1s")?;
    let asked = Flow {
        datagrams: 20,
        settle: Duration::from_millis(50),
        ..Flow::default()
    };
    assert_eq!(flow(lab.target(), lab.peer(), &asked)?.received, 0);
    assert!(wait_until(Duration::from_secs(20), || run.is_over()));
    let told = run.report()?;
    assert_eq!(
        (told.word("/phase"), told.word("/ended")),
        ("reverted", "deadline")
    );
    assert_eq!(flow(lab.target(), lab.peer(), &asked)?.received, 20);
    Ok(())
}
