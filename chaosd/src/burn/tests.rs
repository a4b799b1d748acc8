//! Burners for real, started as this test binary, beside what the kernel says of them.
//!
//! How much CPU time a busy machine gives is its own affair: these tests compare clocks, and wait
//! for what must come in the end.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod birth;
mod death;
mod hoard;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::clock_getcpuclockid,
    unistd::Pid,
};

use super::*;

const ROLE: &str = "CHAOSD_TEST_BURN_ROLE";
const SLICE: Duration = Duration::from_millis(10);
/// For what must come, however busy the machine is.
const LONG: Duration = Duration::from_mins(1);

/// Where a process started by these tests begins: without a role it is the test itself, which
/// checks that a burner refuses nonsense.
#[test]
fn entry() {
    let rest = || env::args_os().skip_while(|arg| arg != VERB).skip(1);
    match env::var(ROLE).ok().as_deref() {
        Some("burner") => {
            let _code = main(rest());
        }
        Some("parent") => death::parent(),
        _ => {
            let nonsense = ["{}", "x", "4", "5"].map(OsString::from);
            assert_eq!(
                format!("{:?}", main(nonsense)),
                format!("{:?}", ExitCode::from(2))
            );
        }
    }
}

/// On its first thread, as a burner is.
fn this_binary(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["burn::tests::entry", "--exact", "--nocapture"])
        .arg("--test-threads=1")
        .env(ROLE, role);
    command
}

fn a_cpu() -> u32 {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..1024)
        .find(|cpu| allowed.is_set(usize::try_from(*cpu).unwrap()).unwrap())
        .unwrap()
}

fn cpu(load: f64) -> Work {
    Work::Cpu {
        cpu: a_cpu(),
        slice: SLICE,
        load,
        nice: 0,
        insist: false,
    }
}

fn start(work: &Work, into: &[PathBuf]) -> Result<Burner, BurnError> {
    Burner::start_as(this_binary("burner"), work, into)
}

/// The CPU time of a process, as the kernel has it.
fn kernel_time(pid: u32) -> Duration {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let time = clock_getcpuclockid(pid).unwrap().now().unwrap();
    Duration::from(time)
}

fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

/// Vouches for it until something holds.
fn vouch_until(burner: &mut Burner, intensity: f64, mut holds: impl FnMut(&mut Burner) -> bool) {
    let begun = Instant::now();
    loop {
        burner.vouch(intensity).unwrap();
        if holds(burner) {
            return;
        }
        assert!(begun.elapsed() < LONG, "{:?}", burner.progress());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_asked_is_used_in_the_end() {
    let mut burner = start(&cpu(0.2), &[]).unwrap();
    vouch_until(&mut burner, 1.0, |burner| {
        let seen = burner.progress();
        seen.cpu_asked > Duration::from_millis(300)
            && seen.cpu_asked.abs_diff(seen.cpu_used) < Duration::from_millis(1)
            && seen.cpu_given_up.is_zero()
    });
    let seen = burner.progress();
    assert!((seen.load_asked() - 0.2).abs() < 1e-3, "{seen:?}");
    assert!(seen.slices.count > 50, "{seen:?}");
    assert!((0.05..0.5).contains(&seen.slices.mean), "{seen:?}");
}

/// A process that wants all of a CPU. Killed in the end.
struct Hog(Child);

impl Hog {
    fn on(cpu: u32) -> Self {
        let mut command = Command::new("sh");
        let hog = Self(command.args(["-c", "while :; do :; done"]).spawn().unwrap());
        let mut only = CpuSet::new();
        only.set(usize::try_from(cpu).unwrap()).unwrap();
        let pid = Pid::from_raw(hog.0.id().try_into().unwrap());
        sched_setaffinity(pid, &only).unwrap();
        hog
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn who_insists_gets_more_than_a_fair_share() {
    let cpu = a_cpu();
    let _hog = Hog::on(cpu);
    let work = Work::Cpu {
        cpu,
        slice: SLICE,
        load: 0.8,
        nice: 0,
        insist: true,
    };
    let mut burner = start(&work, &[]).unwrap();
    let mut before = (Duration::ZERO, Duration::ZERO);
    vouch_until(&mut burner, 1.0, |burner| {
        let seen = burner.progress();
        let time = seen.at_work.saturating_sub(before.0);
        let used = seen.cpu_used.saturating_sub(before.1);
        if time < Duration::from_secs(1) {
            return false;
        }
        before = (seen.at_work, seen.cpu_used);
        used > time.mul_f64(0.7)
    });
}

#[test]
fn half_the_intensity_asks_for_half_the_load() {
    let mut burner = start(&cpu(0.4), &[]).unwrap();
    vouch_until(&mut burner, 0.5, |burner| {
        burner.progress().at_work > Duration::from_millis(300)
    });
    let seen = burner.progress();
    assert!((seen.load_asked() - 0.2).abs() < 1e-3, "{seen:?}");
}

#[test]
fn its_own_clock_is_the_kernels() {
    let mut burner = start(&cpu(0.5), &[]).unwrap();
    let spent = |burner: &mut Burner| {
        let used = burner.progress().cpu_used;
        (used, kernel_time(burner.pid()))
    };
    vouch_until(&mut burner, 1.0, |b| !b.progress().cpu_used.is_zero());
    let (used, kernel) = spent(&mut burner);
    vouch_until(&mut burner, 1.0, |b| {
        b.progress().cpu_used > used + Duration::from_millis(500)
    });
    let (used, kernel) = {
        let (used_now, kernel_now) = spent(&mut burner);
        (
            used_now.checked_sub(used).unwrap(),
            kernel_now.checked_sub(kernel).unwrap(),
        )
    };
    // What it says is as of the end of a slice: either reading is up to a slice old.
    assert!(used.abs_diff(kernel) < SLICE * 2, "{used:?}, {kernel:?}");
}

#[test]
fn it_rests_until_something_is_wanted_and_when_nothing_is() {
    let mut burner = start(&cpu(1.0), &[]).unwrap();
    let rests = |burner: &mut Burner| {
        let before = kernel_time(burner.pid());
        sleep(Duration::from_millis(300));
        let used = kernel_time(burner.pid()).checked_sub(before).unwrap();
        // A wake-up takes some us, in a busy machine's emulator some ms.
        assert!(used < Duration::from_millis(30), "{used:?}");
    };
    rests(&mut burner);
    assert_eq!(burner.progress(), Progress::default());
    vouch_until(&mut burner, 0.0, |_| true);
    rests(&mut burner);
    vouch_until(&mut burner, 1.0, |b| b.progress().cpu_used > SLICE * 5);
    burner.vouch(0.0).unwrap();
    let begun = Instant::now();
    let mut used = kernel_time(burner.pid());
    // The slice in which it hears of it may be under way.
    loop {
        sleep(Duration::from_millis(200));
        let now = kernel_time(burner.pid());
        if now.checked_sub(used).unwrap() < Duration::from_millis(20) {
            break;
        }
        assert!(begun.elapsed() < LONG, "it goes on");
        used = now;
    }
    let at_work = burner.progress().at_work;
    rests(&mut burner);
    assert_eq!(burner.progress().at_work, at_work);
}
