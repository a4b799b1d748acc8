//! Runs that a container asks for while it is being made, by its id and its bundle.
//!
//! Whoever asks waits for little time, and may die or give up meanwhile. Invariant: a run that nobody was
//! told of is ended, and so is one that was called off while it was on its way.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::{
    clock::now_ns,
    engine::EngineError,
    report::{Ended, Phase, RunId, RunReport},
};

use super::{Refusal, Service, request::RunRequest};

/// Containers that are known before those are forgotten whose runs are over.
const MANY: usize = 64;

/// The body of `POST /v1/containers/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerRequest {
    /// The container's first process. It need not run yet; when it is gone the run is over.
    pub pid: i32,
    /// It is one of a pod, whose network others use too, or will: packets of its own sockets alone are hit.
    #[serde(default)]
    pub in_pod: bool,
    /// What to run. The container is its target, whatever the profile says.
    pub run: RunRequest,
    /// Nothing is in force that was not by then, in ns of `CLOCK_MONOTONIC`: whoever asks has given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<u64>,
}

/// What a container is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerKey {
    /// Its id, which is its runtime's own: two namespaces of containerd, or two directories of runc, may have
    /// one each of the same id.
    pub id: String,
    /// Its bundle, which tells those two apart. Whoever asks without one has its own run, and ends the runs
    /// of all that have the id.
    pub bundle: Option<String>,
}

impl ContainerKey {
    /// Asked for by this, whoever is known by `other` is meant.
    fn means(&self, other: &Self) -> bool {
        self.id == other.id && (self.bundle.is_none() || self.bundle == other.bundle)
    }
}

/// The runs of containers that asked for them. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Containers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<ContainerKey, Entry>,
    tickets: u64,
}

/// What a container asked for last.
#[derive(Debug)]
struct Entry {
    ticket: u64,
    /// `None`: it is on its way.
    run: Option<RunId>,
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew with a container. Returns what its wish is known by, and the run of the one before.
    fn enter(&self, key: &ContainerKey) -> (u64, Option<RunId>) {
        let mut known = self.lock();
        known.tickets += 1;
        let ticket = known.tickets;
        let entry = Entry { ticket, run: None };
        let before = known.by_key.insert(key.clone(), entry);
        (ticket, before.and_then(|entry| entry.run))
    }

    /// Nobody has called it off, or asked again.
    fn stands(&self, key: &ContainerKey, ticket: u64) -> bool {
        let known = self.lock();
        known.by_key.get(key).is_some_and(|e| e.ticket == ticket)
    }

    /// Its run. `false`: it was called off meanwhile.
    fn armed(&self, key: &ContainerKey, ticket: u64, run: &RunId) -> bool {
        let mut known = self.lock();
        let entry = known.by_key.get_mut(key).filter(|e| e.ticket == ticket);
        let stands = entry.map(|entry| entry.run = Some(run.clone()));
        stands.is_some()
    }

    fn leave(&self, key: &ContainerKey, ticket: u64) {
        let mut known = self.lock();
        if known.by_key.get(key).is_some_and(|e| e.ticket == ticket) {
            known.by_key.remove(key);
        }
    }

    /// Forgets a container, also one whose run is on its way. Returns its run; of a key without a bundle,
    /// those of all that are meant.
    fn forget(&self, key: &ContainerKey) -> Vec<RunId> {
        let mut known = self.lock();
        let forgotten = known.by_key.extract_if(|known, _| key.means(known));
        forgotten.filter_map(|(_, entry)| entry.run).collect()
    }

    fn are_many(&self) -> bool {
        self.lock().by_key.len() >= MANY
    }

    fn keep(&self, alive: &HashSet<RunId>) {
        let keeps = |entry: &Entry| entry.run.as_ref().is_none_or(|run| alive.contains(run));
        self.lock().by_key.retain(|_, entry| keeps(entry));
    }
}

impl Service {
    /// Arms what a container asks for, whoever stops listening meanwhile.
    pub(super) async fn begin_of(
        &self,
        key: ContainerKey,
        request: ContainerRequest,
    ) -> Result<RunReport, Refusal> {
        let (answer, answered) = oneshot::channel();
        let service = self.clone();
        tokio::spawn(async move {
            let begun = service.begin(&key, request).await;
            match &begun {
                Ok(report) => {
                    tracing::info!(container = key.id, run = report.id, "asked for a fault");
                }
                Err(error) => tracing::warn!(
                    container = key.id,
                    "does not get the fault that it asks for: {}",
                    crate::undo::chain(error)
                ),
            }
            if let Ok(report) = &begun {
                service.keep_at_its_end(report, false);
            }
            // This very run: whoever asks without a bundle may end others too.
            if let Err(Ok(report)) = answer.send(begun) {
                service
                    .engine
                    .revert(report.id, Ended::TargetGone)
                    .await
                    .ok();
            }
        });
        let gone = |_| Refusal::Engine(EngineError::Stopped);
        answered.await.map_err(gone)?
    }

    async fn begin(
        &self,
        key: &ContainerKey,
        request: ContainerRequest,
    ) -> Result<RunReport, Refusal> {
        let containers = &self.containers;
        if containers.are_many() {
            let alive = self.engine.reports().await?.into_iter();
            let alive = alive.filter(|report| report.phase == Phase::Armed);
            containers.keep(&alive.map(|report| report.id).collect());
        }
        let (ticket, before) = containers.enter(key);
        if let Some(run) = before {
            self.engine.revert(run, Ended::TargetGone).await.ok();
        }
        let until = request.until_ns;
        let begun = self.arm(key, ticket, request).await;
        let called_off = match &begun {
            Ok(report) => !containers.armed(key, ticket, &report.id) || is_late(until),
            Err(_) => false,
        };
        match begun {
            Ok(report) if called_off => {
                containers.leave(key, ticket);
                self.engine.revert(report.id, Ended::Reverted).await.ok();
                Err(Refusal::Late)
            }
            Ok(report) => Ok(report),
            Err(error) => {
                containers.leave(key, ticket);
                Err(error)
            }
        }
    }

    async fn arm(
        &self,
        key: &ContainerKey,
        ticket: u64,
        request: ContainerRequest,
    ) -> Result<RunReport, Refusal> {
        let until = request.until_ns;
        let (name, limits) = (key.id.clone(), self.limits);
        let plans =
            super::service::aside(move || super::service::plan_container(&name, &request, limits));
        let plans = plans.await??;
        if is_late(until) || !self.containers.stands(key, ticket) {
            return Err(Refusal::Late);
        }
        Ok(self.engine.arm(plans).await?)
    }

    /// Ends what a container asked for; nothing, when it asked for nothing or that is over.
    pub(super) async fn end_of(&self, key: ContainerKey) -> Result<Vec<RunReport>, EngineError> {
        let mut ended = Vec::new();
        for run in self.containers.forget(&key) {
            tracing::info!(container = key.id, run, "over, or called off");
            ended.push(self.engine.revert(run, Ended::TargetGone).await);
        }
        ended.retain(|one| !matches!(one, Err(EngineError::NoSuchRun(_))));
        ended.into_iter().collect()
    }
}

fn is_late(until_ns: Option<u64>) -> bool {
    until_ns.is_some_and(|until| now_ns() > until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, bundle: Option<&str>) -> ContainerKey {
        ContainerKey {
            id: id.to_owned(),
            bundle: bundle.map(str::to_owned),
        }
    }

    fn shop() -> ContainerKey {
        of("shop", Some("/b"))
    }

    #[test]
    fn what_is_called_off_on_its_way_does_not_stand() {
        let containers = Containers::default();
        let (ticket, before) = containers.enter(&shop());
        assert_eq!(before, None);
        assert!(containers.stands(&shop(), ticket));
        assert_eq!(containers.forget(&shop()), [""; 0]);
        assert!(!containers.stands(&shop(), ticket));
        assert!(!containers.armed(&shop(), ticket, &"r-00000001".into()));
    }

    #[test]
    fn a_container_that_is_made_again_ends_what_it_had() {
        let containers = Containers::default();
        let (first, _) = containers.enter(&shop());
        assert!(containers.armed(&shop(), first, &"r-00000001".into()));
        let (second, before) = containers.enter(&shop());
        assert_eq!(before.as_deref(), Some("r-00000001"));
        // What the first one did comes too late to matter.
        containers.leave(&shop(), first);
        assert!(containers.armed(&shop(), second, &"r-00000002".into()));
        assert_eq!(containers.forget(&shop()), ["r-00000002"]);
        assert_eq!(containers.forget(&shop()), [""; 0]);
    }

    #[test]
    fn two_of_one_id_are_told_apart_by_their_bundles() {
        let containers = Containers::default();
        let begin = |key: &ContainerKey, run: &str| {
            let (ticket, before) = containers.enter(key);
            assert!(containers.armed(key, ticket, &run.into()));
            before
        };
        let (one, two, bare) = (shop(), of("shop", Some("/c")), of("shop", None));
        for (key, run) in [(&one, "r-1"), (&two, "r-2"), (&bare, "r-3")] {
            assert_eq!(begin(key, run), None);
        }
        assert_eq!(begin(&of("db", Some("/b")), "r-4"), None);
        assert_eq!(containers.forget(&one), ["r-1"]);
        assert_eq!(containers.forget(&one), [""; 0]);
        // Whoever names no bundle means all of this id.
        let mut rest = containers.forget(&bare);
        rest.sort_unstable();
        assert_eq!(rest, ["r-2", "r-3"]);
    }

    #[test]
    fn those_whose_runs_are_over_are_forgotten_and_those_on_their_way_are_not() {
        let containers = Containers::default();
        for (id, run) in [("a", "r-1"), ("b", "r-2")] {
            let (ticket, _) = containers.enter(&of(id, None));
            assert!(containers.armed(&of(id, None), ticket, &run.into()));
        }
        let (ticket, _) = containers.enter(&of("c", None));
        containers.keep(&["r-2".to_owned()].into());
        assert_eq!(containers.forget(&of("a", None)), [""; 0]);
        assert_eq!(containers.forget(&of("b", None)), ["r-2"]);
        assert!(containers.stands(&of("c", None), ticket));
    }

    #[test]
    fn late_is_what_is_past_its_time() {
        assert!(!is_late(None));
        assert!(is_late(Some(now_ns().saturating_sub(1))));
        assert!(!is_late(Some(now_ns() + 10_000_000_000)));
    }
}
