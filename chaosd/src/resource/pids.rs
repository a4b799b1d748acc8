//! `pids`: a cgroup runs out of process slots.

use std::sync::Arc;

use crate::{
    cgroup::{
        Change,
        limits::{
            LimitError,
            pids::{self, Refusals},
        },
    },
    plan::{Cgroup, Scope},
    process,
    profile::Pids,
    report::Verdict,
};

use super::{
    BindError, Bound, Effect, ResourceFault,
    limit::{self, Limit, Watch},
};

impl ResourceFault for Pids {
    fn what(&self) -> String {
        match self.leave {
            0 => "leaves the target no process slots".into(),
            1 => "leaves the target 1 process slot".into(),
            leave => format!("leaves the target {leave} process slots"),
        }
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let Some(cgroup) = &scope.cgroup else {
            return Err(BindError(
                "pids takes the process slots of a cgroup, for a host without any could not be rescued: target one (--cgroup), or a process of one (--pid)"
                    .into(),
            ));
        };
        limit::bind(Slots {
            cgroup: cgroup.clone(),
            leave: u64::from(self.leave),
        })
    }
}

#[derive(Debug)]
struct Slots {
    cgroup: Cgroup,
    leave: u64,
}

impl Limit for Slots {
    fn changes(&self) -> Result<Vec<Change>, LimitError> {
        pids::prepare(&self.cgroup, self.leave, &process::unstoppable())
    }

    fn mechanism(&self) -> String {
        "the cgroup's limit of tasks".into()
    }

    fn notes(&self) -> Vec<String> {
        vec![
            "counts threads as the kernel does, and from what runs when it begins: a slot that becomes free is the target's again"
                .into(),
        ]
    }

    fn watch(&self) -> Box<dyn Watch> {
        let refusals = Refusals::of(&self.cgroup);
        Box::new(Refused {
            before: refusals.count(),
            refusals,
        })
    }
}

struct Refused {
    refusals: Refusals,
    before: u64,
}

impl Watch for Refused {
    fn effect(&mut self, _: bool, ever: bool) -> (Effect, Verdict) {
        let count = self.refusals.count().saturating_sub(self.before);
        let effect = Effect {
            told: match count {
                1 => "let 1 fork fail".into(),
                count => format!("let {count} forks fail"),
            },
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(count as f64),
            unit: "forks".into(),
        };
        let verdict = match (ever, count) {
            (true, 1..) => Verdict::Effective,
            (true, 0) => Verdict::Spared,
            (false, _) => Verdict::Ineffective,
        };
        (effect, verdict)
    }
}
