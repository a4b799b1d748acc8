//! Three runs of a shop as they might be recorded, drawn from seeded noise: one holds, one does not, one
//! is aborted.

use std::collections::BTreeMap;

use chaosd::experiment::record::{
    Abort, Band, Blast, End, Figure, Host, Load, Probe, Record, SCHEMA, Sample, Stage,
};
use chaosd::report::{Count, DnsReport, Effect, Ended, FaultReport, Phase, RunReport, Verdict};

/// Draws that a seed repeats.
struct Noise(u64);

impl Noise {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// About normal, with deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// What a probe would see at a moment: a value, or why there is none.
type Seen = Result<f64, &'static str>;

fn probe(
    name: &str,
    what: &str,
    limit: f64,
    times: (f64, f64),
    see: impl FnMut(f64) -> Seen,
) -> Probe {
    let (every, until) = times;
    let mut see = see;
    let mut samples = Vec::new();
    let mut at = 0.05;
    while at < until {
        let seen = see(at);
        let ok = seen.is_ok_and(|value| value <= limit);
        samples.push(Sample {
            at,
            took: seen.map_or(0.5, |value| (value / 1e3).min(0.5)),
            value: seen.ok(),
            ok,
            why: match seen {
                Err(why) => Some(why.to_owned()),
                Ok(value) if !ok => Some(format!("{value:.1} is above {limit}")),
                Ok(_) => None,
            },
        });
        at += every;
    }
    Probe {
        name: name.into(),
        kind: "http".into(),
        what: what.into(),
        control: false,
        weight: 1.0,
        at_least: 0.99,
        unit: "ms".into(),
        limit: Some(limit),
        samples,
    }
}

fn fault(name: &str, kind: &str, what: &str, matched: u64, affected: u64) -> FaultReport {
    FaultReport {
        name: name.into(),
        kind: kind.into(),
        part_of: None,
        what: what.into(),
        ingress: Count::default(),
        egress: Count {
            seen: matched * 3,
            matched,
            affected,
            ..Count::default()
        },
        verdict: if affected > 0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        },
        dns: None,
        effect: None,
    }
}

fn run(id: &str, seconds: f64, faults: Vec<FaultReport>) -> RunReport {
    RunReport {
        id: id.into(),
        profile: "shop".into(),
        target: "the cgroup /system.slice/shop.service".into(),
        phase: Phase::Reverted,
        ended: Some(Ended::Deadline),
        started: "2026-11-21T14:00:30Z".into(),
        for_seconds: seconds,
        left_seconds: 0.0,
        seed: 42,
        arm_ms: 3.2,
        faults,
        members: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

fn stage(name: &str, begin: f64, end: f64, percent: u32, faults: Vec<FaultReport>) -> Stage {
    let armed = !faults.is_empty();
    let bands = faults.iter().map(|fault| Band {
        fault: fault.name.clone(),
        begin: begin + 0.004,
        end,
    });
    Stage {
        name: name.into(),
        begin,
        end,
        planned: end - begin,
        set: if armed {
            BTreeMap::from([("percent".to_owned(), percent.to_string())])
        } else {
            BTreeMap::new()
        },
        armed: armed.then_some(begin + 0.004),
        over: armed.then_some(end),
        bands: bands.collect(),
        run: armed.then(|| run("r-5ca1ab1e", end - begin, faults)),
    }
}

fn record(id: &str, hypothesis: &str, stages: Vec<Stage>, probes: Vec<Probe>) -> Record {
    Record {
        schema: SCHEMA,
        id: id.into(),
        version: "0.1.0".into(),
        host: Host {
            name: "shop1".into(),
            kernel: "6.12.57-cloud-amd64".into(),
        },
        profile: "shop.yaml".into(),
        command: ["chaosd", "run", "shop.yaml", "--set", "db=10.0.0.7"]
            .map(str::to_owned)
            .to_vec(),
        about: "The shop and its database.".into(),
        hypothesis: Some(hypothesis.into()),
        started: "2026-11-21T14:00:00Z".into(),
        seconds: stages.last().map_or(0.0, |stage| stage.end),
        seed: 42,
        end: End::Completed,
        stages,
        probes,
        aborts: vec![Abort {
            what: "http failing for 10 s".into(),
            probe: Some("http".into()),
            fired: None,
        }],
        load: None,
        control: None,
        blast: Blast {
            hit: vec!["unit shop.service, 3 processes in /system.slice/shop.service".into()],
            spared: vec![
                "unit shop-b.service: the control".into(),
                "live SSH sessions: 1".into(),
            ],
        },
        surprises: String::new(),
        problems: Vec::new(),
        notes: Vec::new(),
        analysis: None,
    }
}

fn ramp(at: f64, small: f64, full: f64) -> f64 {
    match at {
        30.0..90.0 => small,
        90.0..210.0 => full,
        _ => 0.0,
    }
}

/// The database is slow, and the shop bears it.
pub fn holds() -> Record {
    let mut noise = Noise(7);
    let mut see =
        |at: f64, slow: f64| Ok(24.0 + slow * ramp(at, 0.2, 1.0) + 5.0 * noise.normal().abs());
    let http = probe(
        "http",
        "GET http://shop.local/health: 200 within 300 ms",
        300.0,
        (1.0, 240.0),
        |at| see(at, 85.0),
    );
    let control = Probe {
        control: true,
        ..probe(
            "http",
            "GET http://shop-b.local/health: 200 within 300 ms",
            300.0,
            (1.0, 240.0),
            |at| see(at, 0.0),
        )
    };
    let errors = Probe {
        kind: "prometheus".into(),
        unit: "1/s".into(),
        weight: 2.0,
        at_least: 1.0,
        ..probe(
            "errors",
            "rate(errors[1m]) below 0.01",
            0.01,
            (5.0, 240.0),
            |at| Ok(ramp(at, 0.000_4, 0.002)),
        )
    };
    let at = |name: &str, begin, end, percent, n: u64| {
        let slow = fault(
            "slow-db",
            "delay",
            "adds 20ms ± 5ms (normal) to packets",
            n,
            n,
        );
        let lossy = fault("lossy", "drop", "drops 1% of packets", n, n * 98 / 10_000);
        stage(name, begin, end, percent, vec![slow, lossy])
    };
    let stages = vec![
        stage("baseline", 0.0, 30.0, 0, Vec::new()),
        at("small", 30.0, 90.0, 10, 5_204),
        at("full", 90.0, 210.0, 100, 104_338),
        stage("recovery", 210.0, 240.0, 0, Vec::new()),
    ];
    let hypothesis = "The shop answers within 300 ms while its database is slow.";
    let figure = |name: &str, value, unit: &str| Figure {
        name: name.into(),
        value,
        unit: unit.into(),
    };
    Record {
        control: Some("unit shop-b.service, the same release behind the same balancer".into()),
        load: Some(Load {
            command: ["wrk", "-t2", "-c64", "-d240s", "http://shop.local/"].map(str::to_owned).to_vec(),
            begin: 0.1,
            end: 239.8,
            exit: Some(0),
            tool: Some("wrk".into()),
            figures: vec![
                figure("requests/s", 812.4, "1/s"),
                figure("latency mean", 78.3, "ms"),
                figure("latency p99", 181.0, "ms"),
                figure("errors", 0.0, ""),
            ],
            output: "Running 4m test @ http://shop.local/\n  2 threads and 64 connections\nRequests/sec:    812.40".into(),
        }),
        ..record("x-0051ab1e", hypothesis, stages, vec![http, control, errors])
    }
    .analysed()
}

/// A name is not resolved any more, and the shop does not bear it.
pub fn fails() -> Record {
    let mut noise = Noise(11);
    let mut after = 0;
    let http = Probe {
        weight: 3.0,
        ..probe(
            "checkout",
            "POST http://shop.local/checkout: 200 within 400 ms",
            400.0,
            (1.0, 120.0),
            |at| {
                let value = 62.0 + 9.0 * noise.normal().abs();
                if (33.0..93.4).contains(&at) {
                    after += 1;
                    return match after % 5 {
                        0 | 1 => Err("status 502, expected 200"),
                        2 => Ok(value + 350.0 + 60.0 * noise.normal()),
                        _ => Ok(value + 40.0),
                    };
                }
                Ok(value)
            },
        )
    };
    let tcp = Probe {
        kind: "tcp".into(),
        limit: Some(50.0),
        ..probe(
            "port",
            "connect shop.local:80 within 50 ms",
            50.0,
            (1.0, 120.0),
            |_| Ok(0.9),
        )
    };
    let dns = FaultReport {
        dns: Some(DnsReport {
            answer: "nxdomain".into(),
            answered: 412,
            tcp: 0,
            last: Vec::new(),
        }),
        ..fault(
            "no-payments",
            "dns",
            "answers queries for *.payments.example with NXDOMAIN",
            412,
            412,
        )
    };
    let wrong = fault("slow-card", "delay", "adds 200ms to packets", 0, 0);
    let stages = vec![
        stage("baseline", 0.0, 30.0, 0, Vec::new()),
        stage("unresolved", 30.0, 90.0, 100, vec![dns, wrong]),
        stage("recovery", 90.0, 120.0, 0, Vec::new()),
    ];
    let hypothesis =
        "Checkout works from its cache when the payment provider's name cannot be resolved.";
    Record {
        surprises: "The resolver's cache held for 3 s only: somebody set its TTL to that in March.\n\nThe shop answered 502 at once, but it retried in a loop.".into(),
        notes: vec!["fault slow-card matched nothing while 18,204 packets flowed past; check --peer and --port".into()],
        ..record("x-0fa11ed0", hypothesis, stages, vec![http, tcp])
    }
    .analysed()
}

/// A neighbour takes the processors, and the shop hurts so much that the run is aborted.
pub fn aborts() -> Record {
    let mut noise = Noise(13);
    let http = probe(
        "http",
        "GET http://shop.local/health: 200 within 300 ms",
        300.0,
        (0.5, 69.0),
        |at| {
            let value = 31.0 + 8.0 * noise.normal().abs();
            match at {
                41.0..57.5 => Err("no answer within 500 ms"),
                30.0..41.0 => Ok(value * (1.0 + (at - 30.0) * 0.9)),
                _ => Ok(value),
            }
        },
    );
    let mut noise = Noise(17);
    let psi = Probe {
        kind: "psi".into(),
        unit: "percent".into(),
        at_least: 0.5,
        ..probe(
            "stall",
            "cpu some avg10 of shop.service below 40 %",
            40.0,
            (2.0, 69.0),
            |at| {
                Ok(if (32.0..54.0).contains(&at) {
                    (at - 30.0) * 4.0
                } else {
                    2.0 + noise.unit()
                })
            },
        )
    };
    let cpu = FaultReport {
        verdict: Verdict::Effective,
        effect: Some(Effect {
            told: "took 7.93 of 8 processors".into(),
            asked: Some(100.0),
            reached: Some(99.1),
            unit: "percent".into(),
        }),
        ..fault("neighbour", "cpu", "takes 100% of 8 processors", 0, 0)
    };
    let stages = vec![
        stage("baseline", 0.0, 30.0, 0, Vec::new()),
        Stage {
            planned: 120.0,
            ..stage("neighbour", 30.0, 51.25, 100, vec![cpu])
        },
        stage("recovery", 51.25, 69.0, 0, Vec::new()),
    ];
    let hypothesis = "A noisy neighbour on the same processors slows the shop by less than 300 ms.";
    let mut record = record("x-0ab0a7ed", hypothesis, stages, vec![http, psi]);
    record.end = End::Aborted {
        why: "http failing for 10 s: no answer within 500 ms".into(),
        at: 51.1,
        gone: 51.25,
    };
    record.aborts[0].fired = Some(51.1);
    record.aborts.push(Abort {
        what: "load average above 200".into(),
        probe: None,
        fired: None,
    });
    record.analysed()
}
