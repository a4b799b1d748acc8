//! What a plan says of faults that act on the machine.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use crate::{
    fault,
    profile::{FaultSpec, Resource, Target},
    resource::{self, BindError, Bound},
};

use super::{Plan, PlanError, Scope};

/// One fault that acts on the machine, and how it is done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedResource {
    /// As asked.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// What it does to what, in one line.
    pub what: String,
    /// How it is done, in one line.
    pub mechanism: String,
    /// How it is undone, in one line.
    pub undo: String,
    /// What the engine arms.
    #[serde(skip)]
    pub bound: Arc<dyn Bound>,
}

pub(super) fn resource(
    spec: &FaultSpec,
    kind: &Resource,
    (target, is_named): (&Target, bool),
    scope: &Scope,
    seed: u64,
) -> Result<PlannedResource, PlanError> {
    let bound = match target {
        Target::Netns(_) if is_named => Err(BindError(format!(
            "{} has no cgroup of its own in the unified (v2) hierarchy, by which its processes and what they use are told from others: start it in one, on a host with cgroup v1 alone after a boot with systemd.unified_cgroup_hierarchy=1; faults on its packets need none",
            scope.label
        ))),
        Target::Netns(_) => Err(BindError(
            "a network namespace has no processes, processors or disks of its own: target a cgroup, a process or the host".into(),
        )),
        _ => resource::fault(kind).bind(scope, seed),
    };
    let bound = bound.map_err(|why| PlanError::Bind {
        fault: spec.name.clone(),
        why,
    })?;
    Ok(PlannedResource {
        what: fault::describe(spec),
        mechanism: bound.mechanism(),
        undo: bound.undo(),
        spec: spec.clone(),
        bound,
    })
}

impl Plan {
    /// What both would change, and only one can put back.
    pub fn clashes_with(&self, other: &Self) -> Option<String> {
        let claims = |plan: &Self| -> Vec<String> {
            let bound = plan.resources.iter().map(|planned| &planned.bound);
            bound.flat_map(|bound| bound.claims()).collect()
        };
        let ours = claims(self);
        claims(other).into_iter().find(|claim| ours.contains(claim))
    }
}

/// No two faults change one thing.
pub(super) fn check_claims(resources: &[PlannedResource]) -> Result<(), PlanError> {
    let mut taken: HashMap<String, &str> = HashMap::new();
    for planned in resources {
        for claim in planned.bound.claims() {
            if let Some(other) = taken.insert(claim.clone(), &planned.spec.name) {
                return Err(PlanError::Bind {
                    fault: planned.spec.name.clone(),
                    why: BindError(format!(
                        "fault `{other}` changes {claim} too: leave one of them out"
                    )),
                });
            }
        }
    }
    Ok(())
}
