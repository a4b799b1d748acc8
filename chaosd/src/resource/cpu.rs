//! `cpu`: CPU time is burned, in controlled slices, beside the target's own processes.

use std::{sync::Arc, time::Duration};

use nix::{sched::sched_getaffinity, unistd::Pid};

use crate::{
    burn::Work,
    cgroup::{self, limits::cpu},
    plan::Scope,
    profile::{Cpu, LoadOf},
    report::Verdict,
    undo::RevertReport,
};

use super::{
    ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault,
    burners::{Burners, Ordered},
};

impl ResourceFault for Cpu {
    fn what(&self) -> String {
        let whose = match self.of {
            LoadOf::Quota => "of the target's CPU time",
            LoadOf::Core => "of each core",
        };
        format!("burns {} {whose}", self.load)
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let online = usable(scope)?;
        let cpus = self.chosen(&online)?;
        let quota = match (&scope.cgroup, self.of) {
            (Some(cgroup), LoadOf::Quota) => {
                let held = cpu::in_force(cgroup).map_err(|e| BindError(crate::undo::chain(&e)))?;
                held.and_then(|(quota, _)| quota.share())
            }
            _ => None,
        };
        let share = self.load.get() / 100.0;
        // Of how many cores it is a share; without a quota a target may have them all.
        #[expect(clippy::cast_precision_loss, reason = "some thousand cores")]
        let (cores, all) = match (self.of, quota) {
            (LoadOf::Core, _) => (cpus.len() as f64, cpus.len() as f64),
            (LoadOf::Quota, None) => (online.len() as f64, online.len() as f64),
            (LoadOf::Quota, Some(quota)) => (quota as f64 / cpu::CORE as f64, online.len() as f64),
        };
        let wanted = share * cores.min(all);
        #[expect(clippy::cast_precision_loss, reason = "some thousand cores")]
        let each = wanted / cpus.len() as f64;
        if each > 1.0 {
            let listed: Vec<String> = cpus.iter().map(ToString::to_string).collect();
            return Err(BindError(format!(
                "{} of the target's {cores} cores are {wanted:.2}, more than CPU {} has: name more of them, or say of: core (--of core) for {} of each",
                self.load,
                listed.join(", "),
                self.load,
            )));
        }
        let work = |cpu: &u32| Work::Cpu {
            cpu: *cpu,
            slice: self.slice,
            load: each,
            nice: self.priority.unwrap_or(0),
            insist: self.insists(),
        };
        Ok(Arc::new(Load {
            burners: Ordered::new(cpus.iter().map(work).collect(), scope),
            cpus,
            wanted,
            slice: self.slice,
            insist: self.insists(),
        }))
    }
}

impl Cpu {
    /// A weight that somebody chose is left to him.
    fn insists(&self) -> bool {
        self.priority.is_none()
    }

    fn chosen(&self, online: &[u32]) -> Result<Vec<u32>, BindError> {
        let listed = || {
            let words: Vec<String> = online.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        if let Some(absent) = self.cpus.iter().find(|cpu| !online.contains(cpu)) {
            return Err(BindError(format!(
                "the target has no CPU {absent}; it has: {}",
                listed()
            )));
        }
        if !self.cpus.is_empty() {
            return Ok(self.cpus.clone());
        }
        let count = self
            .cores
            .map_or(online.len(), |cores| cores.get() as usize);
        if count > online.len() {
            return Err(BindError(format!(
                "{count} cores are more than the target has: {}",
                online.len()
            )));
        }
        Ok(online[..count].to_vec())
    }
}

/// The CPUs that this process may use and the target too.
fn usable(scope: &Scope) -> Result<Vec<u32>, BindError> {
    let failed = |e| BindError(format!("failed to find the CPUs: {e}"));
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(failed)?;
    let has = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    let ours = (0..nix::sched::CpuSet::count()).filter(has);
    let mut cpus: Vec<u32> = ours.filter_map(|cpu| u32::try_from(cpu).ok()).collect();
    if let Some((allowed, file)) = scope.cgroup.as_ref().and_then(cgroup::allowed_cpus) {
        cpus.retain(|cpu| allowed.contains(cpu));
        if cpus.is_empty() {
            return Err(BindError(format!(
                "chaosd may use none of the CPUs that the target has by {}: let it run on those too",
                file.display()
            )));
        }
    }
    Ok(cpus)
}

#[derive(Debug)]
struct Load {
    burners: Ordered,
    cpus: Vec<u32>,
    /// In cores, over all burners.
    wanted: f64,
    slice: Duration,
    insist: bool,
}

impl Bound for Load {
    fn mechanism(&self) -> String {
        let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
        format!(
            "a process pinned to each of CPU {}, {:.2} cores together, in slices of {}, in {}",
            cpus.join(", "),
            self.wanted,
            humantime::format_duration(self.slice),
            self.burners.entrances()
        )
    }

    fn notes(&self) -> Vec<String> {
        let takes = "takes more weight where others leave it less than its load (nice, down to -20; name a priority to keep it from that)";
        self.insist.then(|| takes.to_owned()).into_iter().collect()
    }

    fn undo(&self) -> String {
        "the processes are killed; they die with chaosd by themselves".into()
    }

    fn prepare(&self) -> Result<(), ActError> {
        self.burners.prepare()
    }

    fn arm(&self, _: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Burning {
            burners: self.burners.take()?,
            wanted: self.wanted,
        }))
    }
}

struct Burning {
    burners: Burners,
    wanted: f64,
}

impl Acting for Burning {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        self.burners.act_again(now).map(|()| None)
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let progress = self.burners.progress();
        let asked: f64 = progress.iter().map(|p| p.load_asked() * 100.0).sum();
        let reached: f64 = progress.iter().map(|p| p.load_reached() * 100.0).sum();
        let full = self.wanted * 100.0;
        let effect = Effect {
            told: format!(
                "burned {reached:.2} % of a core of the {asked:.2} % that were asked for, {full:.2} % at full intensity{}",
                self.burners.told_again()
            ),
            asked: Some(asked),
            reached: Some(reached),
            unit: "percent-of-a-core".into(),
        };
        let verdict = if reached > 0.0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(self: Box<Self>) -> RevertReport {
        self.burners.end()
    }
}
