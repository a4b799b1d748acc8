//! The laboratory itself: with no fault it loses nothing, and it leaves nothing behind. Every
//! other test stands on that.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use support::counters::Counters;
use support::ping::ping;
use support::tcp::{Bulk, Echo, bulk};
use support::udp::{Flow, flow};
use support::{Family, Lab, Snapshot, is_emulated, wait_until};

#[test]
fn every_datagram_arrives_once_whole_and_in_order() -> Result<()> {
    let lab = Lab::new("udp")?;
    for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
        for family in Family::BOTH {
            let seen = flow(
                from,
                to,
                &Flow {
                    family,
                    datagrams: 50_000,
                    ..Flow::default()
                },
            )?;
            assert_eq!(
                (seen.sent, seen.received),
                (50_000, 50_000),
                "{family:?}: {seen:?}"
            );
            assert_eq!(
                (seen.duplicated, seen.reordered, seen.corrupted),
                (0, 0, 0),
                "{seen:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_bulk_transfer_is_whole_and_loses_nothing() -> Result<()> {
    let lab = Lab::new("tcp")?;
    // An emulated machine that stands still makes a sender take segments for lost, one in thousands.
    let mistaken = if is_emulated() { 35 } else { 0 };
    for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
        for family in Family::BOTH {
            let before = Counters::read(to)?;
            let seen = bulk(
                from,
                to,
                &Bulk {
                    family,
                    bytes: 50_000_000,
                    ..Bulk::default()
                },
            )?;
            assert!(seen.is_whole(), "{family:?}: {seen:?}");
            assert_eq!(seen.received, 50_000_000, "{seen:?}");
            assert!(seen.lost() <= mistaken, "{seen:?}");
            assert!(seen.data_segments > 30_000, "{seen:?}");
            assert_eq!(Counters::read(to)?.since(&before, "TcpInCsumErrors"), 0);
        }
    }
    Ok(())
}

#[test]
fn a_flow_keeps_the_rate_and_the_ports_it_was_given() -> Result<()> {
    let lab = Lab::new("rate")?;
    let started = std::time::Instant::now();
    let asked = Flow {
        datagrams: 200,
        rate: Some(1_000),
        port: 5432,
        source_port: 4321,
        ..Flow::default()
    };
    let seen = flow(lab.target(), lab.peer(), &asked)?;
    assert_eq!(seen.received, 200);
    assert!(
        started.elapsed() >= Duration::from_millis(199),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

#[test]
fn a_bystander_talks_on_one_connection_and_pings() -> Result<()> {
    let lab = Lab::with_bystander("echo")?;
    for family in Family::BOTH {
        let echo = Echo::start(lab.bystander(), lab.target(), family, 0)?;
        assert!(wait_until(Duration::from_secs(10), || echo.round_trips() >= 100));
        let report = echo.stop();
        assert_eq!(
            (report.lost_bytes, report.reconnects, report.retransmits),
            (0, 0, 0),
            "{report:?}"
        );
        assert_eq!(ping(lab.target(), lab.bystander(), family, 5)?, 5);
    }
    Ok(())
}

#[test]
fn a_closed_route_is_seen_as_loss() -> Result<()> {
    let lab = Lab::new("blackhole")?;
    let address = lab.peer().address_facing(lab.target(), Family::V4)?;
    let close = format!("ip route add blackhole {address}/32");
    let status = lab
        .target()
        .enter(|| Command::new("sh").args(["-c", &close]).status())??;
    assert!(status.success());
    let seen = flow(
        lab.peer(),
        lab.target(),
        &Flow {
            datagrams: 10,
            ..Flow::default()
        },
    )?;
    assert_eq!(seen.received, 10, "the way in is open");
    let seen = flow(
        lab.target(),
        lab.peer(),
        &Flow {
            datagrams: 10,
            ..Flow::default()
        },
    )?;
    assert_eq!(
        (seen.received, seen.sent + seen.send_errors),
        (0, 10),
        "{seen:?}"
    );
    Ok(())
}

#[test]
fn a_snapshot_names_what_changed_and_nothing_else() -> Result<()> {
    let lab = Lab::new("snapshot")?;
    let before = Snapshot::take(lab.target())?;
    Snapshot::take(lab.target())?.assert_same(&before);
    let status = lab.target().enter(|| {
        Command::new("tc")
            .args(["qdisc", "add", "dev", "eth0", "clsact"])
            .status()
    })??;
    assert!(status.success());
    let changes = Snapshot::take(lab.target())?.changes_since(&before);
    assert!(changes.contains("+ qdisc clsact"), "{changes}");
    Ok(())
}

#[test]
fn nothing_is_left_of_a_laboratory_even_after_a_panic() -> Result<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let ended = std::thread::spawn(move || -> Result<()> {
        let lab = Lab::with_bystander("gone")?;
        let nodes: Vec<_> = lab
            .peers()
            .iter()
            .chain([lab.target()])
            .map(support::Node::path)
            .collect();
        sender.send(nodes)?;
        // Unwinds without the panic hook's message, which would read like a failure.
        std::panic::resume_unwind(Box::new("the test's own panic"));
    });
    let paths = receiver.recv().context("the laboratory did not come up")?;
    assert!(ended.join().is_err());
    assert_eq!(paths.len(), 3);
    for path in paths {
        assert!(!Path::new(&path).exists(), "{path} is left over");
    }
    Ok(())
}
