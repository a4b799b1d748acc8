//! What a profile means on this host: plain data, made without touching anything.
//!
//! `Display` is the dry run that `chaosd plan` prints.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;

use chaosd_ebpf::FlowKey;

use crate::profile::FaultSpec;

/// A profile bound to this host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The profile's name, or `inject`.
    pub profile: String,
    /// Its sentence.
    pub about: String,
    /// How long.
    #[serde(
        rename = "for",
        serialize_with = "crate::profile::units::serialize_duration"
    )]
    pub run_for: Duration,
    /// The profile's, or one drawn now.
    pub seed: u64,
    /// True when the user asked for repeatable decisions.
    pub seeded: bool,
    /// Who is hit.
    pub scope: Scope,
    /// What is done.
    pub faults: Vec<PlannedFault>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// One fault, and how it is done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedFault {
    /// As asked.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// What it does to what, in one line.
    pub what: String,
    /// How it is done, in one line.
    pub mechanism: String,
    /// How it is undone, in one line.
    pub undo: String,
    /// True when it sends packets through the detour device.
    pub detour: bool,
}

/// What a target came to: held open from here to the revert.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scope {
    /// The target in one line.
    pub label: String,
    /// The network namespace.
    pub netns: Netns,
    /// Interfaces that exist now; those that appear later are covered too.
    pub interfaces: Vec<Interface>,
    /// Only sockets of this cgroup and its subtree.
    pub cgroup: Option<Cgroup>,
    /// The run ends early when this process does.
    pub pid: Option<i32>,
    /// Its directory in /proc, open: stays with that process though the number is used again.
    #[serde(skip)]
    pub process: Option<Arc<OwnedFd>>,
    /// Connections that faults leave alone unless `unprotected`.
    #[serde(serialize_with = "serialize_flows")]
    pub protected: Vec<FlowKey>,
}

/// A network namespace, open.
#[derive(Clone, Debug, Serialize)]
pub struct Netns {
    /// How it was found.
    pub path: PathBuf,
    /// Device and inode: its identity while it lives (namespaces(7)).
    pub dev: u64,
    /// See `dev`.
    pub ino: u64,
    /// Keeps it alive.
    #[serde(skip)]
    pub fd: Arc<OwnedFd>,
}

/// A cgroup of the unified hierarchy, open.
#[derive(Clone, Debug, Serialize)]
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
    /// What `bpf_skb_cgroup_id` returns for it: the inode of its directory.
    pub id: u64,
    /// Its depth; the root is 0.
    pub level: u32,
    /// Keeps it from being taken for another.
    #[serde(skip)]
    pub fd: Arc<OwnedFd>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// ifindex
    pub index: u32,
    /// Its name now.
    pub name: String,
    /// Layer-3 MTU in bytes.
    pub mtu: u32,
    /// Carries an Ethernet header.
    pub ethernet: bool,
    /// Is the loopback device.
    pub loopback: bool,
    /// Up, with an address that is not link-local, and not stacked on another that is.
    pub default: bool,
}

fn serialize_flows<S: serde::Serializer>(flows: &[FlowKey], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(flows.iter().map(crate::target::protected::label))
}
