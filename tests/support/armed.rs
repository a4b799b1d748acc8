//! A run of a daemon, from its start to its report.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::instance::Instance;
use crate::node::Node;

/// What a test asks for repeats its decisions with this, so that the same packets meet the same
/// losses whenever it runs.
pub const SEED: u64 = 20;

/// A run that is armed. Dropped, it goes on until the daemon ends.
#[derive(Debug)]
#[must_use = "a run is ended by `revert`"]
pub struct Run<'a> {
    instance: &'a Instance,
    id: String,
}

/// Packets of one direction, as the report tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Passed the fault's interfaces.
    pub seen: u64,
    /// Matched.
    pub matched: u64,
    /// It acted on.
    pub affected: u64,
    /// Of those, the ones that a full link dropped.
    pub tail_dropped: u64,
    /// Those that chaosd's own queue refused.
    pub overflow: u64,
}

/// What chaosd says of a run.
#[derive(Clone, Debug)]
pub struct Told(pub Value);

impl Told {
    /// The counts of a fault, arriving and leaving.
    ///
    /// # Panics
    /// When the report has none.
    #[track_caller]
    pub fn counts(&self, fault: usize) -> [Count; 2] {
        ["in", "out"].map(|direction| {
            let counts = &self.0["faults"][fault][direction];
            let get = |name| match counts[name].as_u64() {
                Some(count) => count,
                None => panic!("fault {fault} has no count {direction}.{name}: {self:?}"),
            };
            Count {
                seen: get("seen"),
                matched: get("matched"),
                affected: get("affected"),
                tail_dropped: get("tail-dropped"),
                overflow: get("overflow"),
            }
        })
    }

    /// Both directions of a fault.
    ///
    /// # Panics
    /// When the report has none.
    #[track_caller]
    pub fn total(&self, fault: usize) -> Count {
        let [a, b] = self.counts(fault);
        Count {
            seen: a.seen + b.seen,
            matched: a.matched + b.matched,
            affected: a.affected + b.affected,
            tail_dropped: a.tail_dropped + b.tail_dropped,
            overflow: a.overflow + b.overflow,
        }
    }

    /// A field of the report, such as `phase`, `ended` or `verdict` of a fault.
    pub fn word(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl<'a> Run<'a> {
    /// `chaosd inject FLAGS` against a node, seeded; `flags` are divided by spaces.
    pub fn inject(instance: &'a Instance, target: &Node, flags: &str) -> Result<Self> {
        let seed = SEED.to_string();
        let target = ["--netns", target.netns(), "--seed", &seed];
        let words = flags.split_whitespace().chain(target);
        Self::start(instance, ["inject"].into_iter().chain(words))
    }

    /// A profile of these faults (YAML, a list) against a node, seeded.
    pub fn faults(instance: &'a Instance, target: &Node, faults: &str) -> Result<Self> {
        let netns = target.netns();
        let text = format!(
            "version: 1\nfor: 5m\nseed: {SEED}\ntarget: {{netns: {netns}}}\nfaults:\n{faults}\n"
        );
        let file = instance.file("profile.yaml", &text)?;
        Self::start(instance, ["run", &file.display().to_string()])
    }

    /// `chaosd run` or `inject` with these words, by the daemon.
    pub fn start<'w>(
        instance: &'a Instance,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<Self> {
        let words = words.into_iter().chain(["--detach", "-o", "json"]);
        let output = instance.cli(words)?;
        if output.status != Some(0) {
            bail!("not armed: {output:?}");
        }
        let id = output.json()?["id"]
            .as_str()
            .context("a run without an id")?
            .to_owned();
        Ok(Self { instance, id })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is said of it now.
    pub fn report(&self) -> Result<Told> {
        let status = self.instance.cli(["status", "-o", "json"])?.json()?;
        let runs = status["runs"].as_array().context("a status without runs")?;
        let run = runs.iter().find(|run| run["id"] == self.id.as_str());
        Ok(Told(
            run.with_context(|| format!("{} is not told of: {status}", self.id))?
                .clone(),
        ))
    }

    /// Whether it is over by itself.
    pub fn is_over(&self) -> bool {
        self.report()
            .is_ok_and(|told| told.word("/phase") != "armed")
    }

    /// Ends it, and fails unless everything is as before.
    pub fn revert(self) -> Result<Told> {
        let output = self.instance.cli(["revert", &self.id, "-o", "json"])?;
        if output.status != Some(0) {
            bail!("not reverted: {output:?}");
        }
        let told = self.report()?;
        if told.word("/ended") == "fenced" {
            bail!("this machine stood still for a second, and the watchdog took over: {told:?}");
        }
        Ok(told)
    }
}
