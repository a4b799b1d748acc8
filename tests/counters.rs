//! What a run says it did is what it did; one that did nothing says so, and exits with 5.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Instance, Lab, Options, Run, wait_until};

/// Runs a fault in the foreground for 2 s while `traffic` flows over and over; returns the exit
/// code and what was printed.
fn foreground(lab: &Lab, flags: &str, traffic: impl Fn() -> Result<()>) -> Result<(i32, String)> {
    let instance = Instance::new()?;
    let netns = ["--netns", lab.target().netns(), "--for", "2s"];
    let words = flags.split(' ').chain(netns);
    let mut child = instance
        .command()?
        .arg("inject")
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut ended = None;
    let mut failed = None;
    let over = wait_until(Duration::from_secs(30), || {
        failed = traffic().err();
        ended = child.try_wait().ok().flatten();
        ended.is_some() || failed.is_some()
    });
    let output = child.wait_with_output()?;
    failed.map_or(Ok(()), Err)?;
    assert!(over, "the run is stuck");
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn a_fault_that_matches_nothing_while_traffic_flows_is_ineffective() -> Result<()> {
    let lab = Lab::new("ineffective")?;
    let asked = Flow {
        datagrams: 20,
        port: 7000,
        ..Flow::default()
    };
    let traffic = || {
        let seen = flow(lab.target(), lab.peer(), &asked)?;
        assert_eq!(seen.received, 20);
        Ok(())
    };
    let (code, text) = foreground(&lab, "drop --rate 100% --port 7001", traffic)?;
    assert_eq!(code, 5, "{text}");
    assert!(text.to_lowercase().contains("ineffective"), "{text}");
    Ok(())
}

#[test]
fn a_fault_that_sees_no_traffic_says_so() -> Result<()> {
    let lab = Lab::new("silent")?;
    // Nothing of the kernel's own passes on lo.
    let (code, text) = foreground(&lab, "drop --rate 100% --interface lo", || Ok(()))?;
    assert_eq!(code, 5, "{text}");
    assert!(text.to_lowercase().contains("no traffic"), "{text}");
    Ok(())
}

#[test]
fn a_fault_that_acts_exits_with_0() -> Result<()> {
    let lab = Lab::new("effective")?;
    let asked = Flow {
        datagrams: 20,
        port: 7000,
        settle: Duration::from_millis(20),
        ..Flow::default()
    };
    let traffic = || flow(lab.target(), lab.peer(), &asked).map(drop);
    let (code, text) = foreground(&lab, "drop --rate 100% --port 7000", traffic)?;
    assert_eq!(code, 0, "{text}");
    assert!(text.to_lowercase().contains("effective"), "{text}");
    Ok(())
}

#[test]
fn each_direction_has_its_own_counts() -> Result<()> {
    let lab = Lab::new("counts")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let run = Run::inject(&daemon, lab.target(), "drop --rate 100% --port 7000")?;
        let send = |from, to, port, source_port| {
            let asked = Flow {
                family,
                datagrams: 30,
                port,
                source_port,
                settle: Duration::from_millis(50),
                ..Flow::default()
            };
            flow(from, to, &asked)
        };
        let out = send(lab.target(), lab.peer(), 7000, 0)?;
        let into = send(lab.peer(), lab.target(), 7001, 7000)?;
        let spared = send(lab.target(), lab.peer(), 7001, 0)?;
        assert_eq!((out.received, into.received, spared.received), (0, 0, 30));
        let [arriving, leaving] = run.revert()?.counts(0);
        assert_eq!((arriving.matched, arriving.affected), (30, 30));
        assert_eq!((leaving.matched, leaving.affected), (30, 30));
        assert!(leaving.seen >= 60 && arriving.seen >= 30, "{leaving:?}");
    }
    Ok(())
}
