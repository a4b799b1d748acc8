//! What experiments on a shop with a real database have in common: their parts, and their runs.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::shop::{REDIS_PORT, Shop};
use support::{Instance, Lab, Output, Snapshot};

/// Everything that is waited for has happened by then, on a machine that is busy with builds.
pub const LONG: Duration = Duration::from_mins(1);

/// Skips the calling test where there is no database.
macro_rules! needs_shop {
    () => {
        if let Some(why) = support::shop::lacking() {
            support::skip!(Ok(()), "{why}");
        }
    };
}
pub(crate) use needs_shop;

/// Fields are dropped in order: chaosd before the namespaces.
pub struct Scene {
    pub instance: Instance,
    pub shop: Shop,
    before: Snapshot,
    pub lab: Lab,
}

impl Scene {
    pub fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let shop = Shop::open(&lab)?;
        Ok(Self {
            instance: Instance::new()?,
            shop,
            before: Snapshot::take(lab.target())?,
            lab,
        })
    }

    /// An experiment whose fault cuts the shop off from its database, with these keys besides.
    pub fn profile(&self, keys: &str) -> String {
        format!(
            "version: 1\nseed: 20\ntarget: {{netns: {}}}\nparameters: {{port: {{default: {REDIS_PORT}}}}}\nfaults:\n- name: cut\n  partition:\n  match: {{ports: [\"${{port}}\"]}}\nhypothesis: The shop sells.\nsteady-state:\n- http: {{url: \"{}\", within: 3s, every: 100ms}}\n{keys}\n",
            self.lab.target().netns(),
            self.shop.url(),
        )
    }

    /// `chaosd run`, beside the shop's database: where its customers are.
    pub fn start(&self, profile: &str) -> Result<Running> {
        let file = self.instance.file("experiment.yaml", profile)?;
        let mut command = self.instance.command()?;
        command
            .args(["run", &file.display().to_string(), "-o", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = self.lab.peer().enter(|| command.spawn())?;
        Ok(Running(Some(child.context("failed to start chaosd run")?)))
    }

    pub fn run(&self, profile: &str) -> Result<(Output, Value)> {
        let output = self.start(profile)?.ended()?;
        let record = output.json()?;
        println!("{}", output.stderr);
        Ok((output, record))
    }

    pub fn assert_clean(&self) -> Result<()> {
        let said = self.instance.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{said:?}");
        Snapshot::take(self.lab.target())?.assert_same(&self.before);
        Ok(())
    }
}

/// A `chaosd run`; dropped, it is killed and reaped.
pub struct Running(pub Option<Child>);

impl Running {
    pub fn pid(&self) -> Result<Pid> {
        let child = self.0.as_ref().context("it has ended")?;
        Ok(Pid::from_raw(child.id().cast_signed()))
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).context("failed to signal it")
    }

    pub fn ended(mut self) -> Result<Output> {
        let child = self.0.take().context("it has ended")?;
        let output = child.wait_with_output()?;
        Ok(Output {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // One that has ended is what we want; its watchdog does the rest.
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }
}

pub fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}

pub fn samples(record: &Value) -> Result<Vec<(f64, bool)>> {
    let samples = record["probes"][0]["samples"].as_array();
    samples
        .context("no samples")?
        .iter()
        .map(|sample| Ok((number(&sample["at"])?, sample["ok"] == true)))
        .collect()
}
