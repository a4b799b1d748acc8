//! The variables of `configuration`, which become parameters, and `${name}` in texts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::place::{Found, Place};

/// One variable.
#[derive(Debug)]
struct Variable {
    about: String,
    default: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    variables: BTreeMap<String, Variable>,
    used: BTreeSet<String>,
}

impl Configuration {
    pub(super) fn read(found: &mut Found, place: &Place, value: &Value) -> Self {
        let mut configuration = Self::default();
        if value.is_null() {
            return configuration;
        }
        for (name, value) in found.object(place, value).into_iter().flatten() {
            let place = place.key(name);
            if let Some(variable) = variable(found, &place, value) {
                configuration.variables.insert(name.clone(), variable);
            }
        }
        configuration
    }

    /// A text of the document in a profile: variables become parameters, and every other `${` is
    /// written so that it stays what it is.
    pub(super) fn text(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let name = after.split_once('}').map(|(name, _)| name);
            match name.filter(|name| self.variables.contains_key(*name)) {
                Some(name) => {
                    self.used.insert(name.to_owned());
                    out.push_str("${");
                }
                None => out.push_str("$${"),
            }
            rest = after;
        }
        out + rest
    }

    /// The same as a value.
    pub(super) fn literal(&mut self, text: &str) -> Value {
        Value::String(self.text(text))
    }

    /// A text with the defaults filled in; `None`: one of its variables has none.
    pub(super) fn filled(&self, text: &str) -> Option<String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let known = after
                .split_once('}')
                .and_then(|(name, after)| Some((self.variables.get(name)?, after)));
            if let Some((variable, after)) = known {
                out.push_str(variable.default.as_deref()?);
                rest = after;
            } else {
                out.push_str("${");
                rest = after;
            }
        }
        Some(out + rest)
    }

    /// Seconds: a number, or a variable that has one as its default.
    pub(super) fn seconds(&self, value: &Value) -> Option<f64> {
        let seconds = match value {
            Value::String(text) => self.filled(text)?.parse().ok()?,
            value => value.as_f64()?,
        };
        (0.0..1e9).contains(&seconds).then_some(seconds)
    }

    /// The parameters of the profile: those that something uses.
    pub(super) fn used(&self) -> Map<String, Value> {
        let used = |(name, _): &(&String, &Variable)| self.used.contains(*name);
        self.variables
            .iter()
            .filter(used)
            .map(|(name, variable)| {
                let mut parameter = json!({"about": variable.about.replace("${", "$${")});
                if let Some(default) = &variable.default {
                    parameter["default"] = json!(default);
                }
                (name.clone(), parameter)
            })
            .collect()
    }
}

fn variable(found: &mut Found, place: &Place, value: &Value) -> Option<Variable> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    };
    if let Some(text) = plain(value) {
        return Some(Variable {
            about: "a value of the experiment's configuration".to_owned(),
            default: Some(text),
        });
    }
    if value["type"].as_str() == Some("env") {
        let key = value["key"].as_str().unwrap_or_default();
        return Some(Variable {
            about: format!("the environment's {key} for the Chaos Toolkit"),
            default: plain(&value["default"]),
        });
    }
    let what = "expected a text, a number, or {\"type\": \"env\", \"key\": ..., \"default\": ...}";
    found.say(place, what);
    None
}
