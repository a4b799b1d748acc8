//! Bad profiles, and the words that say what to type instead. In the tables a line is
//! `what was typed => what is said`, ⏎ is a line break, and KINDS are all of them.

use super::{check, fault, one, problems};
use crate::{fault::KINDS, profile::Overrides};

/// Each line's profile has just the problem of that line.
pub(super) fn table(profile_of: impl Fn(&str) -> String, lines: &str) {
    let mut rows = 0;
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let (typed, said) = line.trim().split_once(" => ").unwrap();
        let text = profile_of(&typed.replace('⏎', "\n"));
        let all = problems(&text, &Overrides::default());
        let said = said.replace("KINDS", &KINDS.join(", "));
        assert_eq!(all, format!("t.yaml:{said}"), "\n---\n{text}");
        rows += 1;
    }
    assert!(rows > 0);
}

#[test]
fn five_mistakes_are_reported_at_once_with_their_places() {
    check(
        "version: 1\nfor: 90\nfaults:\n  - drop: {rtae: 10%}\n    match:\n      port: [80]\n      protocol: tpc\n  - corrupt: {rate: 0.3}\n",
        &[
            "t.yaml:2:6: `90` is not a duration without a unit; did you mean `90s`?",
            "t.yaml:4:12: unknown key `rtae` in drop; did you mean `rate`?",
            "t.yaml:6:7: unknown key `port` in match; did you mean `ports`?",
            "t.yaml:7:17: `tpc` is not a protocol: tcp, udp, icmp or sctp; did you mean `tcp`?",
            "t.yaml:8:21: `0.3` is not a share without a percent sign; did you mean `30%`?",
        ],
    );
}

#[test]
fn a_wrong_top_says_what_belongs_there() {
    check("", &["t.yaml:1:1: the profile is empty"]);
    table(str::to_owned, "
        hello => 1:1: expected a profile as a map of version, about, for, seed, parameters, target, faults, hypothesis, steady-state, abort-when, stages, load, control, found a single value
        version: 1⏎fautls: [] => 2:1: unknown key `fautls` in a profile; did you mean `faults`?
        version: 2⏎faults: [drop: 1%] => 1:10: version `2` is not known: this chaosd reads version 1
        faults: [drop: 1%] => 1:1: no version: a profile begins with `version: 1`
        version: 1 => 1:1: no faults: a profile has a list of them under the key faults
        version: 1⏎faults: [] => 2:9: no faults: give at least one
        version: 1⏎faults: {drop: 1%} => 2:9: expected a list of faults, found a map: begin each with `- `
        version: 1⏎faults: drop => 2:9: expected a list of faults, found a single value: begin each with `- `
    ");
    table(|top| format!("version: 1\nfaults: [drop: 1%]\n{top}\n"), "
        seed: -1 => 3:7: `-1` is not a whole number (0 to 18446744073709551615)
        for: 0s => 3:6: 0 is no time at all: give more, or leave the key out
        for: 2h => 3:6: 2h is longer than the cap of 1h (`--max-for` of `chaosd serve` sets it); did you mean `1h`?
        duration: 2m => 3:1: unknown key `duration` in a profile; did you mean `for`?
        name: x => 3:1: unknown key `name` in a profile: it belongs in the fault, beside its kind
        ports: 80 => 3:1: unknown key `ports` in a profile: it belongs in match
        xyzzy: 80 => 3:1: unknown key `xyzzy` in a profile: it takes version, about, for, seed, parameters, target, faults, hypothesis, steady-state, abort-when, stages, load, control
        about: {a: b} => 3:8: expected a single value, found a map
    ");
    let many = format!("version: 1\nfaults:\n{}", "- drop: 1%\n".repeat(257));
    check(
        &many,
        &["t.yaml:259:3: 257 faults: a profile has at most 256"],
    );
}

#[test]
fn a_wrong_target_says_what_to_type() {
    table(
        |target| format!("version: 1\nfaults: [drop: 1%]\ntarget: {target}\n"),
        "
        {} => 3:9: an empty target: leave it out to mean the host
        hsot => 3:9: `hsot` is not a target; did you mean `host`?
        cgroup => 3:9: `cgroup` is not a target; did you mean `{cgroup: ...}`?
        /shop => 3:9: `/shop` is not a target; did you mean `{cgroup: /shop}`?
        xyzzy => 3:9: `xyzzy` is not a target: write host, {cgroup: PATH}, {pid: N}, {netns: NAME}, {container: NAME}, {pod: NAME}, {unit: NAME} or {process: NAME}
        {cgruop: /x} => 3:10: unknown key `cgruop` in target; did you mean `cgroup`?
        {pid: 0} => 3:15: `0` is not a process id (from 1)
        {pid: 99999999999} => 3:15: `99999999999` is not a process id (from 1)
        {pid: 1, netns: x} => 3:18: netns beside pid: a run has one target
        {cgroup: ../x} => 3:18: `../x` is not a path of a cgroup: no `..`, no control characters
        {netns: ''} => 3:17: nothing between the quotes: give a value or leave the key out
        {host: 10.0.0.1} => 3:16: host takes no value; did you mean `target: host`?
        [host] => 3:9: expected target as a map of host, cgroup, pid, netns, container, pod, unit, process, count, percent, exclude, runtime, found a list
    ",
    );
}

#[test]
fn a_wrong_name_says_what_to_type() {
    table(
        |target| format!("version: 1\nfaults: [drop: 1%]\ntarget: {target}\n"),
        "
        container => 3:9: `container` is not a target; did you mean `{container: ...}`?
        {container: shop db} => 3:21: `shop db` is not the name of a container
        {container: {}} => 3:21: a container by its name, or by labels
        {container: {name: a, labels: {b: c}}} => 3:31: labels beside name: a name is one container's
        {container: {label: {b: c}}} => 3:22: unknown key `label` in container; did you mean `labels`?
        {container: {labels: {}}} => 3:30: no labels: everything would be hit; name one
        {container: {labels: app}} => 3:30: `app` is not a label; did you mean `app=VALUE`?
        {pod: /web-0} => 3:15: `/web-0` is not NAME or NAMESPACE/NAME of a pod; did you mean `web-0`?
        {pod: a/b/c} => 3:15: `a/b/c` is not NAME or NAMESPACE/NAME of a pod; did you mean `c`?
        {pod: {namespace: shop}} => 3:15: a pod by its name, or by labels
        {unit: shop} => 3:16: `shop` does not say what kind of unit it is; did you mean `shop.service`?
        {process: {}} => 3:19: a process by its name, or by a part of its args
        {process: a, runtime: docker} => 3:22: runtime says which container runtime to ask, and none is asked here: leave it out
        {process: a, count: 0} => 3:29: `0` is not how many are hit (from 1)
        {process: a, percent: 0%} => 3:31: 0% of them is nobody: give more, or leave the key out
        {process: a, count: 1, percent: 1%} => 3:32: percent beside count: one of them says how many are hit
        {cgroup: /a, count: 1} => 3:22: count beside cgroup: it goes with container, pod, unit or process
        {count: 1} => 3:10: count without a container, pod, unit or process to choose from
    ",
    );
}

#[test]
fn a_wrong_fault_says_what_to_type() {
    table(one, "
        dorp: 1% => 3:3: unknown fault kind `dorp`: the kinds are KINDS; did you mean `drop`?
        dealy: {time: 1ms} => 3:3: unknown fault kind `dealy`: the kinds are KINDS; did you mean `delay`?
        latency: {time: 1ms} => 3:3: unknown fault kind `latency`: the kinds are KINDS; did you mean `delay`?
        name: x => 3:3: a fault without a kind: give one of KINDS
        drop: 1%⏎partition: {} => 4:3: a second kind, partition, after drop: write two faults
        drop: 1%⏎ports: 80 => 4:3: unknown key `ports` in a fault: it belongs in match
        drop: 1%⏎rate: 80% => 4:3: unknown key `rate` in a fault: it belongs in drop
        drop: 1%⏎unprotcted: true => 4:3: unknown key `unprotcted` in a fault; did you mean `unprotected`?
        partition: {peers: 10.0.0.1} => 3:15: unknown key `peers` in partition: it belongs in match
        partition: {xyzzy: 10.0.0.1} => 3:15: unknown key `xyzzy` in partition: it takes none
        partition: 50% => 3:14: partition takes no settings, found `50%`: use drop for a share
        drop: => 3:3: drop without settings; did you mean `drop: 10%`?
        drop: {} => 3:3: drop needs one of rate, every, gilbert-elliott
        drop: [1%] => 3:9: expected drop as a map of rate, every, gilbert-elliott, whole-skb, found a list
        drop: {rate: 1%, every: 2} => 3:20: every beside rate: one of them decides
        drop: {every: 0} => 3:17: `0` is not a whole number from 1: every nth packet is lost
        drop: {every: 4294967296} => 3:17: `4294967296` is not a whole number from 1: every nth packet is lost
        drop: {rate: 130%} => 3:16: `130%` is more than 100%; did you mean `100%`?
        drop: {rate: } => 3:14: no value: give one or leave the key out
        drop: {rate: 1%, whole-skb: yes} => 3:31: `yes` is not true or false
        drop: {gilbert-elliott: {p: 1%}} => 3:27: gilbert-elliott needs r, such as r: 10%
        drop: {gilbert-elliott: {p: 0%, r: 1%}} => 3:27: this gilbert-elliott loses nothing: give p and bad more than 0%
        drop: {gilbert-elliott: 'p:1%'} => 3:27: `p:1%` is not NAME=VALUE, as in p=1%,r=10%
        drop: {gilbert-elliott: 'p=1%,r=1%,r=2%'} => 3:27: `r` is given twice
        corrupt: {bits: 2} => 3:3: corrupt needs a rate, such as 1%
        corrupt: {rate: 1%, bits: 33} => 3:29: 33 bits: 1 to 32 can be flipped in a packet; did you mean `32`?
        corrupt: {rate: 1%, bits: 0} => 3:29: 0 bits: 1 to 32 can be flipped in a packet; did you mean `1`?
        corrupt: {rate: 1%, bits: one} => 3:29: `one` is not a number of bits
        corrupt: {rate: 1%, whole-skb: true} => 3:23: unknown key `whole-skb` in corrupt: it belongs in drop
        corrupt: {rate: 1%, mode: undeteced} => 3:29: `undeteced` is not detected (the checksum fails) or undetected; did you mean `undetected`?
        reset: {to: client} => 3:15: `client` is not an end that gets the RST: both, local or remote
        reset:⏎match: {protocol: udp} => 4:21: reset with protocol udp: only TCP has that; did you mean `tcp`?
        drop: 1%⏎name: a b => 4:9: `a b` is not a name of up to 64 letters, digits, -, _ and .; did you mean `a-b`?
        drop: 1%⏎unprotected: TRUE => 4:16: `TRUE` is not true or false; did you mean `true`?
        - drop => 3:3: expected a fault, such as `drop: {rate: 10%}`, found a list
    ");
    check(
        "version: 1\nfaults:\n- {name: a, drop: 1%}\n- {name: a, drop: 1%}\n",
        &["t.yaml:4:10: a second fault is named `a`: names are unique"],
    );
}

#[test]
fn a_match_that_means_nothing_is_refused() {
    table(|matching| one(&format!("drop: 1%\nmatch: {matching}")), "
        {} => 4:10: an empty match: leave it out to mean every packet
        {ports: []} => 4:18: an empty list: give a value, or leave the key out to mean any
        {ports: 80, protocol: icmp} => 4:11: ports with protocol icmp: ICMP has no ports, so nothing would match
        {flags: syn, protocol: udp} => 4:33: flags with protocol udp: only TCP has that; did you mean `tcp`?
        {flags: [syn, '!syn']} => 4:18: a flag that must be both set and not set: nothing would match
        {flags: [syn, '!akc']} => 4:24: `!akc` is not a TCP flag (fin, syn, rst, psh, ack, urg, ece, cwr; ! before one: not set); did you mean `!ack`?
        {flows: 0%} => 4:18: 0% of flows: nothing would match
        {peers: 10.0.0.1, not-peers: [10.0.0.0/9, 10.128.0.0/9]} => 4:39: not-peers takes out all of peers: nothing is left to match
        {peers: 10.0.0.0/8, not-peers: [10.0.0.0/9, 10.128.0.0/9]} => 4:41: not-peers takes out all of peers: nothing is left to match
        {not-peers: [0.0.0.0/0, '::/0']} => 4:22: not-peers takes out every address: nothing is left to match
        {peers: db.local, not-peers: DB.local.} => 4:39: not-peers takes out all of peers: nothing is left to match
        {ports: 80, not-ports: 1-100} => 4:33: not-ports takes out all of ports: nothing is left to match
        {not-local-ports: 1-65535} => 4:28: not-local-ports takes out every port: nothing is left to match
        {direction: ingress} => 4:22: `ingress` is not a direction: in, out or both; did you mean `in`?
        {interface: eth0} => 4:11: unknown key `interface` in match; did you mean `interfaces`?
        {peer: 10.0.0.1} => 4:11: unknown key `peer` in match; did you mean `peers`?
        {not_peers: 10.0.0.1} => 4:11: unknown key `not_peers` in match; did you mean `not-peers`?
        {interfaces: eth/0} => 4:23: `eth/0` is not the name of an interface (up to 15 bytes, no / : or space)
        {peers: [10.0.0.1, 'x y']} => 4:29: `x y` is not an address, a CIDR or a host name
        {ports: '80,,81'} => 4:18: `` is not a port (1 to 65535) or a range, such as 8000-8100
        {after: 3s} => 4:11: unknown key `after` in match: it belongs in the fault, beside its kind
        {peers: {a: b}} => 4:18: expected a single value, found a map
    ");
    let kept = fault("drop: 1%\nmatch: {peers: [10.0.0.1, 10.1.0.0/16], not-peers: 10.1.2.3}");
    assert_eq!(kept.matching.not_peers.len(), 1);
}

#[test]
fn a_timeline_beyond_the_run_is_refused() {
    table(|timeline| one(&format!("drop: 1%\n{timeline}")), "
        after: 2m => 4:10: begins after 2m, when the run of 1m is over
        for: 61s => 4:8: lasts 1m 1s, longer than the run of 1m; did you mean `1m`?
        after: 50s⏎for: 20s => 5:8: begins after 50s and ends at 1m 10s, past the run of 1m; did you mean `10s`?
        ramp: 20s⏎for: 10s => 4:9: ramps for 20s, longer than the fault's 10s; did you mean `10s`?
        ramp: 20s⏎after: 50s => 4:9: ramps for 20s, longer than the fault's 10s; did you mean `10s`?
        for: 0s => 4:8: 0 is no time at all: give more, or leave the key out
        pulse: {on: 0s, off: 1s} => 4:15: 0 is no time at all: give more, or leave the key out
        pulse: {on: 1s} => 4:10: pulse needs off, as in {on: 5s, off: 10s}
        pulse: {on: 1s, of: 1s} => 4:19: unknown key `of` in pulse; did you mean `off`?
        pulse: 5s => 4:10: expected pulse as a map of on, off, found a single value
    ");
    let over = Overrides {
        run_for: Some("10s".into()),
        ..Overrides::default()
    };
    let text = one("drop: 1%\nafter: 30s");
    assert_eq!(
        problems(&text, &over),
        "t.yaml:4:10: begins after 30s, when the run of 10s is over"
    );
}

#[test]
fn yaml_that_loses_meaning_is_refused() {
    table(str::to_owned, "
        version: 1⏎faults: [{drop: 1%, match: {flags: [syn, !ack]}}] => 2:42: `!ack` is a tag to YAML: a word that begins with ! needs quotes; did you mean `\"!ack\"`?
        version: 1⏎faults: [drop: 1%]⏎version: 1 => 3:1: the key `version` is given twice (before on line 1)
        version: 1⏎faults: [{drop: 1%, drop: 2%}] => 2:21: the key `drop` is given twice (before on line 2)
        version: 1⏎faults: [drop: 1%]⏎---⏎version: 1 => 3:1: a second document: a file holds one profile
        version: 1⏎faults: [drop: 1%]⏎? [a]⏎: b => 3:3: a key is a word, not a list
        version: 1⏎faults: [drop: 1%]⏎\"\\e[2J\": b => 3:1: unknown key `\\u{1b}[2J` in a profile: it takes version, about, for, seed, parameters, target, faults, hypothesis, steady-state, abort-when, stages, load, control
    ");
}
