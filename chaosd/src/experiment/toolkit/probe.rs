//! Probes of a steady state hypothesis: HTTP and processes, and what they tolerate.

use serde_json::{Map, Value, json};

use super::{
    action::words,
    configuration::Configuration,
    place::{Found, Place},
};

const KEYS: &[&str] = &[
    "type",
    "name",
    "tolerance",
    "provider",
    "background",
    "controls",
];
const HTTP_KEYS: &[&str] = &[
    "type",
    "url",
    "method",
    "timeout",
    "headers",
    "arguments",
    "max_retries",
    "verify_tls",
    "secrets",
];
const PROCESS_KEYS: &[&str] = &["type", "path", "arguments", "timeout", "secrets"];

/// The same probe as one of a profile.
pub(super) fn read(
    found: &mut Found,
    configuration: &mut Configuration,
    place: &Place,
    probe: &Value,
) -> Option<Value> {
    let entries = found.object(place, probe)?;
    if entries.contains_key("ref") {
        found.say(
            place,
            "write the probe here: what a ref names is no part of the hypothesis",
        );
        return None;
    }
    found.known_keys(place, entries, KEYS);
    found.nothing(
        &place.key("controls"),
        &probe["controls"],
        "controls are code of the Chaos Toolkit's, which chaosd does not run",
    );
    let tolerance = &probe["tolerance"];
    if tolerance.is_null() {
        found.say(
            &place.key("tolerance"),
            "a probe of the hypothesis needs one",
        );
    }
    let provider = &probe["provider"];
    let place_of = place.key("provider");
    let settings = found.object(&place_of, provider)?;
    let (kind, mut settings) = match provider["type"].as_str() {
        Some("http") => {
            found.known_keys(&place_of, settings, HTTP_KEYS);
            let mut http = http(found, configuration, &place_of, provider)?;
            if !tolerance.is_null() {
                status_or_body(found, &place.key("tolerance"), tolerance, &mut http);
            }
            ("http", http)
        }
        Some("process") => {
            found.known_keys(&place_of, settings, PROCESS_KEYS);
            let mut command = process(found, configuration, &place_of, provider)?;
            if !tolerance.is_null() {
                exit(found, &place.key("tolerance"), tolerance, &mut command);
            }
            ("command", command)
        }
        other => {
            let other = other.unwrap_or("nothing");
            let what = format!(
                "chaosd does not run the provider {other:?}: what it asks can be asked by \"http\" or by a \"process\""
            );
            found.say(&place_of.key("type"), what);
            return None;
        }
    };
    if let Some(seconds) = timeout(found, configuration, &place_of, &provider["timeout"]) {
        settings.insert("timeout".to_owned(), json!(seconds));
    }
    let mut out = Map::new();
    if let Some(name) = probe["name"].as_str() {
        out.insert("name".to_owned(), configuration.literal(name));
    }
    out.insert(kind.to_owned(), Value::Object(settings));
    Some(Value::Object(out))
}

fn http(
    found: &mut Found,
    configuration: &mut Configuration,
    place: &Place,
    provider: &Value,
) -> Option<Map<String, Value>> {
    if let Some(method) = provider["method"].as_str()
        && !method.eq_ignore_ascii_case("GET")
    {
        let what = format!("probes of chaosd GET; let a process say {method}");
        found.say(&place.key("method"), what);
    }
    for (key, why) in [
        ("headers", "probes of chaosd send no headers of yours"),
        ("arguments", "write them into the url, as in ?a=b"),
        ("max_retries", "probes of chaosd do not try again"),
        ("secrets", "chaosd reads no secrets"),
    ] {
        found.nothing(&place.key(key), &provider[key], why);
    }
    let url = found.text(&place.key("url"), &provider["url"])?;
    let mut http = Map::new();
    http.insert("url".to_owned(), configuration.literal(url));
    Some(http)
}

/// What is tolerated of an answer: its status, or a text in its body (whose status is 2xx then).
fn status_or_body(
    found: &mut Found,
    place: &Place,
    tolerance: &Value,
    http: &mut Map<String, Value>,
) {
    let is_status = |value: &Value| value.as_u64().is_some_and(|n| (100..600).contains(&n));
    let statuses = tolerance.as_array().filter(|list| !list.is_empty());
    let kind = tolerance["type"].as_str();
    let target = tolerance["target"].as_str();
    if is_status(tolerance) || statuses.is_some_and(|list| list.iter().all(is_status)) {
        http.insert("status".to_owned(), tolerance.clone());
    } else if kind == Some("range") && target == Some("status") {
        let bound = |n: usize| tolerance["range"][n].as_u64().map(|n| n.clamp(100, 599));
        match (bound(0), bound(1)) {
            (Some(from), Some(to)) if from <= to => {
                http.insert("status".to_owned(), (from..=to).collect());
            }
            _ => found.say(
                &place.key("range"),
                "expected two numbers, as in [200, 299]",
            ),
        }
    } else if kind == Some("regex") && target == Some("body") {
        match tolerance["pattern"].as_str().and_then(pattern) {
            Some(text) => {
                http.insert("body".to_owned(), json!(text));
            }
            None => found.say(
                &place.key("pattern"),
                "chaosd looks for a text, in which `.*` may stand for any characters; for more let a process look",
            ),
        }
    } else {
        found.say(
            place,
            "of an answer chaosd tolerates a status (200, or [200, 204], or {\"type\": \"range\", \"target\": \"status\", \"range\": [200, 299]}) or {\"type\": \"regex\", \"target\": \"body\", ...}; for more let a process look",
        );
    }
}

/// A regular expression as a text in which `*` stands for any characters.
fn pattern(regex: &str) -> Option<String> {
    let parts: Vec<&str> = regex.split(".*").collect();
    let special = |c: char| r"\.^$*+?()[]{}|".contains(c);
    let plain = parts.iter().all(|part| !part.contains(special));
    (plain && parts.iter().any(|part| !part.is_empty())).then(|| parts.join("*"))
}

fn process(
    found: &mut Found,
    configuration: &mut Configuration,
    place: &Place,
    provider: &Value,
) -> Option<Map<String, Value>> {
    found.nothing(
        &place.key("secrets"),
        &provider["secrets"],
        "chaosd reads no secrets",
    );
    let words = words(found, place, provider)?;
    let run: Vec<Value> = words
        .iter()
        .map(|word| configuration.literal(word))
        .collect();
    let mut command = Map::new();
    command.insert("run".to_owned(), Value::Array(run));
    Some(command)
}

fn exit(found: &mut Found, place: &Place, tolerance: &Value, command: &mut Map<String, Value>) {
    let one = match tolerance {
        Value::Array(codes) if codes.len() == 1 => &codes[0],
        other => other,
    };
    match one.as_u64().filter(|code| *code < 256) {
        Some(code) => {
            command.insert("exit".to_owned(), json!(code));
        }
        None => found.say(
            place,
            "of a process chaosd tolerates one exit code, such as 0: let the process itself judge what it prints, as in `sh -c \"... | grep -q ok\"`",
        ),
    }
}

/// Seconds, or two of them: to connect, and to read.
fn timeout(
    found: &mut Found,
    configuration: &Configuration,
    place: &Place,
    value: &Value,
) -> Option<String> {
    let seconds = match value {
        Value::Null => return None,
        Value::Array(parts) => parts.iter().map(|part| configuration.seconds(part)).sum(),
        value => configuration.seconds(value),
    };
    let written = seconds.filter(|seconds: &f64| *seconds > 0.0);
    if written.is_none() {
        found.say(&place.key("timeout"), "expected seconds, such as 3");
    }
    written.map(super::method::duration)
}
