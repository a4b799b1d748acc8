//! `clock`: the host's clock is wrong and then right to the millisecond, whatever becomes of chaosd.
//! Only in a guest of the laboratory: the clock is everybody's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use support::{Daemon, Instance, Options, Run, is_emulated, wait_until};

use crate::limits::{LONG, refused};

/// A watchdog kills a daemon that is late by so much.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// What counts as the same time: some microseconds, and twice that on a processor that is computed.
const SAME: f64 = 0.001;

static TURN: Mutex<()> = Mutex::new(());

/// The clock, which one test at a time may set; dropped, it is right again.
pub struct Clock {
    right: f64,
    _turn: MutexGuard<'static, ()>,
}

impl Clock {
    pub fn new() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        support::is_laboratory().then(|| Self {
            right: apart(),
            _turn: turn,
        })
    }

    /// The right time less that since the boot, in seconds.
    pub fn right(&self) -> f64 {
        self.right
    }

    /// How many seconds it is ahead of the right time.
    pub fn ahead(&self) -> f64 {
        apart() - self.right
    }

    pub fn is(&self, ahead: f64) -> bool {
        (self.ahead() - ahead).abs() < SAME
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        if !self.is(0.0) {
            eprintln!("the clock was left {} s ahead", self.ahead());
            set(self.right).ok();
        }
    }
}

pub fn seconds(clock: ClockId) -> f64 {
    clock_gettime(clock).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// The time of day less the time since the boot: whoever sets the clock changes it, and nothing else.
fn apart() -> f64 {
    let read = |_| {
        let before = seconds(ClockId::CLOCK_BOOTTIME);
        let now = seconds(ClockId::CLOCK_REALTIME);
        let after = seconds(ClockId::CLOCK_BOOTTIME);
        (after - before, now - f64::midpoint(before, after))
    };
    // In all but the narrowest this thread may have waited between two clocks.
    let narrowest = (0..9).map(read).min_by(|a, b| a.0.total_cmp(&b.0));
    narrowest.map_or(0.0, |(_, apart)| apart)
}

fn set(apart: f64) -> Result<()> {
    let now = Duration::from_secs_f64(seconds(ClockId::CLOCK_BOOTTIME) + apart);
    Ok(clock_settime(
        ClockId::CLOCK_REALTIME,
        TimeSpec::from_duration(now),
    )?)
}

/// Ends a test on a machine whose clock is not its own.
macro_rules! clock {
    () => {
        match $crate::clock::Clock::new() {
            Some(clock) => clock,
            None => support::skip!(Ok(()), "the clock of this machine is everybody's"),
        }
    };
}

pub(crate) use clock;

pub fn start<'a>(daemon: &'a Daemon, flags: &str) -> Result<Run<'a>> {
    let words = ["inject", "clock", "--host"];
    Run::start(daemon, words.into_iter().chain(flags.split_whitespace()))
}

#[test]
fn a_clock_is_an_hour_off_and_then_as_right_as_before() -> Result<()> {
    let clock = clock!();
    let daemon = Daemon::start(&Options::default())?;
    for (offset, ahead) in [("1h", 3600.0), ("-1h", -3600.0)] {
        let run = start(&daemon, &format!("--offset {offset}"))?;
        ensure!(clock.is(ahead), "{} s ahead", clock.ahead());
        // Somebody else reads it too.
        let seen: f64 = support::run("date", &["+%s.%N"])?.trim().parse()?;
        let seen = seen - seconds(ClockId::CLOCK_BOOTTIME) - clock.right;
        ensure!((seen - ahead).abs() < 5.0, "{seen}");
        let told = run.revert()?;
        ensure!(clock.is(0.0), "{} s ahead: {told:?}", clock.ahead());
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
        let reached = told.0["faults"][0]["effect"]["reached"].as_f64();
        let reached = reached.context("nothing reached")?;
        ensure!((reached - ahead).abs() < SAME, "{told:?}");
    }
    Ok(())
}

#[test]
fn a_clock_drifts_at_its_rate_and_comes_back() -> Result<()> {
    let clock = clock!();
    let daemon = Daemon::start(&Options::default())?;
    for (drift, rate) in [("10ms/s", 0.01), ("-36s/h", -0.01)] {
        let since = Instant::now();
        let run = start(&daemon, &format!("--drift {drift}"))?;
        let begun = since.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(5));
        let gained = clock.ahead() / rate;
        let passed = since.elapsed().as_secs_f64();
        // It may have begun anywhere within the call, and is up to a step behind, or several where the
        // machine is slow.
        let late = if is_emulated() { 1.5 } else { 0.3 };
        ensure!(
            (passed - begun - late..passed + 0.1).contains(&gained),
            "{gained} s of {passed}, after {begun}"
        );
        let told = run.revert()?;
        ensure!(clock.is(0.0), "{} s ahead: {told:?}", clock.ahead());
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    }
    Ok(())
}

#[test]
fn a_run_lasts_as_long_as_it_was_to_whatever_the_clock_says() -> Result<()> {
    let clock = clock!();
    let daemon = Daemon::start(&Options::default())?;
    for offset in ["1day", "-1h"] {
        let since = Instant::now();
        let run = start(&daemon, &format!("--offset {offset} --for 4s"))?;
        ensure!(!clock.is(0.0));
        ensure!(wait_until(LONG, || clock.is(0.0)), "{}", clock.ahead());
        let lasted = since.elapsed().as_secs_f64();
        ensure!((3.9..10.0).contains(&lasted), "{lasted}");
        ensure!(wait_until(LONG, || run.is_over()));
        let told = run.report()?;
        ensure!(told.word("/ended") == "deadline", "{told:?}");
    }
    Ok(())
}

#[test]
fn whatever_becomes_of_chaosd_the_clock_is_right_again() -> Result<()> {
    let clock = clock!();
    let right = || clock.is(0.0);
    for flags in [
        "--offset 10m",
        "--drift 100ms/s",
        "--offset -2s --drift 1s/s",
    ] {
        let off = |_: &Run| wait_until(LONG, || clock.ahead().abs() > 0.05);
        let daemon = Daemon::start(&Options::default())?;
        ensure!(off(&start(&daemon, flags)?), "{flags}");
        daemon.kill(Signal::SIGKILL)?;
        ensure!(wait_until(LONG, right), "killed: {} s", clock.ahead());
        drop(daemon);

        let daemon = Daemon::start(&Options::default())?;
        let run = start(&daemon, flags)?;
        ensure!(off(&run), "{flags}");
        daemon.kill(Signal::SIGSTOP)?;
        let soon = wait_until(KILL_AFTER / 2, right);
        ensure!(soon, "{flags}, stopped: {} s", clock.ahead());
        daemon.kill(Signal::SIGCONT)?;
        let fenced = || {
            run.report()
                .is_ok_and(|told| told.word("/ended") == "fenced")
        };
        ensure!(wait_until(LONG, fenced), "{:?}", run.report()?);
        ensure!(right(), "{flags}, awake: {} s", clock.ahead());
        drop(daemon);

        let daemon = Daemon::start(&Options::default())?;
        ensure!(off(&start(&daemon, flags)?), "{flags}");
        kill(daemon.watchdog()?, Signal::SIGKILL)?;
        daemon.kill(Signal::SIGKILL)?;
        let output = daemon.cli(["revert", "--all"])?;
        ensure!(output.status == Some(0), "{output:?}");
        ensure!(right(), "{flags}, both killed: {} s", clock.ahead());
    }
    Ok(())
}

/// What chaosd takes for a time service, by its name.
struct Keeper {
    child: Child,
    program: PathBuf,
}

impl Keeper {
    fn new() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("chaosd-test-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let program = directory.join("chronyd");
        std::fs::copy(which("sleep")?, &program)?;
        let child = Command::new(&program)
            .arg("300")
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { child, program })
    }

    fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.is_ok_and(|stat| stat.contains(") T "))
    }
}

fn which(name: &str) -> Result<PathBuf> {
    let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(name));
    let found = places.into_iter().find(|path| path.exists());
    found.with_context(|| format!("no {name}"))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(directory) = self.program.parent() {
            std::fs::remove_dir_all(directory).ok();
        }
    }
}

#[test]
fn who_keeps_the_clock_right_stands_still_if_that_is_wanted_and_goes_on() -> Result<()> {
    let clock = clock!();
    let keeper = Keeper::new()?;
    let daemon = Daemon::start(&Options::default())?;
    let plan = daemon.cli(["inject", "clock", "--host", "--offset", "5m", "--detach"])?;
    ensure!(plan.status == Some(2), "{plan:?}");
    let said = format!("{} (chronyd) keeps the clock right", keeper.child.id());
    ensure!(plan.stderr.contains(&said), "{plan:?}");
    ensure!(clock.is(0.0));
    let run = start(&daemon, "--offset 5m --time-service stop")?;
    ensure!(wait_until(LONG, || keeper.stands_still()));
    drop(run.revert()?);
    ensure!(wait_until(LONG, || !keeper.stands_still()));
    let run = start(&daemon, "--offset 5m --time-service stop")?;
    ensure!(wait_until(LONG, || keeper.stands_still()));
    daemon.kill(Signal::SIGKILL)?;
    ensure!(wait_until(LONG, || !keeper.stands_still() && clock.is(0.0)));
    drop(run);
    Ok(())
}

#[test]
fn a_clock_that_somebody_sets_meanwhile_stays_as_they_set_it() -> Result<()> {
    let clock = clock!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, "--offset 1h")?;
    set(clock.right + 86_400.0)?;
    let noticed = || {
        let told = run.report().map(|told| told.0.to_string());
        told.is_ok_and(|told| told.contains("somebody has set the clock"))
    };
    ensure!(wait_until(LONG, noticed), "{:?}", run.report()?);
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "ineffective", "{told:?}");
    ensure!(told.0.to_string().contains("left alone"), "{told:?}");
    ensure!((clock.ahead() - 86_400.0).abs() < 1.0, "{}", clock.ahead());
    set(clock.right)
}

#[test]
fn two_chaosd_do_not_step_one_clock() -> Result<()> {
    let clock = clock!();
    let (one, other) = (
        Daemon::start(&Options::default())?,
        Daemon::start(&Options::default())?,
    );
    let run = start(&one, "--offset 1h")?;
    let second = other.cli(["inject", "clock", "--host", "--offset", "2h", "--detach"])?;
    ensure!(second.status != Some(0), "{second:?}");
    ensure!(second.stderr.contains("another chaosd"), "{second:?}");
    ensure!(clock.is(3600.0), "{}", clock.ahead());
    drop(run.revert()?);
    drop(start(&other, "--offset 2h")?.revert()?);
    ensure!(clock.is(0.0), "{}", clock.ahead());
    Ok(())
}

#[test]
fn the_profile_sets_the_clock_wrong_and_right_again() -> Result<()> {
    let clock = clock!();
    let daemon = Daemon::start(&Options::default())?;
    let run = Run::start(&daemon, ["run", "clock-skew", "--set", "offset=-90s"])?;
    ensure!(clock.is(-90.0), "{}", clock.ahead());
    drop(run.revert()?);
    ensure!(clock.is(0.0), "{}", clock.ahead());
    Ok(())
}

#[test]
fn what_no_clock_can_show_is_refused() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("clock: {}", "clock needs an offset"),
        ("clock: 5", "without a unit"),
        ("clock: {drift: 3s/s}", "at most a second per second"),
        ("clock: {offset: 5m, drifts: 1ppm}", "did you mean `drift`"),
        ("{clock: 5m, ramp: 1s}", "ramp beside clock"),
        ("clock: {offset: 5m, time-service: kill}", "is not stop"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    let own = std::process::id().to_string();
    let output = instance.cli(["plan", "clock-skew", "--pid", &own])?;
    ensure!(output.status == Some(2), "{output:?}");
    Ok(())
}
