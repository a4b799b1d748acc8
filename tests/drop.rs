//! Packets are lost at the rate asked for, over both IPs and in both directions, and nobody tells
//! the sender.
//!
//! The runs are seeded: whether the nth packet of a direction is lost follows from the seed and n
//! alone, so that a rate which holds once holds whenever the same packets flow.

use anyhow::Result;
use support::statistics::{assert_rate, sigmas};
use support::tcp::{Bulk, bulk};
use support::udp::{Delivered, Flow, flow};
use support::{Daemon, Family, Lab, Node, Options, Run};

/// Datagrams of a measured rate.
fn sample() -> u32 {
    support::sample(200_000)
}

/// A transfer of so many segments.
fn bulk_bytes() -> u64 {
    1_450 * u64::from(sample())
}

/// Both directions, seen from the target: who sends, who receives, the word for it, and where its
/// counts are in a report.
fn directions(lab: &Lab) -> [(&Node, &Node, &'static str, usize); 2] {
    [
        (lab.target(), lab.peer(), "out", 1),
        (lab.peer(), lab.target(), "in", 0),
    ]
}

fn datagrams(lab: (&Node, &Node), family: Family, datagrams: u32) -> Result<Delivered> {
    let asked = Flow {
        family,
        datagrams,
        ..Flow::default()
    };
    flow(lab.0, lab.1, &asked)
}

fn udp_is_lost_at(rate: f64, name: &str) -> Result<()> {
    let lab = Lab::new(name)?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction, side) in directions(&lab) {
        for family in Family::BOTH {
            let what = format!("{family:?} {direction} at {rate}");
            let flags = format!(
                "drop --rate {}% --protocol udp --direction {direction}",
                rate * 100.0
            );
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let seen = datagrams((from, to), family, sample())?;
            let told = run.revert()?.counts(0);
            assert_eq!(
                (seen.sent, seen.send_errors, seen.corrupted),
                (sample().into(), 0, 0),
                "{what}: {seen:?}"
            );
            assert_rate(&what, seen.sent, rate, seen.lost());
            assert_eq!(
                (told[side].matched, told[side].affected),
                (seen.sent, seen.lost()),
                "{what}: what chaosd counted is what the peer missed"
            );
            assert_eq!(told[1 - side].matched, 0, "{what}: {told:?}");
        }
    }
    let after = datagrams((lab.target(), lab.peer()), Family::V4, 20_000)?;
    assert_eq!(after.lost(), 0, "the fault is over");
    Ok(())
}

#[test]
fn one_percent_of_datagrams_are_lost_and_the_sender_is_not_told() -> Result<()> {
    udp_is_lost_at(0.01, "drop-1")
}

#[test]
fn ten_percent_of_datagrams_are_lost_and_the_sender_is_not_told() -> Result<()> {
    udp_is_lost_at(0.1, "drop-10")
}

#[test]
fn half_of_the_datagrams_are_lost_and_the_sender_is_not_told() -> Result<()> {
    udp_is_lost_at(0.5, "drop-50")
}

#[test]
fn without_a_seed_the_rate_holds_too() -> Result<()> {
    let lab = Lab::new("drop-unseeded")?;
    let daemon = Daemon::start(&Options::default())?;
    let words = [
        "inject",
        "drop",
        "--rate",
        "10%",
        "--protocol",
        "udp",
        "--netns",
    ];
    let words = words.into_iter().chain([lab.target().netns()]);
    let run = Run::start(&daemon, words)?;
    let seen = datagrams((lab.target(), lab.peer()), Family::V6, 50_000)?;
    drop(run.revert()?);
    // The dice are the kernel's here: five standard deviations fail once in 1.7 million runs.
    assert!(sigmas(seen.sent, 0.1, seen.lost()) < 5.0, "{seen:?}");
    Ok(())
}

/// 200,000 segments of a bulk transfer with GSO and GRO on: what the sender sent again, less what
/// it sent again for nothing, is what was lost.
#[test]
fn two_percent_of_the_segments_of_a_bulk_transfer_are_lost_though_they_travel_together()
-> Result<()> {
    let lab = Lab::new("drop-tcp")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction, side) in directions(&lab) {
        for family in Family::BOTH {
            let what = format!("{family:?} {direction}");
            let flags = format!("drop --rate 2% --protocol tcp --direction {direction}");
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let asked = Bulk {
                family,
                bytes: bulk_bytes(),
                ..Bulk::default()
            };
            let seen = bulk(from, to, &asked)?;
            let told = run.revert()?.counts(0)[side];
            assert!(seen.is_whole(), "{what}: {seen:?}");
            assert!(
                seen.data_segments >= u64::from(sample()),
                "{what}: {seen:?}"
            );
            assert_rate(&what, seen.data_segments, 0.02, seen.lost());
            assert!(
                told.matched >= seen.data_segments,
                "{what}: segments are counted, not buffers: {told:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_tenth_datagram_is_lost_exactly() -> Result<()> {
    let lab = Lab::new("drop-every")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction, _) in directions(&lab) {
        for family in Family::BOTH {
            let flags = format!("drop --every 10 --protocol udp --direction {direction}");
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let seen = datagrams((from, to), family, 20_000)?;
            drop(run.revert()?);
            assert_eq!(seen.lost(), 2_000, "{family:?} {direction}: {seen:?}");
        }
    }
    Ok(())
}

/// A chain that leaves each state with p and r is in the bad one for p / (p + r) of the time: a
/// share of 1 % / 11 %, of which 50 % is lost.
#[test]
fn bursts_lose_as_much_as_their_model_says_and_come_in_a_row() -> Result<()> {
    let lab = Lab::new("drop-bursts")?;
    let daemon = Daemon::start(&Options::default())?;
    let share = 0.5 / 11.0;
    for (from, to, direction, _) in directions(&lab) {
        let flags = format!(
            "drop --gilbert-elliott p=1%,r=10%,good=0%,bad=50% --protocol udp --direction {direction}"
        );
        let run = Run::inject(&daemon, lab.target(), &flags)?;
        let seen = datagrams((from, to), Family::V4, sample())?;
        drop(run.revert()?);
        // Neighbours are alike, so that the count varies more than a binomial does. The chain
        // forgets by (1 - p - r) a step: n times the variance of the share bad, times
        // (1 + 0.89) / (1 - 0.89), is 4.1 times the binomial's standard deviation at bad = 100 %,
        // and less at 50 %.
        let off = sigmas(seen.sent, share, seen.lost());
        assert!(off < 3.0 * 4.1, "{direction}: {off} for {seen:?}");
    }
    Ok(())
}

/// Decided once for up to 45 segments: the mean is the same, and the variance up to 45 times the
/// binomial's.
#[test]
fn whole_buffers_are_lost_at_the_same_mean_and_take_no_detour() -> Result<()> {
    let lab = Lab::new("drop-whole")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction, side) in directions(&lab) {
        let flags = format!("drop --rate 2% --whole-skb --protocol tcp --direction {direction}");
        let run = Run::inject(&daemon, lab.target(), &flags)?;
        let asked = Bulk {
            bytes: bulk_bytes(),
            ..Bulk::default()
        };
        let seen = bulk(from, to, &asked)?;
        let links = lab.target().enter(|| {
            std::process::Command::new("ip")
                .args(["-o", "link"])
                .output()
        })??;
        let told = run.revert()?.counts(0)[side];
        assert!(seen.is_whole(), "{direction}: {seen:?}");
        let off = sigmas(told.matched, 0.02, told.affected);
        assert!(off < 3.0 * 45_f64.sqrt(), "{direction}: {off} for {told:?}");
        let off = sigmas(told.matched, 0.02, seen.lost());
        assert!(off < 3.0 * 45_f64.sqrt(), "{direction}: {off} for {seen:?}");
        let links = String::from_utf8_lossy(&links.stdout);
        assert_eq!(links.lines().count(), 2, "lo and eth0 alone: {links}");
    }
    Ok(())
}
