//! containerd by its own API, at the socket at which it may serve Kubernetes' interface too: the containers
//! of its other namespaces, which nerdctl, ctr and others make.

mod interface;

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use prost::Message;
use tonic::{
    Request, Response, Streaming, client::Grpc, codegen::http::uri::PathAndQuery,
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    Member, RuntimeError,
    choose::{Candidate, Choice, Found, Heard, Listed, choose, short},
    grpc::{MAX_ANSWER, Server, hear},
    places::Socket,
    placing::{self, Networks},
    watch::Ended,
};
use interface::{
    All, CONTAINERS, Container, Containers, EVENTS, Event, Filters, NAMESPACE, NAMESPACES,
    Namespaces, Process, Status, TASK, Task, TaskOf,
};

/// What it calls itself, here and where it serves Kubernetes' interface.
pub(super) const NAME: &str = "containerd";
/// The label in which nerdctl keeps a container's name (`pkg/labels/labels.go`).
const NERDCTL_NAME: &str = "nerdctl/name";
/// Leaves out what its CRI plug-in made (`internal/cri/labels/labels.go`).
const NOT_OF_PODS: &str =
    "labels.\"io.cri-containerd.kind\"!=sandbox,labels.\"io.cri-containerd.kind\"!=container";
/// Of the events of a task those that begin and end it, and no commands in it.
const CHANGES: [&str; 3] = [
    "topic==\"/tasks/create\"",
    "topic==\"/tasks/start\"",
    "topic==\"/tasks/delete\"",
];

/// A connection, which is made again by itself when containerd was started again.
#[derive(Clone, Debug)]
pub(super) struct Containerd {
    channel: Channel,
    server: Server,
    serves_pods: bool,
}

/// A container of one of its namespaces.
#[derive(Clone, Debug, PartialEq)]
struct One {
    namespace: String,
    id: String,
    labels: BTreeMap<String, String>,
    /// `None`: it has none, or nobody asked.
    process: Option<Process>,
}

impl One {
    fn new(namespace: &str, one: Container) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: one.id,
            labels: one.labels,
            process: None,
        }
    }

    /// Its name, or its id.
    fn name(&self) -> &str {
        self.labels.get(NERDCTL_NAME).unwrap_or(&self.id)
    }

    /// `default/shop-db`: two namespaces may have a container of the same id.
    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name())
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![self.full_name(), self.name().to_owned()];
        if self.name() != self.id {
            names.push(format!("{}/{}", self.namespace, self.id));
        }
        names
    }

    fn label(&self) -> String {
        let (name, id) = (self.full_name(), short(&self.id));
        format!("container {name} ({NAME} {id})")
    }

    fn status(&self) -> Option<Status> {
        Status::try_from(self.process?.status).ok()
    }

    /// Its first process, while it runs.
    fn pid(&self) -> Option<i32> {
        let pid = i32::try_from(self.process?.pid).ok()?;
        let runs = matches!(
            self.status()?,
            Status::Running | Status::Paused | Status::Pausing
        );
        (runs && pid > 0).then_some(pid)
    }

    /// For people.
    fn state(&self) -> &'static str {
        match self.status() {
            Some(Status::Created) => "created",
            _ => "stopped",
        }
    }

    fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(k, v)| self.labels.get(k) == Some(v))
    }

    fn listed(&self) -> Listed {
        Listed {
            id: self.id.clone(),
            names: self.names(),
            runs: self.pid().is_some(),
        }
    }

    fn found(&self, typed: &str, networks: &Networks) -> Found {
        Found {
            id: self.id.clone(),
            named: self.listed().is_called(typed),
            member: self.member(networks),
        }
    }

    fn member(&self, networks: &Networks) -> Result<Member, RuntimeError> {
        let label = self.label();
        let Some(pid) = self.pid() else {
            let state = self.state().to_owned();
            return Err(RuntimeError::NotRunning { label, state });
        };
        let mut member = Member {
            label: label.clone(),
            id: self.full_name(),
            runtime: NAME.to_owned(),
            labels: self.labels.clone(),
            ..Member::default()
        };
        if !placing::place(&mut member, pid, &self.id)? {
            return Err(RuntimeError::Ended { label });
        }
        member.shares_network_with = networks.neighbours(&member, &self.id);
        Ok(member)
    }
}

impl Containerd {
    /// `None`: somebody else is at that socket.
    pub(super) async fn connect(
        socket: &Socket,
        within: Duration,
    ) -> Result<Option<Self>, RuntimeError> {
        let mut server = Server::new(socket, within);
        NAME.clone_into(&mut server.name);
        let own = Self {
            channel: server.channel()?,
            server,
            serves_pods: false,
        };
        let namespaces = own.call::<_, Namespaces>(NAMESPACES, None, All {});
        let is_there = own.server.ask_whether(namespaces).await?.is_some();
        Ok(is_there.then_some(own))
    }

    /// The same, with another patience; where it `serves_pods`, their containers are told of by
    /// Kubernetes' interface, which knows more of them, and not here.
    pub(super) fn with(&self, within: Duration, serves_pods: bool) -> Self {
        Self {
            channel: self.channel.clone(),
            server: self.server.within(within),
            serves_pods,
        }
    }

    fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    async fn call<Q, A>(
        &self,
        method: &'static str,
        namespace: Option<&str>,
        asked: Q,
    ) -> Result<Response<A>, tonic::Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut request = Request::new(asked);
        if let Some(namespace) = namespace {
            let name = namespace
                .parse()
                .map_err(|_| tonic::Status::invalid_argument("a namespace of no name"))?;
            request.metadata_mut().insert(NAMESPACE, name);
        }
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let codec = ProstCodec::<Q, A>::default();
        grpc.unary(request, PathAndQuery::from_static(method), codec)
            .await
    }

    /// Everything there is, each without its process.
    async fn list(&self) -> Result<Vec<One>, RuntimeError> {
        let namespaces = self.call::<_, Namespaces>(NAMESPACES, None, All {});
        let namespaces = self.server.ask(namespaces).await?.namespaces;
        let each = namespaces.iter().map(|one| self.list_of(&one.name));
        Ok(try_join_all(each).await?.concat())
    }

    async fn list_of(&self, namespace: &str) -> Result<Vec<One>, RuntimeError> {
        let filters = self.serves_pods.then(|| NOT_OF_PODS.to_owned());
        let filters = Filters {
            filters: filters.into_iter().collect(),
        };
        let all = self.call::<_, Containers>(CONTAINERS, Some(namespace), filters);
        // A namespace that has just gone has none.
        let all = self.server.ask_of(all).await?.unwrap_or_default();
        let all = all.containers.into_iter();
        Ok(all.map(|one| One::new(namespace, one)).collect())
    }

    /// Asks for its process: each of these questions goes to a process beside the container.
    async fn look(&self, one: &mut One) -> Result<(), RuntimeError> {
        let task = TaskOf {
            container_id: one.id.clone(),
        };
        let task = self.call::<_, Task>(TASK, Some(&one.namespace), task);
        let task = self.server.ask_of(task).await?;
        one.process = task.and_then(|task| task.process);
        Ok(())
    }

    /// The container of a name, `NAMESPACE/NAME`, or a prefix of its id.
    pub(super) async fn container(&self, typed: &str) -> Result<Heard, RuntimeError> {
        let mut all = self.list().await?;
        let fit = all
            .iter_mut()
            .filter(|one| one.id.starts_with(typed) || one.names().iter().any(|n| n == typed));
        try_join_all(fit.map(|one| self.look(one))).await?;
        let listed: Vec<Listed> = all.iter().map(One::listed).collect();
        let of = |listed: &Listed| all.iter().find(|one| one.listed() == *listed);
        Ok(match choose(typed, &listed) {
            Choice::One(one) => match of(one) {
                Some(one) => Heard::One(Box::new(one.found(typed, &Networks::default()))),
                None => Heard::Nobody(Vec::new()),
            },
            Choice::Several(several) => {
                let several = several.into_iter().filter_map(of);
                Heard::Several(
                    several
                        .map(|one| Candidate::new(&one.id, one.label()))
                        .collect(),
                )
            }
            Choice::None => {
                let names = listed.into_iter().flat_map(|one| one.names);
                Heard::Nobody(names.collect())
            }
        })
    }

    /// Every container with these labels.
    pub(super) async fn labelled(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        let mut all = self.list().await?;
        all.retain(|one| one.has(labels));
        try_join_all(all.iter_mut().map(|one| self.look(one))).await?;
        let networks = Networks::default();
        let found = all.iter().map(|one| one.found(&one.id, &networks));
        Ok(found.collect())
    }

    /// Says so each time a container starts or ends.
    pub(super) async fn events(&self, changed: impl FnMut()) -> Ended {
        let filters = Filters {
            filters: CHANGES.map(ToOwned::to_owned).into(),
        };
        hear(self.subscribe(filters), changed).await
    }

    async fn subscribe(
        &self,
        filters: Filters,
    ) -> Result<Response<Streaming<Event>>, tonic::Status> {
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let codec = ProstCodec::<Filters, Event>::default();
        grpc.server_streaming(
            Request::new(filters),
            PathAndQuery::from_static(EVENTS),
            codec,
        )
        .await
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), tonic::Status> {
    grpc.ready()
        .await
        .map_err(|error| tonic::Status::from_error(error.into()))
}

#[cfg(test)]
pub(super) mod tests;
