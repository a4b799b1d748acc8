//! `cpu-quota`: less CPU time for a cgroup.

use std::{fs, path::PathBuf, sync::Arc};

use crate::{
    cgroup::{
        self, Change, Controller,
        limits::{LimitError, cpu},
    },
    plan::{Cgroup, Scope},
    profile::CpuQuota,
    report::Verdict,
};

use super::{
    BindError, Bound, Effect, ResourceFault,
    limit::{self, Limit, Watch},
};

impl ResourceFault for CpuQuota {
    fn what(&self) -> String {
        format!("holds the target to {} of CPU time", self.limit)
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let Some(cgroup) = &scope.cgroup else {
            return Err(BindError(
                "cpu-quota holds a cgroup: target one (--cgroup), or a process of one (--pid)"
                    .into(),
            ));
        };
        let share = self.limit.millionths();
        if let Some(cores) = cgroup::online_cpus().map(|cpus| cpus.len() as u64)
            && share >= cores * cpu::CORE
        {
            return Err(BindError(format!(
                "{} would hold nobody, for this host has {cores} cores: give less than {}%",
                self.limit,
                cores * 100
            )));
        }
        limit::bind(Quota {
            cgroup: cgroup.clone(),
            share,
        })
    }
}

#[derive(Debug)]
struct Quota {
    cgroup: Cgroup,
    share: u64,
}

impl Limit for Quota {
    fn changes(&self) -> Result<Vec<Change>, LimitError> {
        cpu::prepare(&self.cgroup, self.share)
    }

    fn mechanism(&self) -> String {
        "the cgroup's quota".into()
    }

    fn watch(&self) -> Box<dyn Watch> {
        let place = Controller::Cpu.place(&self.cgroup).ok();
        let mut throttled = Throttled {
            stat: place.map(|place| place.directory.join("cpu.stat")),
            before: 0,
        };
        throttled.before = throttled.read();
        Box::new(throttled)
    }
}

/// Periods in which the cgroup wanted more than it had.
struct Throttled {
    stat: Option<PathBuf>,
    before: u64,
}

impl Throttled {
    fn read(&self) -> u64 {
        let text = self
            .stat
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let mut lines = text.lines();
        let periods = lines.find_map(|line| line.strip_prefix("nr_throttled "));
        periods
            .and_then(|periods| periods.parse().ok())
            .unwrap_or_default()
    }
}

impl Watch for Throttled {
    fn effect(&mut self, _: bool, ever: bool) -> (Effect, Verdict) {
        let periods = self.read().saturating_sub(self.before);
        let effect = Effect {
            told: format!("let the target run out of its quota {periods} times"),
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(periods as f64),
            unit: "throttled-periods".into(),
        };
        let verdict = match (ever, periods) {
            (true, 1..) => Verdict::Effective,
            (true, 0) => Verdict::Spared,
            (false, _) => Verdict::Ineffective,
        };
        (effect, verdict)
    }
}
