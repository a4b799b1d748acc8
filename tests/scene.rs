//! A namespace under fault, a stream that suffers from it, and the machine as it was before: what
//! the crash tests have in common.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Daemon, Family, Instance, Lab, Options, Snapshot, Stream, wait_until};

/// Everything that is waited for has happened by then, on a machine that is busy with builds.
pub const LONG: Duration = Duration::from_secs(20);
/// A stream that loses nothing for so long is well again.
pub const CALM: Duration = Duration::from_millis(300);

/// Which parts of the mechanism are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Decided in place: programs only.
    Partition,
    /// Decided per segment: programs and the detour's device.
    Drop,
    /// The same on `lo`: sysctls too.
    Loopback,
    /// Held for longer than the stream waits: programs and the hold queue's device.
    Hold,
}

impl Fault {
    /// Those that this kernel is capable of.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Partition, Self::Drop, Self::Loopback];
        if support::queue::no_fq().is_none() {
            all.push(Self::Hold);
        }
        all
    }
}

/// Dropped, its namespaces go.
pub struct Scene {
    pub stream: Stream,
    pub lab: Lab,
    fault: Fault,
    before: Snapshot,
}

impl Scene {
    pub fn new(name: &str, fault: Fault) -> Result<Self> {
        let lab = Lab::new(name)?;
        let stream = match fault {
            Fault::Partition => Stream::start(lab.peer(), lab.target(), Family::V4)?,
            Fault::Drop => Stream::start(lab.target(), lab.peer(), Family::V6)?,
            Fault::Loopback => Stream::loopback(lab.target())?,
            Fault::Hold => Stream::start(lab.target(), lab.peer(), Family::V4)?,
        };
        let before = Snapshot::settled(lab.target())?;
        Ok(Self {
            stream,
            lab,
            fault,
            before,
        })
    }

    /// `inject` and its flags, for a minute.
    pub fn inject(&self) -> Vec<String> {
        self.inject_for("60s")
    }

    /// The same, for another time.
    pub fn inject_for(&self, time: &str) -> Vec<String> {
        let port = self.stream.port();
        let fault = match self.fault {
            Fault::Partition => format!("partition --local-port {port}"),
            Fault::Drop => format!("drop --rate 50% --port {port}"),
            Fault::Loopback => format!("drop --rate 50% --port {port} --interface lo"),
            Fault::Hold => format!("delay --time 9s --port {port}"),
        };
        format!(
            "inject {fault} --netns {} --for {time}",
            self.lab.target().netns()
        )
        .split(' ')
        .map(str::to_owned)
        .collect()
    }

    /// A daemon that has just made the stream suffer.
    pub fn daemon(&self) -> Result<Daemon> {
        self.daemon_in(Instance::new()?)
    }

    /// The same, of an instance that exists.
    pub fn daemon_in(&self, instance: Instance) -> Result<Daemon> {
        let daemon = Daemon::start_in(instance, &Options::default())?;
        self.arm(&daemon)?;
        Ok(daemon)
    }

    /// Has the daemon inject the fault and waits until the stream suffers; returns the run's id.
    pub fn arm(&self, daemon: &Daemon) -> Result<String> {
        let id = self.arm_only(daemon)?;
        ensure!(
            self.stream.suffers(LONG),
            "the fault has no effect: {}",
            daemon.log()
        );
        Ok(id)
    }

    /// Has the daemon inject the fault; returns the run's id.
    pub fn arm_only(&self, daemon: &Daemon) -> Result<String> {
        let said = daemon.cli(self.inject().into_iter().chain(["--detach".to_owned()]))?;
        ensure!(said.status == Some(0), "{said:?}\n{}", daemon.log());
        Ok(said.stdout.trim().to_owned())
    }

    /// A foreground `chaosd inject` that has just made the stream suffer.
    pub fn foreground(&self, instance: Instance) -> Result<Foreground> {
        let child = self.start(&instance)?;
        let foreground = Foreground { child, instance };
        // It begins by taking away what another left, which costs the stream a packet where there is
        // no tcx: that is not the fault yet.
        let starts = wait_until(LONG, || foreground.watchdog().is_ok_and(runs));
        ensure!(
            starts && self.stream.suffers(LONG),
            "the fault has no effect: {}",
            foreground.log()
        );
        Ok(foreground)
    }

    /// Starts a foreground `chaosd inject` of an instance that others use too.
    pub fn start(&self, instance: &Instance) -> Result<Inject> {
        let log = fs::File::create(instance.file("inject.log", "")?)?;
        let mut command = instance.command()?;
        command
            .args(self.inject())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().context("failed to start chaosd inject")?;
        Ok(Inject(child))
    }

    /// Fails unless the namespace is as it was, the state directory holds nothing, and nothing is
    /// reported as left.
    pub fn assert_clean_after_next_command(&self, instance: &Instance) -> Result<()> {
        let said = instance.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        self.assert_clean(instance)
    }

    /// The same of a daemon that goes on.
    pub fn assert_clean_after_revert(&self, daemon: &Daemon) -> Result<()> {
        let said = daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}\n{}", daemon.log());
        self.assert_unchanged()?;
        let journals: Vec<_> = files(&daemon.state_dir())
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "journal"))
            .collect();
        ensure!(
            journals.is_empty(),
            "left in the state directory: {journals:?}"
        );
        Ok(())
    }

    /// The same, with no further command.
    pub fn assert_clean(&self, instance: &Instance) -> Result<()> {
        self.assert_unchanged()?;
        let left = files(&instance.state_dir());
        ensure!(left.is_empty(), "left in the state directory: {left:?}");
        Ok(())
    }

    /// What has changed in the namespace, a line each.
    pub fn changes(&self) -> Result<String> {
        Ok(Snapshot::take(self.lab.target())?.changes_since(&self.before))
    }

    /// Fails unless the namespace is as it was.
    pub fn assert_unchanged(&self) -> Result<()> {
        Snapshot::take(self.lab.target())?.assert_same(&self.before);
        Ok(())
    }
}

/// A foreground `chaosd inject`; dropped, it is killed and reaped.
pub struct Inject(Child);

impl Inject {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    pub fn kill(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).context("failed to signal chaosd inject")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut status = None;
        let _in_time = wait_until(LONG, || {
            status = self.0.try_wait().ok().flatten();
            status.is_some()
        });
        status.context("chaosd inject still runs")
    }
}

impl Drop for Inject {
    fn drop(&mut self) {
        // One that has ended is what we want; its watchdog does the rest.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// One that is alone in its state directory; dropped, what it leaves is reverted too.
pub struct Foreground {
    child: Inject,
    pub instance: Instance,
}

impl Foreground {
    pub fn watchdog(&self) -> Result<Pid> {
        watchdog(&self.instance.state_dir(), 0)
    }

    pub fn kill(&self, signal: Signal) -> Result<()> {
        self.child.kill(signal)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().with_context(|| self.log())
    }

    /// Kills it if need be, and keeps what it has left.
    pub fn into_instance(self) -> Instance {
        self.instance
    }

    /// What it told its user.
    pub fn log(&self) -> String {
        fs::read_to_string(self.instance.state_dir().with_file_name("inject.log"))
            .unwrap_or_default()
    }
}

/// The watchdog of an instance, by what it has signed.
pub fn watchdog(state: &Path, number: u32) -> Result<Pid> {
    let path = state.join(format!("instances/{number}/watchdog"));
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let owner: serde_json::Value = serde_json::from_str(&text)?;
    let pid = owner["pid"].as_i64().context("no pid")?;
    Ok(Pid::from_raw(i32::try_from(pid)?))
}

/// Whether so many runs on `lo` come to be armed in the state directory.
pub fn become_armed(instance: &Instance, count: usize) -> bool {
    wait_until(LONG, || {
        let armed = files(&instance.state_dir())
            .iter()
            .filter(|path| path.to_string_lossy().ends_with("-lo.journal"))
            .count();
        armed == count
    })
}

/// Every file below, the directories left out.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Whether that process runs. A zombie does not.
pub fn runs(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}
