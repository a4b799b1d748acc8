//! Experiments.

use std::time::Duration;

use super::{check, problems, read};
use crate::profile::{AbortOn, Experiment, Kind, Loss, Overrides, ProbeKind, load};

const ISSUE: &str = r#"
version: 1
parameters:
  percent: {about: how much, default: 1}
faults:
  - name: lossy
    drop: {rate: "${percent}%"}
  - name: cut
    partition:
    match: {ports: [5432]}
hypothesis: The shop answers within 300 ms while the database is slow.
steady-state:
  - http: {url: "http://shop.local/health", status: 200, within: 300ms, every: 1s}
  - prometheus: {url: "http://localhost:9090", query: 'rate(errors[1m])', below: 0.01}
  - command: {run: ./check.sh, exit: 0}
  - tcp: db.internal:5432
  - dns: {name: db.internal, server: 10.0.0.53, answer: 10.0.0.7, within: 50ms}
  - psi: {cgroup: /shop, resource: memory, some: true, below: 10%}
  - log: {file: /var/log/shop.log, matches: "ERROR*database", at-most: 3}
abort-when: [ {probe: http, failing-for: 10s}, {psi: {resource: cpu, above: 60%}}, {load-average: {above: 20}, for: 5s} ]
stages:
  - {name: baseline, for: 30s}
  - {name: small, for: 1m, set: {percent: 10}}
  - {name: full, for: 2m, set: {percent: 100}, faults: [lossy]}
  - {name: recovery, for: 30s}
load: [wrk, -t2, -c64, "-d{{duration}}", "http://shop.local/"]
"#;

fn experiment(text: &str) -> Experiment {
    *read(text).experiment.expect("no experiment")
}

/// A fault, and these keys at the top.
fn with(keys: &str) -> String {
    format!("version: 1\nfaults: [{{drop: 1%}}]\n{keys}\n")
}

#[test]
fn the_experiment_of_the_manual_is_read() {
    let read = read(ISSUE);
    assert_eq!(read.run_for, Duration::from_mins(4));
    let experiment = read.experiment.unwrap();
    let names: Vec<&str> = experiment
        .steady_state
        .iter()
        .map(|probe| probe.name.as_str())
        .collect();
    let all = "http prometheus command tcp dns psi log";
    assert_eq!(names.join(" "), all);
    assert_eq!(
        experiment.load.join(" "),
        "wrk -t2 -c64 -d240s http://shop.local/"
    );
    let rates: Vec<_> = experiment
        .stages
        .iter()
        .map(|stage| {
            let profile = stage.profile.as_ref()?;
            let Kind::Drop(drop) = &profile.faults[0].kind else {
                return None;
            };
            let Loss::Rate(rate) = drop.model else {
                return None;
            };
            Some((rate.get(), profile.faults.len(), profile.run_for.as_secs()))
        })
        .collect();
    assert_eq!(
        rates,
        [None, Some((10.0, 2, 60)), Some((100.0, 1, 120)), None]
    );
    assert_eq!(experiment.abort_when[0].on, AbortOn::Failing(vec![0]));
    let told: Vec<String> = experiment
        .abort_when
        .iter()
        .map(|abort| abort.what(&experiment.steady_state))
        .collect();
    assert_eq!(
        told,
        [
            "http fails for 10s",
            "cpu pressure (some) is above 60 %",
            "the load average is above 20 for 5s"
        ]
    );
}

#[test]
fn every_probe_says_in_a_line_what_it_expects() {
    let told: Vec<String> = experiment(ISSUE)
        .steady_state
        .iter()
        .map(|probe| probe.kind.to_string())
        .collect();
    assert_eq!(
        told,
        [
            "GET http://shop.local/health answers 200 within 300ms",
            "rate(errors[1m]) is below 0.01",
            "./check.sh ends with 0",
            "db.internal:5432 accepts a connection",
            "db.internal has an address, 10.0.0.7 (asked of 10.0.0.53:53) within 50ms",
            "memory pressure (some) of /shop is below 10 %",
            "at most 3 new lines of /var/log/shop.log have ERROR*database",
        ]
    );
}

#[test]
fn a_document_reads_back_to_an_equal_experiment() {
    let set = |pairs: &[(&str, &str)]| Overrides {
        set: pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        seed: Some(7),
        ..Overrides::default()
    };
    for (text, over) in [
        (ISSUE.to_owned(), set(&[])),
        (ISSUE.to_owned(), set(&[("percent", "33")])),
        (
            with("hypothesis: 'a $${b}'\nsteady-state: [{tcp: 'a:1'}]"),
            set(&[]),
        ),
    ] {
        let profile = load("t.yaml", &text, &over).unwrap();
        let document = profile.to_document().to_string();
        let again = load("document", &document, &Overrides::default())
            .unwrap_or_else(|e| panic!("{e}\n{document}"));
        assert_eq!(again.to_document(), profile.to_document());
        let stages =
            |profile: &crate::profile::Profile| profile.experiment.as_ref().unwrap().stages.clone();
        assert_eq!(stages(&again), stages(&profile));
        for stage in stages(&profile).iter().filter_map(|s| s.profile.as_ref()) {
            let text = stage.to_document().to_string();
            let again = load("stage", &text, &Overrides::default()).unwrap();
            assert_eq!(again, **stage);
        }
    }
}

#[test]
fn without_stages_the_faults_come_once_and_recovery_is_watched() {
    let experiment = experiment(&with("for: 5s\nsteady-state: [{tcp: 'a:1'}]"));
    let stages: Vec<_> = experiment
        .stages
        .iter()
        .map(|stage| {
            (
                stage.name.as_str(),
                stage.lasts.as_secs(),
                stage.until_steady,
            )
        })
        .collect();
    assert_eq!(stages, [("faults", 5, false), ("recovery", 30, true)]);
    assert!(
        read("version: 1\nfaults: [{drop: 1%}]\n")
            .experiment
            .is_none()
    );
}

#[test]
fn a_parameter_that_only_stages_set_is_not_missing() {
    let text = "version: 1\nparameters: {rate: }\nfaults: [{drop: '${rate}'}]\nstages: [{for: 1s, set: {rate: 5%}}]\n";
    assert_eq!(experiment(text).stages.len(), 1);
    let text = text.replace("]\n", ", {for: 1s, faults: all}]\n").replacen(
        ", {for: 1s, faults: all}]",
        "]",
        1,
    );
    check(
        &text,
        &[
            "t.yaml:2:14: in stage `stage-2`: the parameter `rate` has no value: give --set rate=VALUE",
        ],
    );
}

#[test]
fn the_control_has_the_probes_that_look_elsewhere_by_its_parameters() {
    let text = "version: 1\nparameters: {host: {default: a}}\nfaults: [{drop: 1%}]\nsteady-state: [{tcp: '${host}:1'}, {http: 'http://c/'}]\ncontrol: {set: {host: b}, target: {netns: twin}}\n";
    let control = experiment(text).control.unwrap();
    assert_eq!(control.probes.len(), 1);
    let ProbeKind::Tcp { address, .. } = &control.probes[0].kind else {
        panic!("{control:?}");
    };
    assert_eq!(address.to_string(), "b:1");
    check(
        &text.replace("{host: b}", "{host: a}"),
        &["t.yaml:5:10: no probe uses `host`: they would look at the target, not at a twin"],
    );
    check(
        &text.replace("{host: b}", "{hots: b}"),
        &[
            "t.yaml:5:17: on the control: unknown parameter `hots` (there is host); did you mean `host`?",
        ],
    );
}

#[test]
fn a_probe_that_can_never_hold_is_told() {
    for (probe, said) in [
        (
            "http: {url: 'http://a/', status: 999}",
            "34: no server answers with status 999: they go from 100 to 599",
        ),
        (
            "http: {url: 'https://a/'}",
            "13: `https://a/`: probes speak plain http; let a command speak TLS, as in `command: \"curl -fsS https://a/\"`",
        ),
        (
            "http: shop.local",
            "7: `shop.local` is not a URL with a scheme; did you mean `http://shop.local`?",
        ),
        (
            "http: {ulr: 'http://a/'}",
            "8: unknown key `ulr` in http; did you mean `url`?",
        ),
        (
            "http: {url: 'http://a/', within: 10s, timeout: 1s}",
            "48: it is given up after 1s, before the 10s that it may take",
        ),
        (
            "load-average: {below: 0}",
            "23: below 0 can never hold: load-average is never less than 0",
        ),
        (
            "psi: {resource: cpu, above: 100%}",
            "29: above 100 % can never hold: no more time can be lost",
        ),
        (
            "psi: {resource: disk, below: 1}",
            "17: `disk` is not a resource: cpu, memory or io",
        ),
        (
            "psi: {resource: io}",
            "1: psi needs below or above, such as 10%",
        ),
        (
            "prometheus: {url: 'http://a', query: up, above: 2, below: 1}",
            "59: above 2 and below 1 can never hold",
        ),
        (
            "tcp: a",
            "6: `a` is not a host with a port, such as db.internal:5432",
        ),
        (
            "tcp: '::1:80'",
            "6: `::1:80` is not a host with a port: an IPv6 address needs brackets, such as db.internal:5432",
        ),
        ("dns: '*.a.b'", "6: a zone has no address: name one name"),
        (
            "log: {file: shop.log, matches: x}",
            "13: `shop.log` is not an absolute path: the daemon has another directory than you",
        ),
        (
            "tcp: 'a:1'\n  every: 1ms",
            "10: a look every 1ms: at most every 20ms; did you mean `20ms`?",
        ),
        (
            "tcp: 'a:1'\n  weight: -1",
            "11: `-1` is not a weight, from 0",
        ),
        (
            "tpc: 'a:1'",
            "1: unknown key `tpc` in a probe; did you mean `tcp`?",
        ),
        (
            "every: 1s",
            "1: a probe without a kind: give one of http, prometheus, command, tcp, dns, psi, log, load-average",
        ),
    ] {
        let text = with(&format!("steady-state:\n- {probe}"));
        let line = if probe.contains('\n') { 5 } else { 4 };
        let (column, what) = said.split_once(": ").unwrap();
        let column: usize = column.parse().unwrap();
        let place = if line == 5 { column } else { column + 2 };
        check(&text, &[&format!("t.yaml:{line}:{place}: {what}")]);
    }
}

#[test]
fn mistakes_in_stages_and_conditions_are_told_all_at_once() {
    let text = r#"version: 1
for: 1m
parameters: {percent: {default: 1}}
faults:
- name: lossy
  drop: "${percent}%"
  for: 10s
steady-state: [{name: shop, tcp: "a:1"}]
abort-when:
- {probe: shp, failing-for: 1s}
- {load-average: {above: 5}, failing-for: 1s}
stages:
- {name: a, for: 5s, set: {percent: 10}}
- {name: a, for: 20s, set: {percnt: 1}}
- {name: c, for: 2h, set: {percent: 200}}
- {name: d, for: 1m, faults: [losy]}
load: [wrk, "-d{{durtion}}"]
"#;
    let said = problems(text, &Overrides::default());
    for line in [
        "t.yaml:2:1: for beside stages, each of which has a time of its own",
        "t.yaml:7:8: in stage `a`: lasts 10s, longer than the run of 5s; did you mean `5s`?",
        "t.yaml:10:11: `shp` is not a probe of the steady state (there is shop, tcp); did you mean `shop`?",
        "t.yaml:11:30: failing-for beside load-average: the condition is that its value is within the bound; write for",
        "t.yaml:14:10: a second stage is named `a`: names are unique",
        "t.yaml:14:29: in stage `a`: unknown parameter `percnt` (there is percent); did you mean `percent`?",
        "t.yaml:15:18: up to here stages with faults come to 2h 25s, longer than the cap of 1h (`--max-for` of `chaosd serve` sets it)",
        "t.yaml:6:9: in stage `c`: `200%` is more than 100%",
        "t.yaml:16:31: there is no fault `losy` (there is lossy); did you mean `lossy`?",
        "t.yaml:17:13: `{{durtion}}` is not filled in; did you mean `{{duration}}`?",
    ] {
        assert!(said.contains(line), "{line}\n---\n{said}");
    }
    assert_eq!(said.lines().count(), 10, "{said}");
}

#[test]
fn a_condition_on_a_probe_with_a_mistake_is_no_second_mistake() {
    check(
        &with("steady-state: [{tcp: {address: \"a:1\", within: 300}}]\nabort-when: [{probe: tcp}]"),
        &["t.yaml:3:47: `300` is not a duration without a unit; did you mean `300s`?"],
    );
}

#[test]
fn a_condition_on_a_kind_watches_all_that_nobody_named() {
    let watched = |probes: &str| {
        let keys = format!("for: 5s\nsteady-state: {probes}\nabort-when: [{{probe: tcp}}]");
        experiment(&with(&keys)).abort_when[0].on.clone()
    };
    for (probes, which) in [
        ("[{tcp: 'a:1'}, {tcp: 'b:1'}]", vec![0, 1]),
        ("[{tcp: 'a:1'}, {name: other, tcp: 'b:1'}]", vec![0]),
        (
            "[{name: one, tcp: 'a:1'}, {name: other, tcp: 'b:1'}]",
            vec![0, 1],
        ),
        (
            "[{name: one, tcp: 'a:1'}, {name: tcp, tcp: 'b:1'}]",
            vec![1],
        ),
    ] {
        assert_eq!(watched(probes), AbortOn::Failing(which), "{probes}");
    }
}

#[test]
fn a_load_is_told_how_long_to_last_and_not_less() {
    let fill = |word| crate::profile::fill_in(word, Duration::from_millis(2500));
    assert_eq!(fill("-d{{duration}}"), "-d3s");
    assert_eq!(fill("{{seconds}}{{other}}"), "3{{other}}");
}

#[test]
fn an_experiment_needs_a_stage_with_faults() {
    check(
        &with("stages: [{name: a, for: 1s}, {name: b, for: 1s, faults: none}]"),
        &["t.yaml:3:9: no stage has faults: give at least one `faults: all`, or something to set"],
    );
}

#[test]
fn a_probe_that_a_stage_is_too_short_for_is_told() {
    let stages = "stages: [{for: 1s}, {name: short, for: 2s, faults: all}, {name: long, for: 1m, faults: all}]";
    let of = |probe: &str| {
        let keys = format!("steady-state: [{{tcp: {{address: \"a:1\", {probe}}}}}]\n{stages}");
        experiment(&with(&keys)).warnings()
    };
    assert_eq!(of("every: 2s, within: 2s"), [""; 0]);
    assert_eq!(
        of("every: 3s, within: 1s"),
        ["probe tcp looks every 3s, and stage short lasts 2s: it may not look there at all"]
    );
    assert_eq!(
        of("every: 1s, within: 3s"),
        [
            "probe tcp may take 3s, and stage short lasts 2s: what it asks there may be answered after its faults, and then holds"
        ]
    );
}
