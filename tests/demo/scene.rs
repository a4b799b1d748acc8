//! A target, a peer that faults name, a peer beside it that none names, and chaosd.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use support::tcp::{Echo, EchoReport};
use support::{Daemon, Family, Lab, Node, Options, Probe, Snapshot, wait_until};

/// The bystander's ports: those that the faulted flows use too, so that it is the address alone
/// that spares it.
pub const PORT: u16 = 7000;
/// Between two datagrams of a probe.
pub const PERIOD: Duration = Duration::from_millis(1);
/// What is under way on a veth pair has arrived by then.
pub const SETTLES: Duration = Duration::from_millis(50);
/// A process that is to end has ended by then.
const ENDS: Duration = Duration::from_secs(8);

/// A direction, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::Out, Self::In];

    /// As chaosd calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

/// The laboratory. Fields are dropped in order: traffic, chaosd, namespaces.
pub struct Scene {
    probe: Probe,
    echo: Option<Echo>,
    daemon: Option<Daemon>,
    before: Snapshot,
    lab: Lab,
    /// Of the next fault: with one for all, a fault would hit the same packets in every row.
    seed: Cell<u64>,
}

/// What the bystander saw while a fault was there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    pub sent: u64,
    pub lost: u64,
    pub reconnects: u64,
}

impl Beside {
    pub fn untouched(&self) -> bool {
        self.sent > 0 && self.lost == 0 && self.reconnects == 0
    }
}

/// The bystander's connection through everything, and the machine afterwards.
pub struct Aftermath {
    pub echo: EchoReport,
    /// What differs from before; empty when nothing does.
    pub changes: String,
}

impl Aftermath {
    pub fn holds(&self) -> bool {
        self.echo.reconnects == 0 && self.echo.lost_bytes == 0 && self.changes.is_empty()
    }
}

/// A fault that chaosd says is armed.
pub struct Armed {
    id: String,
}

impl Scene {
    pub fn new(seed: u64) -> Result<Self> {
        let lab = Lab::with_bystander("demo")?;
        let before = Snapshot::take(lab.target())?;
        let daemon = Daemon::start(&Options::default())?;
        let (target, bystander) = (lab.target(), lab.bystander());
        Ok(Self {
            probe: Probe::start(target, bystander, Family::V4, PORT, PERIOD)?,
            echo: Some(Echo::start(target, bystander, Family::V6, PORT)?),
            daemon: Some(daemon),
            before,
            lab,
            seed: Cell::new(seed),
        })
    }

    pub fn target(&self) -> &Node {
        self.lab.target()
    }

    pub fn peer(&self) -> &Node {
        self.lab.peer()
    }

    /// From whom to whom packets of this direction go.
    pub fn ends(&self, direction: Direction) -> (&Node, &Node) {
        match direction {
            Direction::Out => (self.lab.target(), self.lab.peer()),
            Direction::In => (self.lab.peer(), self.lab.target()),
        }
    }

    pub fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().context("no daemon runs")
    }

    /// Does `work` while the fault that `chaosd inject` is told of in `words` is armed; returns
    /// also what the bystander saw from before until after.
    pub fn under<T>(&self, words: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, Beside)> {
        let (result, beside) = self.beside(|| {
            let armed = self.inject(words)?;
            let result = work()?;
            self.revert(&armed)?;
            Ok(result)
        })?;
        Ok((result, beside))
    }

    /// Does `work`, and returns also what the bystander saw meanwhile.
    pub fn beside<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Beside)> {
        let since = Instant::now();
        let reconnects = self.echo.as_ref().map_or(0, Echo::reconnects);
        let result = work()?;
        let (sent, lost) = self.probe.lost(since, Instant::now());
        let now = self.echo.as_ref().map_or(0, Echo::reconnects);
        Ok((
            result,
            Beside {
                sent,
                lost,
                reconnects: now - reconnects,
            },
        ))
    }

    /// Arms a fault against the peer, by the command line.
    pub fn inject(&self, words: &str) -> Result<Armed> {
        let seed = self.seed.replace(self.seed.get().wrapping_add(1));
        let mut args: Vec<String> = vec!["inject".into()];
        args.extend(words.split_whitespace().map(str::to_owned));
        args.extend(["--netns".into(), self.target().netns().into()]);
        for family in Family::BOTH {
            let address = self.peer().address_facing(self.target(), family)?;
            args.extend(["--peer".into(), address.to_string()]);
        }
        args.extend(["--seed".into(), seed.to_string()]);
        args.extend(["--for", "30s", "--detach", "-o", "json"].map(str::to_owned));
        let output = self.daemon()?.cli(&args)?;
        if output.status != Some(0) {
            bail!(
                "chaosd {}: {}{}",
                args.join(" "),
                output.stdout,
                output.stderr
            );
        }
        let id = output.json()?["id"]
            .as_str()
            .context("a run without an id")?
            .to_owned();
        Ok(Armed { id })
    }

    pub fn revert(&self, armed: &Armed) -> Result<()> {
        let output = self.daemon()?.cli(["revert", &armed.id])?;
        if output.status != Some(0) {
            bail!(
                "chaosd revert {}: {}{}",
                armed.id,
                output.stdout,
                output.stderr
            );
        }
        Ok(())
    }

    /// Another daemon in place of one that was killed. Fails when that has left anything behind.
    pub fn renew_daemon(&mut self) -> Result<()> {
        let daemon = self.daemon()?;
        if !wait_until(ENDS, || daemon.processes().is_empty()) {
            bail!("processes of chaosd outlive it: {:?}", daemon.processes());
        }
        self.restart_daemon()
    }

    /// Another daemon in place of one that still lives, stopped or not.
    pub fn restart_daemon(&mut self) -> Result<()> {
        drop(self.daemon.take());
        self.check_unchanged()?;
        self.daemon = Some(Daemon::start(&Options::default())?);
        Ok(())
    }

    /// What differs in the target's namespace from before chaosd came. A kernel tears devices
    /// down after the system call has returned.
    fn changes(&self) -> Result<String> {
        let mut changes = Snapshot::take(self.target())?.changes_since(&self.before);
        if !changes.is_empty() {
            std::thread::sleep(Duration::from_millis(200));
            changes = Snapshot::take(self.target())?.changes_since(&self.before);
        }
        Ok(changes)
    }

    fn check_unchanged(&self) -> Result<()> {
        let changes = self.changes()?;
        if !changes.is_empty() {
            bail!("chaosd has left something behind:\n{changes}");
        }
        Ok(())
    }

    /// Ends chaosd and the bystander's connection.
    pub fn end(&mut self) -> Result<Aftermath> {
        drop(self.daemon.take());
        let echo = self.echo.take().context("the bystander is silent")?;
        Ok(Aftermath {
            echo: echo.stop(),
            changes: self.changes()?,
        })
    }
}
