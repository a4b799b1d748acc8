//! Profiles in, words out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod by_peer;
mod dns;
mod documents;
mod experiment;
mod flags;
mod holding;
mod hostile;
mod mistakes;
mod parameters;
mod reading;

use super::{FaultSpec, Overrides, Profile, load, units::Percent};

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

fn one(fault: &str) -> String {
    format!("version: 1\nfaults:\n- {}\n", fault.replace('\n', "\n  "))
}

fn fault(text: &str) -> FaultSpec {
    read(&one(text)).faults.remove(0)
}

fn percent(n: f64) -> Percent {
    Percent::new(n).unwrap()
}

/// What a shipped profile cannot know.
fn required(name: &str) -> Vec<(String, String)> {
    let pair = |k: &str, v: &str| vec![(k.to_owned(), v.to_owned())];
    match name {
        "partition-zone" => pair("zone", "10.2.0.0/16,2001:db8:2::/48"),
        "dns-hijack" => pair("names", "*.payments.example"),
        "half-open-partition" => pair("peers", "db.internal"),
        "zone-latency-matrix" => [
            pair("near", "10.1.0.0/16"),
            pair("region", "10.2.0.0/16"),
            pair("far", "10.3.0.0/16,2001:db8:3::/48"),
        ]
        .concat(),
        "reset-storm" => pair("ports", "80,8000-8100"),
        "kill-one" | "frozen-process" => pair("program", "worker-*"),
        "slow-disk" | "flaky-disk" | "disk-full" | "slow-files" => pair("path", "/srv"),
        _ => Vec::new(),
    }
}
