//! Profiles in, words out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::{
    Corrupt, CorruptMode, Direction, Drop, FaultSpec, GilbertElliott, Kind, Loss, Overrides, Peer,
    Profile, Protocol, Target,
    flags::{InjectFlags, TargetFlags},
    load, shipped,
    units::Percent,
};

fn read(text: &str) -> Profile {
    load("t.yaml", text, &Overrides::default()).unwrap_or_else(|e| panic!("{e}\n---\n{text}"))
}

fn problems(text: &str, over: &Overrides) -> String {
    match load("t.yaml", text, over) {
        Ok(profile) => panic!("was accepted: {profile:?}\n---\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

/// All problems of a profile, in order.
fn check(text: &str, said: &[&str]) {
    assert_eq!(
        problems(text, &Overrides::default()),
        said.join("\n"),
        "\n---\n{text}"
    );
}

/// The problems of one fault; columns count from the fault's first key.
fn check_fault(fault: &str, said: &[&str]) {
    check(&one(fault), said);
}

fn one(fault: &str) -> String {
    format!("version: 1\nfaults:\n- {}\n", fault.replace('\n', "\n  "))
}

fn fault(text: &str) -> FaultSpec {
    read(&one(text)).faults.remove(0)
}

fn percent(n: f64) -> Percent {
    Percent::new(n).unwrap()
}

#[test]
fn the_profile_of_the_design_reads_as_meant() {
    let text = r#"
version: 1
about: The database does not answer now and then.
for: 2m
seed: 42
parameters:
  db: {about: where the database listens, default: 10.0.0.7}
target: {cgroup: /system.slice/shop.service}
faults:
  - name: lossy
    drop: {rate: 2%}
    match: {peers: ["${db}"], ports: [5432, 8000-8100], not-ports: 8080, direction: in}
    after: 30s
    for: 1m
    ramp: 10s
    pulse: {on: 5s, off: 10s}
  - corrupt: {rate: 1%, bits: 3, mode: undetected}
  - reset:
    match: {flags: [syn, "!ack"], interfaces: eth0}
    unprotected: true
  - partition: {}
    match: {not-peers: [10.0.0.0/8, shop.local]}
  - reset: {rate: 50%, to: local}
"#;
    let profile = read(text);
    assert_eq!(profile.run_for, Duration::from_mins(2));
    assert_eq!(profile.seed, Some(42));
    assert_eq!(
        profile.target,
        Target::Cgroup("/system.slice/shop.service".into())
    );
    let names: Vec<_> = profile.faults.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["lossy", "corrupt", "reset", "partition", "reset-2"]);
    let [lossy, corrupt, reset, partition, _] = profile.faults.as_slice() else {
        panic!()
    };
    assert_eq!(
        lossy.kind,
        Kind::Drop(Drop {
            model: Loss::Rate(percent(2.0)),
            whole_skb: false
        })
    );
    assert_eq!(lossy.matching.peers, ["10.0.0.7".parse::<Peer>().unwrap()]);
    let ports = lossy.matching.ports.as_ref().unwrap();
    assert_eq!(ports.ranges(), [(5432, 5432), (8000, 8079), (8081, 8100)]);
    assert_eq!(lossy.matching.direction, Direction::In);
    assert_eq!(lossy.timeline.after, Duration::from_secs(30));
    assert_eq!(lossy.timeline.lasts, Some(Duration::from_mins(1)));
    assert_eq!(lossy.timeline.ramp, Duration::from_secs(10));
    assert_eq!(lossy.timeline.pulse.unwrap().off, Duration::from_secs(10));
    let undetected = Corrupt {
        rate: percent(1.0),
        bits: 3,
        mode: CorruptMode::Undetected,
    };
    assert_eq!(corrupt.kind, Kind::Corrupt(undetected));
    let flags = reset.matching.flags.unwrap();
    assert_eq!((flags.set, flags.clear), (2, 16));
    assert_eq!(reset.matching.protocol, Some(Protocol::Tcp));
    assert_eq!(reset.matching.interfaces, ["eth0"]);
    assert!(reset.unprotected && !partition.unprotected);
    assert_eq!(
        partition.matching.not_peers[1],
        Peer::Name("shop.local".into())
    );
}

#[test]
fn shorthands_mean_the_same() {
    assert_eq!(fault("drop: 30%"), fault("drop: {rate: 30%}"));
    assert_eq!(
        fault("corrupt: 1%"),
        fault("corrupt: {rate: 1%, bits: 1, mode: detected}")
    );
    assert_eq!(fault("reset:"), fault("reset: {rate: 100%, to: both}"));
    assert_eq!(fault("partition:"), fault("partition: {}"));
    assert_eq!(
        fault("drop: 1%\nmatch: {ports: 80, peers: 10.0.0.1}"),
        fault("drop: 1%\nmatch: {ports: [80], peers: [10.0.0.1]}")
    );
    assert_eq!(
        fault("drop: 1%\nmatch: {ports: '80, 443', flags: 'syn,!ack'}"),
        fault("drop: 1%\nmatch: {ports: [80, 443], flags: [syn, '!ack'], protocol: tcp}")
    );
    assert_eq!(
        fault("drop: 1%\nmatch: {peers: [0.0.0.0/0, '::/0'], direction: both}"),
        fault("drop: 1%")
    );
    let bursts = GilbertElliott {
        p: percent(1.0),
        r: percent(10.0),
        good: Percent::NONE,
        bad: Percent::ALL,
    };
    let kind = Kind::Drop(Drop {
        model: Loss::GilbertElliott(bursts),
        whole_skb: false,
    });
    assert_eq!(fault("drop: {gilbert-elliott: {p: 1%, r: 10%}}").kind, kind);
    assert_eq!(fault("drop: {gilbert-elliott: 'p=1%,r=10%'}").kind, kind);
    let host = "faults: [{drop: 1%}]\nversion: 1\n";
    for target in ["host", "{host: }", "{host: true}", "{host: {}}"] {
        assert_eq!(read(host), read(&format!("{host}target: {target}\n")));
    }
    assert_eq!(
        read(&format!("{host}target: {{pid: 42}}")).target,
        Target::Pid(42)
    );
}

#[test]
fn json_is_read_by_the_same_path() {
    let json = "{\"version\":1,\"about\":\"\\u00e9\\ud83d\\ude00 \\/\",\n\t\"faults\":[{\"drop\":{\"rate\":\"30%\",\"whole-skb\":true},\"match\":{\"ports\":[80]}}]}";
    let profile = read(json);
    assert_eq!(profile.about, "é😀 /");
    assert_eq!(
        profile.faults[0].kind,
        fault("drop: {rate: 30%, whole-skb: true}").kind
    );
    check(
        "{\"version\": 1,\n \"faults\": [{\"drop\": {\"rtae\": \"30%\"}}]}",
        &[
            "t.yaml:2:15: drop needs one of rate, every, gilbert-elliott",
            "t.yaml:2:24: unknown key `rtae` in drop; did you mean `rate`?",
        ],
    );
}

#[test]
fn five_mistakes_are_reported_at_once_with_their_places() {
    check(
        "version: 1\nfor: 90\nfaults:\n  - drop: {rtae: 10%}\n    match:\n      port: [80]\n      protocol: tpc\n  - corrupt: {rate: 0.3}\n",
        &[
            "t.yaml:2:6: `90` is not a duration without a unit; did you mean `90s`?",
            "t.yaml:4:5: drop needs one of rate, every, gilbert-elliott",
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
    check(
        "hello",
        &[
            "t.yaml:1:1: expected version, about, for, seed, parameters, target, faults in a profile, found a single value",
        ],
    );
    check(
        "name: x\n",
        &[
            "t.yaml:1:1: unknown key `name` in a profile: it belongs in the fault, beside its kind",
            "t.yaml:1:1: no version: a profile begins with `version: 1`",
            "t.yaml:1:1: no faults: a profile has a list of them under the key faults",
        ],
    );
    check(
        "version: 2\nseed: -1\nfor: 0s\nfautls: []\nfaults: []\ntarget: {}\n",
        &[
            "t.yaml:1:10: version `2` is not known: this chaosd reads version 1",
            "t.yaml:2:7: `-1` is not a whole number (0 to 18446744073709551615)",
            "t.yaml:3:6: 0 is no time at all: give more, or leave the key out",
            "t.yaml:4:1: unknown key `fautls` in a profile; did you mean `faults`?",
            "t.yaml:5:9: no faults: give at least one",
            "t.yaml:6:9: an empty target: leave it out to mean the host",
        ],
    );
    check(
        "version: 1\nfaults: {drop: 1%}\n",
        &["t.yaml:2:9: expected a list of faults, found a map: begin each with `- `"],
    );
    check(
        "version: 1\nfor: 2h\nfaults: [{drop: 1%}]\n",
        &[
            "t.yaml:2:6: 2h is longer than the cap of 1h (`--max-for` of `chaosd serve` sets it); did you mean `1h`?",
        ],
    );
    let many = format!("version: 1\nfaults:\n{}", "- drop: 1%\n".repeat(257));
    check(
        &many,
        &["t.yaml:3:1: 257 faults: a profile has at most 256"],
    );
}

#[test]
fn a_wrong_target_says_what_to_type() {
    for (target, said) in [
        ("hsot", "9: `hsot` is not a target; did you mean `host`?"),
        (
            "cgroup",
            "9: `cgroup` is not a target; did you mean `{cgroup: ...}`?",
        ),
        (
            "/shop",
            "9: `/shop` is not a target; did you mean `{cgroup: /shop}`?",
        ),
        (
            "xyzzy",
            "9: `xyzzy` is not a target: write host, {cgroup: PATH}, {pid: N} or {netns: NAME}",
        ),
        (
            "{pod: x}",
            "10: unknown key `pod` in target; did you mean `pid`?",
        ),
        ("{pid: 0}", "15: `0` is not a process id (from 1)"),
        (
            "{pid: 99999999999}",
            "15: `99999999999` is not a process id (from 1)",
        ),
        (
            "{pid: 1, netns: x}",
            "18: netns beside pid: a run has one target",
        ),
        (
            "{cgroup: ../x}",
            "18: `../x` is not a path of a cgroup: no `..`, no control characters",
        ),
        (
            "{netns: ''}",
            "17: nothing between the quotes: give a value or leave the key out",
        ),
        ("{cgroup: }", "10: no value: give one or leave the key out"),
    ] {
        let text = format!("version: 1\nfaults: [drop: 1%]\ntarget: {target}\n");
        let said_all = problems(&text, &Overrides::default());
        let (place, what) = said.split_once(':').unwrap();
        assert!(
            said_all.ends_with(what) && said_all.starts_with("t.yaml:3:"),
            "{target}: {said_all}"
        );
        if target != "{cgroup: }" {
            assert_eq!(said_all, format!("t.yaml:3:{place}:{what}"));
        }
    }
}

#[test]
fn a_wrong_fault_says_what_to_type() {
    for (text, said) in [
        (
            "dorp: 1%",
            "3:3: unknown fault kind `dorp`: the kinds are drop, corrupt, partition, reset; did you mean `drop`?",
        ),
        (
            "dealy: {time: 1ms}",
            "3:3: unknown fault kind `dealy`: the kinds are drop, corrupt, partition, reset",
        ),
        (
            "name: x",
            "3:3: a fault without a kind: give one of drop, corrupt, partition, reset",
        ),
        (
            "drop: 1%\npartition: {}",
            "4:3: a second kind, partition, after drop: write two faults",
        ),
        (
            "drop: 1%\nports: 80",
            "4:3: unknown key `ports` in a fault: it belongs in match",
        ),
        (
            "partition: {peers: 10.0.0.1}",
            "3:15: unknown key `peers` in partition: it belongs in match",
        ),
        (
            "partition: 50%",
            "3:14: partition takes no settings, found `50%`: use drop for a share",
        ),
        (
            "drop:",
            "3:3: drop without settings; did you mean `drop: 10%`?",
        ),
        (
            "drop: {}",
            "3:3: drop needs one of rate, every, gilbert-elliott",
        ),
        (
            "drop: [1%]",
            "3:9: expected rate, every, gilbert-elliott, whole-skb in drop, found a list",
        ),
        (
            "drop: {rate: 1%, every: 2}",
            "3:20: every beside rate: one of them decides",
        ),
        (
            "drop: {every: 0}",
            "3:17: `0` is not a whole number from 1: every nth packet is lost",
        ),
        (
            "drop: {rate: 130%}",
            "3:16: `130%` is more than 100%; did you mean `100%`?",
        ),
        (
            "drop: {rate: 1%, whole-skb: yes}",
            "3:31: `yes` is not true or false",
        ),
        (
            "drop: {gilbert-elliott: {p: 1%}}",
            "3:27: gilbert-elliott needs r, such as r: 10%",
        ),
        (
            "drop: {gilbert-elliott: {p: 0%, r: 1%}}",
            "3:27: this gilbert-elliott loses nothing: give p and bad more than 0%",
        ),
        (
            "drop: {gilbert-elliott: 'p:1%'}",
            "3:27: `p:1%` is not NAME=SHARE, as in p=1%,r=10%",
        ),
        (
            "corrupt: {bits: 2}",
            "3:3: corrupt needs a rate, such as 1%",
        ),
        (
            "corrupt: {rate: 1%, bits: 33}",
            "3:29: 33 bits: 1 to 32 can be flipped in a packet; did you mean `32`?",
        ),
        (
            "corrupt: {rate: 1%, bits: 0}",
            "3:29: 0 bits: 1 to 32 can be flipped in a packet; did you mean `1`?",
        ),
        (
            "corrupt: {rate: 1%, whole-skb: true}",
            "3:23: unknown key `whole-skb` in corrupt: it belongs in drop",
        ),
        (
            "corrupt: {rate: 1%, mode: undeteced}",
            "3:29: `undeteced` is not detected (the checksum fails) or undetected; did you mean `undetected`?",
        ),
        (
            "reset: {to: client}",
            "3:15: `client` is not an end that gets the RST: both, local or remote",
        ),
        (
            "reset:\nmatch: {protocol: udp}",
            "4:21: reset with protocol udp: only TCP has that; did you mean `protocol: tcp`?",
        ),
        (
            "drop: 1%\nname: a b",
            "4:9: `a b` is not a name of up to 64 letters, digits, -, _ and .; did you mean `a-b`?",
        ),
        (
            "drop: 1%\nunprotected: TRUE",
            "4:16: `TRUE` is not true or false; did you mean `true`?",
        ),
        (
            "- drop",
            "3:3: expected a fault, such as `drop: {rate: 10%}`, found a list",
        ),
    ] {
        check_fault(text, &[&format!("t.yaml:{said}")]);
    }
    check(
        "version: 1\nfaults:\n- {name: a, drop: 1%}\n- {name: a, drop: 1%}\n",
        &["t.yaml:4:10: a second fault is named `a`: names are unique"],
    );
}

#[test]
fn a_match_that_means_nothing_is_refused() {
    for (matching, said) in [
        (
            "{}",
            "4:10: an empty match: leave it out to mean every packet",
        ),
        ("", "4:3: an empty match: leave it out to mean every packet"),
        (
            "{ports: []}",
            "4:18: an empty list: give a value, or leave the key out to mean any",
        ),
        (
            "{ports: 80, protocol: icmp}",
            "4:11: ports with protocol icmp: ICMP has no ports, so nothing would match",
        ),
        (
            "{flags: syn, protocol: udp}",
            "4:34: flags with protocol udp: only TCP has that; did you mean `protocol: tcp`?",
        ),
        (
            "{flags: [syn, '!syn']}",
            "4:18: a flag that must be both set and not set: nothing would match",
        ),
        (
            "{flags: [syn, '!akc']}",
            "4:24: `!akc` is not a TCP flag (fin, syn, rst, psh, ack, urg, ece, cwr; ! before one: not set); did you mean `!ack`?",
        ),
        ("{flows: 0%}", "4:18: 0% of flows: nothing would match"),
        (
            "{peers: 10.0.0.1, not-peers: [10.0.0.0/9, 10.128.0.0/9]}",
            "4:39: not-peers takes out all of peers: nothing is left to match",
        ),
        (
            "{not-peers: [0.0.0.0/0, '::/0']}",
            "4:22: not-peers takes out every address: nothing is left to match",
        ),
        (
            "{peers: db.local, not-peers: DB.local.}",
            "4:39: not-peers takes out all of peers: nothing is left to match",
        ),
        (
            "{ports: 80, not-ports: 1-100}",
            "4:33: not-ports takes out all of ports: nothing is left to match",
        ),
        (
            "{not-local-ports: 1-65535}",
            "4:28: not-local-ports takes out every port: nothing is left to match",
        ),
        (
            "{direction: ingress}",
            "4:22: `ingress` is not a direction: in, out or both; did you mean `in`?",
        ),
        (
            "{interface: eth0}",
            "4:11: unknown key `interface` in match; did you mean `interfaces`?",
        ),
        (
            "{interfaces: eth/0}",
            "4:23: `eth/0` is not the name of an interface (up to 15 bytes, no / : or space)",
        ),
        (
            "{peers: [10.0.0.1, 'x y']}",
            "4:29: `x y` is not an address, a CIDR or a host name",
        ),
        (
            "{after: 3s}",
            "4:11: unknown key `after` in match: it belongs in the fault, beside its kind",
        ),
        (
            "{peers: {a: b}}",
            "4:18: expected a single value, found a map",
        ),
    ] {
        let text = one(&format!("drop: 1%\nmatch: {matching}"));
        let said_all = problems(&text, &Overrides::default());
        if matching.is_empty() {
            assert!(said_all.ends_with("an empty match: leave it out to mean every packet"));
        } else {
            assert_eq!(said_all, format!("t.yaml:{said}"), "{text}");
        }
    }
    let kept = fault("drop: 1%\nmatch: {peers: [10.0.0.1, 10.1.0.0/16], not-peers: 10.1.2.3}");
    assert_eq!(kept.matching.not_peers.len(), 1);
}

#[test]
fn a_timeline_beyond_the_run_is_refused() {
    for (timeline, said) in [
        (
            "after: 2m",
            "4:10: begins after 2m, when the run of 1m is over",
        ),
        (
            "for: 61s",
            "4:8: lasts 1m 1s, longer than the run of 1m; did you mean `1m`?",
        ),
        (
            "after: 50s\nfor: 20s",
            "5:8: begins after 50s and ends at 1m 10s, past the run of 1m; did you mean `10s`?",
        ),
        (
            "ramp: 20s\nfor: 10s",
            "4:9: ramps for 20s, longer than the fault's 10s; did you mean `10s`?",
        ),
        (
            "ramp: 20s\nafter: 50s",
            "4:9: ramps for 20s, longer than the fault's 10s; did you mean `10s`?",
        ),
        (
            "for: 0s",
            "4:8: 0 is no time at all: give more, or leave the key out",
        ),
        (
            "pulse: {on: 0s, off: 1s}",
            "4:15: 0 is no time at all: give more, or leave the key out",
        ),
        (
            "pulse: {on: 1s}",
            "4:10: pulse needs off, as in {on: 5s, off: 10s}",
        ),
        (
            "pulse: {on: 1s, of: 1s}",
            "4:10: pulse needs off, as in {on: 5s, off: 10s}\nt.yaml:4:19: unknown key `of` in pulse; did you mean `off`?",
        ),
        (
            "pulse: 5s",
            "4:10: expected on, off in pulse, found a single value",
        ),
    ] {
        check_fault(
            &format!("drop: 1%\n{timeline}"),
            &[&format!("t.yaml:{said}")],
        );
    }
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

const OPEN: &str = "version: 1\nparameters:\n  rate: {default: 1%}\n  zone:\n    about: where\nfaults:\n- drop: ${rate}\n  match: {peers: [\"${zone}\", \"10.${zone}.0.1\"]}\n";

#[test]
fn parameters_are_filled_in_and_checked() {
    check(
        OPEN,
        &["t.yaml:4:3: the parameter `zone` has no value: give --set zone=VALUE"],
    );
    let set = |pairs: &[(&str, &str)]| Overrides {
        set: pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..Overrides::default()
    };
    let profile = load("t.yaml", OPEN, &set(&[("zone", "7"), ("rate", "9%")])).unwrap_err();
    assert_eq!(
        profile.to_string(),
        "--set zone: `7` is not an address, a CIDR or a host name"
    );
    assert_eq!(
        problems(OPEN, &set(&[("zoen", "1"), ("rate", "9"), ("rate", "8")])),
        "--set zoen: unknown parameter `zoen` (there is rate, zone); did you mean `zone`?\n--set rate: given twice\n--set rate: `8` is not a share without a percent sign; did you mean `8%`?\nt.yaml:4:3: the parameter `zone` has no value: give --set zone=VALUE"
    );
    check(
        "version: 1\nparameters:\n  a: {about: x, default: 1}\n  1b: {}\n  c: 5\nfaults:\n- drop: ${b}\n- drop: 1%\n  name: \"${\"\n",
        &[
            "t.yaml:3:3: the parameter `a` is used nowhere: write ${a} where its value belongs",
            "t.yaml:4:3: `1b` is not a name of letters, digits, - and _",
            "t.yaml:5:3: the parameter `c` is used nowhere: write ${c} where its value belongs",
            "t.yaml:5:6: expected about, default in a parameter, found a single value",
            "t.yaml:7:9: unknown parameter `b` (there is a, c)",
            "t.yaml:9:9: `${` has ${ without a }",
        ],
    );
    let literal = read("version: 1\nabout: costs $${5}\nfaults: [{drop: 1%}]\n");
    assert_eq!(literal.about, "costs ${5}");
    check(
        &one("drop: {rate: ${r}}"),
        &[
            "t.yaml:3:16: not YAML: while parsing a flow mapping, did not find expected ',' or '}': put quotes around \"${...}\" inside [ ] and { }",
        ],
    );
}

#[test]
fn overrides_win_and_are_checked_too() {
    let text = "version: 1\nfor: 2m\nseed: 1\ntarget: {netns: a}\nfaults: [{drop: 1%}]\n";
    let over = Overrides {
        run_for: Some("30s".into()),
        seed: Some(7),
        target: Some(TargetFlags {
            pid: Some(1),
            ..TargetFlags::default()
        }),
        ..Overrides::default()
    };
    let profile = load("t.yaml", text, &over).unwrap();
    assert_eq!(profile.run_for, Duration::from_secs(30));
    assert_eq!((profile.seed, profile.target), (Some(7), Target::Pid(1)));
    let none = Overrides {
        target: Some(TargetFlags::default()),
        ..Overrides::default()
    };
    assert_eq!(
        load("t.yaml", text, &none).unwrap().target,
        Target::Netns("a".into())
    );
    let bad = Overrides {
        run_for: Some("90".into()),
        target: Some(TargetFlags {
            pid: Some(-1),
            ..TargetFlags::default()
        }),
        max_for: Duration::from_secs(5),
        ..Overrides::default()
    };
    assert_eq!(
        problems(text, &bad),
        "--for: `90` is not a duration without a unit; did you mean `90s`?\n--pid: `-1` is not a process id (from 1)"
    );
    let short = Overrides {
        max_for: Duration::from_secs(5),
        ..Overrides::default()
    };
    assert_eq!(
        load("t", &one("drop: 1%"), &short).unwrap().run_for,
        Duration::from_secs(5)
    );
}

#[test]
fn yaml_that_loses_meaning_is_refused() {
    check(
        &one("drop: 1%\nmatch: {flags: [syn, !ack]}"),
        &[
            "t.yaml:4:25: `!ack` is a tag to YAML: a word that begins with ! needs quotes; did you mean `\"!ack\"`?",
        ],
    );
    check(
        "version: 1\nversion: 1\nfaults: [{drop: 1%, drop: 2%}]\n",
        &[
            "t.yaml:2:1: the key `version` is given twice (first on line 1)",
            "t.yaml:3:21: the key `drop` is given twice (first on line 3)",
        ],
    );
    check(
        "version: 1\nfaults: [{drop: 1%}]\n---\nversion: 1\n",
        &["t.yaml:3:1: a second document: a file holds one profile"],
    );
    check(
        "version: 1\nfaults: [{drop: 1%}]\n? [a]\n: b\n",
        &["t.yaml:3:3: a key is a word, not a list"],
    );
    check(
        &format!(
            "version: 1\nfaults: [{{drop: 1%}}]\n\"{}\\u001b[2J\": 1\n",
            "k".repeat(50)
        ),
        &[&format!(
            "t.yaml:3:1: unknown key `{}\\u{{1b}}[2J` in a profile: it takes version, about, for, seed, parameters, target, faults",
            "k".repeat(50)
        )],
    );
}

#[test]
fn anchors_stand_for_what_they_name() {
    let text = "version: 1\nfaults:\n- {drop: 1%, match: &m {ports: 80}}\n- {reset: , match: *m}\n";
    let profile = read(text);
    assert_eq!(
        profile.faults[0].matching.ports,
        profile.faults[1].matching.ports
    );
}

#[test]
fn hostile_texts_end_in_a_problem_soon() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let alias = format!("*a{}, ", n - 1).repeat(9);
        bomb.push_str(&format!("a{n}: &a{n} [{alias}]\n"));
    }
    let aliases = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(500_000),
        "*a, ".repeat(100_000)
    );
    let chain: String = (1..20_000).fold("a0: &a0 [x]\n".into(), |s, n| {
        s + &format!("a{n}: &a{n} [*a{}]\n", n - 1)
    });
    let params = format!(
        "version: 1\nparameters: {{p: {{default: {}}}}}\nfaults: [{}]\n",
        "x".repeat(400_000),
        "\"${p}\", ".repeat(60_000)
    );
    for text in [
        bomb,
        aliases,
        chain,
        params,
        "[".repeat(500_000),
        "- ".repeat(500_000),
        "{a: ".repeat(200_000),
        "? ".repeat(200_000),
        "[],".repeat(300_000),
        format!("[{}]", "1,".repeat(500_000)),
        "k: v\n".repeat(200_000),
        (0..90_000).map(|n| format!("k{n}: v\n")).collect(),
        format!(
            "version: 1\nfaults: [{{drop: 1%, match: {{ports: [{}]}}}}]",
            "x,".repeat(300_000)
        ),
        "x".repeat((1 << 20) + 1),
        "\"".repeat(100_000),
        "&a *a".into(),
        "&a [*a]".into(),
        "*nobody".into(),
        "\0\u{1}\u{feff}".into(),
        "%YAML 9.9\n---\n".into(),
        "!!binary x".into(),
        "a: b: c".into(),
        "\t- x".into(),
        "<<: {version: 1}".into(),
        "version: 1\nfaults: [{drop: 1%}]\nfor: 584554530872y".into(),
    ] {
        let problems = load("t.yaml", &text, &Overrides::default()).unwrap_err();
        assert!(
            (1..=101).contains(&problems.0.len()),
            "{}",
            problems.0.len()
        );
        assert!(
            problems
                .0
                .iter()
                .all(|p| !p.what.is_empty() && p.what.len() < 600)
        );
    }
}

#[test]
fn any_cut_and_any_changed_byte_of_a_profile_is_read_or_refused() {
    for shipped in shipped() {
        let text = shipped.text;
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert!(
                load("cut", &text[..at], &Overrides::default()).map_err(|p| p.0.len()) != Err(0)
            );
            for byte in ["\0", "{", ":", "-", "\"", "&", "*", "!", "\n"] {
                let next = at + text[at..].chars().next().map_or(0, char::len_utf8);
                let changed = format!("{}{byte}{}", &text[..at], &text[next..]);
                assert!(
                    load("changed", &changed, &Overrides::default()).map_err(|p| p.0.len())
                        != Err(0)
                );
            }
        }
    }
}

/// What a shipped profile cannot know.
fn required(name: &str) -> Vec<(String, String)> {
    let pair = |k: &str, v: &str| vec![(k.to_owned(), v.to_owned())];
    match name {
        "partition-zone" => pair("zone", "10.2.0.0/16,2001:db8:2::/48"),
        "half-open-partition" => pair("peers", "db.internal"),
        "reset-storm" => pair("ports", "80,8000-8100"),
        _ => Vec::new(),
    }
}

#[test]
fn shipped_profiles_load_and_say_what_they_take() {
    for s in shipped() {
        let over = Overrides {
            set: required(s.name),
            ..Overrides::default()
        };
        let profile = load(s.name, s.text, &over).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(super::about(s.text), Some(profile.about));
        for parameter in super::parameters(s.text) {
            assert!(
                !parameter.about.is_empty(),
                "{} of {}",
                parameter.name,
                s.name
            );
            let set = over.set.iter().any(|(k, _)| *k == parameter.name);
            assert_eq!(
                parameter.default.is_none(),
                set,
                "{} of {}",
                parameter.name,
                s.name
            );
        }
        assert_eq!(
            super::find(s.name).unwrap(),
            (s.name.to_owned(), s.text.to_owned())
        );
    }
    let unknown = super::find("packet-los").unwrap_err().to_string();
    assert!(
        unknown.ends_with("did you mean `packet-loss`?"),
        "{unknown}"
    );
    assert!(super::find("./none.yaml").is_err());
}

#[test]
fn a_document_reads_back_to_an_equal_profile() {
    let mut profiles: Vec<Profile> = shipped()
        .iter()
        .map(|s| {
            load(
                s.name,
                s.text,
                &Overrides {
                    set: required(s.name),
                    ..Overrides::default()
                },
            )
            .unwrap()
        })
        .collect();
    profiles.extend(
        [
            "drop: 0%",
            "drop: {rate: 0.0000001%, whole-skb: true}",
            "drop: {rate: 33.333333333333336%}",
            "drop: {every: 7}\nafter: 1s 1ns\nfor: 250us\nramp: 1us",
            "drop: {gilbert-elliott: {p: 1%, r: 10%, good: 0.1%, bad: 99%}}",
            "corrupt: {rate: 5%, bits: 32, mode: undetected}",
            "partition:\nmatch: {not-peers: [10.0.0.0/8, a.b], direction: out}\nunprotected: true",
            "reset: {rate: 5%, to: remote}\nmatch: {flags: [syn, '!ack', '!rst'], flows: 12.5%}",
            "drop: 1%\nmatch: {not-ports: [22, 8000-8100], local-ports: [1-10, 11, 65535]}",
            "drop: 1%\nmatch: {peers: ['::ffff:1.2.3.4', '2001:db8::/32', 0.0.0.0/0, shop]}",
            "drop: 1%\nmatch: {protocol: icmp, interfaces: [eth0, 'a$${b}']}",
            "drop: 1%\nname: A.b_c-1\npulse: {on: 1ms, off: 2h}\nramp: 3s",
        ]
        .map(|text| read(&one(text))),
    );
    for (target, about) in [
        ("{cgroup: /a b}", "x: y # z"),
        ("{netns: '$${x}'}", "'$${x} $ $$$${'"),
        ("{pid: 1}", "'null'"),
    ] {
        profiles.push(read(&format!(
            "version: 1\nabout: \"{about}\"\nseed: 18446744073709551615\nfor: 1h\ntarget: {target}\nfaults: [{{drop: 1%}}, {{drop: 2%}}]\n"
        )));
    }
    for profile in profiles {
        let document = profile.to_document();
        for text in [
            document.to_string(),
            serde_json::to_string_pretty(&document).unwrap(),
        ] {
            let again = load("document", &text, &Overrides::default())
                .unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(again, profile, "{text}");
        }
    }
}

#[derive(clap::Parser)]
struct Inject {
    #[command(flatten)]
    flags: InjectFlags,
}

fn inject(line: &str) -> InjectFlags {
    <Inject as clap::Parser>::try_parse_from(line.split(' '))
        .unwrap_or_else(|e| panic!("{e}"))
        .flags
}

#[test]
fn flags_say_what_a_profile_says() {
    <Inject as clap::CommandFactory>::command().debug_assert();
    let hour = Duration::from_hours(1);
    for (line, text) in [
        (
            "inject drop --rate 30% --port 5432 --cgroup /shop --for 30s --seed 5",
            "version: 1\nfor: 30s\nseed: 5\ntarget: {cgroup: /shop}\nfaults: [{drop: 30%, match: {ports: 5432}}]",
        ),
        (
            "inject drop --gilbert-elliott p=1%,r=10%,good=0%,bad=50% --whole-skb --pid 7",
            "version: 1\ntarget: {pid: 7}\nfaults: [{drop: {gilbert-elliott: {p: 1%, r: 10%, bad: 50%}, whole-skb: true}}]",
        ),
        (
            "inject corrupt --rate 1% --bits 2 --mode undetected --host --interface eth0 --interface eth1",
            "version: 1\nfaults: [{corrupt: {rate: 1%, bits: 2, mode: undetected}, match: {interfaces: [eth0, eth1]}}]",
        ),
        (
            "inject partition --peer 10.0.0.0/8,a.b --not-peer 10.0.0.1 --direction in --after 5s --ramp 2s --unprotected",
            "version: 1\nfaults: [{partition: , match: {peers: [10.0.0.0/8, a.b], not-peers: 10.0.0.1, direction: in}, after: 5s, ramp: 2s, unprotected: true}]",
        ),
        (
            "inject reset --to local --flags syn,!ack --flows 20% --not-port 22 --local-port 1-9 --not-local-port 3 --pulse-on 1s --pulse-off 2s --netns x",
            "version: 1\ntarget: {netns: x}\nfaults: [{reset: {to: local}, match: {flags: [syn, '!ack'], flows: 20%, not-ports: 22, local-ports: 1-9, not-local-ports: 3}, pulse: {on: 1s, off: 2s}}]",
        ),
        (
            "inject drop --every 3 --protocol udp",
            "version: 1\nfaults: [{drop: {every: 3}, match: {protocol: udp}}]",
        ),
    ] {
        let flags = inject(line);
        let profile = flags.profile(hour).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(profile, read(text), "{line}");
        assert_eq!(read(&flags.document().to_string()), profile, "{line}");
    }
}

#[test]
fn flags_are_checked_by_the_same_path_and_named() {
    let said = |line: &str| {
        inject(line)
            .profile(Duration::from_mins(1))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        said(
            "inject drop --rate 0.3 --port 80 --port 0 --protocol icmp --for 2h --after 90 --ramp -1s"
        ),
        "--rate: `0.3` is not a share without a percent sign; did you mean `30%`?\n\
         --port: `0` is not a port (1 to 65535) or a range, such as 8000-8100\n\
         --port: ports with protocol icmp: ICMP has no ports, so nothing would match\n\
         --for: 2h is longer than the cap of 1m (`--max-for` of `chaosd serve` sets it); did you mean `1m`?\n\
         --after: `90` is not a duration without a unit; did you mean `90s`?\n\
         --ramp: `-1s` is not a duration, such as 500ms, 90s or 1m 30s"
    );
    assert_eq!(
        said("inject drop"),
        "inject drop: drop needs one of rate, every, gilbert-elliott"
    );
    let two = <Inject as clap::Parser>::try_parse_from(["inject", "drop", "--host", "--pid", "1"]);
    assert!(two.is_err());
}
