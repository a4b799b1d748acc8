//! Limits of a cgroup (`cpu-quota`, `freeze`, `disk`, `pids`): they hold whom they are for, and what was there
//! before is written back, whatever becomes of chaosd.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use support::{Cgroup, Daemon, Instance, Options, Output, Run, wait_until};

pub const LONG: Duration = Duration::from_secs(20);
/// Files that limits are written to, by both versions, and those that enable controllers.
const FILES: [&str; 10] = [
    "cpu.max",
    "io.max",
    "cgroup.freeze",
    "pids.max",
    "cgroup.subtree_control",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "freezer.state",
];

/// A cgroup, with one of its name in each v1 hierarchy that there is.
pub struct Place {
    members: Vec<Child>,
    twins: Vec<PathBuf>,
    // Last: it is removed when its processes are gone.
    cgroup: Cgroup,
}

impl Place {
    pub fn new() -> Result<Option<Self>> {
        let Some(cgroup) = Cgroup::new()? else {
            return Ok(None);
        };
        let mut place = Self {
            members: Vec::new(),
            twins: Vec::new(),
            cgroup,
        };
        for hierarchy in v1()? {
            let twin = hierarchy.join(place.cgroup.path().trim_start_matches('/'));
            std::fs::create_dir(&twin).with_context(|| twin.display().to_string())?;
            place.twins.push(twin);
        }
        Ok(Some(place))
    }

    /// As users type it.
    pub fn path(&self) -> &str {
        self.cgroup.path()
    }

    /// A command that becomes a process in it.
    pub fn command(&self, program: &str) -> Command {
        self.cgroup.command(program)
    }

    /// The unified one.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Where it is in each hierarchy.
    pub fn directories(&self) -> Result<Vec<PathBuf>> {
        let name = self.cgroup.path().trim_start_matches('/');
        let unified = unified()?.map(|tree| tree.join(name));
        Ok(self.twins.iter().cloned().chain(unified).collect())
    }

    /// Moves a process in, with all its threads.
    pub fn take(&self, pid: u32) -> Result<()> {
        for directory in self.directories()? {
            std::fs::write(directory.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Runs a shell command in it to its end; what it printed.
    pub fn output(&self, script: &str) -> Result<Output> {
        let output = self.shell(script).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output {
            status: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// A shell in it, whose process it becomes; returns when it is there.
    pub fn run(&mut self, script: &str) -> Result<u32> {
        let pid = self.spawn(script)?;
        let inside = wait_until(LONG, || {
            std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| {
                let in_it = text.matches(self.cgroup.path()).count();
                in_it > self.twins.len()
            })
        });
        ensure!(inside, "{pid} is not in {}", self.cgroup.path());
        Ok(pid)
    }

    fn spawn(&mut self, script: &str) -> Result<u32> {
        let child = self.shell(script).spawn()?;
        let pid = child.id();
        self.members.push(child);
        Ok(pid)
    }

    fn shell(&self, script: &str) -> Command {
        let joins = self.twins.iter().fold(String::new(), |text, twin| {
            format!("{text}echo $$ > {}/cgroup.procs && ", twin.display())
        });
        let mut command = self.cgroup.command("sh");
        command.args(["-c", &format!("{joins}{script}")]);
        command.stdin(Stdio::null());
        command
    }

    /// What all files say that a limit could change, of it and of those above it.
    pub fn files(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut directories = self.directories()?;
        directories.extend(unified()?);
        let paths = directories
            .iter()
            .flat_map(|directory| FILES.map(|file| directory.join(file)));
        Ok(paths
            .filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)))
            .collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for member in &mut self.members {
            member.kill().ok();
            member.wait().ok();
        }
        for twin in &self.twins {
            if !wait_until(LONG, || std::fs::remove_dir(twin).is_ok() || !twin.exists()) {
                eprintln!("a cgroup is left over: {}", twin.display());
            }
        }
    }
}

/// Where v1 hierarchies are mounted.
fn v1() -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let of = |line: &str| -> Option<PathBuf> {
        let words: Vec<&str> = line.split(' ').collect();
        let wanted = ["cpu", "blkio", "freezer", "memory", "pids"];
        let has = words.get(3)?.split(',').any(|word| wanted.contains(&word));
        (*words.get(2)? == "cgroup" && has).then(|| words[1].into())
    };
    let mut found: Vec<PathBuf> = mounts.lines().filter_map(of).collect();
    found.dedup();
    Ok(found)
}

fn unified() -> Result<Option<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (*words.get(2)? == "cgroup2").then(|| words[1].into())
    }))
}

/// Ends a test on a machine without cgroups.
macro_rules! place {
    () => {
        match $crate::limits::Place::new()? {
            Some(place) => place,
            None => support::skip!(Ok(()), "this machine has no unified cgroup tree"),
        }
    };
}

pub(crate) use place;

pub fn start<'a>(daemon: &'a Daemon, place: &Place, fault: &str) -> Result<Run<'a>> {
    let mut words = vec!["inject"];
    words.extend(fault.split_whitespace());
    words.extend(["--cgroup", place.cgroup.path()]);
    Run::start(daemon, words)
}

/// CPU time that a process has used: user and system, in ticks of 10 ms (`proc_pid_stat(5)`).
pub fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest
        .split(' ')
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    fields
        .get(11)
        .zip(fields.get(12))
        .map_or(0, |(user, system)| user + system)
}

/// The share of a core that a process gets for a while.
pub fn share(pid: u32) -> f64 {
    let (before, since) = (ticks(pid), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    #[expect(clippy::cast_precision_loss, reason = "some hundred ticks")]
    let used = (ticks(pid) - before) as f64 / 100.0;
    used / since.elapsed().as_secs_f64()
}

#[test]
fn a_quota_holds_a_spinner_and_is_written_back() -> Result<()> {
    let mut place = place!();
    let spinner = place.run("exec sh -c 'while :; do :; done'")?;
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "cpu-quota --limit 10%")?;
    let held = share(spinner);
    let told = run.revert()?;
    ensure!((0.02..0.15).contains(&held), "{held} of a core: {told:?}");
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(
        place.files()? == before,
        "{:?} was {before:?}",
        place.files()?
    );
    let free = share(spinner);
    ensure!(free > held * 1.5, "{free} after {held}");
    Ok(())
}

#[test]
fn a_frozen_cgroup_stands_still_and_goes_on() -> Result<()> {
    let mut place = place!();
    let spinner = place.run("exec sh -c 'while :; do :; done'")?;
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "freeze")?;
    let held = ticks(spinner);
    std::thread::sleep(Duration::from_secs(1));
    ensure!(ticks(spinner) <= held + 1, "it runs");
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(
        place.files()? == before,
        "{:?} was {before:?}",
        place.files()?
    );
    ensure!(
        wait_until(LONG, || ticks(spinner) > held + 5),
        "it stands still"
    );
    Ok(())
}

#[test]
fn a_pulse_freezes_and_thaws_in_turn() -> Result<()> {
    let mut place = place!();
    let sleeper = place.run("exec sleep 300")?;
    let frozen = || -> bool {
        let files = place.files().unwrap_or_default();
        let says = |(path, text): (&PathBuf, &String)| {
            path.ends_with("cgroup.freeze") && text.trim() == "1"
                || path.ends_with("freezer.state") && text.trim() == "FROZEN"
        };
        files.iter().any(says)
    };
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "freeze --pulse-on 600ms --pulse-off 600ms")?;
    for _ in 0..2 {
        ensure!(wait_until(LONG, frozen), "{sleeper} is not frozen");
        ensure!(wait_until(LONG, || !frozen()), "{sleeper} is not thawed");
    }
    drop(run.revert()?);
    ensure!(!frozen());
    Ok(())
}

/// A disk of its own, on a file.
pub struct Loop {
    device: String,
    file: PathBuf,
}

impl Loop {
    /// The device, as a path.
    pub fn device(&self) -> &str {
        &self.device
    }

    pub fn new(name: &str) -> Result<Self> {
        Self::sized(name, 64)
    }

    /// Of so many MiB.
    pub fn sized(name: &str, mib: u64) -> Result<Self> {
        let name = format!("chaosd-test-{}-{name}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::File::create(&file)?.set_len(mib << 20)?;
        let path = file.display().to_string();
        // Where it is built in there is no module, and without it losetup says what is missing.
        support::run("modprobe", &["loop"]).ok();
        match support::run("losetup", &["--find", "--show", &path]) {
            Ok(device) => Ok(Self {
                device: device.trim().to_owned(),
                file,
            }),
            Err(error) => {
                std::fs::remove_file(&file).ok();
                Err(error)
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(error) = support::run("losetup", &["--detach", &self.device]) {
            eprintln!("a loop device is left over: {error:#}");
        }
        std::fs::remove_file(&self.file).ok();
    }
}

/// Writes 4 MB past the page cache in the cgroup; how long that took.
pub fn write(place: &mut Place, device: &str) -> Result<Duration> {
    let since = Instant::now();
    place.spawn(&format!(
        "exec dd if=/dev/zero of={device} bs=100k count=40 oflag=direct 2>/dev/null"
    ))?;
    let mut child = place.members.pop().context("nobody writes")?;
    let status = child.wait()?;
    ensure!(status.success(), "dd: {status}");
    Ok(since.elapsed())
}

#[test]
fn a_disk_is_as_slow_as_it_is_told_to_be_and_then_as_before() -> Result<()> {
    let mut place = place!();
    let disk = match Loop::new("disk") {
        Ok(disk) => disk,
        Err(error) => support::skip!(Ok(()), "no loop device: {error:#}"),
    };
    let before = place.files()?;
    let daemon = Daemon::start(&Options::default())?;
    let fault = format!("disk --device {} --write-bps 2MB/s", disk.device);
    let run = start(&daemon, &place, &fault)?;
    let held = write(&mut place, &disk.device)?;
    let told = run.revert()?;
    ensure!(
        held > Duration::from_millis(1_500),
        "4 MB in {held:?}: {told:?}"
    );
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(
        place.files()? == before,
        "{:?} was {before:?}",
        place.files()?
    );
    Ok(())
}

#[test]
fn whatever_becomes_of_chaosd_limits_are_written_back() -> Result<()> {
    let mut place = place!();
    let spinner = place.run("exec sh -c 'while :; do :; done'")?;
    let before = place.files()?;
    let back = |place: &Place| wait_until(LONG, || place.files().is_ok_and(|now| now == before));
    for fault in ["cpu-quota --limit 10%", "freeze", "pids"] {
        // The daemon is killed, and its watchdog does it.
        let daemon = Daemon::start(&Options::default())?;
        drop(start(&daemon, &place, fault)?);
        ensure!(place.files()? != before, "{fault}");
        daemon.kill(Signal::SIGKILL)?;
        ensure!(back(&place), "{fault}, daemon killed: {:?}", place.files()?);
        drop(daemon);

        // The daemon stands still: so it does when that is late.
        let daemon = Daemon::start(&Options::default())?;
        let run = start(&daemon, &place, fault)?;
        daemon.kill(Signal::SIGSTOP)?;
        ensure!(
            back(&place),
            "{fault}, daemon stopped: {:?}",
            place.files()?
        );
        daemon.kill(Signal::SIGCONT)?;
        let fenced = || {
            run.report()
                .is_ok_and(|told| told.word("/ended") == "fenced")
        };
        ensure!(wait_until(LONG, fenced), "{:?}", run.report()?);
        drop(daemon);

        // Both are killed: the next command does it, from the journal.
        let daemon = Daemon::start(&Options::default())?;
        drop(start(&daemon, &place, fault)?);
        kill(daemon.watchdog()?, Signal::SIGKILL)?;
        daemon.kill(Signal::SIGKILL)?;
        let output = daemon.cli(["revert", "--all"])?;
        ensure!(output.status == Some(0), "{output:?}");
        ensure!(back(&place), "{fault}, both killed: {:?}", place.files()?);
    }
    ensure!(Path::new(&format!("/proc/{spinner}")).exists());
    Ok(())
}

#[test]
fn what_another_run_holds_is_refused_and_free_again_when_that_is_over() -> Result<()> {
    let mut place = place!();
    place.run("exec sleep 300")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &place, "cpu-quota --limit 50%")?;
    let words = [
        "inject",
        "cpu-quota",
        "--limit",
        "20%",
        "--detach",
        "--cgroup",
    ];
    let again = daemon.cli(words.into_iter().chain([place.cgroup.path()]))?;
    ensure!(again.status == Some(3), "{again:?}");
    ensure!(again.stderr.contains(run.id()), "{again:?}");
    drop(run.revert()?);
    drop(start(&daemon, &place, "cpu-quota --limit 20%")?.revert()?);
    let text = format!(
        "version: 1\ntarget: {{cgroup: {}}}\nfaults:\n  - freeze: {{}}\n  - {{freeze: {{}}, after: 1s}}\n",
        place.cgroup.path()
    );
    let file = daemon.file("twice.yaml", &text)?.display().to_string();
    let twice = daemon.cli(["plan", &file])?;
    ensure!(twice.status == Some(2), "{twice:?}");
    ensure!(twice.stderr.contains("leave one of them out"), "{twice:?}");
    Ok(())
}

pub fn refused(instance: &Instance, fault: &str) -> Result<Output> {
    let text = format!("version: 1\nfaults:\n  - {fault}\n");
    let file = instance.file("profile.yaml", &text)?.display().to_string();
    let output = instance.cli(["plan", &file])?;
    ensure!(output.status == Some(2), "{fault}: {output:?}");
    Ok(output)
}

#[test]
fn what_cannot_be_is_refused_with_what_to_type_instead() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("cpu-quota: 50%", "target one (--cgroup)"),
        ("cpu-quota: {}", "cpu-quota needs a limit"),
        ("cpu-quota: 0%", "is not CPU time"),
        ("freeze: {}", "target one (--cgroup)"),
        ("{cpu-quota: 50%, ramp: 1s}", "ramp beside cpu-quota"),
        ("disk: {path: /}", "at least one of read-bps"),
        ("disk: {read-bps: 5MB/s}", "disk needs a path"),
        ("disk: {path: srv, read-bps: 5MB/s}", "not an absolute path"),
        (
            "disk: {path: /, device: /dev/sda, read-bps: 5MB/s}",
            "device beside path",
        ),
        ("disk: {path: /, read-bps: 5mbit}", "is not a size"),
        ("disk: {path: /, read-iops: 1}", "operations per second"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}
