//! `dns`: queries are answered wrongly, late or not at all, by the names that they ask for.

use std::time::Duration;

use chaosd_ebpf::{
    Fault, HOLDS, Kind as Program,
    dns::{
        ANSWER_ADDRESSES, ANSWER_DROP, ANSWER_EMPTY, ANSWER_NONE, ANSWER_NXDOMAIN, ANSWER_REFUSED,
        ANSWER_SERVFAIL, HAS_A, HAS_AAAA,
    },
};
use humantime::format_duration;

use crate::{
    bpf::{DnsRule, Name, NameSet, Steering},
    profile::{
        Addresses, Answer, Direction, Dns, Drop, Encrypted, FaultSpec, Kind, Loss, Match, Peer,
        Protocol, Reset, ResetEnd,
        units::{DomainName, Percent, PortSet},
    },
};

use super::{PacketFault, delay::QUEUE, timeline::ns};

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
/// DNS over TLS (RFC 7858 §3.1) and over QUIC (RFC 9250 §8).
const TLS_PORT: u16 = 853;
/// DNS over HTTPS (RFC 8484).
const HTTPS_PORT: u16 = 443;
/// Names that are written out; the rest are counted.
const NAMES_SHOWN: usize = 4;

impl PacketFault for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn what(&self) -> String {
        let share = if self.rate.get() >= 100.0 {
            String::new()
        } else {
            format!("{} of ", self.rate)
        };
        let mut queries = format!("{share}DNS queries");
        if !self.types.is_empty() {
            let types: Vec<String> = self.types.iter().map(ToString::to_string).collect();
            queries = format!("{queries} of type {}", types.join(", "));
        }
        if !self.names.is_empty() {
            queries = format!("{queries} for {}", some(&self.names));
        }
        if !self.not_names.is_empty() {
            queries = format!("{queries} except for {}", some(&self.not_names));
        }
        let late = self.delay.map(format_duration);
        match (&self.answer, late) {
            (Some(Answer::Drop), _) => format!("loses {queries}"),
            (Some(answer), None) => format!("answers {} to {queries}", said(answer)),
            (Some(answer), Some(late)) => {
                format!("answers {} after {late} to {queries}", said(answer))
            }
            (None, Some(late)) => format!("adds {late} to {queries}"),
            (None, None) => format!("passes {queries}"),
        }
    }

    fn mechanism(&self) -> String {
        let read = "tcx reads the question";
        let held = self.delay.map(|_| format!("; {QUEUE}")).unwrap_or_default();
        match self.answer {
            Some(Answer::Drop) => format!("{read}; silent to the local sender"),
            Some(_) => format!(
                "{read} and makes the query its answer in place, no server is asked{held}; a query over TCP resets its connection, in the detour"
            ),
            None => format!("{read}{held}"),
        }
    }

    fn steering(&self) -> Steering {
        match self.answer {
            // A reset needs a lone segment and its real checksum; a datagram needs neither.
            Some(answer) if answer != Answer::Drop => Steering::Segments,
            _ => Steering::Never,
        }
    }

    fn protocols(&self) -> Option<&'static [u8]> {
        Some(&[IPPROTO_UDP, IPPROTO_TCP])
    }

    fn holds(&self) -> bool {
        self.delay.is_some()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.encrypted.is_some() {
            notes.push(
                "sees no names in encrypted DNS: all of DNS over TLS and QUIC is hit, whatever it asks for"
                    .to_owned(),
            );
            if self.resolvers.is_empty() {
                notes.push(
                    "lets DNS over HTTPS pass, which looks like any other HTTPS: name its resolvers (--resolver)"
                        .to_owned(),
                );
            } else {
                let resolvers: Vec<String> = self
                    .resolvers
                    .iter()
                    .map(|net| Peer::Net(*net).to_string())
                    .collect();
                notes.push(format!(
                    "hits all of HTTPS to {}, DNS or not",
                    resolvers.join(", ")
                ));
            }
        }
        notes
    }

    fn dns(&self) -> Option<DnsRule> {
        let names = |names: &[DomainName]| -> Vec<Name> {
            let name = |name: &DomainName| Name {
                wire: name.wire().to_vec(),
                zone: name.is_zone(),
            };
            names.iter().map(name).collect()
        };
        let mut program = chaosd_ebpf::DnsRule {
            answer: self.answer.as_ref().map_or(ANSWER_NONE, number),
            ..chaosd_ebpf::DnsRule::default()
        };
        for (place, kind) in program.types.iter_mut().zip(&self.types) {
            *place = kind.number();
            program.type_count += 1;
        }
        if let Some(Answer::Addresses(Addresses { a, aaaa, ttl })) = self.answer {
            program.ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
            if let Some(a) = a {
                program.has |= HAS_A;
                program.a = a.octets();
            }
            if let Some(aaaa) = aaaa {
                program.has |= HAS_AAAA;
                program.aaaa = aaaa.octets();
            }
        }
        Some(DnsRule {
            names: NameSet {
                names: names(&self.names),
                not_names: names(&self.not_names),
            },
            program,
        })
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Program::Dns as u32;
        fault.rate = self.rate.fixed_point();
        if let Some(delay) = self.delay {
            fault.flags |= HOLDS;
            fault.hold.time_ns = ns(delay);
        }
    }

    fn longest_hold(&self) -> Duration {
        // Queries are small and few: what is held of them fills no memory worth a word.
        Duration::ZERO
    }
}

fn number(answer: &Answer) -> u32 {
    match answer {
        Answer::Drop => ANSWER_DROP,
        Answer::Nxdomain => ANSWER_NXDOMAIN,
        Answer::Servfail => ANSWER_SERVFAIL,
        Answer::Refused => ANSWER_REFUSED,
        Answer::Empty => ANSWER_EMPTY,
        Answer::Addresses(_) => ANSWER_ADDRESSES,
    }
}

/// `NXDOMAIN`, `A 192.0.2.1, AAAA 2001:db8::1 (ttl 5s)`
fn said(answer: &Answer) -> String {
    let Answer::Addresses(Addresses { a, aaaa, ttl }) = answer else {
        return match answer {
            Answer::Empty => "no records".to_owned(),
            other => other.name().to_uppercase(),
        };
    };
    let records: Vec<String> = [
        a.map(|a| format!("A {a}")),
        aaaa.map(|aaaa| format!("AAAA {aaaa}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{} (ttl {})", records.join(", "), format_duration(*ttl))
}

/// The first ones, and how many more.
fn some(names: &[DomainName]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_SHOWN)
        .map(ToString::to_string)
        .collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A fault of a plane that a fault of a profile came to.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is, when the profile's fault is more than this.
    pub what: Option<&'static str>,
    /// As a profile would ask for it.
    pub spec: FaultSpec,
}

impl Part {
    /// The whole fault.
    pub(super) fn whole(spec: &FaultSpec) -> Self {
        Self {
            what: None,
            spec: spec.clone(),
        }
    }
}

/// The fault itself, unless it is nothing but `encrypted`, and one for each way of encrypted DNS,
/// which only addresses and ports tell. Their names are the fault's with an ending.
pub(super) fn parts(spec: &FaultSpec, dns: &Dns) -> Vec<Part> {
    let mut parts = Vec::new();
    if dns.sees_names() {
        parts.push(Part::whole(spec));
    }
    let Some(fate) = dns.encrypted else {
        return parts;
    };
    let peers = |nets: &[ipnet::IpNet]| nets.iter().copied().map(Peer::Net).collect::<Vec<_>>();
    let mut ways = vec![(
        TLS_PORT,
        spec.matching.peers.clone(),
        [("tls", "DNS over TLS"), ("quic", "DNS over QUIC")],
    )];
    if !dns.resolvers.is_empty() {
        ways.push((
            HTTPS_PORT,
            peers(&dns.resolvers),
            [("https", "DNS over HTTPS"), ("http3", "DNS over HTTP/3")],
        ));
    }
    for (port, peers, [by_tcp, by_udp]) in ways {
        for ((ending, what), protocol) in [(by_tcp, Protocol::Tcp), (by_udp, Protocol::Udp)] {
            if spec.matching.protocol.is_some_and(|only| only != protocol) {
                continue;
            }
            parts.push(Part {
                what: Some(what),
                spec: FaultSpec {
                    name: format!("{}.{ending}", spec.name),
                    kind: fate_of(fate, protocol),
                    matching: Match {
                        peers: peers.clone(),
                        ports: PortSet::new([(port, port)]),
                        protocol: Some(protocol),
                        direction: Direction::Out,
                        ..spec.matching.clone()
                    },
                    timeline: spec.timeline,
                    unprotected: spec.unprotected,
                },
            });
        }
    }
    parts
}

fn fate_of(fate: Encrypted, protocol: Protocol) -> Kind {
    match (fate, protocol) {
        (Encrypted::Reset, Protocol::Tcp) => Kind::Reset(Reset {
            rate: Percent::ALL,
            to: ResetEnd::Both,
        }),
        // A datagram has no connection that could be reset.
        _ => Kind::Drop(Drop {
            model: Loss::Rate(Percent::ALL),
            whole_skb: false,
        }),
    }
}
