//! Where there is no tcx (before Linux 6.6) programs hang at clsact: they act the same, and what
//! they hang at is as before afterwards. A newer kernel is asked for it by `CHAOSD_ATTACH`.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::{Daemon, Family, Kept, Lab, Node, Options, Run, Snapshot, ping, run, wait_until};

use crate::scene::{LONG, files, runs};

const PINGS: u32 = 5;

fn daemon() -> Result<Daemon> {
    Daemon::start(&Options {
        env: vec![("CHAOSD_ATTACH".into(), "clsact".into())],
        ..Options::default()
    })
}

/// The filters at both hooks of the interface that faces the peer.
fn filters(lab: &Lab) -> Result<String> {
    let interface = lab.target().interface_facing(lab.peer())?;
    let show = |hook| run("tc", &["filter", "show", "dev", interface, hook]);
    let both = lab
        .target()
        .enter(|| Ok([show("ingress")?, show("egress")?]))?;
    both.map(|both: [String; 2]| both.concat())
}

fn tc(node: &Node, words: &str) -> Result<String> {
    let words: Vec<_> = words.split(' ').collect();
    node.enter(|| run("tc", &words))?
}

fn answered(lab: &Lab) -> Result<u32> {
    ping::ping(lab.target(), lab.peer(), Family::V4, PINGS)
}

#[test]
fn a_fault_hangs_at_clsact_and_leaves_the_interface_as_it_was() -> Result<()> {
    let lab = Lab::new("hooks")?;
    let daemon = daemon()?;
    let interface = lab.target().interface_facing(lab.peer())?;
    // The second one goes through the detour. CNI makes interfaces without a queue length.
    for (fault, length) in [("drop --rate 100%", "1000"), ("corrupt --rate 100%", "0")] {
        let link = |words: &[&str]| lab.target().enter(|| run("ip", words))?;
        link(&["link", "set", "dev", interface, "txqueuelen", length])?;
        let show = || link(&["link", "show", "dev", interface]);
        let (before, shown) = (Snapshot::take(lab.target())?, show()?);
        let _run = Run::inject(&daemon, lab.target(), fault)?;
        ensure!(
            filters(&lab)?.matches("chaosd plane").count() == 2,
            "{}",
            filters(&lab)?
        );
        ensure!(answered(&lab)? == 0, "{fault} has no effect");
        ensure!(show()? == shown, "{} was {shown}", show()?);
        let status = daemon.cli(["status"])?;
        ensure!(
            status.stdout.contains("attaches by clsact filters"),
            "{status:?}"
        );
        let said = daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        ensure!(answered(&lab)? == PINGS, "{fault} goes on");
        Snapshot::take(lab.target())?.assert_same(&before);
    }
    Ok(())
}

#[test]
fn clsact_and_the_filters_of_somebody_else_stay() -> Result<()> {
    let lab = Lab::new("hooks-theirs")?;
    let interface = lab.target().interface_facing(lab.peer())?;
    tc(lab.target(), &format!("qdisc add dev {interface} clsact"))?;
    // One instruction that returns 0, which matches nothing.
    let theirs = format!("filter add dev {interface} egress prio 1 protocol all bpf bytecode");
    let mut words: Vec<_> = theirs.split(' ').collect();
    words.extend(["1,6 0 0 0", "flowid", "1:1"]);
    lab.target().enter(|| run("tc", &words))??;
    let daemon = daemon()?;
    let before = Snapshot::take(lab.target())?;
    let _run = Run::inject(&daemon, lab.target(), "drop --rate 100%")?;
    ensure!(answered(&lab)? == 0, "the fault has no effect");
    let said = daemon.cli(["revert", "--all"])?;
    ensure!(said.status == Some(0), "{said:?}");
    Snapshot::take(lab.target())?.assert_same(&before);
    Ok(())
}

#[test]
fn filters_of_the_dead_are_inert_and_found_even_without_their_journal() -> Result<()> {
    for with_journal in [true, false] {
        let _kept = Kept::leftovers();
        let lab = Lab::new("hooks-dead")?;
        let mut daemon = daemon()?;
        let before = Snapshot::take(lab.target())?;
        let _run = Run::inject(&daemon, lab.target(), "drop --rate 100%")?;
        let watchdog = daemon.watchdog()?;
        kill(watchdog, Signal::SIGKILL)?;
        daemon.kill(Signal::SIGKILL)?;
        daemon.wait(LONG)?;
        ensure!(wait_until(LONG, || !runs(watchdog)), "the watchdog lives");
        // The kernel empties the gate's table when it has the time.
        let calm = || answered(&lab).is_ok_and(|answers| answers == PINGS);
        ensure!(
            wait_until(Duration::from_secs(5), calm),
            "the fault goes on"
        );
        ensure!(filters(&lab)?.contains("chaosd plane"), "nothing was left");
        if !with_journal {
            for file in files(&daemon.state_dir()) {
                if file.extension().is_some_and(|e| e == "journal") {
                    std::fs::remove_file(file)?;
                }
            }
        }
        let doctor = daemon.cli(["doctor"])?;
        ensure!(doctor.stdout.contains("filter(s) at"), "{doctor:?}");
        let said = daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        Snapshot::take(lab.target())?.assert_same(&before);
    }
    Ok(())
}
