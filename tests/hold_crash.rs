//! When chaosd dies over held packets, the next packet is on time, and what stays behind of the hold
//! holds nothing. (The deaths themselves are in `crash` and `stopped`, with every other mechanism.)

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::tcp::Echo;
use support::{
    Daemon, Family, Instance, Kept, Lab, Options, Run, Snapshot, Timed, run, wait_until,
};

use crate::held::{LONG, assert_all, assert_held, least, ms, needs_fq};
use crate::scene::{CALM, Fault, Scene};

/// How long programs that outlive their daemon may act (without tcx links they do).
const LEASE: Duration = Duration::from_secs(2);
/// The promise (P3), on a machine that is emulated.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Whether programs go with the process that holds them: tcx, 6.6.
fn has_tcx() -> Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let (major, minor) = numbers
        .next()
        .zip(numbers.next())
        .context("no kernel version")?;
    Ok((major?, minor?) >= (6, 6))
}

fn kill_both(daemon: &mut Daemon) -> Result<Instant> {
    let watchdog = daemon.watchdog()?;
    kill(watchdog, Signal::SIGKILL)?;
    daemon.kill(Signal::SIGKILL)?;
    let killed = Instant::now();
    daemon.wait(LONG)?;
    Ok(killed)
}

#[test]
fn with_daemon_and_watchdog_killed_over_held_packets_the_next_one_is_on_time() -> Result<()> {
    needs_fq!();
    let limit = if has_tcx()? { GONE_WITHIN } else { LEASE };
    let scene = Scene::new("held-both", Fault::Hold)?;
    for _ in 0..3 {
        let mut daemon = scene.daemon()?;
        let killed = kill_both(&mut daemon)?;
        let outlived = scene
            .stream
            .outlived(killed, CALM, LONG)
            .context("still held")?;
        println!("both killed: gone after {outlived:?}");
        ensure!(outlived < limit, "{outlived:?}");
        scene.assert_clean_after_next_command(&daemon)?;
    }
    Ok(())
}

#[test]
fn what_a_double_kill_leaves_is_inert_and_swept_by_the_next_start() -> Result<()> {
    needs_fq!();
    let _kept = Kept::leftovers();
    let lab = Lab::new("held-inert")?;
    let (target, peer) = (lab.target(), lab.peer());
    let before = Snapshot::take(target)?;
    let instance = Instance::new()?;
    let mut daemon = Daemon::start_in(instance, &Options::default())?;
    let flow = Timed::start(target, peer, Family::V4, 0)?;
    let back = Timed::start(peer, target, Family::V6, 0)?;
    let held = Run::inject(
        &daemon,
        target,
        "delay --time 300ms --jitter 10ms --keep-order false",
    )?;
    assert_all("held", &flow.ways(20, ms(1), LONG)?, ms(200)..LONG);
    ensure!(held.report()?.word("/phase") == "armed");
    let killed = kill_both(&mut daemon)?;
    std::thread::sleep(LEASE.saturating_sub(killed.elapsed()));
    let ours = || -> Result<usize> {
        let links = run("ip", &["-n", target.netns(), "-o", "link"])?;
        Ok(links
            .lines()
            .filter(|line| line.contains(": chaosd"))
            .count())
    };
    ensure!(ours()? == 4, "a detour and a hold queue: {}", ours()?);
    for flow in [&flow, &back] {
        assert_held("afterwards", &flow.ways(100, ms(2), LONG)?, ms(0));
        ensure!(flow.overtaken() <= 20, "{} overtaken", flow.overtaken());
    }
    // The directory goes on to the next daemon, which begins by putting things right.
    let state = daemon.state_dir();
    let mut next = daemon
        .command()?
        .arg("serve")
        .spawn()
        .context("failed to start chaosd serve")?;
    let swept = wait_until(LONG, || ours().is_ok_and(|count| count == 0));
    let ended = kill(
        nix::unistd::Pid::from_raw(next.id().cast_signed()),
        Signal::SIGTERM,
    );
    next.wait()?;
    ended?;
    ensure!(swept, "{} devices are left: {}", ours()?, state.display());
    Snapshot::take(target)?.assert_same(&before);
    Ok(())
}

#[test]
fn a_connection_lives_through_a_delay_and_the_death_of_who_made_it() -> Result<()> {
    needs_fq!();
    let lab = Lab::new("held-echo")?;
    let (target, peer) = (lab.target(), lab.peer());
    let echo = Echo::start(target, peer, Family::V4, 0)?;
    let mut daemon = Daemon::start(&Options::default())?;
    ensure!(wait_until(LONG, || echo.round_trips() > 10));
    let held = Run::inject(&daemon, target, "delay --time 150ms")?;
    let under = (Instant::now(), echo.round_trips());
    ensure!(wait_until(LONG, || echo.round_trips() >= under.1 + 6));
    // The first of them may have been under way; each takes 300 ms.
    let took = under.0.elapsed();
    ensure!(took >= least(1_500), "six round trips in {took:?}");
    ensure!(held.report()?.word("/phase") == "armed");
    kill_both(&mut daemon)?;
    let after = echo.round_trips();
    ensure!(
        wait_until(LONG, || echo.round_trips() > after + 100),
        "it does not recover"
    );
    let report = echo.stop();
    ensure!(
        (report.lost_bytes, report.reconnects) == (0, 0),
        "{report:?}"
    );
    let said = daemon.cli(["revert", "--all"])?;
    ensure!(said.status == Some(0), "{said:?}");
    Ok(())
}

#[test]
fn a_stopped_daemon_s_held_packets_are_let_go_and_nothing_more_is_held() -> Result<()> {
    needs_fq!();
    let lab = Lab::new("held-stopped")?;
    let (target, peer) = (lab.target(), lab.peer());
    let daemon = Daemon::start(&Options::default())?;
    let held = Timed::start(target, peer, Family::V4, 7001)?;
    let _run = Run::inject(&daemon, target, "delay --time 12s --port 7001")?;
    held.send(50, ms(2))?;
    daemon.kill(Signal::SIGSTOP)?;
    let stopped = Instant::now();
    // The watchdog fences after a second; what is held leaves at the end of its chunk.
    let arrived = held.all_arrive(ms(4_000));
    let after = stopped.elapsed();
    daemon.kill(Signal::SIGCONT)?;
    ensure!(
        arrived,
        "{} are lost or still held after {after:?}",
        held.lost(ms(0))
    );
    ensure!(held.overtaken() == 0 && held.arrivals().len() == 50);
    let fenced = wait_until(LONG, || {
        let status = daemon
            .cli(["status", "-o", "json"])
            .and_then(|said| said.json());
        status.is_ok_and(|status| status["runs"][0]["ended"] == "fenced")
    });
    ensure!(fenced, "{}", daemon.log());
    assert_held("fenced", &held.ways(20, ms(2), LONG)?, ms(0));
    Ok(())
}
