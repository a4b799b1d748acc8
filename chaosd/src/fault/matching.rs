//! From a profile's `match` to the classifier's terms, host names resolved.

use std::{collections::BTreeMap, io, net::ToSocketAddrs};

use ipnet::IpNet;

use crate::{
    bpf::{Matcher, PeerSet},
    plan::Scope,
    profile::{
        Direction, FaultSpec, Match, Peer, Protocol,
        units::{PortSet, TcpFlags},
    },
};

use super::{PacketFault, packet};

/// A host name that has no address now.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot resolve the peer `{name}`: {source}; give its address, or see whether a name server answers"
)]
pub struct ResolveError {
    name: String,
    #[source]
    source: io::Error,
}

pub(super) fn matcher(
    spec: &FaultSpec,
    kind: &dyn PacketFault,
    scope: &Scope,
) -> Result<Matcher, ResolveError> {
    let m = &spec.matching;
    let peers = resolve(spec)?;
    Ok(Matcher {
        directions: [m.direction != Direction::In, m.direction != Direction::Out],
        interfaces: m.interfaces.clone(),
        protocols: protocols(m, kind),
        flags: m.flags,
        ports: m.ports.clone(),
        local_ports: m.local_ports.clone(),
        loopback: m
            .peers
            .iter()
            .filter_map(|p| match p {
                Peer::Net(net) => Some(net),
                Peer::Name(_) => None,
            })
            .chain(kind.by_peer().into_iter().flat_map(BTreeMap::keys))
            .any(|net| net.addr().is_loopback()),
        peers,
        cgroup: scope.sockets().map(|c| (c.id, c.level)),
        unprotected: false,
        steering: kind.steering(),
        holds: kind.holds(),
        netem: kind.netem().is_some(),
    })
}

fn protocols(m: &Match, kind: &dyn PacketFault) -> Option<Vec<u8>> {
    // IANA's protocol numbers; ICMP is two of them.
    let asked = match m.protocol {
        _ if m.flags.is_some() => Some(vec![6]),
        Some(Protocol::Tcp) => Some(vec![6]),
        Some(Protocol::Udp) => Some(vec![17]),
        Some(Protocol::Icmp) => Some(vec![1, 58]),
        Some(Protocol::Sctp) => Some(vec![132]),
        None => None,
    };
    let Some(can) = kind.protocols() else {
        return asked;
    };
    let asked = asked.unwrap_or_else(|| can.to_vec());
    Some(asked.into_iter().filter(|p| can.contains(p)).collect())
}

/// The peers as addresses; `None`: anybody. Blocks on the resolver when there are names.
pub fn resolve(spec: &FaultSpec) -> Result<Option<PeerSet>, ResolveError> {
    let m = &spec.matching;
    let mut set = PeerSet::default();
    if let Some(by_peer) = packet(&spec.kind).and_then(PacketFault::by_peer) {
        set.include.extend(by_peer.keys());
    } else if m.peers.is_empty() && m.not_peers.is_empty() {
        return Ok(None);
    }
    for (from, to) in [
        (&m.peers, &mut set.include),
        (&m.not_peers, &mut set.except),
    ] {
        for peer in from {
            match peer {
                Peer::Net(net) => {
                    to.insert(net.trunc());
                }
                Peer::Name(name) => {
                    let wrong = |source| ResolveError {
                        name: name.clone(),
                        source,
                    };
                    let found = (name.as_str(), 0).to_socket_addrs().map_err(wrong)?;
                    to.extend(found.map(|a| IpNet::from(a.ip().to_canonical())));
                }
            }
        }
    }
    Ok(Some(set))
}

pub(super) fn describe(m: &Match) -> String {
    let (word, preposition) = match m.direction {
        Direction::In => (" arriving", "from"),
        Direction::Out => (" leaving", "to"),
        Direction::Both => ("", "to and from"),
    };
    let mut text = String::from(word);
    if !m.peers.is_empty() {
        text = format!("{text} {preposition} {}", peers(&m.peers));
    }
    if !m.not_peers.is_empty() {
        text = format!("{text} except {}", peers(&m.not_peers));
    }
    let parts = [
        m.protocol.map(|p| p.name().to_uppercase()),
        m.ports
            .as_ref()
            .map(|p| format!("remote port {}", ports(p))),
        m.local_ports
            .as_ref()
            .map(|p| format!("local port {}", ports(p))),
        m.flags.map(|f| format!("TCP flags {}", flags(f))),
        m.flows.map(|f| format!("in {f} of flows")),
        (!m.interfaces.is_empty()).then(|| format!("on {}", m.interfaces.join(", "))),
    ];
    for part in parts.into_iter().flatten() {
        text = format!("{text}, {part}");
    }
    text
}

/// The first four, and how many more.
fn peers(peers: &[Peer]) -> String {
    let shown: Vec<String> = peers.iter().take(4).map(Peer::to_string).collect();
    match peers.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn flags(f: TcpFlags) -> String {
    const NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
    let named = |mask: u8, sign: &str| -> Vec<String> {
        (0..8)
            .filter(|i| mask & (1 << i) != 0)
            .map(|i| format!("{sign}{}", NAMES[i]))
            .collect()
    };
    [named(f.set, ""), named(f.clear, "!")].concat().join(" ")
}

fn ports(set: &PortSet) -> String {
    let ranges: Vec<String> = set
        .ranges()
        .iter()
        .map(|(a, b)| {
            if a == b {
                a.to_string()
            } else {
                format!("{a}-{b}")
            }
        })
        .collect();
    ranges.join(", ")
}
