//! Held packets are kept: none is lost but by a queue that says so, a revert lets them go, and the
//! target's own interfaces do not notice that they have been away.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use support::tcp::{Bulk, bulk};
use support::udp::{Flow, flow};
use support::{Family, Instance, Lab, Node, Snapshot, Timed, run, wait_until};

use crate::held::{Bench, LONG, assert_all, least, ms, needs_fq};
use crate::hold_pairs::dropped;
use crate::scene::files;

/// The length of the chunks in which a packet goes round that is held for 2 to 20 s.
const CHUNK: Duration = Duration::from_nanos(chaosd_ebpf::CHUNKS_NS[2]);

/// The sending end of a plane's hold queue.
fn hold_device(node: &Node) -> Result<String> {
    let links = run("ip", &["-n", node.netns(), "-o", "link"])?;
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    let names = names.map(|name| name.split('@').next().unwrap_or(name));
    let mut names = names.filter(|name| name.starts_with("chaosd") && name.ends_with('c'));
    Ok(names.next().context("there is no hold queue")?.to_owned())
}

#[test]
fn ten_thousand_datagrams_go_through_a_second_of_delay_and_none_is_lost() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("second", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, family) in [(target, peer, Family::V4), (peer, target, Family::V6)] {
        // What a namespace says by itself when an interface comes up is not counted.
        let run = bench.inject("delay --time 1s --protocol udp")?;
        let asked = Flow {
            family,
            datagrams: 10_000,
            rate: Some(2_500),
            settle: ms(3_000),
            ..Flow::default()
        };
        // What a machine that stood still lets go at once, the laboratory's own veth may be too
        // small for (256 packets, drivers/net/veth.c): it counts that.
        let full = || Ok::<_, anyhow::Error>(dropped(target)? + dropped(peer)?);
        let before = full()?;
        let seen = flow(from, to, &asked)?;
        let told = run.revert()?;
        let full = full()? - before;
        assert_eq!(
            (seen.sent, seen.received + full),
            (10_000, 10_000),
            "{full} found the laboratory full: {seen:?}"
        );
        assert!(full < 1_000, "{full} found the laboratory full");
        assert_eq!(
            (seen.duplicated, seen.reordered, seen.corrupted),
            (0, 0, 0),
            "{seen:?}"
        );
        let total = told.total(0);
        assert_eq!((total.affected, total.overflow), (10_000, 0), "{told:?}");
        assert_eq!(told.word("/faults/0/verdict"), "effective");
    }
    Ok(())
}

#[test]
fn a_bulk_transfer_through_a_delay_neither_stalls_nor_loses() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("bulk", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    for (from, to, family) in [(target, peer, Family::V4), (peer, target, Family::V6)] {
        let asked = Bulk {
            family,
            bytes: 16_000_000,
            window: 4 << 20,
            // The default one leaves slow start when round trips vary, as they do on a busy machine.
            congestion: Some("reno"),
            ..Bulk::default()
        };
        let without = bulk(from, to, &asked)?;
        let run = bench.inject("delay --time 50ms --direction out")?;
        let with = bulk(from, to, &asked)?;
        let told = run.revert()?;
        println!(
            "{family:?}: {:?} without, {:?} with",
            without.elapsed, with.elapsed
        );
        assert!(with.is_whole(), "{with:?}");
        // Fewer than twenty round trips until the window is open, and eight windows. A sender that
        // stays charged for what is held sends 2 super-packets of 64 KiB a round trip: 6 s, and at
        // the 4 Mbit/s that were seen 32 s.
        let range = ms(100)..without.elapsed * 3 + ms(50) * 60;
        assert!(
            range.contains(&with.elapsed),
            "{with:?}, without: {without:?}"
        );
        assert_eq!(told.total(0).overflow, 0, "{told:?}");
        assert_eq!(with.lost(), 0, "{with:?}, without: {without:?}");
    }
    Ok(())
}

#[test]
fn what_is_held_is_not_charged_to_the_socket_that_sent_it() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("charge", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let bind = |node: &Node, other: &Node| -> Result<UdpSocket> {
        let address = SocketAddr::new(node.address_facing(other, Family::V4)?, 0);
        Ok(node.enter(|| UdpSocket::bind(address))??)
    };
    let (sender, receiver) = (bind(target, peer)?, bind(peer, target)?);
    sender.connect(receiver.local_addr()?)?;
    // Room for a handful: the next one would have to wait for those that are held.
    setsockopt(&sender, sockopt::SndBuf, &4_608)?;
    sender.set_nonblocking(true)?;
    let held = Timed::between(sender, receiver)?;
    let run = bench.inject("delay --time 2s")?;
    held.send(400, ms(1))?;
    assert_eq!(held.lost(LONG), 0);
    drop(run.revert()?);
    assert_all("held", &ways(&held), least(2_000)..LONG);
    Ok(())
}

pub fn ways(flow: &Timed) -> Vec<Duration> {
    flow.firsts().iter().map(|one| one.way).collect()
}

#[test]
fn what_the_queue_refuses_is_counted_and_turns_the_verdict_and_the_exit_code() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("overflow", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let narrow = || -> Result<()> {
        let device = hold_device(target)?;
        let words = ["-n", target.netns(), "qdisc", "change", "dev", &device];
        let words = [&words[..], &["root", "fq", "limit", "10"]].concat();
        run("tc", &words).map(drop)
    };
    let asked = Flow {
        datagrams: 100,
        rate: Some(2_000),
        settle: ms(1_500),
        ..Flow::default()
    };
    let overflowing = bench.inject("delay --time 1s --direction out")?;
    narrow()?;
    let seen = flow(target, peer, &asked)?;
    let told = overflowing.report()?;
    assert_eq!(seen.sent, 100, "{seen:?}");
    assert!((10..80).contains(&seen.received), "{seen:?}");
    assert_eq!(told.total(0).overflow, seen.lost(), "{seen:?} {told:?}");
    assert_eq!(told.word("/faults/0/verdict"), "overflow", "{told:?}");
    let shown = bench.daemon.cli(["status"])?;
    assert!(shown.stdout.contains("overflow"), "{shown:?}");
    let told = overflowing.revert()?;
    assert_eq!(told.word("/faults/0/verdict"), "overflow", "{told:?}");
    drop(bench.daemon.cli(["revert", "--all"])?);

    let instance = Instance::new()?;
    let mut inject = Foreground::start(&instance, target, "delay --time 500ms --for 4s")?;
    assert!(wait_until(LONG, || narrow().is_ok()), "no hold queue comes");
    // Armed a moment after its queue stands.
    let lost = || flow(target, peer, &asked).is_ok_and(|seen| seen.lost() > 0);
    assert!(wait_until(LONG, lost));
    assert_eq!(inject.wait()?, Some(5), "{}", inject.log());
    assert!(inject.log().contains("overflow"), "{}", inject.log());
    Ok(())
}

/// A `chaosd inject` in the foreground; dropped, it is killed.
struct Foreground {
    child: Child,
    log: std::path::PathBuf,
}

impl Foreground {
    fn start(instance: &Instance, target: &Node, flags: &str) -> Result<Self> {
        let log = instance.file("inject.log", "")?;
        let out = std::fs::File::create(&log)?;
        let child = instance
            .command()?
            .arg("inject")
            .args(flags.split(' '))
            .args(["--netns", target.netns()])
            .stdout(out.try_clone()?)
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { child, log })
    }

    fn interrupt(&self) -> Result<()> {
        Ok(kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGINT,
        )?)
    }

    /// Its exit code.
    fn wait(&mut self) -> Result<Option<i32>> {
        let mut status = None;
        let ended = wait_until(LONG, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        ensure!(ended, "chaosd inject still runs: {}", self.log());
        Ok(status.and_then(|status| status.code()))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // One that has ended is what we want.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Fails unless everything arrived once, in order, not before `let_go`, and within a chunk of it and
/// what an emulated machine takes to hear of the revert: long before it would have otherwise.
#[track_caller]
fn assert_let_go(flow: &Timed, let_go: Instant) {
    assert_eq!(flow.lost(CHUNK + LONG), 0, "lost by the revert");
    assert_eq!(flow.overtaken(), 0, "out of order");
    let arrivals = flow.arrivals();
    assert_eq!(arrivals.len(), flow.sent(), "copies");
    for one in arrivals {
        assert!(one.at > let_go, "arrived before it was let go");
        let after = one.at - let_go;
        assert!(after < CHUNK * 3, "{after:?} after the revert");
    }
}

#[test]
fn a_revert_lets_go_what_is_held_in_order_and_loses_none_of_it() -> Result<()> {
    needs_fq!();
    for linger in ["0s", "30s"] {
        let bench = Bench::with("drains", 1, &["--linger", linger])?;
        let (target, peer) = (bench.lab.target(), bench.lab.peer());
        let before = Snapshot::take(target)?;
        let run = bench.inject("delay --time 9s")?;
        let flows = [
            Timed::start(target, peer, Family::V4, 0)?,
            Timed::start(peer, target, Family::V6, 0)?,
        ];
        for flow in &flows {
            flow.send(200, ms(2))?;
        }
        let let_go = Instant::now();
        drop(run.revert()?);
        for flow in &flows {
            assert_let_go(flow, let_go);
        }
        drop(bench.daemon.cli(["revert", "--all"])?);
        Snapshot::take(target)?.assert_same(&before);
    }
    Ok(())
}

#[test]
fn an_interrupted_foreground_run_lets_go_what_it_holds() -> Result<()> {
    needs_fq!();
    let lab = Lab::new("ctrl-c")?;
    let (target, peer) = (lab.target(), lab.peer());
    let before = Snapshot::take(target)?;
    let instance = Instance::new()?;
    let mut inject = Foreground::start(&instance, target, "delay --time 9s")?;
    let held = Timed::start(target, peer, Family::V4, 0)?;
    let armed = || {
        let probe = Flow {
            datagrams: 1,
            settle: ms(200),
            ..Flow::default()
        };
        flow(target, peer, &probe).is_ok_and(|seen| seen.received == 0)
    };
    assert!(wait_until(LONG, armed), "not armed: {}", inject.log());
    held.send(200, ms(2))?;
    let let_go = Instant::now();
    inject.interrupt()?;
    assert_let_go(&held, let_go);
    assert_eq!(inject.wait()?, Some(130), "{}", inject.log());
    Snapshot::take(target)?.assert_same(&before);
    assert!(files(&instance.state_dir()).is_empty());
    Ok(())
}

/// The longest chunk is longer than most commands take: whoever asks for the end has to wait for it.
#[test]
fn a_foreground_run_that_is_reverted_by_its_process_id_loses_nothing_of_a_long_hold() -> Result<()>
{
    needs_fq!();
    let lab = Lab::new("by-pid")?;
    let (target, peer) = (lab.target(), lab.peer());
    let before = Snapshot::take(target)?;
    let instance = Instance::new()?;
    let mut inject = Foreground::start(&instance, target, "delay --time 40s")?;
    let armed = || inject.log().contains("armed");
    assert!(wait_until(LONG, armed), "not armed: {}", inject.log());
    let held = Timed::start(target, peer, Family::V4, 0)?;
    held.send(200, ms(2))?;
    let said = instance.cli(["revert", &inject.child.id().to_string()])?;
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(held.lost(LONG), 0, "lost by the revert");
    assert_eq!(held.overtaken(), 0, "out of order");
    assert_eq!(inject.wait()?, Some(130), "{}", inject.log());
    Snapshot::take(target)?.assert_same(&before);
    assert!(files(&instance.state_dir()).is_empty());
    Ok(())
}

#[test]
fn of_two_runs_in_one_namespace_the_one_that_ends_lets_go_its_own_packets() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("two-holds", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let ends = bench.inject("delay --time 9s --port 7001")?;
    let stays = bench.inject("delay --time 9s --port 7002")?;
    let let_go = Timed::start(target, peer, Family::V4, 7001)?;
    let kept = Timed::start(target, peer, Family::V4, 7002)?;
    for _ in 0..50 {
        let_go.send(1, ms(1))?;
        kept.send(1, ms(1))?;
    }
    let reverted = Instant::now();
    drop(ends.revert()?);
    assert_let_go(&let_go, reverted);
    assert_eq!(kept.lost(LONG), 0);
    assert_all("kept", &ways(&kept), least(9_000)..ms(9_000) + LONG);
    assert_eq!(kept.overtaken(), 0);
    drop(stays.revert()?);
    Ok(())
}

#[test]
fn a_packet_that_two_runs_hold_leaves_with_the_one_that_holds_it_longest() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("both-hold", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let stays = bench.inject("delay --time 1ms")?;
    let ends = bench.inject("delay --time 9s")?;
    let held = Timed::start(target, peer, Family::V4, 0)?;
    held.send(50, ms(2))?;
    let reverted = Instant::now();
    drop(ends.revert()?);
    assert_let_go(&held, reverted);
    drop(stays.revert()?);
    Ok(())
}

#[test]
fn a_hold_queue_that_somebody_deletes_ends_its_run_and_no_other() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("deleted", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let before = Snapshot::take(target)?;
    let held = bench.inject("delay --time 200ms --port 7001")?;
    let lost = bench.inject("drop --rate 100% --port 7002")?;
    let device = hold_device(target)?;
    run("ip", &["-n", target.netns(), "link", "del", &device])?;
    assert!(
        wait_until(LONG, || held.is_over()),
        "{}",
        bench.daemon.log()
    );
    assert_eq!(held.report()?.word("/ended"), "target-gone");
    assert_eq!(lost.report()?.word("/phase"), "armed");
    // Nothing goes to where the queue was.
    let passes = Timed::start(target, peer, Family::V4, 7001)?;
    assert_all("passes", &passes.ways(20, ms(1), LONG)?, ms(0)..ms(190));
    // The next one has a queue of its own.
    let again = bench.inject("delay --time 200ms --port 7003")?;
    let late = Timed::start(target, peer, Family::V4, 7003)?;
    assert_all("late", &late.ways(5, ms(1), LONG)?, least(200)..LONG);
    for over in [again, lost] {
        drop(over.revert()?);
    }
    drop(bench.daemon.cli(["revert", "--all"])?);
    Snapshot::take(target)?.assert_same(&before);
    Ok(())
}
