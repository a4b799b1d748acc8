//! The kinds that hold packets or copy them, and netem: what they mean, and what is said of mistakes.

use std::time::Duration;

use super::{check, fault, mistakes::table, one, percent};
use crate::profile::{
    Bandwidth, Correlated, Delay, Distribution, Duplicate, Interval, Jitter, Kind, Mean, Netem,
    NetemLoss, Queue, Reorder, Share, Slot,
    units::{Percent, Rate, Size},
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn netem(settings: &str) -> Netem {
    match fault(&format!("netem: {settings}")).kind {
        Kind::Netem(netem) => *netem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn delays_read_as_meant() {
    let plain = |time| Delay {
        mean: Mean::Time(time),
        jitter: None,
        keep_order: true,
    };
    assert_eq!(fault("delay: 100ms").kind, Kind::Delay(plain(ms(100))));
    assert_eq!(
        fault("delay: {time: 10m, jitter: 0s, distribution: pareto}").kind,
        Kind::Delay(plain(Duration::from_mins(10)))
    );
    let jitter = Jitter {
        width: ms(20),
        distribution: Distribution::Normal,
        correlation: Percent::NONE,
    };
    let delay = Delay {
        jitter: Some(jitter.clone()),
        ..plain(ms(0))
    };
    assert_eq!(
        fault("delay: {time: 0, jitter: 20ms}").kind,
        Kind::Delay(delay.clone())
    );
    let table = Distribution::Table("/etc/wan.dist".into());
    let of_table = Delay {
        jitter: Some(Jitter {
            distribution: table,
            correlation: percent(25.0),
            ..jitter
        }),
        keep_order: false,
        ..delay
    };
    for written in ["{table: /etc/wan.dist}", "/etc/wan.dist"] {
        assert_eq!(
            fault(&format!(
                "delay: {{time: 0, jitter: 20ms, distribution: {written}, correlation: 25%, keep-order: false}}"
            ))
            .kind,
            Kind::Delay(of_table.clone())
        );
    }
}

#[test]
fn links_copies_and_detours_read_as_meant() {
    assert_eq!(
        fault("reorder: 5%").kind,
        Kind::Reorder(Reorder {
            rate: percent(5.0),
            by: ms(10)
        })
    );
    assert_eq!(
        fault("duplicate: {rate: 1%, copies: 16}").kind,
        Kind::Duplicate(Duplicate {
            rate: percent(1.0),
            copies: 16
        })
    );
    let link = |bits, queue| Bandwidth {
        rate: Rate::new(bits).unwrap(),
        burst: Size::NONE,
        queue,
        per: Share::Fault,
    };
    assert_eq!(
        fault("bandwidth: 10mbit").kind,
        Kind::Bandwidth(link(10_000_000, Queue::Time(ms(100))))
    );
    let frames = Queue::Size(Size::new(16 * 1514).unwrap());
    assert_eq!(
        fault("bandwidth: 64kbit").kind,
        Kind::Bandwidth(link(64_000, frames)),
        "16 frames take longer than 100 ms"
    );
    let own = Bandwidth {
        burst: Size::new(15_000).unwrap(),
        per: Share::Flow,
        ..link(8_000_000, Queue::Size(Size::new(1 << 20).unwrap()))
    };
    assert_eq!(
        fault("bandwidth: {rate: 1mbps, burst: 15KB, queue: 1MiB, per: flow}").kind,
        Kind::Bandwidth(own.clone())
    );
    assert_eq!(own.longest_wait(), Duration::from_micros(1_048_576));
    let Kind::Bandwidth(none) = fault("bandwidth: {rate: 1mbit, queue: 0}").kind else {
        panic!()
    };
    assert_eq!(none.longest_wait(), Duration::ZERO);
}

#[test]
fn netem_reads_by_the_names_of_its_manual() {
    let full = netem(
        "{delay: 100ms, jitter: 10ms, delay-correlation: 25%, distribution: normal, \
         loss: {rate: 1%, correlation: 5%}, ecn: true, duplicate: 1%, corrupt: 0.1%, \
         reorder: {rate: 25%, correlation: 50%}, gap: 5, \
         rate: 1mbit, packet-overhead: -14, cell-size: 48, cell-overhead: 5, \
         slot: {min-delay: 1ms, max-delay: 2ms, packets: 7, bytes: 64KB}, limit: 500}",
    );
    let delay = full.delay.as_ref().unwrap();
    assert_eq!(delay.distribution, Some(Distribution::Normal));
    assert_eq!(delay.correlation, percent(25.0));
    let correlated = |rate, correlation| Correlated {
        rate: percent(rate),
        correlation: percent(correlation),
    };
    assert_eq!(full.loss, Some(NetemLoss::Random(correlated(1.0, 5.0))));
    assert_eq!(full.reorder.unwrap().reorder, correlated(25.0, 50.0));
    assert_eq!(full.reorder.unwrap().gap, 5);
    assert_eq!(full.rate.unwrap().packet_overhead, -14);
    let slot = Slot {
        every: Interval::Range {
            min_delay: ms(1),
            max_delay: ms(2),
        },
        packets: 7,
        bytes: Size::new(64_000).unwrap(),
    };
    assert_eq!(full.slot, Some(slot));
    assert_eq!((full.limit, full.ecn), (500, true));

    let Some(NetemLoss::State(states)) = netem("{loss: {state: {p13: 1%}}}").loss else {
        panic!()
    };
    assert_eq!((states.p31, states.p23), (percent(99.0), Percent::ALL));
    let written = netem("{loss: {gemodel: 'p=1%,r=10%,1-h=70%,1-k=0.1%'}}");
    let mapped = netem("{loss: {gemodel: {p: 1%, r: 10%, 1-h: 70%, 1-k: 0.1%}}}");
    assert_eq!(written, mapped);
}

#[test]
fn a_delay_of_netem_has_room_for_what_comes_meanwhile() {
    assert_eq!(netem("{loss: 1%}").limit, 1_000);
    assert_eq!(netem("{delay: 1s}").limit, 1_001_000);
    // A million packets a second do not fit through 512 kbit/s.
    assert_eq!(netem("{delay: 1s, rate: 512kbit}").limit, 2_000);
    assert_eq!(netem("{delay: 10m, jitter: 10m}").limit, 3_000_001_000);
}

#[test]
fn mistakes_of_delay_say_what_to_type() {
    table(one, "
        delay: => 3:3: delay without settings; did you mean `delay: 100ms`?
        delay: {} => 3:3: delay needs a time, such as time: 100ms
        delay: 100 => 3:10: `100` is not a duration without a unit; did you mean `100s`?
        delay: 0ms => 3:10: a delay of 0 without jitter does nothing: give more, or a jitter
        delay: 11m => 3:10: 11m is longer than 10m, the most that a packet is held; did you mean `10m`?
        delay: {time: 0, jitter: 0} => 3:17: a delay of 0 without jitter does nothing: give more, or a jitter
        delay: {latency: 5ms} => 3:11: unknown key `latency` in delay; did you mean `time`?
        delay: {time: 5ms, jitter: 1h} => 3:30: 1h is longer than 10m, the most that a packet is held; did you mean `10m`?
        delay: {time: 5ms, distribution: normal} => 3:22: distribution without jitter: there is nothing it could shape
        delay: {time: 5ms, correlation: 5%} => 3:22: correlation without jitter: there is nothing it could shape
        delay: {time: 5ms, jiter: 5ms, correlation: 5%} => 3:22: unknown key `jiter` in delay; did you mean `jitter`?
        delay: {time: 5ms, jitter: 1ms, distribution: gauss} => 3:49: `gauss` is not a distribution: uniform, normal, pareto, paretonormal or {table: /PATH}; did you mean `normal`?
        delay: {time: 5ms, jitter: 1ms, distribution: {table: x.dist}} => 3:57: `x.dist` is not an absolute path: the daemon that reads it has another directory
        delay: {time: 5ms, jitter: 1ms, distribution: {file: /x}} => 3:50: unknown key `file` in distribution; did you mean `table`?
        delay: {time: 5ms, keep-order: no} => 3:34: `no` is not true or false
        delay: {time: 5ms, rate: 5%} => 3:22: unknown key `rate` in delay: it belongs in drop
        delay: [5ms] => 3:10: expected delay as a map of time, by-peer, jitter, distribution, correlation, keep-order, found a list
    ");
    check(
        &one("delay: {time: 5, jitter: 1M, correlation: 2, distribution: nromal, keep-order: 1}"),
        &[
            "t.yaml:3:17: `5` is not a duration without a unit; did you mean `5s`?",
            "t.yaml:3:28: `1M` is not a duration: M is a month; did you mean `1m`?",
            "t.yaml:3:45: `2` is not a share without a percent sign; did you mean `2%`?",
            "t.yaml:3:62: `nromal` is not a distribution: uniform, normal, pareto, paretonormal or {table: /PATH}; did you mean `normal`?",
            "t.yaml:3:82: `1` is not true or false",
        ],
    );
}

#[test]
fn mistakes_of_reorder_duplicate_and_bandwidth_say_what_to_type() {
    table(one, "
        reorder: {by: 5ms} => 3:3: reorder needs a rate, such as 5%
        reorder: {rate: 5%, by: 0s} => 3:27: 0 is no time at all: give more, or leave the key out
        reorder: {rate: 5%, by: 1h} => 3:27: 1h is longer than 10m, the most that a packet is held; did you mean `10m`?
        reorder: {rate: 5%, time: 1s} => 3:23: unknown key `time` in reorder; did you mean `by`?
        reorder: => 3:3: reorder without settings; did you mean `reorder: 5%`?
        duplicate: 1 => 3:14: `1` is not a share without a percent sign; did you mean `1%`?
        duplicate: {rate: 1%, copies: 0} => 3:33: 0 copies: 1 to 16 can be made of a packet; did you mean `1`?
        duplicate: {rate: 1%, copies: 17} => 3:33: 17 copies: 1 to 16 can be made of a packet; did you mean `16`?
        duplicate: {copies: 2} => 3:3: duplicate needs a rate, such as 1%
        bandwidth: 10 => 3:14: `10` is not a rate without a unit; did you mean `10mbit`?
        bandwidth: => 3:3: bandwidth without settings; did you mean `bandwidth: 10mbit`?
        bandwidth: {queue: 50ms} => 3:3: bandwidth needs a rate, such as 10mbit
        bandwidth: {rate: 1mbit, queue: 64} => 3:35: `64` is neither a size nor a duration, such as 64KB or 50ms
        bandwidth: {rate: 1mbit, queue: 11m} => 3:35: 11m is longer than 10m, the most that a packet is held; did you mean `10m`?
        bandwidth: {rate: 1kbit, queue: 1MB} => 3:35: 1 MB at 1 kbit/s takes 2h 13m 20s, longer than 10m
        bandwidth: {rate: 1mbit, burst: 5ms} => 3:35: `5ms` is not a size: `ms` is not a unit of sizes (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)
        bandwidth: {rate: 1mbit, per: peer} => 3:33: `peer` is not who shares the link: fault (all matched packets) or flow (each has its own)
        bandwidth: {rate: 1mbit, limit: 5} => 3:28: unknown key `limit` in bandwidth; did you mean `queue`?
    ");
}

#[test]
fn mistakes_of_netem_say_what_to_type() {
    table(one, "
        netem: => 3:3: netem without settings; did you mean `netem: {loss: 1%}`?
        netem: {limit: 5} => 3:3: netem needs at least one of delay, loss, duplicate, corrupt, reorder, rate, slot
        netem: 5% => 3:10: expected netem as a map of delay, jitter, delay-correlation, distribution, loss, ecn, duplicate, corrupt, reorder, gap, rate, packet-overhead, cell-size, cell-overhead, slot, limit, found a single value
        netem: {reorder: 5%} => 3:11: reorder without delay: there is nothing it could shape
        netem: {delay: 5ms, distribution: normal} => 3:23: distribution without jitter: there is nothing it could shape
        netem: {delay: 5ms, gap: 5} => 3:23: gap without reorder: there is nothing it could shape
        netem: {delay: 5ms, ecn: true} => 3:23: ecn without loss: there is nothing it could shape
        netem: {delay: 5ms, cell-size: 5} => 3:23: cell-size without rate: there is nothing it could shape
        netem: {delay: 5ms, limit: 0} => 3:30: `0` is not a number of packets from 1
        netem: {delay: 0s} => 3:18: a delay of 0 without jitter does nothing: give more, or leave it out
        netem: {loss: {}} => 3:17: loss needs one of rate, state, gemodel
        netem: {loss: {state: {p31: 5%}}} => 3:25: state needs p13, such as p13: 1%
        netem: {loss: {state: {p13: 5%}, rate: 1%}} => 3:36: rate beside state: one of them decides
        netem: {loss: {gilbert-elliott: {p: 5%}}} => 3:18: unknown key `gilbert-elliott` in loss; did you mean `gemodel`?
        netem: {rate: 5mbit, packet-overhead: x} => 3:41: `x` is not a number of bytes, such as 24 or -14
        netem: {slot: {packets: 5}} => 3:17: slot needs a min-delay, such as min-delay: 10ms
        netem: {slot: {min-delay: 5ms, max-delay: 1ms}} => 3:45: max-delay is shorter than min-delay
        netem: {slot: {min-delay: 5ms, jitter: 1ms}} => 3:34: jitter without distribution: min-delay and max-delay say it
        netem: {slot: {distribution: normal, delay: 5ms}} => 3:17: slot needs jitter beside distribution, such as jitter: 10ms
        netem: {slot: {distribution: uniform, delay: 5ms, jitter: 1ms}} => 3:32: a uniform slot: min-delay and max-delay say it
        netem: {slot: {min-delay: 5ms, bytes: 3GB}} => 3:41: 3 GB: a slot lets through less than 2 GiB
    ");
}
