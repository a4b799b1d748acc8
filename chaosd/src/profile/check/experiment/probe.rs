//! One probe: what all kinds have in common, beside the kind or within it.

use std::{collections::HashSet, time::Duration};

use humantime::format_duration;

use super::kinds::{KIND_KEYS, PROBE_KINDS};
use crate::profile::{
    OFTENEST, ProbeSpec,
    check::{Fields, fault::LONGEST_NAME},
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::Percent,
};

/// What goes with every kind.
pub(super) const COMMON_KEYS: &[&str] = &["name", "weight", "at-least", "every", "timeout"];
const DEFAULT_EVERY: Duration = Duration::from_secs(1);
/// The longest that a look takes when nothing says another, and it is known when it is late.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(5);

/// The keys of a probe, wherever they stand.
pub(super) struct ProbeFields<'t> {
    pub(super) key: &'t Key,
    /// The settings of the kind, when they are a map.
    inner: Option<Fields<'t>>,
    outer: Fields<'t>,
    /// The one setting that most kinds can do with.
    pub(super) only: Option<&'t Node>,
}

impl<'t> ProbeFields<'t> {
    pub(super) fn get(&self, name: &str) -> Option<&'t Node> {
        self.entry(name).map(|(_, node)| node)
    }

    pub(super) fn entry(&self, name: &str) -> Option<&'t (Key, Node)> {
        let inner = self.inner.as_ref().and_then(|inner| inner.entry(name));
        inner.or_else(|| self.outer.entry(name))
    }

    /// The name that its user gives it: the name of a `dns` is what it asks for, unless it stands
    /// beside that.
    fn name(&self) -> Option<&'t Node> {
        match self.key.name.as_str() {
            "dns" => self.outer.get("name"),
            _ => self.get("name"),
        }
    }

    /// A setting of the kind itself.
    pub(super) fn own(&self, name: &str) -> Option<&'t Node> {
        self.inner.as_ref()?.get(name)
    }

    /// True when it is missing, and no mistyped key says so already.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.own(name).is_none()
            && self.only.is_none()
            && self.inner.as_ref().is_none_or(|inner| inner.lacks(name))
    }
}

impl Found {
    pub(super) fn probe(&mut self, node: &Node, taken: &mut HashSet<String>) -> Option<ProbeSpec> {
        let (fields, at) = self.probe_fields(node, &[])?;
        let name = match fields.name() {
            Some(node) => self.probe_name(node, taken)?,
            None => String::new(),
        };
        let probe = self.probe_of(&fields)?;
        if let Some(limit) = probe.kind.within()
            && limit > probe.timeout
        {
            let what = format!(
                "it is given up after {}, before the {} that it may take",
                format_duration(probe.timeout),
                format_duration(limit)
            );
            let at = fields.get("timeout").map_or(at, |node| &node.at);
            self.say(at, what);
            return None;
        }
        Some(ProbeSpec { name, ..probe })
    }

    /// A probe's keys, and where its kind stands. `beside`: what else may go there.
    pub(super) fn probe_fields<'t>(
        &mut self,
        node: &'t Node,
        beside: &[&str],
    ) -> Option<(ProbeFields<'t>, &'t crate::profile::problem::Place)> {
        let known = [PROBE_KINDS, COMMON_KEYS, beside].concat();
        let outer = self.fields(node, "a probe", &known)?;
        let kinds: Vec<_> = PROBE_KINDS
            .iter()
            .filter_map(|kind| outer.entry(kind))
            .collect();
        let (key, settings) = match kinds.as_slice() {
            [one] => one,
            [] => {
                if PROBE_KINDS.iter().all(|kind| outer.lacks(kind)) && !outer.has_mistyped() {
                    let what = format!(
                        "a probe without a kind: give one of {}",
                        PROBE_KINDS.join(", ")
                    );
                    self.say(&node.at, what);
                }
                return None;
            }
            [(first, _), (second, _), ..] => {
                let what = format!(
                    "a second kind, {}, after {}: write two probes",
                    second.name, first.name
                );
                self.say(&second.at, what);
                return None;
            }
        };
        let (inner, only) = match &settings.value {
            Value::Broken => return None,
            Value::Text(_) => (None, Some(settings)),
            Value::List(_) if key.name == "command" => (None, Some(settings)),
            Value::Empty => {
                self.say(
                    &key.at,
                    format!("{} without settings: it takes {}", key.name, keys_of(key)),
                );
                return None;
            }
            _ => {
                let known = [own_keys(key), COMMON_KEYS].concat();
                (Some(self.fields(settings, &key.name, &known)?), None)
            }
        };
        if let Some(inner) = &inner {
            let twice = COMMON_KEYS
                .iter()
                .filter(|name| !own_keys(key).contains(name));
            for name in twice {
                if let (Some(_), Some((key, _))) = (inner.get(name), outer.entry(name)) {
                    self.say(&key.at, format!("{name} is given twice, here and within"));
                }
            }
        }
        let fields = ProbeFields {
            key,
            inner,
            outer,
            only,
        };
        Some((fields, &key.at))
    }

    /// What it is but for its name.
    pub(super) fn probe_of(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeSpec> {
        let kind = self.probe_kind(fields);
        let weight = match fields.get("weight") {
            Some(node) => self.real(node, "a weight, from 0", 0.0),
            None => Some(1.0),
        };
        let at_least = match fields.get("at-least") {
            Some(node) => self.percent(node),
            None => Some(Percent::ALL),
        };
        let every = match fields.get("every") {
            Some(node) => self.every(node),
            None => Some(DEFAULT_EVERY),
        };
        let timeout = match fields.get("timeout") {
            Some(node) => self.timeout(node).map(Some),
            None => Some(None),
        };
        let (kind, every) = (kind?, every?);
        // Of one that is never late, only a look that is given up tells that nothing answers.
        let default = match kind.within() {
            Some(within) => within.max(DEFAULT_TIMEOUT),
            None => every.clamp(DEFAULT_EVERY, DEFAULT_TIMEOUT),
        };
        Some(ProbeSpec {
            name: String::new(),
            kind,
            weight: weight?,
            at_least: at_least?,
            every,
            timeout: timeout?.unwrap_or(default),
        })
    }

    fn every(&mut self, node: &Node) -> Option<Duration> {
        let every = self.some_time(node)?;
        if every < OFTENEST {
            let least = format_duration(OFTENEST).to_string();
            let what = format!(
                "a look every {}: at most every {least}",
                format_duration(every)
            );
            self.add(&node.at, Mistake::new(what).instead(least));
            return None;
        }
        Some(every)
    }

    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let timeout = self.some_time(node)?;
        if timeout > LONGEST_TIMEOUT {
            let most = format_duration(LONGEST_TIMEOUT).to_string();
            let what = format!(
                "a look of {}: it takes at most {most}",
                format_duration(timeout)
            );
            self.add(&node.at, Mistake::new(what).instead(most));
            return None;
        }
        Some(timeout)
    }

    fn probe_name(&mut self, node: &Node, taken: &mut HashSet<String>) -> Option<String> {
        let name = self.text(node)?.trim().to_owned();
        if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            let what = format!(
                "{} is longer than {LONGEST_NAME} bytes, or no word",
                quote(&name)
            );
            self.say(&node.at, what);
            return None;
        }
        if !taken.insert(name.clone()) {
            let what = format!("a second probe is named {}: names are unique", quote(&name));
            self.say(&node.at, what);
            return None;
        }
        Some(name)
    }

    /// A finite number from `least`.
    fn real(&mut self, node: &Node, what: &str, least: f64) -> Option<f64> {
        let text = self.text(node)?.trim();
        let number = text.parse::<f64>().ok();
        let number = number.filter(|n| n.is_finite() && *n >= least);
        if number.is_none() {
            self.say(&node.at, format!("{} is not {what}", quote(text)));
        }
        number
    }
}

/// The keys of a kind.
pub(super) fn own_keys(key: &Key) -> &'static [&'static str] {
    KIND_KEYS
        .iter()
        .find(|(kind, _)| *kind == key.name)
        .map_or(&[], |(_, keys)| keys)
}

fn keys_of(key: &Key) -> String {
    own_keys(key).join(", ")
}
