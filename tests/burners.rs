//! `cpu` and `memory`: what is burned is what was asked for, in the target's cgroup, and it is gone
//! with the run, and with chaosd.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use support::{Daemon, Instance, Options, wait_until};

use crate::limits::{LONG, Place, place, refused, start, ticks};

/// The burners of a daemon, dead ones left out.
pub fn burners(daemon: &Daemon) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_it = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = format!(" {} ", daemon.pid());
        stat.contains("(chaosd-burn)")
            && stat.rsplit_once(") ").is_some_and(|(_, rest)| {
                rest.get(1..).is_some_and(|rest| rest.starts_with(&parent))
                    && !rest.starts_with('Z')
            })
    };
    pids.filter(of_it).collect()
}

/// True while that process is there.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// In bytes (`proc_pid_status(5)`).
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[test]
fn a_load_is_burned_in_the_target_s_cgroup_and_ends_with_the_run() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(
        &daemon,
        &place,
        "cpu --load 30% --of core --cpu 0 --slice 20ms",
    )?;
    let burners = burners(&daemon);
    let [burner] = burners[..] else {
        anyhow::bail!("{burners:?}");
    };
    let of = std::fs::read_to_string(format!("/proc/{burner}/cgroup"))?;
    ensure!(of.contains(place.path()), "{of}");
    let (before, since) = (ticks(burner), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    #[expect(clippy::cast_precision_loss, reason = "some hundred ticks")]
    let used = (ticks(burner) - before) as f64 / 100.0 / since.elapsed().as_secs_f64();
    let told = run.revert()?;
    // On a machine that others use it may get less than it asks for, never more.
    ensure!((0.1..0.33).contains(&used), "{used} of a core: {told:?}");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(!lives(burner), "it is still there");
    Ok(())
}

#[test]
fn memory_grows_to_what_was_asked_for_and_is_given_back() -> Result<()> {
    const ASKED: u64 = 64 << 20;
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "memory --size 64MiB --ramp 2s")?;
    let burners = burners(&daemon);
    let [burner] = burners[..] else {
        anyhow::bail!("{burners:?}");
    };
    let holds = |share: u64| wait_until(LONG, || resident(burner) >= ASKED / 100 * share);
    ensure!(
        holds(20) && resident(burner) < ASKED / 100 * 90,
        "{}",
        resident(burner)
    );
    ensure!(holds(98), "{}", resident(burner));
    std::thread::sleep(Duration::from_millis(500));
    ensure!(resident(burner) < ASKED / 100 * 104, "{}", resident(burner));
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(!lives(burner), "it is still there");
    Ok(())
}

#[test]
fn burners_die_with_the_daemon_and_rest_when_it_stands_still() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "cpu --load 20% --of core --cpu 0")?;
    let burner = burners(&daemon);
    let [burner] = burner[..] else {
        anyhow::bail!("{burner:?}");
    };
    daemon.kill(Signal::SIGSTOP)?;
    let rests = wait_until(LONG, || {
        let before = ticks(burner);
        std::thread::sleep(Duration::from_millis(500));
        ticks(burner) <= before + 1
    });
    ensure!(rests, "it burns on for a daemon that stands still");
    daemon.kill(Signal::SIGKILL)?;
    ensure!(
        wait_until(LONG, || !lives(burner)),
        "it outlives the daemon"
    );
    drop(run);
    Ok(())
}

#[test]
fn a_burner_that_somebody_kills_comes_again_and_that_is_told() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "cpu --load 20% --of core --cpu 0")?;
    let [first] = burners(&daemon)[..] else {
        anyhow::bail!("{:?}", burners(&daemon));
    };
    let burns = |pid: u32| wait_until(LONG, || ticks(pid) > 2);
    ensure!(burns(first), "it burns nothing");
    kill_burner(first)?;
    let other = || burners(&daemon).into_iter().find(|pid| *pid != first);
    ensure!(wait_until(LONG, || other().is_some()), "none came");
    let second = other().unwrap_or_default();
    ensure!(burns(second), "the other burns nothing");
    let of = std::fs::read_to_string(format!("/proc/{second}/cgroup"))?;
    ensure!(of.contains(place.path()), "{of}");
    let told = run.revert()?;
    let said = told.word("/faults/0/effect/told");
    ensure!(said.contains("another was started"), "{told:?}");
    ensure!(!lives(second), "it is still there");
    Ok(())
}

/// A cpuset of v1, beside a cgroup of the same name.
struct Cpuset(PathBuf);

impl Cpuset {
    /// Of the first CPU alone. `None`: this machine has no such hierarchy.
    fn new(place: &Place) -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup/cpuset");
        if !root.join("cpuset.cpus").exists() {
            return Ok(None);
        }
        let cpuset = Self(root.join(place.path().trim_start_matches('/')));
        std::fs::create_dir(&cpuset.0)?;
        std::fs::write(cpuset.0.join("cpuset.cpus"), "0")?;
        Ok(Some(cpuset))
    }
}

impl Drop for Cpuset {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("a cpuset is left over: {error}");
        }
    }
}

#[test]
fn a_load_is_burned_on_the_cpus_that_the_target_has() -> Result<()> {
    let place = place!();
    let Some(_cpuset) = Cpuset::new(&place)? else {
        support::skip!(Ok(()), "this machine has no cpuset hierarchy of v1");
    };
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "cpu --load 20%")?;
    let burners = burners(&daemon);
    ensure!(burners.len() == 1, "{burners:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", burners[0]))?;
    ensure!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    drop(run.revert()?);
    let words = [
        "plan", "inject", "cpu", "--load", "20%", "--cpu", "1", "--cgroup",
    ];
    let refused = daemon.cli(words.into_iter().chain([place.path()]))?;
    ensure!(refused.status == Some(2), "{refused:?}");
    ensure!(
        refused
            .stderr
            .contains("the target has no CPU 1; it has: 0"),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn memory_that_somebody_took_back_is_not_said_to_be_held() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "memory --size 16MiB")?;
    let [burner] = burners(&daemon)[..] else {
        anyhow::bail!("{:?}", burners(&daemon));
    };
    ensure!(wait_until(LONG, || resident(burner) >= 15 << 20));
    ensure!(wait_until(LONG, || run.report().is_ok_and(|told| told
        .word("/faults/0/effect/told")
        .starts_with("holds 16"))));
    kill_burner(burner)?;
    let taken = || {
        let said = run
            .report()
            .map(|told| told.word("/faults/0/effect/told").to_owned());
        said.is_ok_and(|said| said.contains("when somebody else took it"))
    };
    ensure!(wait_until(LONG, taken), "{:?}", run.report()?);
    ensure!(burners(&daemon).is_empty(), "{:?}", burners(&daemon));
    drop(run.revert()?);
    Ok(())
}

fn kill_burner(pid: u32) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
    Ok(nix::sys::signal::kill(pid, Signal::SIGKILL)?)
}

#[test]
fn burners_of_a_run_that_is_refused_are_gone() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let held = start(&daemon, &place, "cpu-quota --limit 50%")?;
    let text = format!(
        "version: 1\ntarget: {{cgroup: {}}}\nfaults: [{{cpu: 10%}}, {{cpu-quota: 20%}}]\n",
        place.path()
    );
    let file = daemon.file("twice.yaml", &text)?.display().to_string();
    let refused = daemon.cli(["run", &file, "--detach"])?;
    ensure!(refused.status == Some(3), "{refused:?}");
    ensure!(refused.stderr.contains(held.id()), "{refused:?}");
    let gone = wait_until(LONG, || burners(&daemon).is_empty());
    ensure!(gone, "{:?}", burners(&daemon));
    drop(held.revert()?);
    Ok(())
}

#[test]
fn a_load_that_cannot_be_is_refused_with_what_to_type_instead() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("cpu: {}", "cpu needs a load"),
        ("cpu: 0%", "0% is nothing"),
        ("cpu: {load: 50%, cpus: 8191}", "the target has no CPU 8191"),
        ("cpu: {load: 50%, cpus: 3-1}", "is not a CPU or a range"),
        (
            "cpu: {load: 50%, cores: 100000}",
            "more than the target has",
        ),
        ("cpu: {load: 50%, cores: 1, cpus: 0}", "cpus beside cores"),
        ("cpu: {load: 50%, slice: 2s}", "did you mean `1s`?"),
        ("cpu: {load: 50%, priority: 20}", "is not a nice value"),
        ("cpu: {load: 50%, of: limit}", "what load is a share of"),
        ("memory: {}", "memory needs size, percent or leave"),
        ("memory: 0", "0 bytes are nothing"),
        ("memory: {size: 1MB, leave: 1MB}", "leave beside size"),
        ("memory: {leave: 1000GB}", "there is nothing to take"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}
