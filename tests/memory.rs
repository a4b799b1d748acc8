//! `memory` in a cgroup with a limit: it stops before the limit, or, where that is wanted, it meets the
//! OOM killer and is the first that dies.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use support::{Daemon, Options, wait_until};

use crate::burners::{burners, lives, resident};
use crate::limits::{LONG, Place, place, start};

const MIB: u64 = 1 << 20;

/// A cgroup that may have so much memory, with somebody in it who holds some.
struct Limited {
    place: Place,
    directory: PathBuf,
    bystander: u32,
    bytes: u64,
}

impl Limited {
    /// None: no hierarchy of this machine limits memory.
    fn new(mut place: Place, bytes: u64) -> Result<Option<Self>> {
        let Some((directory, limit)) = place.directories()?.into_iter().find_map(|directory| {
            let limits = ["memory.max", "memory.limit_in_bytes"];
            let limit = limits
                .into_iter()
                .find(|file| directory.join(file).exists())?;
            Some((directory, limit))
        }) else {
            return Ok(None);
        };
        std::fs::write(directory.join(limit), bytes.to_string())?;
        // No room to swap to: what does not fit does not.
        std::fs::write(directory.join("memory.swap.max"), "0").ok();
        let holds = "x=$(head -c 4000000 /dev/zero | tr '\\0' x); while :; do sleep 1; done";
        let bystander = place.run(holds)?;
        let grown = wait_until(LONG, || resident(bystander) > 4_000_000);
        ensure!(grown, "the bystander holds {}", resident(bystander));
        Ok(Some(Self {
            place,
            directory,
            bystander,
            bytes,
        }))
    }

    fn number(&self, files: [&str; 2]) -> Result<u64> {
        let text = files
            .into_iter()
            .find_map(|file| std::fs::read_to_string(self.directory.join(file)).ok());
        let text = text.with_context(|| format!("neither of {files:?}"))?;
        Ok(text.trim().parse()?)
    }

    /// What it has now.
    fn used(&self) -> Result<u64> {
        self.number(["memory.current", "memory.usage_in_bytes"])
    }

    /// The most that it ever had; before 5.19 the unified tree does not tell.
    fn most(&self) -> Result<u64> {
        self.number(["memory.peak", "memory.max_usage_in_bytes"])
            .or_else(|_| self.used())
    }

    /// How many of it the OOM killer took.
    fn killed(&self) -> Result<u64> {
        let files = ["memory.events", "memory.oom_control"];
        let text = files
            .into_iter()
            .find_map(|file| std::fs::read_to_string(self.directory.join(file)).ok());
        let text = text.context("no events of memory")?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line.context("the kernel does not count")?.trim().parse()?)
    }
}

macro_rules! limited {
    ($bytes:expr) => {
        match Limited::new(place!(), $bytes)? {
            Some(limited) => limited,
            None => support::skip!(Ok(()), "no hierarchy of this machine limits memory"),
        }
    };
}

#[test]
fn it_stops_before_the_limit_of_its_cgroup_and_nobody_dies() -> Result<()> {
    let limited = limited!(128 * MIB);
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &limited.place, "memory --percent 100%")?;
    let held_back = || {
        let told = run.report().map(|told| told.0.to_string());
        told.is_ok_and(|told| told.contains("the rest would meet a limit"))
    };
    ensure!(wait_until(LONG, held_back), "{:?}", run.report()?);
    let pids = burners(&daemon);
    ensure!(pids.len() == 1, "{pids:?}");
    // Somebody else takes more, and gives it back: there is room for that.
    let more = limited
        .place
        .output("head -c 2000000 /dev/zero | tr '\\0' x | wc -c")?;
    ensure!(more.stdout.trim() == "2000000", "{more:?}");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let (used, most) = (limited.used()?, limited.most()?);
    let told = run.revert()?;
    ensure!(used > limited.bytes / 100 * 85, "{used}: {told:?}");
    // The 2 MB and their programs may have come on top.
    ensure!(most < limited.bytes / 100 * 99, "{most}: {told:?}");
    ensure!(limited.killed()? == 0 && lives(limited.bystander));
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    let back = || limited.used().is_ok_and(|used| used < limited.bytes / 3);
    ensure!(wait_until(LONG, back), "{}", limited.used()?);
    Ok(())
}

#[test]
fn where_the_oom_killer_is_wanted_the_burner_is_the_first_to_die() -> Result<()> {
    let limited = limited!(64 * MIB);
    let daemon = Daemon::start(&Options::default())?;
    let run = start(&daemon, &limited.place, "memory --size 256MiB --oom")?;
    let taken = || {
        let told = run.report().map(|told| told.0.to_string());
        told.is_ok_and(|told| told.contains("when the OOM killer took it"))
    };
    ensure!(wait_until(LONG, taken), "{:?}", run.report()?);
    ensure!(limited.killed()? == 1, "{}", limited.killed()?);
    ensure!(burners(&daemon).is_empty());
    ensure!(lives(limited.bystander), "the bystander died");
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    let reached = told.0["faults"][0]["effect"]["reached"].as_f64();
    #[expect(clippy::cast_precision_loss, reason = "some MiB")]
    let limit = limited.bytes as f64;
    ensure!(
        reached.is_some_and(|bytes| (0.5..1.0).contains(&(bytes / limit))),
        "{told:?}"
    );
    ensure!(
        told.0["problems"].as_array().is_none_or(Vec::is_empty),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_plan_tells_where_it_stops_and_what_it_goes_by() -> Result<()> {
    let place = place!();
    let daemon = Daemon::start(&Options::default())?;
    let plan = |flags: [&str; 2]| {
        let words = ["plan", "inject", "memory", "--cgroup", place.path()];
        daemon.cli(words.into_iter().chain(flags))
    };
    let much = plan(["--size", "500TB"])?;
    ensure!(
        much.stdout.contains("stops before a limit: at "),
        "{much:?}"
    );
    let little = plan(["--size", "1MiB"])?;
    ensure!(!little.stdout.contains("stops before"), "{little:?}");
    let share = plan(["--percent", "1%"])?;
    ensure!(
        share.stdout.contains("all of the host's memory"),
        "{share:?}"
    );
    Ok(())
}
