//! What chaosd asks of containerd: the methods, messages and fields of its API (containerd, `api/`,
//! Apache-2.0) that are used here, with the original's numbers. By hand, for they are few: the crate
//! containerd-client has all of them made by protoc, at build time.

use std::collections::BTreeMap;

/// `containerd.services.namespaces.v1`: asked with [`All`], answers [`Namespaces`].
pub(super) const NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
/// `containerd.services.containers.v1`: asked with [`Filters`], answers [`Containers`].
pub(super) const CONTAINERS: &str = "/containerd.services.containers.v1.Containers/List";
/// `containerd.services.tasks.v1`: asked with [`TaskOf`], answers [`Task`].
pub(super) const TASK: &str = "/containerd.services.tasks.v1.Tasks/Get";
/// `containerd.services.events.v1`: asked with [`Filters`], answers many an [`Event`].
pub(super) const EVENTS: &str = "/containerd.services.events.v1.Events/Subscribe";

/// Says which namespace a request is about (`pkg/namespaces/grpc.go`).
pub(super) const NAMESPACE: &str = "containerd-namespace";

/// `ListNamespacesRequest`
#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub(super) struct All {}

/// `ListNamespacesResponse`
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    pub(super) namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `ListContainersRequest`, `SubscribeRequest`: what fits one of them is answered, or everything.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Filters {
    #[prost(string, repeated, tag = "1")]
    pub(super) filters: Vec<String>,
}

/// `ListContainersResponse`
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Containers {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `GetRequest`
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct TaskOf {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
}

/// `GetResponse`
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Task {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<Process>,
}

/// `containerd.v1.types.Process`
#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub(super) struct Process {
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(enumeration = "Status", tag = "4")]
    pub(super) status: i32,
}

/// `containerd.v1.types.Status`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub(super) enum Status {
    Unknown = 0,
    Created = 1,
    Running = 2,
    Stopped = 3,
    Paused = 4,
    Pausing = 5,
}

/// `containerd.types.Envelope`
#[derive(Clone, PartialEq, ::prost::Message)]
pub(super) struct Event {
    #[prost(string, tag = "3")]
    pub(super) topic: String,
}
