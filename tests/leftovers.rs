//! What is left when nobody is left to clear it up: it is found, told, and undone, at whatever
//! step chaosd died and in whatever state its journals are.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Instance, Kept, hangs_filters, wait_until};

use crate::scene::{Fault, LONG, Scene, files, runs, watchdog};

/// A change, and how it is seen from outside.
type Seen<'a> = (&'static str, Box<dyn FnMut() -> bool + 'a>);

#[test]
fn doctor_and_status_list_what_a_double_kill_left_until_it_is_reverted() -> Result<()> {
    let scene = Scene::new("doctor", Fault::Loopback)?;
    let _kept = Kept::leftovers();
    let instance = doubly_killed(&scene)?;
    let netns = format!("netns {}", scene.lab.target().netns());
    let of_ours = |text: &str| {
        let state = instance.state_dir().display().to_string();
        (text.matches(&netns).count(), text.matches(&state).count())
    };
    let doctor = instance.cli(["doctor"])?;
    let (_, journals) = of_ours(&doctor.stdout);
    let left = |what: &str| {
        let lines = doctor.stdout.lines();
        lines
            .filter(|l| l.contains(what) && l.contains(&netns))
            .count()
    };
    ensure!(
        left("the device chaosd") == 2 && journals >= 1,
        "{doctor:?}"
    );
    // Links go with the process, filters do not.
    ensure!(
        left("filter(s) at lo") == usize::from(hangs_filters()),
        "{doctor:?}"
    );
    let status = instance.cli(["status"])?;
    ensure!(status.stdout.contains("revert --all"), "{status:?}");

    scene.assert_clean_after_next_command(&instance)?;
    let doctor = instance.cli(["doctor"])?;
    ensure!(of_ours(&doctor.stdout) == (0, 0), "{doctor:?}");
    let status = instance.cli(["status"])?;
    ensure!(!status.stdout.contains("revert --all"), "{status:?}");
    Ok(())
}

#[test]
fn a_run_killed_with_its_watchdog_at_any_moment_leaves_nothing_that_is_not_undone() -> Result<()> {
    let scene = Scene::new("moments", Fault::Loopback)?;
    let instance = Instance::new()?;
    let arming = time_to_arm(&scene, &instance)?;
    let mut left = 0_u32;
    let rounds = if support::is_emulated() { 10_u32 } else { 50 };
    for round in 0..rounds {
        let child = start_alone(&scene, &instance)?;
        // All of arming is covered, and what comes after it.
        sleep(arming.mul_f64(1.5 * f64::from(round) / f64::from(rounds)));
        end(&instance, child)?;
        left += u32::from(!files(&instance.state_dir()).is_empty());
        if round % 2 == 0 {
            scene
                .assert_clean_after_next_command(&instance)
                .with_context(|| format!("round {round}"))?;
        }
        // In the other rounds the next run finds it, and may die over it.
    }
    println!(
        "{left} of {rounds} deaths in {:?} left something for the next command",
        arming.mul_f64(1.5)
    );
    ensure!(
        left > 0,
        "no death left anything to undo: all came too early"
    );
    scene.assert_clean_after_next_command(&instance)
}

#[test]
fn a_run_killed_when_a_change_has_just_been_seen_leaves_nothing_that_is_not_undone() -> Result<()> {
    let scene = Scene::new("steps", Fault::Loopback)?;
    let netns = scene.lab.target().netns().to_owned();
    let instance = Instance::new()?;
    let journal = |name: &str| instance.state_dir().join("instances/0").join(name);
    let exists = |path: PathBuf| move || path.exists();
    let link = |state: &'static str| {
        let netns = netns.clone();
        move || {
            ip(&["-n", &netns, "-o", "link"]).is_ok_and(|links| {
                links
                    .lines()
                    .any(|l| l.contains("chaosd") && l.contains(state))
            })
        }
    };
    let sysctl = {
        let node = scene.lab.target();
        move || {
            let read = || fs::read_to_string("/proc/sys/net/ipv4/conf/lo/accept_local");
            node.enter(read)
                .is_ok_and(|value| value.is_ok_and(|value| value.trim() == "1"))
        }
    };
    let seen: Vec<Seen<'_>> = vec![
        ("the lock", Box::new(exists(journal("lock")))),
        ("the watchdog's name", Box::new(exists(journal("watchdog")))),
        (
            "the plane's journal",
            Box::new(exists(journal("plane-0.journal"))),
        ),
        (
            "the detour's journal",
            Box::new(exists(journal("plane-0-detour.journal"))),
        ),
        ("the detour", Box::new(link("chaosd"))),
        ("the detour in use", Box::new(link("state UP"))),
        (
            "the journal of lo",
            Box::new(exists(journal("plane-0-lo.journal"))),
        ),
        ("a changed sysctl", Box::new(sysctl)),
    ];
    for (what, mut seen) in seen {
        let child = start_alone(&scene, &instance)?;
        let came = wait_until_closely(&mut seen);
        end(&instance, child)?;
        ensure!(came, "{what} never came");
        scene
            .assert_clean_after_next_command(&instance)
            .with_context(|| what.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_daemon_starts_from_a_clean_machine_whatever_the_last_one_left() -> Result<()> {
    let scene = Scene::new("restart", Fault::Loopback)?;
    let instance = doubly_killed(&scene)?;
    let daemon = support::Daemon::start_in(instance, &support::Options::default())?;
    scene.assert_unchanged()?;
    // And serves as if nothing had been.
    scene.arm(&daemon)?;
    scene.assert_clean_after_revert(&daemon)
}

#[test]
fn journals_that_are_cut_or_garbled_are_replayed_as_far_as_they_prove_and_the_rest_is_told()
-> Result<()> {
    let scene = Scene::new("garbled", Fault::Loopback)?;
    for (what, spoil) in [
        ("cut", cut as fn(&[u8]) -> Vec<u8>),
        ("garbled", garble),
        ("emptied", |_| Vec::new()),
        ("noise", |_| vec![0xff; 4096]),
    ] {
        let instance = doubly_killed(&scene)?;
        let journals = files(&instance.state_dir());
        let journals: Vec<_> = journals
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "journal"))
            .collect();
        ensure!(journals.len() >= 3, "{journals:?}");
        let originals = journals
            .iter()
            .map(|path| Ok(fs::read(path)?))
            .collect::<Result<Vec<_>>>()?;
        for (path, original) in journals.iter().zip(&originals) {
            fs::write(path, spoil(original))?;
        }
        let said = instance.cli(["revert", "--all"])?;
        println!("{what}: {:?}\n{}{}", said.status, said.stdout, said.stderr);
        ensure!(!said.stderr.contains("panicked"), "{what}: {said:?}");
        ensure!(
            [Some(0), Some(6)].contains(&said.status),
            "{what}: {said:?}"
        );
        // Never silently left: what could not be proved is told.
        let left = scene.changes()?;
        // An empty journal is that of a run which died before its first change.
        let told = said.status == Some(6)
            || said.stdout.contains("half written")
            || what == "emptied" && !left.contains("chaosd");
        ensure!(
            left.is_empty() || told,
            "{what}: {said:?}, and left:\n{left}"
        );
        // Whole again, they undo what is left, however much was undone before.
        for (path, original) in journals.iter().zip(&originals) {
            fs::create_dir_all(path.parent().context("a journal has a directory")?)?;
            fs::write(path, original)?;
        }
        scene
            .assert_clean_after_next_command(&instance)
            .with_context(|| what.to_owned())?;
    }
    Ok(())
}

#[test]
fn with_no_room_for_a_journal_nothing_is_changed() -> Result<()> {
    let scene = Scene::new("full", Fault::Loopback)?;
    let instance = Instance::new()?;
    let state = instance.state_dir();
    fs::create_dir(&state)?;
    let disk = Tmpfs::mount(&state, "size=64k,mode=0700")?;
    // From full to almost enough: each refusal comes at another step.
    for free in [0_usize, 4096, 8192, 12288, 16384, 20480] {
        let filler = state.join("filler");
        fs::write(&filler, vec![0; (64 << 10) - free]).or_else(|error| {
            // The directory itself takes a page on some kernels.
            (error.raw_os_error() == Some(libc::ENOSPC))
                .then_some(())
                .ok_or(error)
        })?;
        let said = instance.cli(scene.inject_for("100ms"))?;
        println!(
            "{free} bytes free: {:?} {}",
            said.status,
            said.stderr.trim()
        );
        ensure!(!said.stderr.contains("panicked"), "{free}: {said:?}");
        if said.status == Some(3) {
            ensure!(said.stderr.contains("No space left"), "{free}: {said:?}");
        } else {
            ensure!(
                [Some(0), Some(5)].contains(&said.status),
                "{free}: {said:?}"
            );
        }
        scene.assert_unchanged()?;
        fs::remove_file(&filler)?;
        let said = instance.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{free}: {said:?}");
        ensure!(files(&state).is_empty(), "{free}: {:?}", files(&state));
    }
    drop(disk);
    Ok(())
}

/// An instance whose foreground run and watchdog were killed in mid-fault.
fn doubly_killed(scene: &Scene) -> Result<Instance> {
    let mut run = scene.foreground(Instance::new()?)?;
    let watchdog = run.watchdog()?;
    kill(watchdog, Signal::SIGKILL)?;
    run.kill(Signal::SIGKILL)?;
    run.wait()?;
    // Both hold the instance's lock until the last of them is gone.
    ensure!(wait_until(LONG, || !runs(watchdog)), "the watchdog lives");
    Ok(run.into_instance())
}

/// How long it takes here from the start of `inject` to its last change but one.
fn time_to_arm(scene: &Scene, instance: &Instance) -> Result<Duration> {
    let start = Instant::now();
    let child = start_alone(scene, instance)?;
    let journal = instance.state_dir().join("instances/0/plane-0-lo.journal");
    let came = wait_until_closely(&mut || journal.exists());
    let took = start.elapsed();
    end(instance, child)?;
    ensure!(came, "{} never came", journal.display());
    scene.assert_clean_after_next_command(instance)?;
    Ok(took)
}

/// A foreground `inject` in a process group of its own, so that no signal of ours reaches others.
fn start_alone(scene: &Scene, instance: &Instance) -> Result<Child> {
    instance
        .command()?
        .args(scene.inject())
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start chaosd inject")
}

/// Kills it with its watchdog, and waits.
fn end(instance: &Instance, mut child: Child) -> Result<()> {
    kill_all(instance, child.id())?;
    child.wait().context("failed to wait for chaosd inject")?;
    Ok(())
}

/// Kills a process and its watchdog, however far they are.
fn kill_all(instance: &Instance, pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed());
    // The watchdog first: it has but this instant to notice.
    if let Ok(watchdog) = watchdog(&instance.state_dir(), 0) {
        let _gone = kill(watchdog, Signal::SIGKILL);
    }
    kill(pid, Signal::SIGKILL).context("failed to kill chaosd inject")?;
    // One that had not signed yet, or that was just being started.
    let gone = wait_until(LONG, || {
        let others = instance.processes();
        for other in others.iter().filter(|other| **other != pid) {
            let _gone = kill(*other, Signal::SIGKILL);
        }
        others.iter().all(|other| *other == pid)
    });
    ensure!(gone, "processes are left: {:?}", instance.processes());
    Ok(())
}

/// As [`wait_until`], without a pause in between: the moment after is what is wanted.
fn wait_until_closely(seen: &mut dyn FnMut() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < LONG {
        if seen() {
            return true;
        }
    }
    false
}

fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("failed to start ip")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cut(journal: &[u8]) -> Vec<u8> {
    journal[..journal.len() * 2 / 3].to_vec()
}

fn garble(journal: &[u8]) -> Vec<u8> {
    let mut journal = journal.to_vec();
    for byte in journal.iter_mut().skip(40).step_by(97) {
        *byte ^= 0x55;
    }
    journal
}

/// A small disk; dropped, it is gone.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path, options: &str) -> Result<Self> {
        mount(
            Some("none"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options),
        )
        .context("failed to mount a tmpfs")?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("failed to unmount {}: {error}", self.0.display());
        }
    }
}
