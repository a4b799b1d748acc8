//! The checked form of a profile: types that cannot hold a bad value.

use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    dns::Dns,
    experiment::Experiment,
    holding::{Bandwidth, Delay, Duplicate, Reorder},
    named::Named,
    netem::Netem,
    resource::Resource,
    units::{Percent, PortSet, TcpFlags},
};

/// A profile that passed every check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// One sentence for people; empty for `chaosd inject`.
    pub about: String,
    /// How long the run lasts.
    #[serde(rename = "for", serialize_with = "super::units::serialize_duration")]
    pub run_for: Duration,
    /// Makes decisions repeatable.
    pub seed: Option<u64>,
    /// Who suffers, unless a fault says otherwise.
    pub target: Whom,
    /// At least one, at most 256.
    pub faults: Vec<FaultSpec>,
    /// What is expected to stay true meanwhile, and in which stages the faults come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Box<Experiment>>,
}

/// One place on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The network namespace chaosd runs in.
    Host,
    /// A cgroup and its subtree: a path below the unified hierarchy, or an absolute file path.
    Cgroup(PathBuf),
    /// A process: its cgroup, in its network namespace.
    Pid(i32),
    /// A network namespace: a name under /run/netns or a path.
    Netns(PathBuf),
}

/// Whom a profile names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Whom {
    /// One place.
    At(Target),
    /// Those that answer to a name.
    Named(Named),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(Target::Host) => f.write_str("host"),
            Self::At(Target::Cgroup(path)) => write!(f, "cgroup {}", path.display()),
            Self::At(Target::Pid(pid)) => write!(f, "process {pid}"),
            Self::At(Target::Netns(name)) => write!(f, "netns {}", name.display()),
            Self::Named(named) => named.asked.fmt(f),
        }
    }
}

impl FaultSpec {
    /// True when it acts once, at its beginning, and what it did stays done: a target that is back
    /// because of that is not to suffer it again.
    pub fn is_once(&self) -> bool {
        match &self.kind {
            Kind::Resource(Resource::Process(process)) => process.is_once(),
            _ => false,
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultSpec {
    /// Unique within the profile; the kind's name (and a number) when not given.
    pub name: String,
    /// What happens.
    #[serde(flatten)]
    pub kind: Kind,
    /// To which packets.
    #[serde(rename = "match")]
    pub matching: Match,
    /// When.
    #[serde(flatten)]
    pub timeline: Timeline,
    /// Hits the protected set too (live SSH sessions, ARP, NDP, DHCP).
    pub unprotected: bool,
}

/// What happens: to a matched packet, or to the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Packets are lost.
    Drop(Drop),
    /// Payload bits flip.
    Corrupt(Corrupt),
    /// Nothing gets through.
    Partition,
    /// TCP connections are reset.
    Reset(Reset),
    /// Packets arrive later.
    Delay(Delay),
    /// Some packets arrive after those that followed them.
    Reorder(Reorder),
    /// Packets arrive more than once.
    Duplicate(Duplicate),
    /// Packets pass through a slow link.
    Bandwidth(Bandwidth),
    /// The kernel's own emulator.
    Netem(Box<Netem>),
    /// DNS queries are answered wrongly, late or not at all.
    Dns(Box<Dns>),
    /// Something else of the machine than its packets.
    #[serde(untagged)]
    Resource(Resource),
}

/// `drop`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Drop {
    /// Which ones.
    #[serde(flatten)]
    pub model: Loss,
    /// One decision per super-packet instead of per wire segment: faster, and losses come in bursts.
    pub whole_skb: bool,
}

/// Which packets are lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Each with the same probability.
    Rate(Percent),
    /// Every nth.
    Every(NonZeroU32),
    /// In bursts.
    GilbertElliott(GilbertElliott),
}

/// The two-state loss model of Gilbert and Elliott.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GilbertElliott {
    /// From good to bad, per packet.
    pub p: Percent,
    /// From bad to good, per packet.
    pub r: Percent,
    /// Loss in the good state (default 0 %).
    pub good: Percent,
    /// Loss in the bad state (default 100 %).
    pub bad: Percent,
}

/// `corrupt`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Corrupt {
    /// Share of packets.
    pub rate: Percent,
    /// Bits flipped in each (1 to 32, default 1).
    pub bits: u32,
    /// Who notices.
    pub mode: CorruptMode,
}

/// Who notices a corruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorruptMode {
    /// The receiver's checksum fails: acts as loss (default).
    Detected,
    /// The checksum is right: the application reads flipped bits.
    Undetected,
}

/// `reset`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reset {
    /// Share of matched packets that reset their connection (default 100 %).
    pub rate: Percent,
    /// Which end gets the RST.
    pub to: ResetEnd,
}

/// Which end of a connection gets the RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetEnd {
    /// Both (default).
    Both,
    /// The target's own end.
    Local,
    /// The peer.
    Remote,
}

/// Which packets. An empty list means: any.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Match {
    /// Remote addresses.
    pub peers: Vec<Peer>,
    /// Exceptions to `peers`; they win.
    pub not_peers: Vec<Peer>,
    /// Remote ports, exceptions already taken out; `None`: any, packets without ports included.
    pub ports: Option<PortSet>,
    /// Local ports.
    pub local_ports: Option<PortSet>,
    /// Layer 4.
    pub protocol: Option<Protocol>,
    /// Seen from the target.
    pub direction: Direction,
    /// TCP flags that must be set (and, by `!`, must not).
    pub flags: Option<TcpFlags>,
    /// A stable share of flows rather than of packets.
    pub flows: Option<Percent>,
    /// By name; empty: every interface with an address, `lo` left out.
    pub interfaces: Vec<String>,
}

/// A remote address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Peer {
    /// An address or CIDR.
    Net(IpNet),
    /// A host name, resolved when armed and again as it changes.
    Name(String),
}

/// Layer 4 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// `ICMP` and `ICMPv6`
    Icmp,
    /// SCTP
    Sctp,
}

/// Direction, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Arriving.
    In,
    /// Leaving.
    Out,
    /// Either (default).
    Both,
}

/// When a fault acts, relative to the run's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timeline {
    /// Waits this long.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub after: Duration,
    /// Then lasts this long; `None`: to the run's end.
    #[serde(
        rename = "for",
        serialize_with = "super::units::serialize_optional_duration"
    )]
    pub lasts: Option<Duration>,
    /// Intensity grows linearly over this time.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub ramp: Duration,
    /// On and off in turn.
    pub pulse: Option<Pulse>,
}

/// On and off in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pulse {
    /// Acts for this long,
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub on: Duration,
    /// then rests for this long.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub off: Duration,
}
