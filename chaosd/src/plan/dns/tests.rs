//! What keeps a query from being hit is said, and nothing else.

use std::net::IpAddr;

use super::*;
use crate::{
    fault,
    profile::{self, Overrides},
    target::resolver::Cache,
};

/// A resolver that asks these, each over lo when it is a loopback address.
fn asking(servers: &[&str]) -> Resolver {
    let server = |text: &&str| {
        let address: IpAddr = text.parse().unwrap();
        Server {
            address,
            over_lo: address.is_loopback(),
        }
    };
    Resolver {
        file: "/etc/resolv.conf".into(),
        servers: servers.iter().map(server).collect(),
        ndots: 1,
        ..Resolver::default()
    }
}

/// Of a fault on a target: what is said of it, and whether it takes lo in.
fn said(fault: &str, reach: Reach, resolver: &Resolver) -> (String, bool) {
    let text = format!("version: 1\nfaults:\n  - {fault}\n");
    let profile = profile::load("test", &text, &Overrides::default()).unwrap();
    let spec = &profile.faults[0];
    let Kind::Dns(dns) = &spec.kind else {
        panic!("{spec:?}");
    };
    let rule = fault::rule(spec, &Scope::of_a_test(), 1, false, 0).unwrap();
    let mut rule = rule.unwrap();
    steer(&mut rule, resolver);
    let notes = notes(spec, dns, &rule, reach, resolver).join("\n");
    (notes, rule.matcher.loopback)
}

const HOST: Reach = Reach::Namespace;
const CGROUP: Reach = Reach::Sockets;

#[test]
fn a_fault_takes_lo_in_where_queries_go_there() {
    let far = asking(&["10.0.0.53"]);
    let near = asking(&["10.0.0.53", "127.0.0.53"]);
    for target in [HOST, CGROUP] {
        assert_eq!(said("dns: drop", target, &far), (String::new(), false));
        assert!(said("dns: drop", target, &near).1);
    }
    // A resolver at an address of the machine's own.
    let mut own = asking(&["169.254.20.10"]);
    own.servers[0].over_lo = true;
    assert!(said("dns: drop", HOST, &own).1);
}

#[test]
fn a_query_that_leaves_the_target_twice_is_told_with_the_peer_that_meets_it_once() {
    let near = asking(&["10.0.0.53", "127.0.0.53"]);
    let (told, _) = said("dns: drop", HOST, &near);
    assert!(told.contains("--peer 127.0.0.53 meets it once"), "{told}");
    for (fault, target) in [
        ("dns: drop", CGROUP),
        ("{dns: drop, match: {peers: 127.0.0.53}}", HOST),
    ] {
        assert_eq!(said(fault, target, &near).0, "", "{fault}");
    }
}

#[test]
fn peers_and_interfaces_that_no_query_takes_are_told() {
    let target = HOST;
    let near = asking(&["127.0.0.53"]);
    let (told, lo) = said("{dns: drop, match: {peers: 10.0.0.53}}", target, &near);
    assert_eq!(
        told,
        "fault `dns` names peers that /etc/resolv.conf does not: its queries go to 127.0.0.53 (over lo, systemd-resolved's stub)"
    );
    assert!(!lo);
    let (told, _) = said("{dns: drop, match: {peers: 10.0.0.53}}", CGROUP, &near);
    assert!(told.contains("target the resolver's cgroup"), "{told}");
    let (told, _) = said("{dns: drop, match: {interfaces: eth0}}", CGROUP, &near);
    assert!(
        told.ends_with("go over lo: add lo to them (--interface lo)"),
        "{told}"
    );
    for fine in [
        "{dns: drop, match: {peers: 127.0.0.0/8}}",
        "{dns: drop, match: {not-peers: 10.0.0.53}}",
        "dns: {encrypted: drop}",
    ] {
        assert_eq!(said(fine, target, &near).0, "", "{fine}");
    }
    let except = "{dns: drop, match: {not-peers: 127.0.0.53}}";
    assert!(said(except, target, &near).0.contains("its queries go to"));
}

#[test]
fn a_cache_that_answers_over_a_socket_is_told_with_what_to_target_instead() {
    for (cache, cgroup_of) in [
        (
            Cache::NssResolve,
            "--cgroup /system.slice/systemd-resolved.service",
        ),
        (Cache::Nscd, "--cgroup /system.slice/nscd.service"),
    ] {
        let resolver = Resolver {
            caches: vec![cache],
            ..asking(&["10.0.0.53"])
        };
        let (told, _) = said("dns: drop", CGROUP, &resolver);
        assert!(told.contains(cgroup_of), "{told}");
        let (told, _) = said("dns: drop", HOST, &resolver);
        assert!(told.contains("may be hidden by"), "{told}");
        assert!(told.contains(cache.name()), "{told}");
    }
    let (told, _) = said("dns: drop", HOST, &asking(&["127.0.0.11"]));
    assert!(told.contains("dockerd"), "{told}");
}

#[test]
fn names_that_nobody_asks_for_as_they_are_are_told() {
    let mut resolver = asking(&["10.0.0.53"]);
    resolver.hosts = ["db.internal", "localhost"].map(str::to_owned).into();
    resolver.search = vec!["corp.example".to_owned()];
    let target = HOST;
    let (told, _) = said(
        "dns: {answer: drop, names: [DB.internal, '*.x']}",
        target,
        &resolver,
    );
    assert_eq!(
        told,
        "fault `dns` meets no query for db.internal, which the target's /etc/hosts answers"
    );
    let (told, _) = said("dns: {answer: drop, names: db}", target, &resolver);
    assert_eq!(
        told,
        "fault `dns` meets db as it is, and it is asked for as db.corp.example first (search in /etc/resolv.conf): name that too"
    );
    for fine in [
        "dns: drop",
        "dns: {answer: drop, not-names: db.internal}",
        "dns: {answer: drop, names: [db, '*.corp.example']}",
        "dns: {answer: drop, names: a.b}",
    ] {
        assert_eq!(said(fine, target, &resolver).0, "", "{fine}");
    }
    resolver.ndots = 5;
    assert!(
        said("dns: {answer: drop, names: a.b}", target, &resolver)
            .0
            .contains("a.b.corp.example")
    );
    resolver.tcp = true;
    assert!(
        said("dns: nxdomain", target, &resolver)
            .0
            .contains("use-vc")
    );
    assert_eq!(said("dns: {delay: 1s}", target, &resolver).0, "");
}
