//! The method: actions and pauses one after the other become faults, each with its time.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{
    action::{self, Action},
    configuration::Configuration,
    place::{Found, Place},
};
use crate::experiment::load;

const KEYS: &[&str] = &[
    "type",
    "name",
    "provider",
    "pauses",
    "background",
    "controls",
    "tolerance",
    "configuration",
    "secrets",
];

const PROVIDER_KEYS: &[&str] = &["type", "path", "arguments", "timeout"];

/// A fault in its time, counted from the method's begin.
struct Fault {
    entry: Value,
    begin: Duration,
    end: Duration,
    /// What its run is called.
    run: Option<String>,
}

/// What a method comes to.
#[derive(Default)]
pub(super) struct Method {
    faults: Vec<Fault>,
    load: Option<Vec<Value>>,
    target: Option<Value>,
    seed: Option<Value>,
    /// When its last activity is over.
    end: Duration,
}

/// Whether the rollbacks revert; nothing else can be done there.
pub(super) fn reverts(found: &mut Found, place: &Place, rollbacks: &Value) -> bool {
    if rollbacks.is_null() {
        return false;
    }
    let mut reverts = false;
    let list = found.array(place, rollbacks).unwrap_or_default();
    for (n, activity) in list.iter().enumerate() {
        let place = place.item(n);
        let provider = place.key("provider");
        let action = activity["provider"]["type"]
            .as_str()
            .filter(|kind| *kind == "process")
            .and_then(|_| action::words(found, &provider, &activity["provider"]))
            .and_then(|words| action::read(found, &provider.key("arguments"), words));
        match action {
            Some(Action::Revert(_)) => reverts = true,
            _ => found.say(
                &place,
                "chaosd reverts what it did and nothing else: a rollback can be `chaosd revert`",
            ),
        }
    }
    reverts
}

/// Reads the method. `probes`: the names of those of the hypothesis, which are looked at all the time.
pub(super) fn read(
    found: &mut Found,
    configuration: &mut Configuration,
    place: &Place,
    method: &Value,
    probes: &[String],
) -> Method {
    let mut out = Method::default();
    for (n, activity) in found
        .array(place, method)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let place = place.item(n);
        let Some(entries) = found.object(&place, activity) else {
            continue;
        };
        if let Some(name) = activity["ref"].as_str() {
            if !probes.iter().any(|probe| probe == name) {
                let what = format!("no probe of the hypothesis is named {name:?}");
                found.say(&place.key("ref"), what);
            }
            continue;
        }
        found.known_keys(&place, entries, KEYS);
        found.nothing(
            &place.key("controls"),
            &activity["controls"],
            "controls are code of the Chaos Toolkit's, which chaosd does not run",
        );
        out.end += pause(found, configuration, &place, activity, "before");
        match activity["type"].as_str() {
            Some("action") => out.action(found, configuration, &place, activity),
            Some("probe") => found.say(
                &place,
                "a probe of the method is judged by nobody: put it into the hypothesis, where chaosd looks all the time, or write {\"ref\": NAME} of one that is there",
            ),
            _ => found.say(&place.key("type"), "expected \"action\" or \"probe\""),
        }
        out.end += pause(found, configuration, &place, activity, "after");
    }
    out
}

fn pause(
    found: &mut Found,
    configuration: &Configuration,
    place: &Place,
    activity: &Value,
    when: &str,
) -> Duration {
    let value = &activity["pauses"][when];
    if value.is_null() {
        return Duration::ZERO;
    }
    let Some(seconds) = configuration.seconds(value) else {
        let what = "expected seconds, such as 20 (or a variable with such a default)";
        found.say(&place.key("pauses").key(when), what);
        return Duration::ZERO;
    };
    Duration::from_secs_f64(seconds)
}

impl Method {
    fn action(
        &mut self,
        found: &mut Found,
        configuration: &mut Configuration,
        place: &Place,
        activity: &Value,
    ) {
        let provider = place.key("provider");
        let kind = activity["provider"]["type"].as_str();
        if kind != Some("process") {
            let what = format!(
                "chaosd does not run the provider {:?}: an action can be a \"process\" that is `chaosd inject`, or a load tool",
                kind.unwrap_or("nothing")
            );
            found.say(&provider.key("type"), what);
            return;
        }
        let background = activity["background"] == Value::Bool(true);
        let Some(raw) = action::words(found, &provider, &activity["provider"]) else {
            return;
        };
        if let Some(entries) = activity["provider"].as_object() {
            found.known_keys(&provider, entries, PROVIDER_KEYS);
        }
        let patience = configuration.seconds(&activity["provider"]["timeout"]);
        let timeout = provider.key("timeout");
        let place = provider.key("arguments");
        let filled: Option<Vec<String>> =
            raw.iter().map(|word| configuration.filled(word)).collect();
        let Some(filled) = filled else {
            found.say(
                &place,
                "its variables need defaults: the times of all faults have to be known",
            );
            return;
        };
        match action::read(found, &place, filled) {
            Some(Action::Inject {
                document,
                lasts,
                after,
                detached,
                name,
            }) => {
                self.shared(found, &place, &document);
                self.faults.push(Fault {
                    entry: document["faults"][0].clone(),
                    begin: self.end + after,
                    end: self.end + lasts,
                    run: name,
                });
                if !detached && patience.is_some_and(|seconds| seconds < lasts.as_secs_f64()) {
                    found.say(
                        &timeout,
                        "it would end the fault: say how long by `chaosd inject --for`",
                    );
                }
                if !detached && !background {
                    self.end += lasts;
                }
            }
            Some(Action::Revert(names)) => {
                let called = |fault: &Fault, name: &String| fault.run.as_ref() == Some(name);
                for name in &names {
                    if !self.faults.iter().any(|fault| called(fault, name)) {
                        let what = format!(
                            "no run of this method is called {name} (`chaosd inject --as {name}`)"
                        );
                        found.say(&place, what);
                    }
                }
                let now = self.end;
                for fault in &mut self.faults {
                    if names.is_empty() || names.iter().any(|name| called(fault, name)) {
                        fault.end = fault.end.min(now);
                    }
                }
            }
            Some(Action::Program(words)) => {
                if background && self.load.is_none() && load::is_tool(&words) {
                    self.load = Some(raw.iter().map(|word| configuration.literal(word)).collect());
                    return;
                }
                let what = if load::is_tool(&words) {
                    "a load tool runs once, with \"background\": true, from the begin to the end"
                } else {
                    "chaosd runs no other programs as actions: an action can be `chaosd inject`, or a load tool in the background"
                };
                found.say(&provider.key("path"), what);
            }
            None => {}
        }
    }

    /// A profile has one target and one seed.
    fn shared(&mut self, found: &mut Found, place: &Place, document: &Value) {
        for (name, known) in [("target", &mut self.target), ("seed", &mut self.seed)] {
            let this = document.get(name).cloned().unwrap_or(Value::Null);
            match known {
                Some(known) if *known != this => {
                    let what = format!(
                        "a second {name}: all faults of an experiment have the same one ({known} before, {this} here)"
                    );
                    found.say(place, what);
                }
                _ => *known = Some(this),
            }
        }
    }

    /// Writes it into a profile's document. `reverts`: the rollbacks end what goes on then.
    pub(super) fn into_document(
        self,
        found: &mut Found,
        place: &Place,
        reverts: bool,
        out: &mut Map<String, Value>,
    ) {
        if self.faults.is_empty() {
            if found.is_empty() {
                found.say(place, "no action injects a fault: `chaosd inject` does");
            }
            return;
        }
        let end_of = |fault: &Fault| {
            // Where no pause gives a fault time it lasts as long as it says.
            if reverts && fault.begin < self.end {
                fault.end.min(self.end)
            } else {
                fault.end
            }
        };
        let lasts = self.faults.iter().map(end_of).fold(self.end, Duration::max);
        let mut faults = Vec::new();
        for fault in &self.faults {
            let end = end_of(fault);
            if end <= fault.begin {
                found.say(
                    place,
                    "a fault is reverted before it begins: pause between both",
                );
                continue;
            }
            let mut entry = fault.entry.clone();
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("after");
                if !fault.begin.is_zero() {
                    entry.insert("after".to_owned(), json!(written(fault.begin)));
                }
                if end < lasts {
                    entry.insert(
                        "for".to_owned(),
                        json!(written(end.saturating_sub(fault.begin))),
                    );
                }
            }
            faults.push(entry);
        }
        out.insert("for".to_owned(), json!(written(lasts)));
        for (name, value) in [("target", self.target), ("seed", self.seed)] {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                out.insert(name.to_owned(), value);
            }
        }
        if let Some(load) = self.load {
            out.insert("load".to_owned(), Value::Array(load));
        }
        out.insert("faults".to_owned(), Value::Array(faults));
    }
}

/// Seconds as a profile writes them, to the millisecond.
pub(super) fn duration(seconds: f64) -> String {
    written(Duration::from_secs_f64(seconds))
}

fn written(duration: Duration) -> String {
    let ms = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    humantime::format_duration(ms.max(Duration::from_millis(1))).to_string()
}
