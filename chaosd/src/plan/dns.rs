//! What a plan says of DNS faults: which way queries go, and what keeps one from being sent.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    bpf::PeerSet,
    fault::Rule,
    profile::{Dns, FaultSpec, Kind, Profile, Target, units::DomainName},
    target::{
        Reach,
        resolver::{self, Resolver, Server},
    },
};

use super::Scope;

/// Names that are written out; the rest are counted.
const NAMES_SHOWN: usize = 3;

/// How the target resolves, when the profile has a fault that asks for it.
pub(super) fn resolver(profile: &Profile, target: &Target, scope: &Scope) -> Option<Resolver> {
    let mut faults = profile.faults.iter();
    let wanted = faults.any(|fault| matches!(fault.kind, Kind::Dns(_)));
    wanted.then(|| resolver::of(target, scope))
}

/// Puts a fault on `lo` too when queries of the target go there: unless it names its interfaces.
pub(super) fn steer(rule: &mut Rule, resolver: &Resolver) {
    let mut asked = resolver.servers.iter().filter(|s| is_hit(s, rule));
    rule.matcher.loopback |= asked.any(|server| server.over_lo);
}

/// What may keep this fault from what it is to hit, as whole sentences.
pub(super) fn notes(
    spec: &FaultSpec,
    dns: &Dns,
    rule: &Rule,
    reach: Reach,
    resolver: &Resolver,
) -> Vec<String> {
    let mut notes = Vec::new();
    if !dns.sees_names() {
        return notes;
    }
    notes.extend(beside_the_path(rule, reach, resolver));
    notes.extend(resolver.servers.iter().find(|s| s.is_docker()).map(|_| {
        "does not see what this container asks Docker's own resolver at 127.0.0.11: those queries change their port before they pass lo; what dockerd passes on leaves from a socket of dockerd's, in the container's namespace, or in the host's when the host's server is a loopback address: target that --netns (/proc/PID/ns/net), or the host"
            .to_owned()
    }));
    notes.extend(twice(rule, reach, resolver));
    notes.extend(caches(reach, resolver));
    if resolver.tcp && dns.answer.is_some() {
        notes.push(format!(
            "meets queries over TCP only (options use-vc in {}): they are reset rather than answered",
            resolver.file.display()
        ));
    }
    notes.extend(hosts(dns, resolver));
    notes.extend(short(dns, resolver));
    for note in &mut notes {
        note.insert_str(0, &format!("fault `{}` ", spec.name));
    }
    notes
}

/// Said of each name server: where it is, and which way queries to it go.
pub fn way(server: &Server) -> String {
    let who = if server.is_resolved() {
        "over lo, systemd-resolved's stub"
    } else if server.is_docker() {
        "over lo, Docker's own resolver"
    } else if server.over_lo {
        "over lo, a resolver of this machine"
    } else {
        return server.address.to_string();
    };
    format!("{} ({who})", server.address)
}

/// The target's queries go where the fault does not act.
fn beside_the_path(rule: &Rule, reach: Reach, resolver: &Resolver) -> Option<String> {
    let servers = &resolver.servers;
    let named = &rule.matcher.interfaces;
    if !servers.iter().any(|server| is_hit(server, rule)) {
        let whom: Vec<String> = servers.iter().map(way).collect();
        let from = if servers.iter().any(|s| s.over_lo) && reach == Reach::Sockets {
            "; what a resolver of this machine passes on is its own, not the target's: leave peers out, or target the resolver's cgroup"
        } else {
            ""
        };
        return Some(format!(
            "names peers that {} does not: its queries go to {}{from}",
            resolver.file.display(),
            whom.join(", ")
        ));
    }
    let over_lo = servers.iter().find(|s| s.over_lo && is_hit(s, rule))?;
    if !named.is_empty() && !named.iter().any(|name| name == "lo") {
        return Some(format!(
            "names its interfaces, and queries to {} go over lo: add lo to them (--interface lo)",
            over_lo.address
        ));
    }
    None
}

/// What a resolver of this machine passes on leaves the same target.
fn twice(rule: &Rule, reach: Reach, resolver: &Resolver) -> Option<String> {
    let stub = resolver.servers.iter().find(|s| s.over_lo)?;
    let matcher = &rule.matcher;
    let beside = matcher.interfaces.iter().any(|name| name != "lo");
    let both = matcher.wants("lo", false, true) && (beside || matcher.interfaces.is_empty());
    (both && reach != Reach::Sockets && rule.matcher.peers.is_none()).then(|| {
        format!(
            "meets a query twice, on its way to {0} and when that passes it on: a rate and a delay count twice; --peer {0} meets it once",
            stub.address
        )
    })
}

/// Who answers names in the place of the name servers.
fn caches(reach: Reach, resolver: &Resolver) -> impl Iterator<Item = String> {
    let cgroup = reach == Reach::Sockets;
    resolver.caches.iter().map(move |cache| {
        let (name, its) = (cache.name(), cache.cgroup());
        if cgroup {
            format!(
                "hits only programs of the target that send queries themselves: what asks by glibc asks {name} over its socket, and the queries are those of {name}'s cgroup: target that (--cgroup {its}), or the host"
            )
        } else {
            format!(
                "may be hidden by {name}, which answers glibc over its socket from what it remembers: names asked for before are not asked for again until their time is up, unless its cache is emptied"
            )
        }
    })
}

/// Names of the hosts file, which no server is asked for.
fn hosts(dns: &Dns, resolver: &Resolver) -> Option<String> {
    // All names are no list of names to say something of.
    if dns.names.is_empty() {
        return None;
    }
    let is_hit = dns.hits();
    let mut hidden: Vec<&str> = resolver
        .hosts
        .iter()
        .filter(|name| name.parse().is_ok_and(|name: DomainName| is_hit(&name)))
        .map(String::as_str)
        .collect();
    let more = hidden.len().saturating_sub(NAMES_SHOWN);
    hidden.truncate(NAMES_SHOWN);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    (!hidden.is_empty()).then(|| {
        format!(
            "meets no query for {}{more}, which the target's /etc/hosts answers",
            hidden.join(", ")
        )
    })
}

/// A name of few dots is asked for with a search domain after it first (resolv.conf(5)).
fn short(dns: &Dns, resolver: &Resolver) -> Option<String> {
    let domain = resolver.search.first()?;
    let is_hit = dns.hits();
    let name = dns.names.iter().find(|name| {
        let text = name.to_string();
        let longer = format!("{text}.{domain}").parse();
        !name.is_zone()
            && text.matches('.').count() < resolver.ndots
            && longer.is_ok_and(|longer: DomainName| !is_hit(&longer))
    })?;
    Some(format!(
        "meets {name} as it is, and it is asked for as {name}.{domain} first (search in {}): name that too",
        resolver.file.display()
    ))
}

/// True when queries to this server have a peer of the fault's.
fn is_hit(server: &Server, rule: &Rule) -> bool {
    let peers = rule.matcher.peers.as_ref();
    peers.is_none_or(|peers| has(peers, server.address))
}

fn has(peers: &PeerSet, address: IpAddr) -> bool {
    let within = |net: &IpNet| net.contains(&address);
    (peers.include.is_empty() || peers.include.iter().any(within))
        && !peers.except.iter().any(within)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
