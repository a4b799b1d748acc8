//! `process`: signals reach those who are meant and nobody else, and what was stopped goes on whatever
//! becomes of chaosd.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Cgroup, Daemon, Instance, Options, Run, wait_until};

pub const LONG: Duration = Duration::from_secs(20);

/// Processes that sleep, in a cgroup and beside it; killed when dropped.
pub struct Sleepers {
    inside: Vec<Child>,
    beside: Child,
    // Last: it is removed when its processes are gone.
    cgroup: Cgroup,
}

impl Sleepers {
    pub fn new(count: usize) -> Result<Option<Self>> {
        let Some(cgroup) = Cgroup::new()? else {
            return Ok(None);
        };
        let sleep = |mut command: Command| command.arg("300").stdin(Stdio::null()).spawn();
        let inside: std::io::Result<Vec<Child>> =
            (0..count).map(|_| sleep(cgroup.command("sleep"))).collect();
        let sleepers = Self {
            inside: inside?,
            beside: sleep(Command::new("sleep"))?,
            cgroup,
        };
        let ready = wait_until(LONG, || {
            let mut names = sleepers.pids().into_iter().map(name);
            names.all(|name| name.is_some_and(|name| name == "sleep"))
        });
        ensure!(ready, "no sleepers");
        Ok(Some(sleepers))
    }

    /// As users type it.
    pub fn cgroup(&self) -> &str {
        self.cgroup.path()
    }

    fn pids(&self) -> Vec<u32> {
        self.inside.iter().map(Child::id).collect()
    }

    /// How each of the cgroup stands.
    pub fn states(&self) -> String {
        self.pids().into_iter().map(state).collect()
    }

    pub fn all(&self, wanted: char) -> bool {
        wait_until(LONG, || self.states().chars().all(|state| state == wanted))
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in self.inside.iter_mut().chain([&mut self.beside]) {
            // One that is gone already is what is wanted.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// The state of `proc_pid_stat(5)`.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.chars().next()).unwrap_or('-')
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}

/// Ends a test on a machine without cgroups.
macro_rules! sleepers {
    ($count:expr) => {
        match $crate::process::Sleepers::new($count)? {
            Some(sleepers) => sleepers,
            None => support::skip!(Ok(()), "this machine has no unified cgroup tree"),
        }
    };
}

pub(crate) use sleepers;

fn inject<'a>(daemon: &'a Daemon, sleepers: &Sleepers, flags: &str) -> Result<Run<'a>> {
    let words = ["inject", "process", "--cgroup", sleepers.cgroup()];
    Run::start(daemon, words.into_iter().chain(flags.split_whitespace()))
}

#[test]
fn as_many_as_were_asked_for_are_killed_and_nobody_beside_them() -> Result<()> {
    let mut sleepers = sleepers!(5);
    let daemon = Daemon::start(&Options::default())?;
    let run = inject(&daemon, &sleepers, "--count 2 --seed 7")?;
    let dead = |sleepers: &Sleepers| sleepers.states().matches('Z').count();
    ensure!(
        wait_until(LONG, || dead(&sleepers) == 2),
        "{}",
        sleepers.states()
    );
    let told = run.revert()?;
    ensure!(dead(&sleepers) == 2, "{}", sleepers.states());
    ensure!(state(sleepers.beside.id()) == 'S', "one beside them");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(told.0["faults"][0]["effect"]["reached"] == 2.0, "{told:?}");
    for child in &mut sleepers.inside {
        if state(child.id()) == 'Z' {
            use std::os::unix::process::ExitStatusExt as _;
            ensure!(child.wait()?.signal() == Some(9));
        }
    }
    Ok(())
}

#[test]
fn again_and_again_they_are_hit_until_the_run_ends() -> Result<()> {
    let sleepers = sleepers!(4);
    let daemon = Daemon::start(&Options::default())?;
    let run = inject(&daemon, &sleepers, "--count 1 --signal term --every 300ms")?;
    ensure!(sleepers.all('Z'), "{}", sleepers.states());
    drop(run.revert()?);
    Ok(())
}

#[test]
fn who_was_stopped_goes_on_at_the_end_and_who_stood_still_before_does_not() -> Result<()> {
    let sleepers = sleepers!(3);
    let daemon = Daemon::start(&Options::default())?;
    kill(raw(sleepers.inside[0].id()), Signal::SIGSTOP)?;
    ensure!(wait_until(LONG, || sleepers.states() == "TSS"));
    let run = inject(&daemon, &sleepers, "--signal stop")?;
    ensure!(sleepers.all('T'), "{}", sleepers.states());
    let told = run.revert()?;
    ensure!(
        wait_until(LONG, || sleepers.states() == "TSS"),
        "{}",
        sleepers.states()
    );
    ensure!(told.0["faults"][0]["effect"]["reached"] == 2.0, "{told:?}");
    Ok(())
}

#[test]
fn who_was_stopped_as_by_a_terminal_goes_on_too() -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut sleepers = sleepers!(1);
    // The kernel stops nobody in this way who has no parent to let him go on (signal(7), "orphaned").
    let mut command = sleepers.cgroup.command("sleep");
    let child = command.arg("300").process_group(0).spawn()?;
    let pid = child.id();
    sleepers.inside.push(child);
    ensure!(wait_until(LONG, || name(pid).is_some_and(|name| name == "sleep")));
    let daemon = Daemon::start(&Options::default())?;
    let run = inject(&daemon, &sleepers, "--signal tstp")?;
    ensure!(
        wait_until(LONG, || state(pid) == 'T'),
        "{}",
        sleepers.states()
    );
    drop(run.revert()?);
    ensure!(
        wait_until(LONG, || state(pid) == 'S'),
        "{}",
        sleepers.states()
    );
    Ok(())
}

#[test]
fn a_pulse_stops_them_and_lets_them_go_on_in_turn() -> Result<()> {
    let sleepers = sleepers!(2);
    let daemon = Daemon::start(&Options::default())?;
    let flags = "--signal stop --pulse-on 500ms --pulse-off 500ms --after 300ms";
    let run = inject(&daemon, &sleepers, flags)?;
    for _ in 0..3 {
        ensure!(sleepers.all('T'), "{}", sleepers.states());
        ensure!(sleepers.all('S'), "{}", sleepers.states());
    }
    drop(run.revert()?);
    ensure!(sleepers.all('S'), "{}", sleepers.states());
    Ok(())
}

#[test]
fn whatever_becomes_of_chaosd_those_that_it_stopped_go_on() -> Result<()> {
    let sleepers = sleepers!(2);
    // The daemon is killed, and its watchdog does it.
    let daemon = Daemon::start(&Options::default())?;
    drop(inject(&daemon, &sleepers, "--signal stop")?);
    ensure!(sleepers.all('T'), "{}", sleepers.states());
    daemon.kill(Signal::SIGKILL)?;
    ensure!(sleepers.all('S'), "daemon killed: {}", sleepers.states());
    drop(daemon);

    // The daemon stands still: so it does when that is late.
    let daemon = Daemon::start(&Options::default())?;
    let run = inject(&daemon, &sleepers, "--signal stop")?;
    ensure!(sleepers.all('T'), "{}", sleepers.states());
    daemon.kill(Signal::SIGSTOP)?;
    ensure!(sleepers.all('S'), "daemon stopped: {}", sleepers.states());
    daemon.kill(Signal::SIGCONT)?;
    let ended = wait_until(LONG, || {
        run.report()
            .is_ok_and(|told| told.word("/ended") == "fenced")
    });
    ensure!(ended, "{:?}", run.report()?);
    drop(daemon);

    // Both are killed: the next command does it, from the journal.
    let daemon = Daemon::start(&Options::default())?;
    drop(inject(&daemon, &sleepers, "--signal stop")?);
    ensure!(sleepers.all('T'), "{}", sleepers.states());
    kill(daemon.watchdog()?, Signal::SIGKILL)?;
    daemon.kill(Signal::SIGKILL)?;
    let output = daemon.cli(["revert", "--all"])?;
    ensure!(output.status == Some(0), "{output:?}");
    ensure!(sleepers.all('S'), "both killed: {}", sleepers.states());
    Ok(())
}

#[test]
fn who_is_needed_is_never_hit() -> Result<()> {
    let instance = Instance::new()?;
    let own = std::process::id().to_string();
    for (flags, why) in [
        ("process: {pid: 1}", "it is the first process"),
        ("process: {pid: 2}", "kernel"),
        (
            "process: {signal: kill}",
            "would hit every process of this host",
        ),
        ("process: {pid: 4194304}", "is not there"),
    ] {
        if flags.contains("pid: 2}") && name(2).as_deref() != Some("kthreadd") {
            continue;
        }
        let text = format!("version: 1\nfaults:\n  - {flags}\n");
        let file = instance.file("profile.yaml", &text)?.display().to_string();
        let output = instance.cli(["run", &file])?;
        ensure!(output.status == Some(2), "{flags}: {output:?}");
        ensure!(output.stderr.contains(why), "{flags}: {output:?}");
    }
    let netns =
        "version: 1\ntarget: {netns: /proc/self/ns/net}\nfaults:\n  - process: {match: a}\n";
    let file = instance.file("profile.yaml", netns)?.display().to_string();
    let output = instance.cli(["run", &file])?;
    ensure!(output.status == Some(2), "{output:?}");
    ensure!(output.stderr.contains("target a cgroup"), "{output:?}");
    // The test runs above the chaosd that it starts.
    let output = instance.cli(["inject", "process", "--match", "*", "--pid", &own])?;
    ensure!(output.status == Some(2), "{output:?}");
    ensure!(output.stderr.contains("chaosd runs below it"), "{output:?}");
    let output = instance.cli(["inject", "process", "--match", "nobody", "--pid", &own])?;
    ensure!(output.status == Some(2), "{output:?}");
    ensure!(output.stderr.contains("is not named nobody"), "{output:?}");
    if name(2).as_deref() == Some("kthreadd") {
        let output = instance.cli(["plan", "inject", "process", "--pid", "2"])?;
        ensure!(output.status == Some(2), "{output:?}");
        ensure!(output.stderr.contains("thread of the kernel"), "{output:?}");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        (
            "process: {match: a/b, signal: KILLL, every: 1ms, count: 0}",
            vec![
                "`a/b` is not the name of a program",
                "`KILLL` is not a signal",
                "did you mean `KILL`?",
                "did you mean `100ms`?",
                "`0` is not how many",
            ],
        ),
        ("process: {match: a, pid: 7}", vec!["match beside pid"]),
        (
            "{process: kill, match: {ports: [80]}, unprotected: true}",
            vec!["match beside process", "unprotected beside process"],
        ),
    ] {
        let text = format!("version: 1\nfaults:\n  - {fault}\n");
        let file = instance.file("profile.yaml", &text)?.display().to_string();
        let output = instance.cli(["run", &file])?;
        ensure!(output.status == Some(2), "{output:?}");
        for said in said {
            ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
        }
    }
    Ok(())
}

#[test]
fn nobody_of_that_name_is_no_success() -> Result<()> {
    let instance = Instance::new()?;
    let words = [
        "inject",
        "process",
        "--match",
        "no-such-program-here",
        "--for",
        "500ms",
    ];
    let output = instance.cli(words)?;
    ensure!(output.status == Some(5), "{output:?}");
    ensure!(output.stderr.contains("had no effect"), "{output:?}");
    Ok(())
}

/// What a status says of it.
#[test]
fn a_status_tells_who_was_hit() -> Result<()> {
    let sleepers = sleepers!(1);
    let daemon = Daemon::start(&Options::default())?;
    let run = inject(&daemon, &sleepers, "--signal usr1 --match sl*")?;
    ensure!(sleepers.all('Z'), "{}", sleepers.states());
    let status = daemon.cli(["status"])?;
    let who = format!(
        "sent USR1 to 1 process, {} (sleep) last",
        sleepers.inside[0].id()
    );
    let told = status.stdout.contains(&who);
    ensure!(told, "{}", status.stdout);
    drop(run.revert().context("reverted")?);
    Ok(())
}
