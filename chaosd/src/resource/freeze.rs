//! `freeze`: a whole cgroup stands still.

use std::sync::Arc;

use crate::{
    cgroup::{
        self, Change,
        limits::{LimitError, freeze},
    },
    plan::{Cgroup, Scope},
    process,
    profile::Freeze,
    report::Verdict,
};

use super::{
    BindError, Bound, Effect, ResourceFault,
    limit::{self, Limit, Watch},
};

impl ResourceFault for Freeze {
    fn what(&self) -> String {
        "freezes every process of the target".into()
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let Some(cgroup) = &scope.cgroup else {
            return Err(BindError(
                "freeze stops a cgroup: target one (--cgroup), or a process of one (--pid); `process` with signal STOP stops single processes".into(),
            ));
        };
        limit::bind(Freezer {
            cgroup: cgroup.clone(),
        })
    }
}

#[derive(Debug)]
struct Freezer {
    cgroup: Cgroup,
}

impl Limit for Freezer {
    fn changes(&self) -> Result<Vec<Change>, LimitError> {
        freeze::prepare(&self.cgroup, &process::unstoppable())
    }

    fn mechanism(&self) -> String {
        "the cgroup's freezer".into()
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Members(self.cgroup.clone()))
    }
}

struct Members(Cgroup);

impl Watch for Members {
    fn effect(&mut self, holds: bool, ever: bool) -> (Effect, Verdict) {
        let count = cgroup::pids(&self.0).map_or(0, |pids| pids.len());
        let told = match (holds, count) {
            (true, 1) => "holds 1 process still".to_owned(),
            (true, count) => format!("holds {count} processes still"),
            (false, count) => format!("lets {count} processes run"),
        };
        let effect = Effect {
            told,
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(if holds { count as f64 } else { 0.0 }),
            unit: "processes".into(),
        };
        let verdict = if ever && count > 0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }
}
