//! Interfaces and namespaces come and go in mid-fault: new ones are covered, and a run whose last
//! one is gone ends with a report.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use support::ping::ping;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Instance, Lab, Node, Options, Run, run, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

fn ip(node: &Node, args: &[&str]) -> Result<()> {
    let words: Vec<_> = ["-n", node.netns()].iter().chain(args).copied().collect();
    run("ip", &words).map(drop)
}

fn answers(from: &Node, address: &str) -> Result<bool> {
    let args = ["-n", "-q", "-c", "1", "-W", "1", address];
    let status = from.enter(|| std::process::Command::new("ping").args(args).output())??;
    Ok(status.status.success())
}

#[test]
fn an_interface_that_appears_in_mid_fault_is_covered() -> Result<()> {
    let lab = Lab::new("appears")?;
    let daemon = Daemon::start(&Options::default())?;
    let run_id = Run::inject(&daemon, lab.target(), "partition --unprotected")?;
    let (target, peer) = (lab.target(), lab.peer());
    let pair = [
        "link", "add", "name", "late0", "type", "veth", "peer", "name", "late0",
    ];
    let pair: Vec<_> = pair.into_iter().chain(["netns", peer.netns()]).collect();
    ip(target, &pair)?;
    for (node, address) in [(target, "198.18.9.1/24"), (peer, "198.18.9.2/24")] {
        ip(node, &["addr", "add", address, "dev", "late0"])?;
        ip(node, &["link", "set", "late0", "up"])?;
    }
    let cut = wait_until(PATIENCE, || {
        let told = run_id.report();
        told.is_ok_and(|told| told.total(0).affected > 0)
            && answers(target, "198.18.9.2").is_ok_and(|answers| !answers)
    });
    assert!(cut, "the new interface is not covered: {}", daemon.log());
    for _ in 0..3 {
        assert!(!answers(target, "198.18.9.2")?);
    }
    drop(run_id.revert()?);
    let back = || answers(target, "198.18.9.2").unwrap_or(false);
    assert!(wait_until(PATIENCE, back), "it was the fault that cut it");
    Ok(())
}

#[test]
fn a_run_ends_with_a_report_when_its_last_interface_goes() -> Result<()> {
    let lab = Lab::with_bystander("goes")?;
    let daemon = Daemon::start(&Options::default())?;
    // The first fault that loses a packet is the one that counts it.
    let one = Run::inject(&daemon, lab.target(), "drop --rate 100% --interface eth0")?;
    let both = Run::inject(&daemon, lab.target(), "partition")?;
    assert_eq!(ping(lab.target(), lab.peer(), Family::V4, 1)?, 0);
    ip(lab.target(), &["link", "del", "eth0"])?;
    // The other fault still has an interface to act on.
    assert_eq!(ping(lab.target(), lab.bystander(), Family::V6, 1)?, 0);
    assert_eq!(both.report()?.word("/phase"), "armed");
    assert!(wait_until(PATIENCE, || one.is_over()), "{}", daemon.log());
    let told = one.report()?;
    assert_eq!(
        (told.word("/phase"), told.word("/ended")),
        ("reverted", "target-gone")
    );
    assert!(told.total(0).affected > 0, "its counts are kept: {told:?}");
    ip(lab.target(), &["link", "del", "eth1"])?;
    assert!(wait_until(PATIENCE, || both.is_over()), "{}", daemon.log());
    assert_eq!(both.report()?.word("/ended"), "target-gone");
    Ok(())
}

#[test]
fn a_namespace_that_is_deleted_in_mid_fault_is_let_go_at_the_end() -> Result<()> {
    let lab = Lab::new("netns")?;
    let instance = Instance::new()?;
    let peer = lab.peer().clone();
    let mut command = instance.command()?;
    let words = [
        "inject",
        "partition",
        "--for",
        "2s",
        "--netns",
        lab.target().netns(),
    ];
    let mut child = command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let asked = Flow {
        datagrams: 1,
        settle: Duration::from_millis(20),
        ..Flow::default()
    };
    let is_cut = || flow(lab.target(), lab.peer(), &asked).is_ok_and(|seen| seen.received == 0);
    let cut = wait_until(PATIENCE, is_cut);
    run("ip", &["netns", "del", lab.target().netns()])?;
    let mut status = None;
    let ended = wait_until(PATIENCE, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    assert!(cut && ended, "cut {cut}, ended {ended}");
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    // Nothing holds the namespace any more, so that its interfaces are gone, and with one end of
    // a pair the other.
    let gone = || ip(&peer, &["link", "show", "eth0"]).is_err();
    assert!(wait_until(PATIENCE, gone), "the namespace is still held");
    Ok(())
}

#[test]
fn what_does_not_exist_is_named_and_nothing_is_started() -> Result<()> {
    let lab = Lab::new("unknown")?;
    let instance = Instance::new()?;
    let netns = lab.target().netns();
    for (words, expected) in [
        (vec!["--netns", netns, "--interface", "eth7"], "eth7"),
        (vec!["--netns", "no-such-namespace"], "no-such-namespace"),
        (vec!["--pid", "4194999"], "4194999"),
        (vec!["--cgroup", "/no-such-cgroup"], "no-such-cgroup"),
    ] {
        let words = ["inject", "drop", "--rate", "1%"].into_iter().chain(words);
        let output = instance.cli(words)?;
        assert_eq!(output.status, Some(2), "{output:?}");
        assert!(output.stderr.contains(expected), "{output:?}");
        assert!(instance.processes().is_empty(), "{output:?}");
    }
    Ok(())
}
