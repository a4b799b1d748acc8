//! The flags that say who is hit.

use clap::Args;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Entries, Node};

/// Whom a run hits; the host when none is given.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[group(skip)]
pub struct TargetFlags {
    /// Hit the network namespace chaosd runs in (the default)
    #[arg(long, help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// Hit the sockets of a cgroup and its subtree
    #[arg(long, value_name = "PATH", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Hit a process: its cgroup, in its network namespace
    #[arg(
        long,
        value_name = "PID",
        allow_negative_numbers = true,
        help_heading = "Target",
        group = "target"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// Hit a network namespace: a name under /run/netns or a path
    #[arg(long, value_name = "NAME", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Hit a container: its name, or the beginning of its id
    #[arg(long, value_name = "NAME", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Hit the containers with this label (repeatable: with all of them)
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help_heading = "Target",
        group = "target"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_label: Vec<String>,
    /// Hit a pod: NAMESPACE/NAME, or its name alone, as podman has it
    #[arg(long, value_name = "NAME", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Hit the pods with this label (repeatable: with all of them)
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help_heading = "Target",
        group = "target"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_label: Vec<String>,
    /// Only pods of this namespace of Kubernetes
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Target",
        requires = "pod_label"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_namespace: Option<String>,
    /// Hit a unit of systemd, such as shop.service; `*` stands for any characters
    #[arg(long, value_name = "NAME", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Hit the processes of this name; `*` stands for any characters
    #[arg(long, value_name = "NAME", help_heading = "Target", group = "target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Only processes with this in their command line
    #[arg(long, value_name = "TEXT", help_heading = "Target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_args: Option<String>,
    /// Hit so many of those that answer to the name, drawn by the seed (default: all)
    #[arg(long, value_name = "NUMBER", help_heading = "Target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_count: Option<String>,
    /// Hit such a share of them, at least one
    #[arg(
        long,
        value_name = "SHARE",
        allow_hyphen_values = true,
        help_heading = "Target"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_percent: Option<String>,
    /// Never hit those of this name (repeatable); `*` stands for any characters
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_exclude: Vec<String>,
    /// Ask this container runtime alone: its name, such as docker, or its socket
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

impl TargetFlags {
    /// The target's tree; `None` when no flag is given.
    pub(in crate::profile) fn node(&self) -> Option<Node> {
        let mut map = Entries::default();
        map.switch("host", "--host", self.host);
        map.word("cgroup", "--cgroup", self.cgroup.as_deref());
        map.word(
            "pid",
            "--pid",
            self.pid.map(|pid| pid.to_string()).as_deref(),
        );
        map.word("netns", "--netns", self.netns.as_deref());
        map.word("container", "--container", self.container.as_deref());
        let mut containers = Entries::default();
        containers.list("labels", "--container-label", &self.container_label);
        map.node("container", containers.into_node());
        map.word("pod", "--pod", self.pod.as_deref());
        let mut pods = Entries::default();
        pods.list("labels", "--pod-label", &self.pod_label);
        pods.word(
            "namespace",
            "--pod-namespace",
            self.pod_namespace.as_deref(),
        );
        map.node("pod", pods.into_node());
        map.word("unit", "--unit", self.unit.as_deref());
        let mut processes = Entries::default();
        processes.word("name", "--process", self.process.as_deref());
        processes.word("args", "--process-args", self.process_args.as_deref());
        map.node("process", processes.into_node());
        map.word("count", "--target-count", self.target_count.as_deref());
        map.word(
            "percent",
            "--target-percent",
            self.target_percent.as_deref(),
        );
        map.list("exclude", "--target-exclude", &self.target_exclude);
        map.word("runtime", "--runtime", self.runtime.as_deref());
        map.into_node()
    }
}
