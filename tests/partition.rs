//! Nothing passes, in the directions asked, of old flows and of new ones; nobody is told; and
//! afterwards a connection goes on where it was.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use support::ping::ping;
use support::tcp::Echo;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Node, Options, Run, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// How many of 50 datagrams arrive; the sender must not be told of the others.
fn arrive(from: &Node, to: &Node, family: Family) -> Result<u64> {
    let asked = Flow {
        family,
        datagrams: 50,
        settle: Duration::from_millis(100),
        ..Flow::default()
    };
    let seen = flow(from, to, &asked)?;
    assert_eq!((seen.sent, seen.send_errors), (50, 0), "{seen:?}");
    Ok(seen.received)
}

/// Out of the target and into it.
fn both_ways(lab: &Lab, other: &Node, family: Family) -> Result<[u64; 2]> {
    Ok([
        arrive(lab.target(), other, family)?,
        arrive(other, lab.target(), family)?,
    ])
}

#[test]
fn nothing_passes_in_either_direction_and_the_bystander_is_spared() -> Result<()> {
    let lab = Lab::with_bystander("partition")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let peer = lab.peer().address_facing(lab.target(), family)?;
        let run = Run::inject(&daemon, lab.target(), &format!("partition --peer {peer}"))?;
        assert_eq!(both_ways(&lab, lab.peer(), family)?, [0, 0], "{family:?}");
        assert_eq!(both_ways(&lab, lab.bystander(), family)?, [50, 50]);
        assert_eq!(ping(lab.target(), lab.peer(), family, 3)?, 0);
        assert_eq!(ping(lab.target(), lab.bystander(), family, 3)?, 3);
        let told = run.revert()?;
        assert_eq!(told.word("/faults/0/verdict"), "effective");
        assert_eq!(both_ways(&lab, lab.peer(), family)?, [50, 50], "{family:?}");
    }
    Ok(())
}

#[test]
fn one_direction_is_cut_and_the_other_is_not() -> Result<()> {
    let lab = Lab::new("half-open")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let peer = lab.peer().address_facing(lab.target(), family)?;
        for (direction, passes) in [("out", [0, 50]), ("in", [50, 0])] {
            let flags = format!("partition --peer {peer} --direction {direction}");
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            assert_eq!(
                both_ways(&lab, lab.peer(), family)?,
                passes,
                "{family:?} {direction}"
            );
            drop(run.revert()?);
        }
    }
    Ok(())
}

#[test]
fn everything_is_cut_but_the_exceptions() -> Result<()> {
    let lab = Lab::with_bystander("except")?;
    let daemon = Daemon::start(&Options::default())?;
    let [v4, v6] = Family::BOTH.map(|family| lab.bystander().address_facing(lab.target(), family));
    let flags = format!("partition --not-peer {} --not-peer {}", v4?, v6?);
    let run = Run::inject(&daemon, lab.target(), &flags)?;
    for family in Family::BOTH {
        assert_eq!(both_ways(&lab, lab.peer(), family)?, [0, 0]);
        assert_eq!(both_ways(&lab, lab.bystander(), family)?, [50, 50]);
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn an_established_connection_hangs_and_then_goes_on() -> Result<()> {
    let lab = Lab::new("hang")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
            let echo = Echo::start(from, to, family, 0)?;
            assert!(wait_until(PATIENCE, || echo.round_trips() > 20));
            let run = Run::inject(&daemon, lab.target(), "partition")?;
            let at = echo.round_trips();
            // Longer than the first retransmission (200 ms) takes.
            let went_on = wait_until(Duration::from_millis(600), || echo.round_trips() > at + 1);
            assert!(!went_on, "{family:?}: the connection must hang");
            drop(run.revert()?);
            assert!(
                wait_until(PATIENCE, || echo.round_trips() > at + 20),
                "{family:?}: the connection must go on"
            );
            let report = echo.stop();
            assert_eq!((report.reconnects, report.lost_bytes), (0, 0), "{report:?}");
            assert!(report.retransmits > 0, "{report:?}");
        }
    }
    Ok(())
}

#[test]
fn new_connections_time_out_and_are_not_refused() -> Result<()> {
    let lab = Lab::new("connect")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
            let address = SocketAddr::new(to.address_facing(from, family)?, 0);
            let listener = to.enter(|| TcpListener::bind(address))??;
            let address = listener.local_addr()?;
            let connect = |limit| from.enter(|| TcpStream::connect_timeout(&address, limit));
            let run = Run::inject(&daemon, lab.target(), "partition")?;
            let refused = connect(Duration::from_millis(500))?.map(|_| ());
            assert_eq!(
                refused.map_err(|error| error.kind()),
                Err(ErrorKind::TimedOut),
                "{family:?}"
            );
            drop(run.revert()?);
            drop(connect(PATIENCE)??);
        }
    }
    Ok(())
}

#[test]
fn without_a_target_the_namespace_is_hit_that_chaosd_lives_in() -> Result<()> {
    let lab = Lab::new("host")?;
    let daemon = Daemon::start(&Options {
        netns: Some(lab.target()),
        ..Options::default()
    })?;
    let run = Run::start(&daemon, ["inject", "partition"])?;
    for family in Family::BOTH {
        assert_eq!(both_ways(&lab, lab.peer(), family)?, [0, 0], "{family:?}");
    }
    drop(run.revert()?);
    assert_eq!(both_ways(&lab, lab.peer(), Family::V4)?, [50, 50]);
    Ok(())
}
