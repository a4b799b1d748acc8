//! Good profiles, and what they mean.

use std::time::Duration;

use super::{fault, one, percent, problems, read, required};
use crate::profile::{
    Corrupt, CorruptMode, Direction, Drop, GilbertElliott, Kind, Loss, Overrides, Peer, Protocol,
    Target, Whom, about, find, flags::TargetFlags, load, parameters, shipped, units::Percent,
};

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
        Whom::At(Target::Cgroup("/system.slice/shop.service".into()))
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
        Whom::At(Target::Pid(42))
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
    assert_eq!(
        (profile.seed, profile.target),
        (Some(7), Whom::At(Target::Pid(1)))
    );
    let none = Overrides {
        target: Some(TargetFlags::default()),
        ..Overrides::default()
    };
    assert_eq!(
        load("t.yaml", text, &none).unwrap().target,
        Whom::At(Target::Netns("a".into()))
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
fn shipped_profiles_load_and_say_what_they_take() {
    for s in shipped() {
        let over = Overrides {
            set: required(s.name),
            ..Overrides::default()
        };
        let profile = load(s.name, s.text, &over).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(about(s.text), Some(profile.about));
        for parameter in parameters(s.text) {
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
            find(s.name).unwrap(),
            (s.name.to_owned(), s.text.to_owned())
        );
    }
    let unknown = find("packet-los").unwrap_err().to_string();
    assert!(
        unknown.ends_with("did you mean `packet-loss`?"),
        "{unknown}"
    );
    assert!(find("./none.yaml").is_err());
}
