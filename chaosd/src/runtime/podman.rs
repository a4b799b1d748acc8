//! Pods of podman, which Docker's API does not know: podman's own, at the same socket. They have no
//! namespaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use futures_util::future::join_all;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    cgroup::CgroupError,
    http::{self, Failed, escaped},
};

use super::{
    Member, RuntimeError,
    choose::{Candidate, Choice, Found, Heard, Listed, choose, short},
    docker::Docker,
    placing,
};

/// The API's oldest version that has all that is asked here, and that podman 5 still takes.
const API: &str = "/v4.0.0/libpod";
/// A list of a thousand containers is a MiB.
const MAX_ANSWER: usize = 64 << 20;

/// What podman lists of a pod (`ListPodsReport`, `pkg/domain/entities/pods.go`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pod {
    id: String,
    name: String,
    /// `Running`, `Degraded`, `Exited`.
    status: String,
    labels: Option<BTreeMap<String, String>>,
}

/// What it lists of a container (`ListContainer`, `pkg/domain/entities/container_ps.go`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InPod {
    id: String,
    names: Option<Vec<String>>,
    /// 0: it does not run.
    pid: i32,
    /// The id of its pod.
    pod: String,
    /// Made by podman itself, to hold the pod's namespaces.
    is_infra: bool,
}

impl Pod {
    fn runs(&self) -> bool {
        matches!(self.status.as_str(), "Running" | "Degraded")
    }

    fn listed(&self) -> Listed {
        Listed {
            id: self.id.clone(),
            names: vec![self.name.clone()],
            runs: self.runs(),
        }
    }

    fn label(&self) -> String {
        format!("pod {} (podman {})", self.name, short(&self.id))
    }
}

impl InPod {
    fn name(&self) -> String {
        let names = self.names.iter().flatten();
        let name = names.map(String::as_str).next();
        name.unwrap_or_else(|| short(&self.id)).to_owned()
    }
}

/// Of a pod whose containers these are, with the cgroups that they are in: its own, if all of them are there,
/// else each one's.
fn cgroups(pod: &Pod, known: &[(&InPod, String)]) -> Result<Vec<PathBuf>, CgroupError> {
    let dirs = known.iter();
    let mut dirs = dirs.map(|(_, line)| placing::container_dir(line, &pod.id));
    if let Some(own) = dirs.next().flatten()
        && dirs.all(|dir| dir.as_ref() == Some(&own))
        && let Some(tree) = placing::tree()?
    {
        return Ok(vec![tree.join(own)]);
    }
    let each = known.iter().map(|(one, _)| (one.pid, one.id.clone()));
    placing::cgroups_of_each(&each.collect::<Vec<_>>())
}

impl Docker {
    /// The pod of a name or a prefix of an id.
    pub(super) async fn pod(
        &self,
        namespace: Option<&str>,
        typed: &str,
    ) -> Result<Heard, RuntimeError> {
        let pods: Vec<Pod> = self.get("pods/json", None).await?;
        let listed: Vec<Listed> = match namespace {
            None => pods.iter().map(Pod::listed).collect(),
            Some(_) => Vec::new(),
        };
        let of = |one: &Listed| pods.iter().find(|pod| pod.id == one.id);
        match choose(typed, &listed) {
            Choice::One(one) => match of(one) {
                Some(pod) => Ok(Heard::One(Box::new(Found {
                    id: pod.id.clone(),
                    named: one.is_called(typed),
                    member: self.pod_member(pod).await,
                }))),
                None => Ok(Heard::Nobody(Vec::new())),
            },
            Choice::Several(several) => {
                let several = several.into_iter().filter_map(of);
                Ok(Heard::Several(
                    several
                        .map(|pod| Candidate::new(&pod.id, pod.label()))
                        .collect(),
                ))
            }
            Choice::None => Ok(Heard::Nobody(
                pods.into_iter().map(|pod| pod.name).collect(),
            )),
        }
    }

    /// Every pod with these labels.
    pub(super) async fn pods(
        &self,
        namespace: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        if namespace.is_some() {
            return Ok(Vec::new());
        }
        let words: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let pods: Vec<Pod> = self.get("pods/json", Some(("label", words))).await?;
        let found = pods.iter().map(async |pod| Found {
            id: pod.id.clone(),
            named: true,
            member: self.pod_member(pod).await,
        });
        Ok(join_all(found).await)
    }

    async fn pod_member(&self, pod: &Pod) -> Result<Member, RuntimeError> {
        let of_pod = Some(("pod", vec![pod.id.clone()]));
        let mut all: Vec<InPod> = self.get("containers/json?all=true", of_pod).await?;
        all.retain(|one| one.pod == pod.id && one.pid > 0);
        // The one that holds the pod's namespaces lasts.
        all.sort_by_key(|one| !one.is_infra);
        let lines = all.iter().map(|one| placing::unified_line(one.pid));
        let known: Vec<(&InPod, String)> = all
            .iter()
            .zip(lines)
            .filter_map(|(one, line)| Some((one, line?)))
            .collect();
        let Some((first, _)) = known.first() else {
            return Err(RuntimeError::NotRunning {
                label: pod.label(),
                state: pod.status.to_lowercase(),
            });
        };
        let networks = known
            .iter()
            .filter_map(|(one, _)| placing::netns_of(one.pid));
        if networks.collect::<BTreeSet<u64>>().len() > 1 {
            let containers = known.iter().filter(|(one, _)| !one.is_infra);
            return Err(RuntimeError::NoCommonNetwork {
                label: pod.label(),
                containers: containers.map(|(one, _)| one.name()).collect(),
            });
        }
        let mut member = Member {
            label: pod.label(),
            id: pod.name.clone(),
            runtime: self.name().to_owned(),
            labels: pod.labels.clone().unwrap_or_default(),
            ..Member::default()
        };
        member.cgroups = cgroups(pod, &known)?;
        if member.cgroups.len() != 1 {
            member.notes.push(placing::BY_ITS_NETWORK.to_owned());
        }
        placing::network(&mut member, first.pid);
        Ok(member)
    }

    /// What podman answers, of those that a filter leaves.
    async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        filter: Option<(&str, Vec<String>)>,
    ) -> Result<T, RuntimeError> {
        let filter = filter.map(|(key, values)| {
            let filters = serde_json::json!({ key: values }).to_string();
            let and = if what.contains('?') { '&' } else { '?' };
            format!("{and}filters={}", escaped(&filters))
        });
        let address = format!("{API}/{what}{}", filter.unwrap_or_default());
        let ask = async {
            let answer = http::get(self.socket(), &address, MAX_ANSWER).await?;
            let (status, body) = (answer.status(), answer.into_body());
            if status.is_success() {
                return Ok(serde_json::from_slice(&body)?);
            }
            let said = String::from_utf8_lossy(&body);
            Err(Failed::from(format!("{status}: {}", said.trim())))
        };
        match tokio::time::timeout(self.patience(), ask).await {
            Err(_) => Err(self.silent()),
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
        }
    }
}

#[cfg(test)]
#[path = "podman_tests.rs"]
mod tests;
