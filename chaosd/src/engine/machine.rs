//! The faults of a run that act on the machine: each at its own moments, in the order of the profile.

use std::{sync::Arc, time::Duration};

use crate::{
    instance::Instance,
    plan::{Plan, PlannedResource},
    report::{Count, FaultReport},
    resource::{ActError, Acting, Host},
    undo::{RevertReport, System},
};

use super::TICK;

/// Those that are armed, in the order of the plan.
#[derive(Default)]
pub(super) struct Machine(Vec<Active>);

struct Active {
    planned: PlannedResource,
    acting: Box<dyn Acting>,
    /// When it acts next, since the run began.
    next: Duration,
    /// Said once.
    failed: bool,
}

impl Machine {
    /// Arms a plan's faults, which act from [`Machine::act`] on. On failure nothing of them is left.
    pub fn arm(
        id: &str,
        plan: &Plan,
        instance: &Arc<Instance>,
        system: &Arc<dyn System>,
    ) -> Result<Self, ActError> {
        let mut machine = Self::default();
        for (place, planned) in plan.resources.iter().enumerate() {
            let owner = format!("run-{id}-{place}");
            let (instance, system) = (Arc::clone(instance), Arc::clone(system));
            let host = Host::new(instance, system, owner, plan.run_for);
            match planned.bound.arm(host) {
                Ok(acting) => machine.0.push(Active {
                    planned: planned.clone(),
                    acting,
                    next: Duration::ZERO,
                    failed: false,
                }),
                Err(error) => {
                    machine.end();
                    return Err(error);
                }
            }
        }
        Ok(machine)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets those act whose moment has come, `since` the run began; what went wrong, in words, the
    /// first time that it does.
    pub fn act(&mut self, since: Duration) -> Vec<String> {
        let mut problems = Vec::new();
        for active in self.0.iter_mut().filter(|active| active.next <= since) {
            let timeline = &active.planned.spec.timeline;
            let soon = match active.acting.act(timeline.at(since)) {
                Ok(soon) => soon,
                Err(error) => {
                    if !active.failed {
                        problems.push(format!("fault `{}`: {error}", active.planned.spec.name));
                    }
                    active.failed = true;
                    None
                }
            };
            let next = [Some(TICK), timeline.changes_in(since), soon];
            active.next = since + next.into_iter().flatten().min().unwrap_or(TICK);
        }
        problems
    }

    /// How long until somebody's moment comes; `None`: there is nobody.
    pub fn acts_in(&self, since: Duration) -> Option<Duration> {
        let next = self.0.iter().map(|active| active.next).min()?;
        Some(next.saturating_sub(since))
    }

    /// What each of them did.
    pub fn reports(&mut self) -> Vec<FaultReport> {
        let report = |active: &mut Active| {
            let (effect, verdict) = active.acting.effect();
            FaultReport {
                name: active.planned.spec.name.clone(),
                kind: active.planned.spec.kind.name().into(),
                part_of: None,
                what: active.planned.what.clone(),
                ingress: Count::default(),
                egress: Count::default(),
                verdict,
                dns: None,
                effect: Some(effect),
            }
        };
        self.0.iter_mut().map(report).collect()
    }

    /// Ends them, the last first, and puts everything back.
    pub fn end(&mut self) -> RevertReport {
        let mut report = RevertReport::default();
        for active in self.0.drain(..).rev() {
            report.merge(active.acting.end());
        }
        report
    }
}
