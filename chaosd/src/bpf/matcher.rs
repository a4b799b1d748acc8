//! What a fault matches, in the terms of the classifier's tables.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::profile::units::{PortSet, TcpFlags};

/// What a fault matches. `None`: any.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a bit of the programs' control entry, independent of the others"
)]
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Egress, ingress.
    pub directions: [bool; 2],
    /// By name; empty: the plane's default interfaces.
    pub interfaces: Vec<String>,
    /// The loopback device too, though `interfaces` does not name it.
    pub loopback: bool,
    /// Numbers of IANA's protocol registry.
    pub protocols: Option<Vec<u8>>,
    /// TCP flags.
    pub flags: Option<TcpFlags>,
    /// Remote ports.
    pub ports: Option<PortSet>,
    /// Local ports.
    pub local_ports: Option<PortSet>,
    /// Remote addresses.
    pub peers: Option<PeerSet>,
    /// cgroup id and depth.
    pub cgroup: Option<(u64, u32)>,
    /// Hits the protected set too.
    pub unprotected: bool,
    /// Which packets it needs to see in the detour.
    pub steering: Steering,
    /// Holds packets: needs the hold queue's device.
    pub holds: bool,
    /// A netem does it: needs a netem device of its own.
    pub netem: bool,
}

/// Which matched packets take the detour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// None: decided in place.
    #[default]
    Never,
    /// Super-packets, and all of TCP: one decision per wire segment.
    Segments,
    /// All.
    Always,
}

/// Remote addresses with exceptions; exceptions win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    /// Empty: everybody.
    pub include: BTreeSet<IpNet>,
    /// Spared.
    pub except: BTreeSet<IpNet>,
}

impl Matcher {
    /// True when the fault belongs on this interface.
    pub fn wants(&self, name: &str, default: bool, loopback: bool) -> bool {
        if self.interfaces.is_empty() {
            default || (loopback && self.loopback)
        } else {
            self.interfaces.iter().any(|i| i == name)
        }
    }
}
