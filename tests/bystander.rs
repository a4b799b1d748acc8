//! Nobody beside a fault notices it: not its packets, not its coming and going.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use support::tcp::Echo;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Options, Run, hangs_filters};

const ARMS: usize = 100;

/// 50,000 datagrams each way and a connection in each IP, while faults of every kind come and go
/// on the same machine, in the detour too.
#[test]
fn a_bystander_loses_nothing_while_faults_come_and_go_a_hundred_times() -> Result<()> {
    let lab = Lab::with_bystander("bystander")?;
    let daemon = Daemon::start(&Options::default())?;
    let peers = Family::BOTH.map(|family| lab.peer().address_facing(lab.target(), family));
    let [v4, v6] = peers;
    let peers = format!("--peer {} --peer {}", v4?, v6?);
    let faults = [
        "drop --rate 30%",
        "partition",
        "corrupt --rate 10%",
        "reset",
        "drop --rate 100% --direction in",
    ];
    if hangs_filters() {
        // clsact stops an interface for an instant when it comes, and stays while the plane lingers.
        let first = Run::inject(&daemon, lab.target(), &format!("partition {peers}"))?;
        drop(first.revert()?);
    }
    let echoes = [
        Echo::start(lab.bystander(), lab.target(), Family::V4, 0)?,
        Echo::start(lab.target(), lab.bystander(), Family::V6, 0)?,
    ];
    let ended = AtomicBool::new(false);
    let asked = |family| Flow {
        family,
        datagrams: 50_000,
        rate: Some(8_000),
        ..Flow::default()
    };
    let (arms, flows) = std::thread::scope(|scope| {
        let arming = scope.spawn(|| -> Result<usize> {
            let mut arms = 0;
            while arms < ARMS || !ended.load(Ordering::Acquire) {
                let flags = format!("{} {peers}", faults[arms % faults.len()]);
                let run = Run::inject(&daemon, lab.target(), &flags)?;
                // Something for the fault to act on.
                let hit = Flow {
                    datagrams: 20,
                    settle: Duration::ZERO,
                    ..Flow::default()
                };
                flow(lab.target(), lab.peer(), &hit)?;
                drop(run.revert()?);
                arms += 1;
            }
            Ok(arms)
        });
        let out = scope.spawn(|| flow(lab.target(), lab.bystander(), &asked(Family::V4)));
        let into = scope.spawn(|| flow(lab.bystander(), lab.target(), &asked(Family::V6)));
        let flows = [out.join(), into.join()];
        ended.store(true, Ordering::Release);
        (arming.join(), flows)
    });
    let panicked = |panic| -> ! { std::panic::resume_unwind(panic) };
    let arms = arms.unwrap_or_else(|panic| panicked(panic))?;
    assert!(arms >= ARMS, "{arms}");
    for seen in flows {
        let seen = seen.unwrap_or_else(|panic| panicked(panic))?;
        assert_eq!((seen.sent, seen.received), (50_000, 50_000), "{seen:?}");
        assert_eq!(
            (seen.duplicated, seen.reordered, seen.corrupted),
            (0, 0, 0),
            "{seen:?}"
        );
    }
    for echo in echoes {
        let report = echo.stop();
        assert!(report.round_trips > 1_000, "{report:?}");
        assert_eq!(
            (report.lost_bytes, report.reconnects, report.retransmits),
            (0, 0, 0),
            "{report:?}"
        );
    }
    Ok(())
}
