//! Flags mean what the profile's keys mean.

use std::time::Duration;

use super::read;
use crate::profile::flags::InjectFlags;

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
            "inject delay --time 80ms --jitter 20ms --distribution /x.dist --correlation 25% --keep-order false",
            "version: 1\nfaults: [{delay: {time: 80ms, jitter: 20ms, distribution: {table: /x.dist}, correlation: 25%, keep-order: false}}]",
        ),
        (
            "inject delay --by-peer 10.1.0.0/16=2ms --by-peer 10.2.0.0/16,fd00:2::/64=80ms --jitter 5ms --not-peer 10.1.0.1",
            "version: 1\nfaults: [{delay: {by-peer: {10.1.0.0/16: 2ms, 10.2.0.0/16: 80ms, 'fd00:2::/64': 80ms}, jitter: 5ms}, match: {not-peers: 10.1.0.1}}]",
        ),
        (
            "inject drop --rate 5% --container shop --runtime podman",
            "version: 1\ntarget: {container: shop, runtime: podman}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject drop --rate 5% --container-label app=web --container-label tier=a --target-percent 50% --target-exclude x --target-exclude y*",
            "version: 1\ntarget: {container: {labels: {app: web, tier: a}}, percent: 50%, exclude: [x, 'y*']}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject drop --rate 5% --pod shop/web-0",
            "version: 1\ntarget: {pod: shop/web-0}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject drop --rate 5% --pod-label app=web --pod-namespace shop --target-count 2",
            "version: 1\ntarget: {pod: {namespace: shop, labels: {app: web}}, count: 2}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject drop --rate 5% --unit shop@*.service",
            "version: 1\ntarget: {unit: 'shop@*.service'}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject drop --rate 5% --process nginx --process-args worker",
            "version: 1\ntarget: {process: {name: nginx, args: worker}}\nfaults: [{drop: 5%}]",
        ),
        (
            "inject reorder --rate 5% --by 20ms --netns x",
            "version: 1\ntarget: {netns: x}\nfaults: [{reorder: {rate: 5%, by: 20ms}}]",
        ),
        (
            "inject duplicate --rate 5% --copies 2",
            "version: 1\nfaults: [{duplicate: {rate: 5%, copies: 2}}]",
        ),
        (
            "inject bandwidth --rate 10mbit --burst 15KB --queue 50ms --per flow",
            "version: 1\nfaults: [{bandwidth: {rate: 10mbit, burst: 15KB, queue: 50ms, per: flow}}]",
        ),
        (
            "inject netem --delay 5ms --jitter 1ms --delay-correlation 5% --distribution normal --loss 1% --loss-correlation 2% --duplicate 3% --corrupt 4% --corrupt-correlation 5% --reorder 6% --gap 7 --rate 8mbit --packet-overhead -9 --cell-size 10 --cell-overhead 11 --slot min-delay=1ms,packets=12 --limit 13 --ecn",
            "version: 1\nfaults: [{netem: {delay: 5ms, jitter: 1ms, delay-correlation: 5%, distribution: normal, loss: {rate: 1%, correlation: 2%}, duplicate: 3%, corrupt: {rate: 4%, correlation: 5%}, reorder: 6%, gap: 7, rate: 8mbit, packet-overhead: -9, cell-size: 10, cell-overhead: 11, slot: {min-delay: 1ms, packets: 12}, limit: 13, ecn: true}}]",
        ),
        (
            "inject netem --loss-state p13=1%,p31=10%",
            "version: 1\nfaults: [{netem: {loss: {state: {p13: 1%, p31: 10%}}}}]",
        ),
        (
            "inject netem --loss-gemodel p=1%,1-k=2% --slot distribution=pareto,delay=5ms,jitter=1ms",
            "version: 1\nfaults: [{netem: {loss: {gemodel: {p: 1%, 1-k: 2%}}, slot: {distribution: pareto, delay: 5ms, jitter: 1ms}}}]",
        ),
        (
            "inject dns --name *.payments.example --name db.internal,x --not-name m.payments.example --type A --type aaaa --answer A=192.0.2.1,AAAA=2001:db8::1,ttl=9s --rate 50% --delay 2s --encrypted drop --resolver 1.1.1.1 --peer 10.0.0.53",
            "version: 1\nfaults: [{dns: {names: ['*.payments.example', db.internal, x], not-names: m.payments.example, types: [A, AAAA], answer: {A: 192.0.2.1, AAAA: '2001:db8::1', ttl: 9s}, rate: 50%, delay: 2s, encrypted: drop, resolvers: 1.1.1.1}, match: {peers: 10.0.0.53}}]",
        ),
        (
            "inject dns --answer nxdomain --port 5300",
            "version: 1\nfaults: [{dns: nxdomain, match: {ports: 5300}}]",
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
        "--for: 2h is longer than the cap of 1m (`--max-for` of `chaosd serve` sets it); did you mean `1m`?\n\
         --rate: `0.3` is not a share without a percent sign; did you mean `30%`?\n\
         --port: `0` is not a port (1 to 65535) or a range, such as 8000-8100\n\
         --port: ports with protocol icmp: ICMP has no ports, so nothing would match\n\
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
