//! DNS faults: what they mean, and what is said of mistakes.

use std::{fmt::Write, time::Duration};

use super::{check, fault, mistakes::table, one, percent};
use crate::profile::{
    Addresses, Answer, Direction, Dns, Encrypted, Kind, MOST_NAMES, Protocol, units::PortSet,
};

fn dns(settings: &str) -> Dns {
    match fault(&format!("dns: {settings}")).kind {
        Kind::Dns(dns) => *dns,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dns_fault_says_whose_queries_and_what_comes_back() {
    let all = dns(
        "{names: ['*.payments.example', DB.internal.], not-names: metrics.payments.example, types: [A, aaaa], answer: servfail, rate: 50%, delay: 2s, encrypted: reset, resolvers: [1.1.1.1, '2606:4700::/32']}",
    );
    let words = |names: &[crate::profile::units::DomainName]| -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(words(&all.names), ["*.payments.example", "db.internal"]);
    assert_eq!(words(&all.not_names), ["metrics.payments.example"]);
    let types: Vec<u16> = all.types.iter().map(|kind| kind.number()).collect();
    assert_eq!(types, [1, 28]);
    assert_eq!(all.answer, Some(Answer::Servfail));
    assert_eq!(
        (all.rate, all.delay),
        (percent(50.0), Some(Duration::from_secs(2)))
    );
    assert_eq!(all.encrypted, Some(Encrypted::Reset));
    assert_eq!(all.resolvers.len(), 2);

    let short = dns("nxdomain");
    assert_eq!(
        (short.answer, short.rate),
        (Some(Answer::Nxdomain), percent(100.0))
    );
    assert!(short.names.is_empty() && short.types.is_empty());
    assert!(dns("{answer: drop, names: [a.b, '*']}").names.is_empty());
    let addresses = |settings| dns(settings).answer;
    let expected = Answer::Addresses(Addresses {
        a: Some([192, 0, 2, 1].into()),
        aaaa: None,
        ttl: Duration::from_secs(5),
    });
    for written in [
        "{answer: {A: 192.0.2.1}}",
        "{answer: 'A=192.0.2.1'}",
        "A=192.0.2.1",
    ] {
        assert_eq!(addresses(written), Some(expected), "{written}");
    }
}

#[test]
fn queries_leave_for_port_53_unless_the_match_says_another() {
    let matching = fault("dns: drop").matching;
    assert_eq!(matching.ports, PortSet::new([(53, 53)]));
    assert_eq!(
        (matching.direction, matching.protocol),
        (Direction::Out, None)
    );
    let matching = fault("dns: drop\nmatch: {ports: 5300-5301, protocol: tcp}").matching;
    assert_eq!(matching.ports, PortSet::new([(5300, 5301)]));
    assert_eq!(matching.protocol, Some(Protocol::Tcp));
}

#[test]
fn names_that_are_hit_are_those_of_names_less_those_of_not_names() {
    let some = dns("{answer: drop, names: ['*.a.b', c], not-names: ['*.x.a.b', y.a.b]}");
    let hits = |dns: &Dns, name: &str| dns.hits()(&name.parse().unwrap());
    for name in ["a.b", "z.a.b", "q.y.a.b", "C."] {
        assert!(hits(&some, name), "{name}");
    }
    for name in ["b", "x.a.b", "q.x.a.b", "y.a.b", "d.c", "."] {
        assert!(!hits(&some, name), "{name}");
    }
    let others = dns("{answer: drop, not-names: a.b}");
    assert!(hits(&others, "b") && !hits(&others, "a.b"));
}

#[test]
fn a_wrong_dns_fault_says_what_to_type() {
    table(|settings| one(&format!("dns: {settings}")), "
        {} => 3:3: dns needs at least one of answer, delay, encrypted
        {names: a.b} => 3:3: dns needs at least one of answer, delay, encrypted
        nxdomian => 3:8: `nxdomian` is not an answer: drop, nxdomain, servfail, refused, empty or A=192.0.2.1,AAAA=2001:db8::1,ttl=5s; did you mean `nxdomain`?
        NXDOMAIN => 3:8: `NXDOMAIN` is not an answer: drop, nxdomain, servfail, refused, empty or A=192.0.2.1,AAAA=2001:db8::1,ttl=5s; did you mean `nxdomain`?
        [drop] => 3:8: expected dns as a map of names, not-names, types, answer, rate, delay, encrypted, resolvers, found a list
        {answer: drop, name: a.b} => 3:23: unknown key `name` in dns; did you mean `names`?
        {answer: drop, peers: 10.0.0.1} => 3:23: unknown key `peers` in dns: it belongs in match
        {answer: drop, names: []} => 3:30: an empty list: give a value, or leave the key out to mean any
        {answer: drop, names: [a..b]} => 3:31: `a..b` has an empty label
        {answer: drop, not-names: ['*']} => 3:34: not-names takes out every name: nothing is left to match
        {answer: drop, names: ['a.*.b']} => 3:31: `a.*.b` has a * which is not its first label: *.zone means a name and all below it
        {answer: drop, names: [10.0.0.1]} => 3:31: `10.0.0.1` is an address, and names are asked for; its own, for PTR, is another; did you mean `1.0.0.10.in-addr.arpa`?
        {answer: drop, names: [bücher.example]} => 3:31: `bücher.example` is not ASCII: give the name as it is asked for, its international labels as xn--...
        {answer: drop, names: [x.a, 'y.a'], not-names: '*.a'} => 3:55: not-names takes out all of names: nothing is left to match
        {answer: drop, names: ['*.x.a'], not-names: '*.a'} => 3:52: not-names takes out all of names: nothing is left to match
        {answer: drop, types: [AAA]} => 3:31: `AAA` is not a type of query, such as A, AAAA, MX or TYPE65 (TYPE1 to TYPE65535); did you mean `AAAA`?
        {answer: drop, types: [TYPE1, TYPE2, TYPE3, TYPE4, TYPE5, TYPE6, TYPE7, TYPE8, TYPE9]} => 3:30: 9 types: a fault takes 8; leave types out to mean all of them
        {types: [AAAA], answer: {A: 192.0.2.1}} => 3:36: an answer for a type that does not fit: A is not among types (AAAA)
        {types: [A], answer: 'A=192.0.2.1,AAAA=::1'} => 3:29: an answer for a type that does not fit: AAAA is not among types (A)
        {answer: {A: '2001:db8::1'}} => 3:21: `2001:db8::1` is not an IPv4 address: it belongs to AAAA
        {answer: {AAAA: 192.0.2.1}} => 3:24: `192.0.2.1` is not an IPv6 address: it belongs to A
        {answer: {A: db.internal}} => 3:21: `db.internal` is not an IPv4 address
        {answer: {a: 192.0.2.1}} => 3:18: unknown key `a` in an answer of addresses; did you mean `A`?
        {answer: {ttl: 5s}} => 3:17: an answer of addresses needs A, AAAA or both, as in A=192.0.2.1,AAAA=2001:db8::1,ttl=5s
        {answer: {A: 192.0.2.1, ttl: 5}} => 3:37: `5` is not a duration without a unit; did you mean `5s`?
        {answer: {A: 192.0.2.1, ttl: 1500ms}} => 3:37: a ttl of 1s 500ms: an answer counts whole seconds; did you mean `2s`?
        {answer: {A: 192.0.2.1, ttl: 8d}} => 3:37: a ttl of 8days is longer than 7days; did you mean `7days`?
        {answer: 'A=192.0.2.1,x'} => 3:17: `x` is not NAME=VALUE, as in A=192.0.2.1,AAAA=2001:db8::1,ttl=5s
        {answer: drop, delay: 1s} => 3:23: delay beside answer: drop: what is lost is not held
        {answer: empty, delay: 0s} => 3:31: 0 is no time at all: give more, or leave the key out
        {delay: 11m} => 3:16: 11m is longer than 10m, the most that a packet is held; did you mean `10m`?
        {delay: 1s, rate: 0.5} => 3:26: `0.5` is not a share without a percent sign; did you mean `50%`?
        {encrypted: block} => 3:20: `block` is not what happens to encrypted DNS: drop or reset
        {encrypted: drop, names: a.b} => 3:26: names without answer and delay: of encrypted DNS only addresses and ports are seen
        {encrypted: drop, rate: 5%} => 3:26: rate without answer and delay: of encrypted DNS only addresses and ports are seen
        {encrypted: drop, resolvers: dns.example} => 3:37: `dns.example` is a host name: resolvers takes addresses and CIDRs
        {answer: empty, resolvers: 1.1.1.1} => 3:24: resolvers without encrypted: they are those of DNS over HTTPS; the servers of plain queries stand in match, as peers
    ");
    table(|matching| one(&format!("dns: drop\nmatch: {{{matching}}}")), "
        direction: in => 4:22: dns with direction in: queries leave their client; target the clients, or cut a server's port by drop or partition; did you mean `out`?
        direction: both => 4:22: dns with direction both: queries leave their client; target the clients, or cut a server's port by drop or partition; did you mean `out`?
        protocol: icmp => 4:21: dns with protocol icmp: queries go by UDP and TCP; did you mean `udp`?
        protocol: sctp => 4:21: dns with protocol sctp: queries go by UDP and TCP; did you mean `udp`?
        names: a.b => 4:11: unknown key `names` in match: it belongs in dns
    ");
    check(
        &one("dns:"),
        &["t.yaml:3:3: dns without settings; did you mean `dns: nxdomain`?"],
    );
    check(
        &one(
            "dns: {names: ['a.*', x..y], types: [AX], answer: nx, rate: 2, delay: 3, encrypted: no}\nmatch: {direction: in}",
        ),
        &[
            "t.yaml:3:17: `a.*` has a * which is not its first label: *.zone means a name and all below it",
            "t.yaml:3:24: `x..y` has an empty label",
            "t.yaml:3:39: `AX` is not a type of query, such as A, AAAA, MX or TYPE65 (TYPE1 to TYPE65535); did you mean `AXFR`?",
            "t.yaml:3:52: `nx` is not an answer: drop, nxdomain, servfail, refused, empty or A=192.0.2.1,AAAA=2001:db8::1,ttl=5s; did you mean `nxdomain`?",
            "t.yaml:3:62: `2` is not a share without a percent sign; did you mean `2%`?",
            "t.yaml:3:72: `3` is not a duration without a unit; did you mean `3s`?",
            "t.yaml:3:86: `no` is not what happens to encrypted DNS: drop or reset",
            "t.yaml:4:22: dns with direction in: queries leave their client; target the clients, or cut a server's port by drop or partition; did you mean `out`?",
        ],
    );
}

#[test]
fn a_zone_without_quotes_is_an_alias_to_yaml_and_said_to_need_them() {
    check(
        &one("dns: {answer: drop, names: [*.payments.example]}"),
        &[
            "t.yaml:3:31: `*.payments.example` is an alias to YAML: a word that begins with * needs quotes; did you mean `\"*.payments.example\"`?",
        ],
    );
}

#[test]
fn names_have_a_limit_over_all_faults() {
    let fault = |from: usize, count: usize| {
        let mut names = String::new();
        for n in from..from + count {
            write!(names, "n{n},").unwrap();
        }
        names.pop();
        format!("- dns: {{answer: drop, names: '{names}'}}\n")
    };
    let half = MOST_NAMES / 2;
    let most = format!(
        "version: 1\nfaults:\n{}{}",
        fault(0, half),
        fault(half, half)
    );
    assert_eq!(super::read(&most).faults.len(), 2);
    let over = format!(
        "version: 1\nfaults:\n{}{}",
        fault(0, half),
        fault(half, half + 1)
    );
    check(
        &over,
        &["t.yaml:3:3: 65537 names: the faults of a profile name 65536 at most"],
    );
}
