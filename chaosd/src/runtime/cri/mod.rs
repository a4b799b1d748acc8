//! Kubernetes' interface of container runtimes (CRI), which containerd and CRI-O serve at their sockets:
//! pods, and the containers in them.

mod info;
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    dead_code,
    reason = "generated"
)]
mod interface;
mod listing;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::{join, join_all};
use tonic::transport::Channel;

use crate::cgroup;

use super::{
    Member, RuntimeError,
    choose::{Candidate, Choice, Found, Heard, Listed, choose, short},
    grpc::{MAX_ANSWER, Server, hear},
    places::Socket,
    placing,
    watch::Ended,
};
use info::Info;
use interface::{
    ContainerStatusRequest, GetEventsRequest, ListContainersRequest, ListPodSandboxRequest,
    NamespaceMode, PodSandboxStatus, PodSandboxStatusRequest, VersionRequest,
    runtime_service_client::RuntimeServiceClient,
};
use listing::{InPod, Pod};

/// What cri-dockerd is told by: it calls itself `docker`, which is told of no pods.
pub(super) const DOCKERS: &str = "cri-dockerd";

/// A connection, which is made again by itself when the runtime was started again.
#[derive(Clone, Debug)]
pub(super) struct Cri {
    client: RuntimeServiceClient<Channel>,
    server: Server,
}

impl Cri {
    /// Learns who it is. `None`: it speaks another language, as containerd does without its CRI plug-in.
    pub(super) async fn connect(
        socket: &Socket,
        within: Duration,
    ) -> Result<Option<Self>, RuntimeError> {
        let mut server = Server::new(socket, within);
        let mut client =
            RuntimeServiceClient::new(server.channel()?).max_decoding_message_size(MAX_ANSWER);
        let request = VersionRequest {
            version: "v1".to_owned(),
        };
        let version = server.ask_whether(client.version(request)).await?;
        Ok(version.map(|version| {
            server.name = match version.runtime_name.as_str() {
                "docker" => DOCKERS.to_owned(),
                _ => version.runtime_name,
            };
            Self { client, server }
        }))
    }

    /// The same, with another patience.
    pub(super) fn within(&self, within: Duration) -> Self {
        Self {
            client: self.client.clone(),
            server: self.server.within(within),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.server.name
    }

    /// Everything there is, in two requests at a time.
    async fn list(&self) -> Result<(Vec<Pod>, Vec<InPod>), RuntimeError> {
        let (mut one, mut other) = (self.client.clone(), self.client.clone());
        let (pods, containers) = join(
            self.server
                .ask(one.list_pod_sandbox(ListPodSandboxRequest {})),
            self.server
                .ask(other.list_containers(ListContainersRequest { filter: None })),
        )
        .await;
        let pods = listing::pods(pods?.items);
        let containers = listing::containers(containers?.containers, &pods);
        Ok((pods, containers))
    }

    /// The container of a name, `POD/NAME`, `NAMESPACE/POD/NAME`, or a prefix of its id.
    pub(super) async fn container(&self, typed: &str) -> Result<Heard, RuntimeError> {
        let (_, containers) = self.list().await?;
        let listed: Vec<_> = containers.iter().map(InPod::listed).collect();
        Ok(match choose(typed, &listed) {
            Choice::One(chosen) => {
                let Some(one) = containers.iter().find(|one| one.id == chosen.id) else {
                    return Ok(Heard::Nobody(Vec::new()));
                };
                Heard::One(Box::new(Found {
                    id: one.id.clone(),
                    named: chosen.is_called(typed),
                    member: self.container_member(one, &containers).await,
                }))
            }
            Choice::Several(several) => {
                let fits = |one: &&InPod| several.iter().any(|fit| fit.id == one.id);
                let several = containers.iter().filter(fits);
                Heard::Several(
                    several
                        .map(|one| Candidate::new(&one.id, self.container_label(one)))
                        .collect(),
                )
            }
            Choice::None => {
                let named = listed.into_iter().flat_map(|one| one.names);
                Heard::Nobody(named.collect())
            }
        })
    }

    /// Every container with these labels, which may be its pod's.
    pub(super) async fn labelled(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        let (_, containers) = self.list().await?;
        let fit = containers.iter().filter(|one| one.has(labels));
        let found = fit.map(async |one| Found {
            id: one.id.clone(),
            named: true,
            member: self.container_member(one, &containers).await,
        });
        Ok(join_all(found).await)
    }

    /// The pod of a name; without a namespace in any of them.
    pub(super) async fn pod(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Heard, RuntimeError> {
        let (pods, containers) = self.list().await?;
        let fits = |pod: &&Pod| namespace.is_none_or(|wanted| pod.namespace == wanted);
        let known: Vec<Listed> = pods.iter().filter(fits).map(Pod::listed).collect();
        let of = |one: &Listed| pods.iter().find(|pod| pod.sandbox == one.id);
        Ok(match choose(name, &known) {
            Choice::One(one) => match of(one) {
                Some(pod) => Heard::One(Box::new(Found {
                    id: pod.sandbox.clone(),
                    named: one.is_called(name),
                    member: self.pod_member(pod, &containers).await,
                })),
                None => Heard::Nobody(Vec::new()),
            },
            Choice::Several(several) => {
                let several = several.into_iter().filter_map(of);
                Heard::Several(
                    several
                        .map(|pod| Candidate::new(&pod.sandbox, self.pod_label(pod)))
                        .collect(),
                )
            }
            Choice::None => Heard::Nobody(pods.iter().map(Pod::full_name).collect()),
        })
    }

    /// Every pod with these labels.
    pub(super) async fn pods(
        &self,
        namespace: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        let (pods, containers) = self.list().await?;
        let fit = pods.iter().filter(|pod| {
            pod.has(labels) && namespace.is_none_or(|wanted| pod.namespace == wanted)
        });
        let found = fit.map(async |pod| Found {
            id: pod.sandbox.clone(),
            named: true,
            member: self.pod_member(pod, &containers).await,
        });
        Ok(join_all(found).await)
    }

    fn container_label(&self, one: &InPod) -> String {
        format!(
            "container {} ({} {})",
            one.full_name,
            self.server.name,
            short(&one.id)
        )
    }

    fn pod_label(&self, pod: &Pod) -> String {
        format!("pod {} ({})", pod.full_name(), self.server.name)
    }

    async fn info_of_container(&self, id: &str) -> Result<Option<Info>, RuntimeError> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: true,
        };
        let mut client = self.client.clone();
        let answer = self.server.ask_of(client.container_status(request)).await?;
        Ok(answer.map(|answer| Info::read(&answer.info)))
    }

    async fn container_member(&self, one: &InPod, all: &[InPod]) -> Result<Member, RuntimeError> {
        let label = self.container_label(one);
        if !one.runs() {
            return Err(RuntimeError::NotRunning {
                label,
                state: one.state().to_owned(),
            });
        }
        let info = self.info_of_container(&one.id).await?;
        let Some(pid) = info.and_then(|info| info.pid) else {
            return Err(RuntimeError::Ended { label });
        };
        let mut member = Member {
            label: label.clone(),
            id: one.full_name.clone(),
            runtime: self.server.name.clone(),
            labels: one.labels.clone(),
            ..Member::default()
        };
        if !placing::place(&mut member, pid, &one.id)? {
            return Err(RuntimeError::Ended { label });
        }
        if !member.host_network {
            let sibling =
                |other: &&InPod| other.sandbox == one.sandbox && other.id != one.id && other.runs();
            let siblings = all.iter().filter(sibling);
            // The namespace is its pod's, also while no sibling runs: one that starts later is no target.
            member.shares_network_with = std::iter::once(one.of_pod.clone())
                .chain(siblings.map(|other| other.full_name.clone()))
                .collect();
        }
        Ok(member)
    }

    async fn pod_member(&self, pod: &Pod, all: &[InPod]) -> Result<Member, RuntimeError> {
        let label = self.pod_label(pod);
        if !pod.ready {
            return Err(RuntimeError::NotReady { label });
        }
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: pod.sandbox.clone(),
            verbose: true,
        };
        let mut client = self.client.clone();
        let answer = self
            .server
            .ask_of(client.pod_sandbox_status(request))
            .await?;
        let Some(answer) = answer else {
            return Err(RuntimeError::NotReady { label });
        };
        let info = Info::read(&answer.info);
        // While it is being stopped it is still called ready, and its network is being taken away.
        if info
            .pid
            .is_some_and(|pid| placing::unified_line(pid).is_none())
        {
            return Err(RuntimeError::NotReady { label });
        }
        let mut member = Member {
            label,
            id: pod.full_name(),
            runtime: self.server.name.clone(),
            labels: pod.labels.clone(),
            ..Member::default()
        };
        let within = all
            .iter()
            .filter(|one| one.sandbox == pod.sandbox && one.runs());
        // CRI-O may keep no process for a pod itself.
        let mut known: Vec<(i32, String)> = Vec::new();
        known.extend(info.pid.map(|pid| (pid, pod.sandbox.clone())));
        let mut dir = known.first().and_then(|(pid, _)| own_dir(*pid, &pod.uid));
        if dir.is_none() {
            for one in within {
                let info = self.info_of_container(&one.id).await?;
                known.extend(
                    info.and_then(|info| info.pid)
                        .map(|pid| (pid, one.id.clone())),
                );
            }
            dir = known.iter().find_map(|(pid, _)| own_dir(*pid, &pod.uid));
        }
        if let Some((pid, _)) = known.first() {
            placing::network(&mut member, *pid);
        }
        member.cgroups = match dir {
            Some(dir) => vec![dir],
            None => placing::cgroups_of_each(&known)?,
        };
        if member.cgroups.is_empty() {
            member.notes.push(placing::BY_ITS_NETWORK.to_owned());
        }
        if member.netns.is_none() {
            member.netns = info.netns;
        }
        member.host_network |= is_on_host(answer.status.as_ref());
        Ok(member)
    }

    /// Says so each time a container of it changes. containerd has such events from 1.7 on.
    pub(super) async fn events(&self, changed: impl FnMut()) -> Ended {
        let mut client = self.client.clone();
        hear(client.get_container_events(GetEventsRequest {}), changed).await
    }
}

/// `hostNetwork: true`.
fn is_on_host(status: Option<&PodSandboxStatus>) -> bool {
    status
        .and_then(|status| status.linux.as_ref()?.namespaces.as_ref()?.options.as_ref())
        .is_some_and(|options| options.network == i32::from(NamespaceMode::Node))
}

/// The cgroup of a pod, of which `pid` is a process: the directory whose name has the pod's uid, which
/// kubelet puts there for either driver (`pkg/kubelet/cm/pod_container_manager_linux.go`).
fn own_dir(pid: i32, uid: &str) -> Option<PathBuf> {
    let line = placing::unified_line(pid)?;
    let dir = cgroup::unified().ok()?.join(pod_dir(&line, uid)?);
    dir.is_dir().then_some(dir)
}

fn pod_dir(line: &str, uid: &str) -> Option<PathBuf> {
    // In the name of a slice a dash would be a level.
    let (plain, escaped) = (format!("pod{uid}"), format!("pod{}", uid.replace('-', "_")));
    let mut dir = PathBuf::new();
    for part in Path::new(line).iter().skip(1) {
        dir.push(part);
        let part = part.to_string_lossy();
        let name = part.strip_suffix(".slice").unwrap_or(&part);
        if !uid.is_empty() && (name.ends_with(&plain) || name.ends_with(&escaped)) {
            return Some(dir);
        }
    }
    None
}

#[cfg(test)]
mod tests;
