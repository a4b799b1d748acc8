//! Experiments of the Chaos Toolkit, read as profiles of ours.
//!
//! What it calls a steady state hypothesis and a method of actions and pauses becomes a hypothesis,
//! probes and faults with their times. Rolling back is nothing that has to be said here.
//!
//! Invariant: pure, and complete or refused. A step that cannot be done here as it is meant there is
//! a problem with its place in the document; nothing is left out in silence.
//! (Chaos Toolkit's Open API, "Experiment"; chaostoolkit-lib 1.44.)

mod action;
mod configuration;
mod method;
mod place;
mod probe;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use configuration::Configuration;
pub use place::Problem;
use place::{Found, Place};

const TOP_KEYS: &[&str] = &[
    "version",
    "title",
    "description",
    "tags",
    "contributions",
    "extensions",
    "configuration",
    "secrets",
    "controls",
    "runtime",
    "steady-state-hypothesis",
    "method",
    "rollbacks",
];

/// True of a document that is meant for the Chaos Toolkit rather than for chaosd.
fn is_experiment(document: &Value) -> bool {
    let has = |key| document.get(key).is_some();
    (has("method") || has("steady-state-hypothesis")) && !has("faults")
}

/// The experiment in a file's text, JSON or YAML; `None`: it is something else, and no more is said
/// about it here.
pub fn detect(text: &str) -> Option<Value> {
    // A cheap look first: most files are profiles.
    if !text.contains("method") && !text.contains("steady-state-hypothesis") {
        return None;
    }
    let json = serde_json::from_str(text).ok();
    let document = json.or_else(|| serde_saphyr::from_str(text).ok())?;
    is_experiment(&document).then_some(document)
}

/// The same experiment as a profile's document, which is then checked as every other; or all that
/// stands in the way.
///
/// The document has no `stages`: each fault has its time in the run (`after`, `for`). Actions that
/// are load tools in the background become `load`, at most one; variables of `configuration` that
/// are used become parameters. The words of an action are an exception: the times of all faults have to
/// be known here, so that the defaults are filled in.
pub fn translate(document: &Value) -> Result<Value, Vec<Problem>> {
    let mut found = Found::default();
    let top = Place::top();
    let Some(entries) = found.object(&top, document) else {
        return Err(found.into_problems());
    };
    found.known_keys(&top, entries, TOP_KEYS);
    let get = |key: &str| entries.get(key).unwrap_or(&Value::Null);
    found.nothing(
        &top.key("secrets"),
        get("secrets"),
        "chaosd reads no secrets",
    );
    found.nothing(
        &top.key("controls"),
        get("controls"),
        "controls are code of the Chaos Toolkit's, which chaosd does not run",
    );
    runtime(&mut found, &top.key("runtime"), get("runtime"));
    let mut configuration =
        Configuration::read(&mut found, &top.key("configuration"), get("configuration"));

    let mut out = Map::new();
    out.insert("version".to_owned(), json!(1));
    if let Some(title) = get("title").as_str() {
        out.insert("about".to_owned(), configuration.literal(title));
    }
    let place = top.key("steady-state-hypothesis");
    let hypothesis = get("steady-state-hypothesis");
    let mut names = Vec::new();
    if !hypothesis.is_null() {
        let probes = steady_state(&mut found, &mut configuration, &place, hypothesis);
        names = probes
            .iter()
            .filter_map(|probe| Some(probe["name"].as_str()?.to_owned()))
            .collect();
        if let Some(title) = hypothesis["title"].as_str() {
            out.insert("hypothesis".to_owned(), configuration.literal(title));
        }
        out.insert("steady-state".to_owned(), Value::Array(probes));
    }
    let reverts = method::reverts(&mut found, &top.key("rollbacks"), get("rollbacks"));
    let place = top.key("method");
    let method = method::read(
        &mut found,
        &mut configuration,
        &place,
        get("method"),
        &names,
    );
    method.into_document(&mut found, &place, reverts, &mut out);
    let parameters = configuration.used();
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), Value::Object(parameters));
    }
    if found.is_empty() {
        return Ok(Value::Object(out));
    }
    Err(found.into_problems())
}

fn steady_state(
    found: &mut Found,
    configuration: &mut Configuration,
    place: &Place,
    hypothesis: &Value,
) -> Vec<Value> {
    let Some(entries) = found.object(place, hypothesis) else {
        return Vec::new();
    };
    found.known_keys(place, entries, &["title", "probes", "controls"]);
    found.nothing(
        &place.key("controls"),
        &hypothesis["controls"],
        "controls are code of the Chaos Toolkit's, which chaosd does not run",
    );
    let place = place.key("probes");
    let Some(probes) = found.array(&place, &hypothesis["probes"]) else {
        return Vec::new();
    };
    let read = probes.iter().enumerate();
    read.filter_map(|(n, it)| probe::read(found, configuration, &place.item(n), it))
        .collect()
}

/// The only strategies that chaosd knows are its own: it looks all the time, and always reverts.
fn runtime(found: &mut Found, place: &Place, runtime: &Value) {
    let strategy = &runtime["rollbacks"]["strategy"];
    if strategy.as_str() == Some("never") {
        found.say(
            &place.key("rollbacks").key("strategy"),
            "chaosd always reverts: leave out `never`",
        );
    }
}
