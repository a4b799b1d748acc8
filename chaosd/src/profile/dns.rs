//! The checked form of the kind `dns`. Serialized it reads as a profile writes it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{
    Peer,
    units::{DomainName, DomainSet, Percent, QueryType},
};

/// Most names of a profile: what a plane's table of names holds.
pub const MOST_NAMES: usize = 65_536;
/// Most types of one fault: what the programs compare with.
pub const MOST_TYPES: usize = 8;

/// `dns`: at least one of `answer`, `delay` and `encrypted`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dns {
    /// Whose queries; empty: all names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<DomainName>,
    /// Exceptions to `names`; they win.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_names: Vec<DomainName>,
    /// Queries of these types, at most [`MOST_TYPES`]; empty: of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<QueryType>,
    /// What comes back in the place of the server's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Share of the queries (default 100 %); means nothing where only `encrypted` is given.
    #[serde(skip_serializing_if = "is_all")]
    pub rate: Percent,
    /// How long the answer, or without one the query, is held: not 0, up to
    /// [`super::LONGEST_HOLD`].
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::units::serialize_optional_duration"
    )]
    pub delay: Option<Duration>,
    /// What happens to DNS that hides its names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<Encrypted>,
    /// Who answers DNS over HTTPS, without host bits; empty: nobody that is known.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "addresses")]
    pub resolvers: Vec<IpNet>,
}

/// What comes back in the place of a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Nothing: the query is lost.
    Drop,
    /// There is no such name (RCODE 3).
    Nxdomain,
    /// The server failed (RCODE 2).
    Servfail,
    /// The server refuses (RCODE 5).
    Refused,
    /// The name exists and has no such record.
    Empty,
    /// These addresses; nothing (as `Empty`) to queries of another type.
    #[serde(untagged)]
    Addresses(Addresses),
}

/// The records of an answer; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// To queries of type A.
    #[serde(rename = "A", skip_serializing_if = "Option::is_none")]
    pub a: Option<Ipv4Addr>,
    /// To queries of type AAAA.
    #[serde(rename = "AAAA", skip_serializing_if = "Option::is_none")]
    pub aaaa: Option<Ipv6Addr>,
    /// How long they may be remembered: whole seconds, up to a week (default 5 s).
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub ttl: Duration,
}

/// What happens to DNS over TLS, QUIC and HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encrypted {
    /// It is lost.
    Drop,
    /// Its TCP connections are reset; what goes by UDP is lost.
    Reset,
}

impl Dns {
    /// True when queries that show their names are hit too.
    pub fn sees_names(&self) -> bool {
        self.answer.is_some() || self.delay.is_some()
    }

    /// Tells which names it hits.
    pub fn hits(&self) -> impl Fn(&DomainName) -> bool {
        let (names, not_names) = (DomainSet::new(&self.names), DomainSet::new(&self.not_names));
        move |name| (self.names.is_empty() || names.covers(name)) && !not_names.covers(name)
    }
}

impl Answer {
    /// As profiles write it, and as metrics label it; `addresses` where a profile writes them out.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Nxdomain => "nxdomain",
            Self::Servfail => "servfail",
            Self::Refused => "refused",
            Self::Empty => "empty",
            Self::Addresses(_) => "addresses",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_all(rate: &Percent) -> bool {
    *rate == Percent::ALL
}

fn addresses<S: Serializer>(nets: &[IpNet], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(nets.iter().map(|net| Peer::Net(*net).to_string()))
}
