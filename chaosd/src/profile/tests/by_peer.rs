//! A delay with a time for each peer: what it means, and what is said of mistakes.

use std::time::Duration;

use super::{check, fault, mistakes::table, one};
use crate::profile::{Kind, LONGEST_HOLD, MOST_BY_PEER, Mean};

/// The entries, as they are matched.
fn entries(settings: &str) -> Vec<(String, Duration)> {
    match fault(&format!("delay: {{by-peer: {settings}}}")).kind {
        Kind::Delay(delay) => match delay.mean {
            Mean::ByPeer(times) => times
                .into_iter()
                .map(|(net, time)| (net.to_string(), time))
                .collect(),
            Mean::Time(time) => panic!("{time:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn peers_have_their_times_as_a_map_or_as_a_list_where_parameters_fit() {
    let meant: Vec<(String, Duration)> = [
        ("10.1.0.0/16", 2),
        ("10.2.3.4/32", 0),
        ("fd00:2::/64", 600_000),
    ]
    .map(|(net, ms)| (net.to_owned(), Duration::from_millis(ms)))
    .into();
    assert_eq!(meant[2].1, LONGEST_HOLD);
    for written in [
        "{10.1.2.3/16: 2ms, 10.2.3.4: 0, 'fd00:2::1/64': 10m}",
        "['10.1.0.0/16 = 2ms', ' 10.2.3.4=0', 'fd00:2::/64=600s']",
    ] {
        assert_eq!(entries(written), meant, "{written}");
    }
    let both = [("10.1.0.0/16", 5), ("::/0", 5)];
    let both = both.map(|(net, ms)| (net.to_owned(), Duration::from_millis(ms)));
    assert_eq!(entries("{'10.1.0.0/16,::/0': 5ms}"), both);
    assert_eq!(entries("'10.1.0.0/16, ::/0=5ms'"), both);
}

#[test]
fn mistakes_of_times_by_peer_say_what_to_type() {
    table(|settings| one(&format!("delay: {{{settings}}}")), "
        by-peer: => 3:18: by-peer without a peer: give each its time, as in {10.1.0.0/16: 2ms}
        by-peer: {} => 3:20: by-peer without a peer: give each its time, as in {10.1.0.0/16: 2ms}
        by-peer: [] => 3:20: by-peer without a peer: give each its time, as in {10.1.0.0/16: 2ms}
        by-peer: {db.local: 2ms} => 3:21: `db.local` is a host name: by-peer takes addresses and CIDRs
        by-peer: {10.0.0.1: 2} => 3:31: `2` is not a duration without a unit; did you mean `2s`?
        by-peer: {10.0.0.1: 11m} => 3:31: 11m is longer than 10m, the most that a packet is held; did you mean `10m`?
        by-peer: {10.0.0.256: 2ms} => 3:21: `10.0.0.256` is not an address, a CIDR or a host name
        by-peer: {10.0.0.0/33: 2ms} => 3:21: `10.0.0.0/33` has the prefix length `33`, which is not 0 to 32
        by-peer: {10.0.1.0/16: 2ms, 10.0.0.0/16: 3ms} => 3:39: the peer `10.0.0.0/16` is given twice
        by-peer: {'::ffff:10.0.0.1': 2ms, 10.0.0.1: 3ms} => 3:45: the peer `10.0.0.1` is given twice
        by-peer: {10.0.0.1: 0, '::1': 0s} => 3:11: delays of 0 for all peers without jitter do nothing: give more, or a jitter
        by-peer: 10.0.0.1 => 3:20: `10.0.0.1` is not PEER=TIME, as in 10.1.0.0/16=2ms
        by-peer: [10.0.0.1=2ms, 10.0.0.2] => 3:35: `10.0.0.2` is not PEER=TIME, as in 10.1.0.0/16=2ms
        by-peer: [10.0.0.1=2ms, 10.0.0.1=2ms] => 3:35: the peer `10.0.0.1` is given twice
        by-peer: {10.0.0.1: 5ms}, time: 5ms => 3:11: by-peer beside time: one of them decides
        by-peer: {10.0.0.1: 5ms}, correlation: 5% => 3:37: correlation without jitter: there is nothing it could shape
        by-pere: {10.0.0.1: 5ms} => 3:11: unknown key `by-pere` in delay; did you mean `by-peer`?
    ");
    table(
        |matching| {
            one(&format!(
                "delay: {{by-peer: {{10.1.0.0/16: 5ms}}}}\nmatch: {{{matching}}}"
            ))
        },
        "
        peers: 10.1.0.1 => 4:18: peers beside by-peer: the peers are those of by-peer
        not-peers: 10.0.0.0/8 => 4:22: not-peers takes out all of by-peer: nothing is left to match
    ",
    );
    check(
        &one("delay: {by-peer: {a.b: 5, 10.0.0.1: 1M}, time: 6}"),
        &[
            "t.yaml:3:21: `a.b` is a host name: by-peer takes addresses and CIDRs",
            "t.yaml:3:26: `5` is not a duration without a unit; did you mean `5s`?",
            "t.yaml:3:39: `1M` is not a duration: M is a month; did you mean `1m`?",
            "t.yaml:3:50: `6` is not a duration without a unit; did you mean `6s`?",
        ],
    );
}

#[test]
fn a_table_has_an_end() {
    let peers = |count: usize| -> String {
        let address = |n: usize| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
        let all: Vec<String> = (0..count).map(address).collect();
        format!("'{}=5ms'", all.join(","))
    };
    assert_eq!(entries(&peers(MOST_BY_PEER)).len(), MOST_BY_PEER);
    check(
        &one(&format!("delay: {{by-peer: {}}}", peers(MOST_BY_PEER + 1))),
        &["t.yaml:3:20: 65537 peers: by-peer takes 65536"],
    );
}
