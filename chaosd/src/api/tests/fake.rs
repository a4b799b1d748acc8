//! Runs that live in memory: what the API asks, without a kernel.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    api::{Answer, ContainerKey, ContainerRequest, Refusal, RunRequest, Runs},
    engine::EngineError,
    host::{Doctor, Missing},
    plan::{Limits, Plans},
    profile,
    report::{Count, DnsQuery, DnsReport, Ended, FaultReport, Phase, RunId, RunReport, Verdict},
    target::TargetError,
};

/// The name of a profile whose target's runtime is slow.
pub(super) const SLOW: &str = "slow";
/// How slow.
pub(super) const TAKES: Duration = Duration::from_mins(10);

async fn asks_runtimes(request: &RunRequest) {
    if request.name() == SLOW {
        tokio::time::sleep(TAKES).await;
    }
}

#[derive(Default)]
pub(super) struct Fake(Mutex<Vec<RunReport>>);

impl Fake {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<RunReport>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, id: &RunId) -> Result<RunReport, EngineError> {
        let run = self.with(|runs| runs.iter().find(|run| run.id == *id).cloned());
        run.ok_or_else(|| EngineError::NoSuchRun(id.clone()))
    }

    fn end(run: &mut RunReport, why: Ended) {
        if run.phase == Phase::Armed {
            run.phase = Phase::Reverted;
            run.ended = Some(why);
        }
    }

    fn arm(&self, request: &RunRequest) -> Result<RunReport, Refusal> {
        let most = Duration::from_hours(1);
        let profile = request.load(most).map_err(Refusal::Invalid)?;
        if profile.target == profile::Whom::At(profile::Target::Pid(1)) {
            return Err(Refusal::Target(TargetError::NoProcess(1).into()));
        }
        let report = |spec: &profile::FaultSpec| FaultReport {
            name: spec.name.clone(),
            kind: "drop".to_owned(),
            part_of: None,
            what: "drops".to_owned(),
            ingress: Count {
                seen: 9,
                matched: 5,
                affected: 2,
                tail_dropped: 1,
                overflow: 0,
            },
            egress: Count::default(),
            verdict: Verdict::Effective,
            dns: matches!(spec.kind, profile::Kind::Dns(_)).then(|| DnsReport {
                answer: "nxdomain".to_owned(),
                answered: 7,
                tcp: 1,
                last: vec![DnsQuery {
                    name: "db.internal".to_owned(),
                    kind: "A".to_owned(),
                    at: "2026-01-02T03:04:05.678Z".to_owned(),
                }],
            }),
            effect: None,
        };
        Ok(self.with(|runs| {
            let run = RunReport {
                id: format!("r-{:08x}", runs.len() + 1),
                profile: request.name().to_owned(),
                target: "this host".to_owned(),
                phase: Phase::Armed,
                ended: None,
                started: String::new(),
                for_seconds: profile.run_for.as_secs_f64(),
                left_seconds: profile.run_for.as_secs_f64(),
                seed: profile.seed.unwrap_or_default(),
                arm_ms: 1.0,
                faults: profile.faults.iter().map(report).collect(),
                members: Vec::new(),
                problems: Vec::new(),
                notes: Vec::new(),
            };
            runs.push(run.clone());
            run
        }))
    }
}

impl Runs for Fake {
    fn plan(&self, request: RunRequest) -> Answer<'_, Result<Plans, Refusal>> {
        Box::pin(async move {
            asks_runtimes(&request).await;
            Err(Refusal::Host(Missing(Vec::new())))
        })
    }

    fn start(&self, request: RunRequest) -> Answer<'_, Result<RunReport, Refusal>> {
        Box::pin(async move {
            asks_runtimes(&request).await;
            self.arm(&request)
        })
    }

    fn reports(&self) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(async { Ok(self.with(|runs| runs.clone())) })
    }

    fn report(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(async move { self.find(&id) })
    }

    fn wait(&self, id: RunId) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(async move {
            loop {
                let run = self.find(&id)?;
                if run.phase != Phase::Armed {
                    return Ok(run);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn revert(&self, id: RunId, why: Ended) -> Answer<'_, Result<RunReport, EngineError>> {
        Box::pin(async move {
            self.with(|runs| {
                if let Some(run) = runs.iter_mut().find(|run| run.id == id) {
                    Self::end(run, why);
                }
            });
            self.find(&id)
        })
    }

    fn revert_all(&self, why: Ended) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(async move {
            Ok(self.with(|runs| {
                let alive = runs.iter_mut().filter(|run| run.phase == Phase::Armed);
                alive
                    .map(|run| {
                        Self::end(run, why);
                        run.clone()
                    })
                    .collect()
            }))
        })
    }

    fn begin_container(
        &self,
        _: ContainerKey,
        request: ContainerRequest,
    ) -> Answer<'_, Result<RunReport, Refusal>> {
        Box::pin(async move { self.arm(&request.run) })
    }

    fn end_container(&self, key: ContainerKey) -> Answer<'_, Result<Vec<RunReport>, EngineError>> {
        Box::pin(async move {
            if key.id == "none of ours" {
                return Ok(Vec::new());
            }
            self.revert_all(Ended::TargetGone).await
        })
    }

    fn mechanism(&self) -> crate::bpf::Mechanism {
        crate::bpf::Mechanism::Clsact
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn watchdog_pid(&self) -> u32 {
        1
    }

    fn doctor(&self) -> Answer<'_, Result<Doctor, Refusal>> {
        Box::pin(async {
            Ok(Doctor {
                kernel: "6.18".to_owned(),
                ready: true,
                capabilities: Vec::new(),
                instances: Vec::new(),
                leftovers: Vec::new(),
            })
        })
    }
}
