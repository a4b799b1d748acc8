//! The twin that is spared: refused when a fault would hit it.

use crate::plan::{Plan, Plans, Scope};

/// Who of the twin's would be hit, and by which plan; `None`: nobody. `twin`: the same faults bound to
/// the twin in the target's place.
pub fn hit<'p>(plans: &'p Plans, twin: &'p Plans) -> Option<(&'p Scope, &'p Scope)> {
    plans.iter().find_map(|plan| {
        let twin = twin.iter().find(|twin| reaches(plan, &twin.scope))?;
        Some((&plan.scope, &twin.scope))
    })
}

fn reaches(plan: &Plan, twin: &Scope) -> bool {
    let scope = &plan.scope;
    let same_netns = (scope.netns.dev, scope.netns.ino) == (twin.netns.dev, twin.netns.ino);
    let shared = match (&scope.cgroup, &twin.cgroup) {
        (Some(hit), Some(twin)) => {
            twin.path.starts_with(&hit.path) || hit.path.starts_with(&twin.path)
        }
        // One of them is all of its place.
        _ => true,
    };
    let packets = !plan.faults.is_empty()
        && same_netns
        && (shared || scope.reach == crate::target::Reach::Namespace);
    packets || (!plan.resources.is_empty() && shared)
}
