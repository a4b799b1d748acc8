//! Experiments of the Chaos Toolkit as profiles, and those that cannot be.

use std::time::Duration;

use serde_json::{Value, json};

use super::{detect, is_experiment, translate};
use crate::profile::{self, Overrides};

/// An experiment with this method.
fn experiment(method: &Value) -> Value {
    json!({
        "version": "1.0.0",
        "title": "The shop answers while the database is slow",
        "description": "n/a",
        "tags": ["shop"],
        "steady-state-hypothesis": {
            "title": "The shop answers",
            "probes": [{
                "type": "probe",
                "name": "health",
                "tolerance": 200,
                "provider": {"type": "http", "url": "http://127.0.0.1:8080/health", "timeout": 2}
            }]
        },
        "method": method,
        "rollbacks": [{
            "type": "action",
            "name": "end it",
            "provider": {"type": "process", "path": "chaosd", "arguments": ["revert", "--all"]}
        }]
    })
}

fn inject(words: &str) -> Value {
    let words: Vec<&str> = words.split(' ').collect();
    json!({
        "type": "action",
        "name": "lose packets",
        "provider": {"type": "process", "path": "chaosd", "arguments": words}
    })
}

fn with(mut activity: Value, key: &str, value: Value) -> Value {
    activity[key] = value;
    activity
}

#[track_caller]
fn translated(document: &Value) -> Value {
    match translate(document) {
        Ok(document) => document,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// The paths and words of all problems.
fn problems(document: &Value) -> Vec<String> {
    match translate(document) {
        Ok(document) => panic!("was translated: {document}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn refused(document: &Value, path: &str, word: &str) {
    let told = problems(document);
    let found = told
        .iter()
        .any(|line| line.starts_with(&format!("{path}: ")) && line.contains(word));
    assert!(found, "no {path} with {word} in {told:#?}");
}

/// The document has to pass every check of a profile.
fn loads(document: &Value) -> profile::Profile {
    match profile::load("toolkit", &document.to_string(), &Overrides::default()) {
        Ok(profile) => profile,
        Err(problems) => panic!("{problems}\n{document:#}"),
    }
}

#[test]
fn an_experiment_becomes_a_profile() {
    let method = json!([with(
        inject("inject drop --rate 30% --port 5432 --netns shop --for 60s --detach"),
        "pauses",
        json!({"after": 20})
    )]);
    let document = translated(&experiment(&method));
    assert_eq!(
        document,
        json!({
            "version": 1,
            "about": "The shop answers while the database is slow",
            "hypothesis": "The shop answers",
            "steady-state": [{
                "name": "health",
                "http": {"url": "http://127.0.0.1:8080/health", "status": 200, "timeout": "2s"}
            }],
            "for": "20s",
            "target": {"netns": "shop"},
            "faults": [{"drop": {"rate": "30%"}, "match": {"ports": ["5432"]}}]
        })
    );
    assert_eq!(loads(&document).run_for, Duration::from_secs(20));
}

#[test]
fn pauses_and_waiting_give_each_fault_its_time() {
    // Two seconds of nothing, five in the foreground, then one in the background until a revert.
    let method = json!([
        with(
            inject("inject drop --rate 1% --for 5s"),
            "pauses",
            json!({"before": 2})
        ),
        with(
            inject("inject partition --port 80 --for 1m --detach --after 1s"),
            "pauses",
            json!({"after": 4.5})
        ),
        with(inject("revert --all"), "pauses", json!({"after": 3})),
    ]);
    let mut whole = experiment(&method);
    let document = translated(&whole);
    assert_eq!(document["for"], "14s 500ms");
    assert_eq!(document["faults"][0]["after"], "2s");
    assert_eq!(document["faults"][0]["for"], "5s");
    assert_eq!(document["faults"][1]["after"], "8s");
    assert_eq!(document["faults"][1]["for"], "3s 500ms");
    loads(&document);
    // What no rollback ends lasts as long as it says, also where no pause gives it time.
    whole["rollbacks"] = json!([]);
    whole["method"] = json!([inject("inject drop --rate 1% --for 40s -d")]);
    let document = translated(&whole);
    assert_eq!(document["for"], "40s");
    assert_eq!(document["faults"][0].get("for"), None);
    // A pause longer than the fault is time without it.
    whole["method"] = json!([with(
        inject("inject drop --rate 1% --for 4s -d"),
        "pauses",
        json!({"after": 10})
    )]);
    let document = translated(&whole);
    assert_eq!(
        (&document["for"], &document["faults"][0]["for"]),
        (&json!("10s"), &json!("4s"))
    );
}

#[test]
fn a_run_is_reverted_by_its_name() {
    let method = json!([
        inject("inject drop --rate 1% --for 1m --detach --as a"),
        with(
            inject("inject drop --rate 2% --for 1m --detach --as b"),
            "pauses",
            json!({"after": 5})
        ),
        with(inject("revert a"), "pauses", json!({"after": 5})),
    ]);
    let document = translated(&experiment(&method));
    assert_eq!(document["for"], "10s");
    assert_eq!(document["faults"][0]["for"], "5s");
    assert_eq!(document["faults"][1].get("for"), None);
}

#[test]
fn a_load_tool_in_the_background_is_the_load() {
    let wrk = json!({
        "type": "action", "name": "load", "background": true,
        "provider": {"type": "process", "path": "/usr/bin/wrk", "arguments": "-t2 -d10s 'http://127.0.0.1/a b'"}
    });
    let drop = with(
        inject("inject drop --rate 1% -d"),
        "pauses",
        json!({"after": 10}),
    );
    let document = translated(&experiment(&json!([wrk, drop])));
    assert_eq!(
        document["load"],
        json!(["/usr/bin/wrk", "-t2", "-d10s", "http://127.0.0.1/a b"])
    );
    let mut foreground = wrk.clone();
    foreground["background"] = json!(false);
    refused(
        &experiment(&json!([foreground, drop])),
        "$.method[0].provider.path",
        "background",
    );
}

#[test]
fn variables_become_parameters_and_other_dollars_stay() {
    let mut document = experiment(&json!([with(
        inject("inject drop --rate ${rate} --netns shop --for 1m -d"),
        "pauses",
        json!({"after": "${pause}"})
    )]));
    document["configuration"] = json!({
        "api": {"type": "env", "key": "API", "default": "http://127.0.0.1:1"},
        "token": {"type": "env", "key": "TOKEN"},
        "rate": "5%",
        "pause": 7,
        "unused": "x"
    });
    let probes = &mut document["steady-state-hypothesis"]["probes"];
    probes[0]["provider"]["url"] = json!("${api}/health?${token}");
    let shell = json!({
        "type": "probe", "name": "shell", "tolerance": 3,
        "provider": {"type": "process", "path": "test", "arguments": "-n \"${HOME}\""}
    });
    if let Some(probes) = probes.as_array_mut() {
        probes.push(shell);
    }
    let document = translated(&document);
    assert_eq!(
        document["steady-state"][0]["http"]["url"],
        "${api}/health?${token}"
    );
    assert_eq!(
        document["steady-state"][1]["command"],
        json!({"run": ["/bin/sh", "-c", "test -n \"$${HOME}\""], "exit": 3})
    );
    assert_eq!(
        document["parameters"]["api"]["default"],
        "http://127.0.0.1:1"
    );
    assert_eq!(document["parameters"]["token"].get("default"), None);
    assert_eq!(document["parameters"].get("unused"), None);
    assert_eq!(document["for"], "7s");
    assert_eq!(document["faults"][0]["drop"]["rate"], "5%");
}

#[test]
fn what_is_tolerated_of_an_answer() {
    let tolerated = |tolerance: Value| {
        let mut document = experiment(&json!([inject("inject drop --rate 1%")]));
        document["steady-state-hypothesis"]["probes"][0]["tolerance"] = tolerance;
        document
    };
    let http =
        |tolerance: Value| translated(&tolerated(tolerance))["steady-state"][0]["http"].clone();
    assert_eq!(http(json!([200, 204]))["status"], json!([200, 204]));
    assert_eq!(
        http(json!({"type": "range", "target": "status", "range": [200, 202]}))["status"],
        json!([200, 201, 202])
    );
    let body = |pattern: &str| json!({"type": "regex", "target": "body", "pattern": pattern});
    assert_eq!(http(body("\"ok\""))["body"], "\"ok\"");
    assert_eq!(http(body("status.*ok"))["body"], "status*ok");
    let place = "$.steady-state-hypothesis.probes[0].tolerance";
    for other in [
        json!(true),
        json!("ok"),
        json!([]),
        json!(7),
        json!({"type": "jsonpath", "path": "$.a", "target": "body"}),
        json!({"type": "probe", "name": "x", "provider": {}}),
    ] {
        refused(&tolerated(other), place, "tolerates");
    }
    refused(&tolerated(body("^o+k$")), &format!("{place}.pattern"), ".*");
    refused(
        &tolerated(json!({"type": "range", "target": "status", "range": [300, 200]})),
        &format!("{place}.range"),
        "200",
    );
    refused(&tolerated(Value::Null), place, "needs one");
}

#[test]
fn all_that_cannot_be_done_is_told_at_once_with_its_path() {
    let mut document = experiment(&json!([
        {"type": "action", "name": "kill a pod", "provider": {"type": "python", "module": "chaosk8s.pod", "func": "x"}},
        {"type": "probe", "name": "look", "provider": {"type": "http", "url": "http://127.0.0.1/"}},
        {"ref": "nobody"},
        inject("inject drop --rate 300%"),
        inject("inject drop --rat 1%"),
        inject("run flaky-network"),
        inject("revert r-0123abcd"),
        {"type": "action", "name": "x", "provider": {"type": "process", "path": "systemctl", "arguments": ["stop", "x"]}},
        with(inject("inject drop --rate 1%"), "pauses", json!({"after": "soon"})),
        with(inject("inject drop --rate 1% --netns other"), "controls", json!([{"name": "c"}])),
    ]));
    document["secrets"] = json!({"a": {"b": "c"}});
    document["controls"] = json!([{"name": "c"}]);
    document["methods"] = json!([]);
    document["runtime"] = json!({"rollbacks": {"strategy": "never"}});
    document["rollbacks"] = json!([{"type": "action", "name": "x", "provider": {"type": "process", "path": "rm", "arguments": ["x"]}}]);
    let probe = &mut document["steady-state-hypothesis"]["probes"][0]["provider"];
    probe["method"] = json!("POST");
    probe["headers"] = json!({"a": "b"});
    for (path, word) in [
        ("$.method[0].provider.type", "python"),
        ("$.method[1]", "hypothesis"),
        ("$.method[2].ref", "nobody"),
        ("$.method[3].provider.arguments", "300%"),
        ("$.method[4].provider.arguments", "--rat"),
        ("$.method[5].provider.arguments", "chaosd run"),
        ("$.method[6].provider.arguments", "r-0123abcd"),
        ("$.method[7].provider.path", "no other programs"),
        ("$.method[8].pauses.after", "seconds"),
        ("$.method[9].controls", "controls"),
        ("$.method[9].provider.arguments", "second target"),
        ("$.secrets", "secrets"),
        ("$.controls", "controls"),
        ("$.methods", "method"),
        ("$.runtime.rollbacks.strategy", "never"),
        ("$.rollbacks[0]", "chaosd revert"),
        (
            "$.steady-state-hypothesis.probes[0].provider.method",
            "POST",
        ),
        (
            "$.steady-state-hypothesis.probes[0].provider.headers",
            "headers",
        ),
    ] {
        refused(&document, path, word);
    }
    assert_eq!(problems(&document).len(), 18);
}

#[test]
fn a_timeout_that_would_end_a_fault_is_no_way_to_say_how_long() {
    let mut action = inject("inject drop --rate 1% --for 20s");
    action["provider"]["timeout"] = json!(30);
    assert_eq!(translated(&experiment(&json!([action])))["for"], "20s");
    action["provider"]["timeout"] = json!(10);
    let place = "$.method[0].provider.timeout";
    refused(&experiment(&json!([action])), place, "--for");
    action["provider"]["shell"] = json!(true);
    refused(
        &experiment(&json!([action])),
        "$.method[0].provider.shell",
        "path",
    );
}

#[test]
fn what_is_no_experiment_is_told_and_not_panicked_at() {
    for document in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"method": {}}),
        json!({"method": [null, 1, [], {}]}),
        json!({"method": [{"type": "action", "provider": null}]}),
        json!({"method": [{"type": "action", "provider": {"type": "process", "path": 7}}]}),
        json!({"method": [{"type": "action", "provider": {"type": "process", "path": "chaosd", "arguments": 7}}]}),
        json!({"method": [], "steady-state-hypothesis": []}),
        json!({"method": [], "steady-state-hypothesis": {"probes": [null, {}]}, "configuration": [1]}),
        json!({"method": [], "configuration": {"a": [1], "b": {"type": "vault"}}, "rollbacks": {}}),
    ] {
        assert!(!problems(&document).is_empty(), "{document}");
    }
    assert!(is_experiment(&json!({"method": []})));
    assert!(is_experiment(&json!({"steady-state-hypothesis": {}})));
    assert!(!is_experiment(&json!({"steady-state": [], "faults": []})));
}

#[test]
fn an_experiment_is_told_from_a_profile_in_json_and_yaml() {
    let document = experiment(&json!([inject("inject drop --rate 1%")]));
    assert_eq!(detect(&document.to_string()), Some(document));
    let yaml = "version: 1.0.0\ntitle: x\nmethod:\n  - type: action\n    name: \"y\"\n    pauses: {after: 2.5}\n";
    let document = detect(yaml);
    assert_eq!(
        document,
        Some(json!({
            "version": "1.0.0",
            "title": "x",
            "method": [{"type": "action", "name": "y", "pauses": {"after": 2.5}}]
        }))
    );
    for other in [
        "",
        "method",
        "version: 1\nfaults: []\n",
        "version: 1\nfaults:\n  - drop: {rate: 1%}\nhypothesis: the method works\n",
        "{\"method\": ",
        "method: [",
        "- method: 1",
    ] {
        assert_eq!(detect(other), None, "{other}");
    }
}
