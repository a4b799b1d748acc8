//! What `dns` takes, and what `match` may say beside it.

use std::time::Duration;

use ipnet::IpNet;

use crate::profile::{
    Addresses, Answer, Direction, Dns, Encrypted, FaultSpec, Kind, MOST_NAMES, MOST_TYPES, Match,
    Peer, Protocol,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::{DomainName, DomainSet, Percent, PortSet, QueryType},
};

use super::{DNS_KEYS, matching::once_each, read::Fields};

/// Where servers listen (RFC 1035 §4.2).
const PORT: u16 = 53;
const ANSWERS: &[(&str, Answer)] = &[
    ("drop", Answer::Drop),
    ("nxdomain", Answer::Nxdomain),
    ("servfail", Answer::Servfail),
    ("refused", Answer::Refused),
    ("empty", Answer::Empty),
];
const ADDRESS_KEYS: &[&str] = &["A", "AAAA", "ttl"];
/// How long a false address is remembered when nothing says another.
const DEFAULT_TTL: Duration = Duration::from_secs(5);
const LONGEST_TTL: Duration = Duration::from_hours(7 * 24);
const SUCH_AS: &str = "A=192.0.2.1,AAAA=2001:db8::1,ttl=5s";

impl Found {
    pub(super) fn dns(&mut self, key: &Key, node: &Node) -> Option<Dns> {
        if let Value::Text(_) = node.value {
            let answer = self.answer(node)?;
            return Some(Dns {
                names: Vec::new(),
                not_names: Vec::new(),
                types: Vec::new(),
                answer: Some(answer),
                rate: Percent::ALL,
                delay: None,
                encrypted: None,
                resolvers: Vec::new(),
            });
        }
        let fields = self.settings(key, node, DNS_KEYS, "nxdomain")?;
        let names = self.domains(&fields);
        let types = self.types(&fields);
        let answer = self.given(&fields, "answer", Self::answer);
        let rate = match fields.get("rate") {
            Some(node) => self.percent(node),
            None => Some(Percent::ALL),
        };
        let delay = self.given(&fields, "delay", Self::some_hold_time);
        let encrypted = self.given(&fields, "encrypted", |found, node| {
            found.word(
                node,
                "what happens to encrypted DNS: drop or reset",
                &[("drop", Encrypted::Drop), ("reset", Encrypted::Reset)],
            )
        });
        let resolvers = match fields.get("resolvers") {
            Some(node) => self.list(node, network).map(once_each),
            None => Some(Vec::new()),
        };
        self.does_something(key, &fields);
        if let (Some(Some(answer)), Some(types)) = (&answer, &types) {
            self.fitting(&fields, answer, types);
        }
        let (names, not_names) = names?;
        Some(Dns {
            names,
            not_names,
            types: types?,
            answer: answer?,
            rate: rate?,
            delay: delay?,
            encrypted: encrypted?,
            resolvers: resolvers?,
        })
    }

    /// `Some(None)`: it is not given.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether all was well, as everywhere here"
    )]
    fn given<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match fields.get(name) {
            Some(node) => read(self, node).map(Some),
            None => Some(None),
        }
    }

    /// Each setting has something that it shapes.
    fn does_something(&mut self, key: &Key, fields: &Fields<'_>) {
        if ["answer", "delay", "encrypted"]
            .iter()
            .all(|name| fields.lacks(name))
        {
            self.say(
                &key.at,
                "dns needs at least one of answer, delay, encrypted",
            );
        } else if fields.lacks("answer") && fields.lacks("delay") {
            for name in ["names", "not-names", "types", "rate"] {
                if let Some((key, _)) = fields.entry(name) {
                    let what = format!(
                        "{name} without answer and delay: of encrypted DNS only addresses and ports are seen"
                    );
                    self.say(&key.at, what);
                }
            }
        }
        if let Some((key, _)) = fields.entry("resolvers")
            && fields.lacks("encrypted")
        {
            self.say(
                &key.at,
                "resolvers without encrypted: they are those of DNS over HTTPS; the servers of plain queries stand in match, as peers",
            );
        }
    }

    fn domains(&mut self, fields: &Fields<'_>) -> Option<(Vec<DomainName>, Vec<DomainName>)> {
        let [names, not_names] = ["names", "not-names"].map(|name| match fields.get(name) {
            Some(node) => self.list(node, str::parse::<DomainName>).map(once_each),
            None => Some(Vec::new()),
        });
        let (names, not_names) = (names?, not_names?);
        // Every name is any name, which costs no look-up.
        let every = names.iter().any(DomainName::is_all);
        let names = if every { Vec::new() } else { names };
        if let Some(node) = fields.get("not-names") {
            let cut = DomainSet::new(&not_names);
            let whom = if names.is_empty() {
                not_names
                    .iter()
                    .any(DomainName::is_all)
                    .then_some("every name")
            } else {
                let nothing_left = names.iter().all(|name| cut.covers(name));
                nothing_left.then_some("all of names")
            };
            if let Some(whom) = whom {
                let what = format!("not-names takes out {whom}: nothing is left to match");
                self.say(&node.at, what);
            }
        }
        Some((names, not_names))
    }

    fn types(&mut self, fields: &Fields<'_>) -> Option<Vec<QueryType>> {
        let Some(node) = fields.get("types") else {
            return Some(Vec::new());
        };
        let types = once_each(self.list(node, str::parse::<QueryType>)?);
        if types.len() > MOST_TYPES {
            let what = format!(
                "{} types: a fault takes {MOST_TYPES}; leave types out to mean all of them",
                types.len()
            );
            self.say(&node.at, what);
            return None;
        }
        Some(types)
    }

    /// A word, or addresses: as a map, or as a flag writes it.
    fn answer(&mut self, node: &Node) -> Option<Answer> {
        match &node.value {
            Value::Text(text) if !text.contains('=') => {
                let what =
                    format!("an answer: drop, nxdomain, servfail, refused, empty or {SUCH_AS}");
                self.word(node, &what, ANSWERS)
            }
            _ => self.addresses(node).map(Answer::Addresses),
        }
    }

    fn addresses(&mut self, node: &Node) -> Option<Addresses> {
        let node = &*self.map_or_pairs(node, SUCH_AS)?;
        let fields = self.fields(node, "an answer of addresses", ADDRESS_KEYS)?;
        let a = self.given(&fields, "A", |found, node| {
            let text = found.text(node)?.trim();
            found.keep(&node.at, address(text, "IPv4", "AAAA"))
        });
        let aaaa = self.given(&fields, "AAAA", |found, node| {
            let text = found.text(node)?.trim();
            found.keep(&node.at, address(text, "IPv6", "A"))
        });
        let ttl = match fields.get("ttl") {
            Some(node) => self.ttl(node),
            None => Some(DEFAULT_TTL),
        };
        if fields.lacks("A") && fields.lacks("AAAA") {
            let what = format!("an answer of addresses needs A, AAAA or both, as in {SUCH_AS}");
            self.say(&node.at, what);
            return None;
        }
        Some(Addresses {
            a: a?,
            aaaa: aaaa?,
            ttl: ttl?,
        })
    }

    fn ttl(&mut self, node: &Node) -> Option<Duration> {
        let ttl = self.duration(node)?;
        let time = |ttl| humantime::format_duration(ttl).to_string();
        if ttl.subsec_nanos() != 0 {
            let up = Duration::from_secs(ttl.as_secs() + 1).min(LONGEST_TTL);
            let what = format!("a ttl of {}: an answer counts whole seconds", time(ttl));
            self.add(&node.at, Mistake::new(what).instead(time(up)));
            return None;
        }
        if ttl > LONGEST_TTL {
            let most = time(LONGEST_TTL);
            let what = format!("a ttl of {} is longer than {most}", time(ttl));
            self.add(&node.at, Mistake::new(what).instead(most));
            return None;
        }
        Some(ttl)
    }

    /// What an answer gives is asked for, and nothing that is lost is to be late.
    fn fitting(&mut self, fields: &Fields<'_>, answer: &Answer, types: &[QueryType]) {
        if *answer == Answer::Drop
            && let Some((key, _)) = fields.entry("delay")
        {
            self.say(
                &key.at,
                "delay beside answer: drop: what is lost is not held",
            );
        }
        let (Answer::Addresses(addresses), Some(node)) = (answer, fields.get("answer")) else {
            return;
        };
        if types.is_empty() {
            return;
        }
        for (given, kind) in [
            (addresses.a.is_some(), QueryType::A),
            (addresses.aaaa.is_some(), QueryType::AAAA),
        ] {
            if given && !types.contains(&kind) {
                let at = &node.get(&kind.to_string()).unwrap_or(node).at;
                let asked: Vec<String> = types.iter().map(QueryType::to_string).collect();
                let what = format!(
                    "an answer for a type that does not fit: {kind} is not among types ({})",
                    asked.join(", ")
                );
                self.say(at, what);
            }
        }
    }

    /// Queries leave the target for a server's port: what `match` leaves out is filled in, and what
    /// no query is is refused. `node`: the match, when there is one.
    pub(super) fn beside_dns(&mut self, matching: &mut Match, node: Option<&Node>) {
        let given = |name| node.and_then(|node| node.get(name));
        match given("direction") {
            Some(node) if matching.direction != Direction::Out => {
                let what = format!(
                    "dns with direction {}: queries leave their client; target the clients, or cut a server's port by drop or partition",
                    matching.direction.name()
                );
                self.add(&node.at, Mistake::new(what).instead("out"));
            }
            _ => matching.direction = Direction::Out,
        }
        if matching.ports.is_none() {
            matching.ports = PortSet::new([(PORT, PORT)]);
        }
        if let (Some(protocol @ (Protocol::Icmp | Protocol::Sctp)), Some(node)) =
            (matching.protocol, given("protocol"))
        {
            let what = format!(
                "dns with protocol {}: queries go by UDP and TCP",
                protocol.name()
            );
            self.add(&node.at, Mistake::new(what).instead("udp"));
        }
        if let (Some(_), Some(node)) = (&matching.flags, given("flags")) {
            let what = "dns with TCP flags: no query is told by them; leave flags out";
            self.say(&node.at, what);
        }
    }

    /// A plane has one table for the names of all faults.
    pub(super) fn not_too_many_names(&mut self, node: &Node, faults: &[FaultSpec]) {
        let count: usize = faults
            .iter()
            .map(|fault| match &fault.kind {
                Kind::Dns(dns) => dns.names.len() + dns.not_names.len(),
                _ => 0,
            })
            .sum();
        if count > MOST_NAMES {
            let what = format!("{count} names: the faults of a profile name {MOST_NAMES} at most");
            self.say(&node.at, what);
        }
    }
}

fn address<T: std::str::FromStr>(text: &str, family: &str, other: &str) -> Result<T, Mistake> {
    text.parse().map_err(|_| {
        let why = match text.parse::<std::net::IpAddr>() {
            Ok(_) => format!(": it belongs to {other}"),
            Err(_) => String::new(),
        };
        Mistake::new(format!("{} is not an {family} address{why}", quote(text)))
    })
}

fn network(word: &str) -> Result<IpNet, Mistake> {
    match word.parse()? {
        Peer::Net(net) => Ok(net),
        Peer::Name(name) => Err(Mistake::new(format!(
            "{} is a host name: resolvers takes addresses and CIDRs",
            quote(&name)
        ))),
    }
}
