//! The parent of a burner dies.

use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::burn::{Burner, Work};
use chaosd::sys::process::pidfd_open;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use serde_json::json;

use super::chaosd;
use super::rival::{NICE, precede};
use super::watch::Cpus;
use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

/// The word by which this program is a parent that is to be killed.
pub const PARENT: &str = "burner-parent";
const MOST_MS: f64 = 100.0;

/// Holds a burner of a whole CPU and one of 64 MiB, and says which processes they are.
pub fn parent() -> Result<bool> {
    let cpu = Cpus::choose()?.burnt.try_into()?;
    let works = [
        Work::Cpu {
            cpu,
            slice: Duration::from_millis(100),
            load: 1.0,
            nice: NICE,
            insist: false,
        },
        Work::Memory {
            bytes: 64 << 20,
            lock: false,
            guards: Vec::new(),
        },
    ];
    let mut burners = Vec::new();
    for work in works {
        let burner = Burner::start_by(&chaosd()?, &work, &[])?;
        precede(Pid::from_raw(burner.pid().try_into()?));
        burners.push(burner);
    }
    let at_work = |burner: &mut Burner| -> Result<bool> {
        burner.vouch(1.0)?;
        Ok(!burner.progress().cpu_used.is_zero())
    };
    let mut told = false;
    loop {
        let mut all = true;
        for burner in &mut burners {
            all &= at_work(burner)?;
        }
        if all && !told {
            let pids: Vec<_> = burners.iter().map(|b| b.pid().to_string()).collect();
            println!("{}", pids.join(" "));
            told = true;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Killed and reaped in the end.
struct Parent(Child);

impl Drop for Parent {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(20, 5);
    Table::progress(&format!("SIGKILL of the parent, {turns} turns"));
    let mut times = Vec::new();
    for _ in 0..turns {
        let child = Command::new("/proc/self/exe")
            .arg(PARENT)
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start a parent")?;
        let mut parent = Parent(child);
        let mut line = String::new();
        let out = parent.0.stdout.take().context("no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let burners = line
            .split_whitespace()
            .map(|word| Ok(pidfd_open(word.parse()?)?))
            .collect::<Result<Vec<_>>>()?;
        ensure!(burners.len() == 2, "the parent says {line:?}");
        let struck = Instant::now();
        parent.0.kill()?;
        for burner in &burners {
            let mut fds = [PollFd::new(burner.as_fd(), PollFlags::POLLIN)];
            ensure!(
                poll(&mut fds, PollTimeout::from(5000_u16))? == 1,
                "a burner lives on"
            );
        }
        times.push(ms(struck.elapsed()));
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: "SIGKILL of the parent".to_owned(),
        chaosd: format!("{:.1} ms to no burner", median(&times)),
        beside: "-".to_owned(),
        target: format!("within {MOST_MS} ms"),
        holds: Some(most <= MOST_MS),
        note: format!("{least:.1} to {most:.1} ms in {turns} turns; a whole CPU and 64 MiB"),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
