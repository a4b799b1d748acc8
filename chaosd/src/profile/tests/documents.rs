//! Documents and JSON.

use super::{check, fault, one, read, required};
use crate::profile::{Overrides, Profile, load, shipped};

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
        &["t.yaml:2:23: unknown key `rtae` in drop; did you mean `rate`?"],
    );
}

/// Kinds that act on the machine.
const OF_MACHINE: &[&str] = &[
    "process:",
    "process: {match: 'a*$${b}', signal: usr1, every: 1s 5ms, count: 3}",
    "process: {pid: 7, signal: 19}\npulse: {on: 1s, off: 2s}",
    "freeze: {}",
    "cpu-quota: 12.5%",
    "cpu-quota: {limit: 2.5 cores}",
    "disk: {path: '/a $${b}', read-bps: 5MB/s, write-iops: 7}",
    "disk: {device: /dev/sda, write-bps: 1.5MiB, read-iops: 100}",
    "disk-fill: {path: '/a $${b}', size: 5GB}",
    "disk-fill: {path: /, leave: 0, force: true}\nramp: 1s",
    "cpu: 50%",
    "pids: {leave: 3}",
    "pids: {}",
    "clock: -5m",
    "disk-burn: {path: /srv, read: 20MB/s}",
    "disk-burn: {path: /srv, read: 1MiB/s, write: 5MB/s, block: 4KiB, direct: false}\nramp: 1s",
    "shutdown: reboot",
    "shutdown: {action: power-off, notice: 20s}",
    "clock: {offset: 1h 30m, drift: -2s/h, time-service: stop}",
    "cpu: {load: 12.5%, of: core, cpus: [0-2, 5], slice: 1ms, priority: -5}\nramp: 1s",
    "cpu: {load: 100%, cores: 3}",
    "memory: 256MiB",
    "memory: {percent: 33%, of: host, swap: true}",
    "memory: {leave: 1GB, oom: true}\nramp: 5s",
    "disk-error: {path: /srv}",
    "disk-error: {path: '/srv/a $${b}', errno: enospc, operations: [write, open, read, open], rate: 0.1%}\nramp: 5s",
    "disk-latency: {path: '/a $${b}', open: 50ms, read: 1s 5ms}\nramp: 5s",
    "disk-latency: {path: /srv, read: 1m}",
];

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
            "delay: 1ms",
            "delay: {by-peer: {10.1.0.0/16: 2ms, 10.2.3.4: 80ms, '::ffff:10.9.0.0/112': 1ms 500us, 'fd00:2::/64': 0}}",
            "delay: {by-peer: {10.1.0.0/16: 0}, jitter: 5ms, keep-order: false}",
            "delay: {time: 5ms, jitter: 10ms, distribution: paretonormal, correlation: 33%, keep-order: false}",
            "delay: {time: 0, jitter: 10ms, distribution: {table: '/a $${b}'}}",
            "reorder: {rate: 5%, by: 1us}",
            "duplicate: {rate: 5%, copies: 3}",
            "bandwidth: 1234567bit",
            "bandwidth: {rate: 1gibit, burst: 64KiB, queue: 1.5MB, per: flow}",
            "bandwidth: {rate: 1tbit, queue: 0}",
            "netem: {delay: 5ms}",
            "netem: {delay: 5ms, jitter: 1ms, delay-correlation: 5%, distribution: pareto, reorder: 5%, gap: 3}",
            "netem: {loss: {rate: 1%, correlation: 2%}, ecn: true, duplicate: 1%, corrupt: {rate: 1%, correlation: 9%}}",
            "netem: {loss: {state: {p13: 0.1%, p14: 3%}}, limit: 7}",
            "netem: {loss: {gemodel: {p: 0.3%, 1-h: 7%}}, rate: 10mbit, packet-overhead: -20, cell-size: 48}",
            "netem: {slot: {min-delay: 5ms, packets: 3}}",
            "netem: {slot: {distribution: {table: /x}, delay: 5ms, jitter: 2ms, bytes: 3KB}}",
            "dns: refused",
            "dns: {answer: empty, rate: 12.5%, delay: 1ms 5us, names: ['*.a.b', ., A.b], not-names: x.a.b, types: [A, TYPE7, HTTPS]}",
            "dns: {answer: {A: 192.0.2.1, ttl: 7d}}\nmatch: {ports: [53, 5353], protocol: udp, peers: 10.0.0.53}",
            "dns: {answer: {AAAA: '2001:DB8::1', ttl: 0}, types: aaaa, encrypted: drop}",
            "dns: {delay: 2s}\nmatch: {not-ports: 5353, direction: out}",
            "dns: {encrypted: reset, resolvers: [1.1.1.1, '2606:4700::/32']}",
            "drop: 1%\nname: A.b_c-1\npulse: {on: 1ms, off: 2h}\nramp: 3s",
        ]
        .iter()
        .chain(OF_MACHINE)
        .map(|text| read(&one(text))),
    );
    for (target, about) in [
        ("{cgroup: /a b}", "x: y # z"),
        ("{netns: '$${x}'}", "'$${x} $ $$$${'"),
        ("{pid: 1}", "'null'"),
        ("{container: shop, runtime: podman}", "a"),
        (
            "{container: {labels: {app: 'a b', tier: ''}}, percent: 12.5%, exclude: ['x*', y]}",
            "b",
        ),
        ("{pod: shop/web-0}", "c"),
        ("{pod: web}", "c"),
        ("{pod: {name: web}}", "c"),
        (
            "{pod: {namespace: shop, labels: {app: web}}, count: 2}",
            "d",
        ),
        ("{pod: {labels: {app: web}}}", "e"),
        ("{unit: 'shop@*.service', count: 1}", "f"),
        ("{process: {name: 'a*', args: '--worker $${x}'}}", "g"),
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
