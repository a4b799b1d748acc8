//! Which packets: and whether any packet can be meant.

use std::{collections::HashSet, hash::Hash};

use ipnet::IpNet;

use crate::profile::{
    Direction, Match, Peer, Protocol,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    units::{PortSet, TcpFlags, parse_flag, parse_range},
};

use super::{MATCH_KEYS, read::Fields};

/// IFNAMSIZ of <linux/if.h>, less the final NUL.
const LONGEST_INTERFACE: usize = 15;

const PROTOCOLS: &[(&str, Protocol)] = &[
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("icmp", Protocol::Icmp),
    ("sctp", Protocol::Sctp),
];
const DIRECTIONS: &[(&str, Direction)] = &[
    ("in", Direction::In),
    ("out", Direction::Out),
    ("both", Direction::Both),
];

impl Protocol {
    /// As profiles write it.
    pub fn name(self) -> &'static str {
        PROTOCOLS
            .iter()
            .find(|(_, p)| *p == self)
            .map_or("", |(name, _)| name)
    }
}

impl Direction {
    /// As profiles write it.
    pub fn name(self) -> &'static str {
        DIRECTIONS
            .iter()
            .find(|(_, d)| *d == self)
            .map_or("", |(name, _)| name)
    }
}

impl Found {
    pub(super) fn matching(&mut self, node: &Node) -> Option<Match> {
        let empty = match &node.value {
            Value::Empty => true,
            Value::Map(entries) => entries.is_empty(),
            _ => false,
        };
        if empty {
            self.say(
                &node.at,
                "an empty match: leave it out to mean every packet",
            );
            return None;
        }
        let fields = self.fields(node, "match", MATCH_KEYS)?;
        let peers = self.peers(&fields);
        let ports = self.ports(&fields, "ports", "not-ports");
        let local_ports = self.ports(&fields, "local-ports", "not-local-ports");
        let protocol = match fields.get("protocol") {
            Some(node) => self
                .word(node, "a protocol: tcp, udp, icmp or sctp", PROTOCOLS)
                .map(Some),
            None => Some(None),
        };
        let direction = match fields.get("direction") {
            Some(node) => self.word(node, "a direction: in, out or both", DIRECTIONS),
            None => Some(Direction::Both),
        };
        let flags = fields
            .get("flags")
            .map_or(Some(None), |node| self.flags(node).map(Some));
        let flows = fields
            .get("flows")
            .map_or(Some(None), |node| self.flows(node).map(Some));
        let interfaces = match fields.get("interfaces") {
            Some(node) => self.list(node, interface),
            None => Some(Vec::new()),
        };
        if protocol == Some(Some(Protocol::Icmp)) {
            self.portless(&fields);
        }
        let (peers, not_peers) = peers?;
        let mut matching = Match {
            peers,
            not_peers,
            ports: ports?,
            local_ports: local_ports?,
            protocol: protocol?,
            direction: direction?,
            flags: flags?,
            flows: flows?,
            interfaces: once_each(interfaces?),
        };
        if matching.flags.is_some() {
            self.implies_tcp(&mut matching, node, "flags");
        }
        Some(matching)
    }

    /// Only TCP has what the fault asks for, so the match is narrowed to it.
    pub(super) fn implies_tcp(&mut self, matching: &mut Match, node: &Node, what: &str) {
        let protocol = *matching.protocol.get_or_insert(Protocol::Tcp);
        if protocol != Protocol::Tcp {
            let node = node.get("protocol").unwrap_or(node);
            let what = format!(
                "{what} with protocol {}: only TCP has that",
                protocol.name()
            );
            self.add(&node.at, Mistake::new(what).instead("tcp"));
        }
    }

    fn peers(&mut self, fields: &Fields<'_>) -> Option<(Vec<Peer>, Vec<Peer>)> {
        let [peers, not_peers] = ["peers", "not-peers"].map(|name| match fields.get(name) {
            Some(node) => self.list(node, str::parse::<Peer>).map(once_each),
            None => Some(Vec::new()),
        });
        let (peers, not_peers) = (peers?, not_peers?);
        if let Some(node) = fields.get("not-peers")
            && nothing_left(&peers, &not_peers)
        {
            let whom = if peers.is_empty() {
                "every address"
            } else {
                "all of peers"
            };
            self.say(
                &node.at,
                format!("not-peers takes out {whom}: nothing is left to match"),
            );
        }
        // Every address is any address, which costs no lookup.
        let everyone = nothing_left(&[], &peers);
        Some((if everyone { Vec::new() } else { peers }, not_peers))
    }

    /// `Some(None)`: any port.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether all was well, as everywhere here"
    )]
    fn ports(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        not_name: &str,
    ) -> Option<Option<PortSet>> {
        let [ports, not_ports] = [name, not_name].map(|name| match fields.get(name) {
            Some(node) => self.list(node, parse_range).map(PortSet::new),
            None => Some(None),
        });
        let (ports, not_ports) = (ports?, not_ports?);
        let (Some(cut), Some(node)) = (not_ports, fields.get(not_name)) else {
            return Some(ports);
        };
        let whom = if ports.is_some() {
            format!("all of {name}")
        } else {
            "every port".into()
        };
        let left = ports.unwrap_or_else(PortSet::all).without(&cut);
        if left.is_none() {
            self.say(
                &node.at,
                format!("{not_name} takes out {whom}: nothing is left to match"),
            );
            return None;
        }
        Some(left)
    }

    fn portless(&mut self, fields: &Fields<'_>) {
        for name in ["ports", "not-ports", "local-ports", "not-local-ports"] {
            if let Some((key, _)) = fields.entry(name) {
                let what =
                    format!("{name} with protocol icmp: ICMP has no ports, so nothing would match");
                self.say(&key.at, what);
            }
        }
    }

    fn flags(&mut self, node: &Node) -> Option<TcpFlags> {
        let mut flags = TcpFlags { set: 0, clear: 0 };
        for (bit, set) in self.list(node, parse_flag)? {
            if set {
                flags.set |= bit;
            } else {
                flags.clear |= bit;
            }
        }
        if flags.set & flags.clear != 0 {
            self.say(
                &node.at,
                "a flag that must be both set and not set: nothing would match",
            );
            return None;
        }
        Some(flags)
    }

    fn flows(&mut self, node: &Node) -> Option<crate::profile::units::Percent> {
        let flows = self.percent(node)?;
        if flows.is_none() {
            self.say(&node.at, "0% of flows: nothing would match");
            return None;
        }
        Some(flows)
    }
}

fn interface(name: &str) -> Result<String, Mistake> {
    // dev_valid_name() of net/core/dev.c.
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty()
        || name.len() > LONGEST_INTERFACE
        || name == "."
        || name == ".."
        || name.contains(bad)
    {
        let what = format!(
            "{} is not the name of an interface (up to {LONGEST_INTERFACE} bytes, no / : or space)",
            quote(name)
        );
        return Err(Mistake::new(what));
    }
    Ok(name.to_owned())
}

pub(super) fn once_each<T: Eq + Hash + Clone>(mut list: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity(list.len());
    list.retain(|item| seen.insert(item.clone()));
    list
}

/// True when the exceptions leave no peer.
pub(super) fn nothing_left(peers: &[Peer], not_peers: &[Peer]) -> bool {
    let nets = not_peers.iter().filter_map(|peer| match peer {
        Peer::Net(net) => Some(*net),
        Peer::Name(_) => None,
    });
    // Sorted and disjoint, so that at most one of them can hold a peer.
    let mut cut = IpNet::aggregate(&nets.collect());
    cut.sort_unstable_by_key(IpNet::network);
    let is_cut = |net: &IpNet| {
        let after = cut.partition_point(|c| c.network() <= net.network());
        after.checked_sub(1).is_some_and(|n| cut[n].contains(net))
    };
    if peers.is_empty() {
        return ["0.0.0.0/0", "::/0"]
            .iter()
            .all(|all| all.parse().is_ok_and(|net| is_cut(&net)));
    }
    let names: HashSet<&Peer> = not_peers
        .iter()
        .filter(|p| matches!(p, Peer::Name(_)))
        .collect();
    peers.iter().all(|peer| match peer {
        Peer::Net(net) => is_cut(net),
        Peer::Name(_) => names.contains(peer),
    })
}
