//! Where a plan acts: the target, found and held open, so that putting things back never depends on it.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

use chaosd_ebpf::FlowKey;
use serde::Serialize;

use crate::target::Reach;

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
    /// The cgroup whose processes are the target, with its subtree; `None`: those of the machine.
    pub cgroup: Option<Cgroup>,
    /// Which packets of the namespace are the target's.
    pub reach: Reach,
    /// The run ends early when this process does.
    pub pid: Option<i32>,
    /// What the user should know of it.
    pub notes: Vec<String>,
    /// Its interfaces may all be yet to come.
    #[serde(skip)]
    pub is_being_made: bool,
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

impl Scope {
    /// The cgroup whose sockets' packets alone are the target's.
    pub fn sockets(&self) -> Option<&Cgroup> {
        self.cgroup
            .as_ref()
            .filter(|_| self.reach != Reach::Namespace)
    }
}

fn serialize_flows<S: serde::Serializer>(flows: &[FlowKey], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(flows.iter().map(crate::target::protected::label))
}

#[cfg(test)]
impl Scope {
    /// A namespace without interfaces, cgroup or process.
    #[expect(clippy::unwrap_used, reason = "tests")]
    pub(crate) fn of_a_test() -> Self {
        Self {
            label: "test".into(),
            netns: Netns {
                path: "/proc/self/ns/net".into(),
                dev: 0,
                ino: 0,
                fd: Arc::new(std::fs::File::open("/dev/null").unwrap().into()),
            },
            interfaces: Vec::new(),
            cgroup: None,
            reach: Reach::Namespace,
            pid: None,
            process: None,
            notes: Vec::new(),
            is_being_made: false,
            protected: Vec::new(),
        }
    }
}
