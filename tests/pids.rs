//! `pids`: a cgroup runs out of process slots: a shell in it cannot fork, and can afterwards.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use support::{Daemon, Instance, Options, run, wait_until};

use crate::limits::{LONG, Place, place, refused, start};

static SHELLS: AtomicU32 = AtomicU32::new(0);

/// A shell that is in a cgroup, and forks when it is told to.
struct Shell {
    directory: PathBuf,
    pid: u32,
}

impl Shell {
    /// One that starts two programs, and writes a file after each.
    fn new(place: &mut Place) -> Result<Self> {
        let number = SHELLS.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-{}-shell-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        let mut shell = Self { directory, pid: 0 };
        run("mkfifo", &[&shell.file("go").display().to_string()])?;
        // The first is still there when the second is to come, and gone soon after the test.
        let script = format!(
            "cd {} && read go <go; sleep 3 & : >one; sleep 3 & : >two",
            shell.directory.display()
        );
        shell.pid = place.run(&script)?;
        Ok(shell)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Lets it go on; how many programs it could start.
    fn forks(&self) -> Result<usize> {
        std::fs::write(self.file("go"), "\n")?;
        let over = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        ensure!(wait_until(LONG, over), "the shell does not end");
        let done = ["one", "two"].map(|name| self.file(name).exists());
        Ok(done.into_iter().filter(|done| *done).count())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

#[test]
fn a_shell_without_slots_cannot_fork_and_can_afterwards() -> Result<()> {
    for leave in [0, 1] {
        let mut place = place!();
        let (during, after) = (Shell::new(&mut place)?, Shell::new(&mut place)?);
        let before = place.files()?;
        let daemon = Daemon::start(&Options::default())?;
        let run = start(&daemon, &place, &format!("pids --leave {leave}"))?;
        let forked = during.forks()?;
        let told = run.revert()?;
        ensure!(forked == leave, "{forked} of {leave}: {told:?}");
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
        ensure!(
            place.files()? == before,
            "{:?} was {before:?}",
            place.files()?
        );
        ensure!(after.forks()? == 2);
    }
    Ok(())
}

#[test]
fn a_limit_that_is_lower_already_and_a_whole_host_are_refused() -> Result<()> {
    let mut place = place!();
    place.run("exec sleep 300")?;
    let limits: Vec<PathBuf> = (place.files()?.into_keys())
        .filter(|path| path.ends_with("pids.max") && is_of(path, &place))
        .collect();
    for limit in &limits {
        std::fs::write(limit, "3")?;
    }
    let daemon = Daemon::start(&Options::default())?;
    for (leave, status, said) in [
        ("0", 0, "pids.max"),
        ("2", 2, "2 process slots left"),
        ("9", 2, "2 process slots left"),
    ] {
        let text = format!(
            "version: 1\ntarget: {{cgroup: {}}}\nfaults:\n  - pids: {leave}\n",
            place.path()
        );
        let file = daemon.file("profile.yaml", &text)?.display().to_string();
        let plan = daemon.cli(["plan", &file])?;
        if limits.is_empty() && status != 0 {
            // Where its controller is not enabled there is no limit.
            continue;
        }
        ensure!(plan.status == Some(status), "{leave}: {plan:?}");
        let all = format!("{}{}", plan.stdout, plan.stderr);
        ensure!(all.contains(said), "{leave}: {plan:?}");
    }
    let instance = Instance::new()?;
    for (fault, said) in [
        ("pids: {leave: 1}", "target one (--cgroup)"),
        ("pids: {leave: -1}", "is not a number of process slots"),
        ("pids: {leaves: 1}", "did you mean `leave`"),
        ("{pids: 1, ramp: 1s}", "ramp beside pids"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}

fn is_of(path: &Path, place: &Place) -> bool {
    let directory = path.parent().unwrap_or(path);
    directory.ends_with(place.path().trim_start_matches('/'))
}
