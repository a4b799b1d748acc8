//! Where in the document something is wrong, and what.

use std::fmt;

use serde_json::{Map, Value};

/// One thing in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A path as of `JSONPath` (RFC 9535): `$.method[2].provider.path`.
    pub path: String,
    /// What is wrong, and what to write instead where that is known.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// A place in the document.
#[derive(Clone, Debug)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn top() -> Self {
        Self("$".to_owned())
    }

    pub(super) fn key(&self, name: &str) -> Self {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if !name.is_empty() && name.chars().all(plain) {
            return Self(format!("{}.{name}", self.0));
        }
        Self(format!("{}[{name:?}]", self.0))
    }

    pub(super) fn item(&self, n: usize) -> Self {
        Self(format!("{}[{n}]", self.0))
    }
}

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Problem>);

impl Found {
    pub(super) fn say(&mut self, place: &Place, what: impl Into<String>) {
        self.0.push(Problem {
            path: place.0.clone(),
            what: what.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.0
    }

    pub(super) fn object<'v>(
        &mut self,
        place: &Place,
        value: &'v Value,
    ) -> Option<&'v Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.say(place, format!("expected an object, found {}", shape(value)));
        }
        object
    }

    pub(super) fn array<'v>(&mut self, place: &Place, value: &'v Value) -> Option<&'v [Value]> {
        let array = value.as_array();
        if array.is_none() {
            self.say(place, format!("expected a list, found {}", shape(value)));
        }
        array.map(Vec::as_slice)
    }

    pub(super) fn text<'v>(&mut self, place: &Place, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.say(place, format!("expected a text, found {}", shape(value)));
        }
        text
    }

    /// Reports keys that nobody knows: what they mean would be left out. `x-...` is for notes.
    pub(super) fn known_keys(&mut self, place: &Place, map: &Map<String, Value>, known: &[&str]) {
        for key in map.keys() {
            if !known.contains(&key.as_str()) && !key.starts_with("x-") {
                let what = format!("not known here; there is {}", known.join(", "));
                self.say(&place.key(key), what);
            }
        }
    }

    /// Reports what is neither missing nor empty.
    pub(super) fn nothing(&mut self, place: &Place, value: &Value, why: &str) {
        let empty = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Number(n) => n.as_f64() == Some(0.0),
            _ => false,
        };
        if !empty {
            self.say(place, why);
        }
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a yes or no",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
