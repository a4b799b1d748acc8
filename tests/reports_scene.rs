//! A shop with a real database and real load, its twin beside it, and their customers, for whom chaosd looks.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::{record::Record, store};
use support::shop::{REDIS_PORT, SHOP_PORT, Shop};
use support::{Family, Instance, Lab, Output, Snapshot, run};

/// Each shop in a namespace of its own; databases, customers and chaosd where both lead to. Fields are
/// dropped in order: chaosd before the namespaces.
pub struct Street {
    chaosd: Instance,
    before: Snapshot,
    _shops: [Shop; 2],
    lab: Lab,
}

/// What a run came to.
pub struct Told {
    pub output: Output,
    pub record: Record,
    pub page: String,
}

/// Why there is none here.
pub fn lacking() -> Option<String> {
    let tools = ["wrk", "redis-benchmark"];
    let missing = tools.iter().find(|tool| run("which", &[tool]).is_err());
    let missing =
        missing.map(|tool| format!("{tool} is not installed (cargo xtask setup brings it)"));
    support::shop::lacking().or(missing)
}

impl Street {
    /// `patience`: so long a shop waits for its database.
    pub fn open(name: &str, patience: Duration) -> Result<Self> {
        let lab = Lab::with_bystander(name)?;
        let open = |n: usize| Shop::between(&lab.peers()[n], lab.target(), patience);
        let shops = [open(0)?, open(1)?];
        Ok(Self {
            chaosd: Instance::new()?,
            before: Snapshot::take(lab.peer())?,
            _shops: shops,
            lab,
        })
    }

    /// Runs `shop.yaml` of a directory by hand, as a customer, and writes down what nobody expected.
    pub fn run(&self, dir: &Path, surprise: Option<&str>) -> Result<Told> {
        let (customer, shops) = (self.lab.target(), self.lab.peers());
        let at = |n: usize| {
            Ok::<_, anyhow::Error>(format!(
                "{}:{SHOP_PORT}",
                shops[n].address_facing(customer, Family::V4)?
            ))
        };
        let database = customer.address_facing(&shops[0], Family::V4)?;
        let set = [
            format!("place={}", shops[0].netns()),
            format!("shop={}", at(0)?),
            format!("door={}", at(0)?),
            format!("twin={}", at(1)?),
            format!("spared={}", shops[1].netns()),
            format!("database={database}"),
        ];
        let profile = std::fs::read_to_string(dir.join("shop.yaml")).context("no profile")?;
        let mut command = self.chaosd.command()?;
        command.current_dir(dir).args(["run", "shop.yaml"]);
        for one in &set {
            let (name, _) = one.split_once('=').unwrap_or_default();
            if profile.contains(&format!("${{{name}}}")) {
                command.args(["--set", one]);
            }
        }
        ensure!(
            profile.contains(&REDIS_PORT.to_string()),
            "the fault misses the database"
        );
        let output = customer.enter(|| command.output())??;
        let output = Output {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        println!("{}\n{}", output.stderr, output.stdout);
        if let Some(text) = surprise {
            let written = self.chaosd.cli(["report", "latest", "--surprise", text])?;
            ensure!(written.status == Some(0), "{written:?}");
        }
        let mut runs = std::fs::read_dir(self.chaosd.runs_dir()).context("no run is kept")?;
        let kept = runs.next().context("no run is kept")??.path();
        ensure!(runs.next().is_none(), "one run is kept as several");
        Snapshot::take(self.lab.peer())?.assert_same(&self.before);
        Ok(Told {
            output,
            record: store::read(&kept)?,
            page: std::fs::read_to_string(kept.join("report.html"))?,
        })
    }
}
