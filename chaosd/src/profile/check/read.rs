//! Reads words out of the tree; reports what is not the word that the place wants.

use std::{str::FromStr, time::Duration};

use crate::profile::{
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::{Percent, parse_duration},
    words,
};

use super::{
    BANDWIDTH_KEYS, CLOCK_KEYS, CORRUPT_KEYS, CPU_KEYS, CPU_QUOTA_KEYS, DELAY_KEYS, DISK_BURN_KEYS,
    DISK_ERROR_KEYS, DISK_FILL_KEYS, DISK_KEYS, DISK_LATENCY_KEYS, DNS_KEYS, DROP_KEYS,
    DUPLICATE_KEYS, FAULT_KEYS, MATCH_KEYS, MEMORY_KEYS, NETEM_KEYS, PIDS_KEYS, PROCESS_KEYS,
    REORDER_KEYS, RESET_KEYS, ROOT_KEYS, SHUTDOWN_KEYS,
};
use crate::fault::KINDS;

/// Where keys belong, for those who wrote a good key in another place.
const HOMES: &[(&str, &[&str])] = &[
    ("match", MATCH_KEYS),
    ("the fault, beside its kind", FAULT_KEYS),
    ("the fault, as its kind", KINDS),
    ("drop", DROP_KEYS),
    ("corrupt", CORRUPT_KEYS),
    ("reset", RESET_KEYS),
    ("delay", DELAY_KEYS),
    ("reorder", REORDER_KEYS),
    ("duplicate", DUPLICATE_KEYS),
    ("bandwidth", BANDWIDTH_KEYS),
    ("netem", NETEM_KEYS),
    ("dns", DNS_KEYS),
    ("process", PROCESS_KEYS),
    ("cpu-quota", CPU_QUOTA_KEYS),
    ("disk", DISK_KEYS),
    ("disk-fill", DISK_FILL_KEYS),
    ("cpu", CPU_KEYS),
    ("memory", MEMORY_KEYS),
    ("disk-error", DISK_ERROR_KEYS),
    ("pids", PIDS_KEYS),
    ("clock", CLOCK_KEYS),
    ("shutdown", SHUTDOWN_KEYS),
    ("disk-latency", DISK_LATENCY_KEYS),
    ("disk-burn", DISK_BURN_KEYS),
    ("the profile, at its top", ROOT_KEYS),
];

/// The entries of a map whose keys are known.
pub(in crate::profile) struct Fields<'t> {
    entries: &'t [(Key, Node)],
    /// Keys that unknown ones were most likely meant to be.
    meant: Vec<String>,
}

impl<'t> Fields<'t> {
    pub(in crate::profile) fn get(&self, name: &str) -> Option<&'t Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// True when the key is missing and no other looks like a mistyped one: that says it already.
    pub(in crate::profile) fn lacks(&self, name: &str) -> bool {
        self.get(name).is_none() && !self.meant.iter().any(|meant| meant == name)
    }

    /// True when some key is a mistyped one.
    pub(in crate::profile) fn has_mistyped(&self) -> bool {
        !self.meant.is_empty()
    }

    pub(in crate::profile) fn entry(&self, name: &str) -> Option<&'t (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }
}

impl Found {
    /// The entries of a map; anything else is reported.
    pub(in crate::profile) fn map<'t>(
        &mut self,
        node: &'t Node,
        what: &str,
    ) -> Option<&'t [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Broken => None,
            _ => {
                self.say(&node.at, format!("expected {what}, found {}", node.shape()));
                None
            }
        }
    }

    /// The fields of a map, each unknown key reported.
    pub(in crate::profile) fn fields<'t>(
        &mut self,
        node: &'t Node,
        place: &str,
        known: &[&str],
    ) -> Option<Fields<'t>> {
        let entries = self.map(node, &format!("{place} as a map of {}", known.join(", ")))?;
        let mut meant = Vec::new();
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) && !key.name.is_empty() {
                meant.extend(self.unknown_key(key, place, known));
            }
        }
        Some(Fields { entries, meant })
    }

    /// A single value.
    pub(in crate::profile) fn text<'t>(&mut self, node: &'t Node) -> Option<&'t str> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.say(
                    &node.at,
                    "nothing between the quotes: give a value or leave the key out",
                );
                None
            }
            Value::Text(text) => Some(text),
            Value::Broken => None,
            Value::Empty => {
                self.say(&node.at, "no value: give one or leave the key out");
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.say(
                    &node.at,
                    format!("expected a single value, found {}", node.shape()),
                );
                None
            }
        }
    }

    /// A single value of a type that knows how to say what is wrong.
    pub(in crate::profile) fn parse<T: FromStr<Err = Mistake>>(
        &mut self,
        node: &Node,
    ) -> Option<T> {
        let text = self.text(node)?;
        self.keep(&node.at, text.parse())
    }

    pub(in crate::profile) fn percent(&mut self, node: &Node) -> Option<Percent> {
        self.parse(node)
    }

    pub(in crate::profile) fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node)?;
        self.keep(&node.at, parse_duration(text))
    }

    /// A duration which is not 0.
    pub(in crate::profile) fn some_time(&mut self, node: &Node) -> Option<Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.say(
                &node.at,
                "0 is no time at all: give more, or leave the key out",
            );
            return None;
        }
        Some(duration)
    }

    /// A whole number from `least` to the type's end.
    pub(in crate::profile) fn integer<T: TryFrom<u64>>(
        &mut self,
        node: &Node,
        what: &str,
        least: u64,
    ) -> Option<T> {
        let text = self.text(node)?.trim();
        let n = text
            .parse()
            .ok()
            .filter(|n| *n >= least)
            .and_then(|n| T::try_from(n).ok());
        if n.is_none() {
            self.say(&node.at, format!("{} is not {what}", quote(text)));
        }
        n
    }

    pub(in crate::profile) fn boolean(&mut self, node: &Node) -> Option<bool> {
        self.word(node, "true or false", &[("true", true), ("false", false)])
    }

    /// One word of a few.
    pub(in crate::profile) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        valid: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(node)?.trim();
        if let Some((_, value)) = valid.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = valid.iter().map(|(word, _)| *word).collect();
        let mistake = Mistake::new(format!("{} is not {what}", quote(text)));
        let mistake = match words::nearest(text, &names) {
            Some(near) => mistake.instead(near),
            None => mistake,
        };
        self.add(&node.at, mistake);
        None
    }

    /// A list, or one value where a list of one is meant; commas divide as well, so that one
    /// parameter can hold several. `None` only when a problem was reported.
    pub(in crate::profile) fn list<T>(
        &mut self,
        node: &Node,
        parse: impl Fn(&str) -> Result<T, Mistake>,
    ) -> Option<Vec<T>> {
        let items = match &node.value {
            Value::List(items) if items.is_empty() => {
                self.say(
                    &node.at,
                    "an empty list: give a value, or leave the key out to mean any",
                );
                return None;
            }
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut whole = true;
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.text(item) else {
                whole = false;
                continue;
            };
            for word in text.split(',') {
                match self.keep(&item.at, parse(word.trim())) {
                    Some(value) => out.push(value),
                    None => whole = false,
                }
            }
        }
        whole.then_some(out)
    }

    /// Returns the key that was most likely meant.
    pub(in crate::profile) fn unknown_key(
        &mut self,
        key: &Key,
        place: &str,
        known: &[&str],
    ) -> Option<String> {
        let mistake =
            |why: &str| Mistake::new(format!("unknown key {} in {place}{why}", quote(&key.name)));
        let near = words::nearest(&key.name, known);
        let mistake = match (near, home(&key.name)) {
            (Some(near), _) => mistake("").instead(near),
            (None, Some(home)) => mistake(&format!(": it belongs in {home}")),
            (None, None) if known.is_empty() => mistake(": it takes none"),
            (None, None) => mistake(&format!(": it takes {}", known.join(", "))),
        };
        self.add(&key.at, mistake);
        near.map(str::to_owned)
    }
}

/// Where a good key belongs.
pub(super) fn home(name: &str) -> Option<&'static str> {
    HOMES
        .iter()
        .find(|(_, keys)| keys.contains(&name))
        .map(|(home, _)| *home)
}
