//! One fault: its name, its kind, and the pieces that other files read.

use std::{collections::HashSet, time::Duration};

use crate::profile::{
    FaultSpec, Kind, Match, Mean, Resource,
    problem::{Found, Mistake, quote},
    tree::{Key, Node},
    words,
};

use super::{FAULT_KEYS, read::home};
use crate::fault::KINDS;

/// Names are labels of metrics and columns of tables.
pub(super) const LONGEST_NAME: usize = 64;

impl Found {
    pub(super) fn fault(
        &mut self,
        node: &Node,
        run_for: Option<Duration>,
        names: &mut Names,
    ) -> Option<FaultSpec> {
        let entries = self.map(node, "a fault, such as `drop: {rate: 10%}`")?;
        let kind = self.kind_of(node, entries);
        let find = |name: &str| {
            entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, v)| v)
        };
        let name = find("name").and_then(|node| self.name(node, names));
        let mut matching = match find("match") {
            Some(node) => self.matching(node),
            None => Some(Match::any()),
        };
        if let (Some(Kind::Reset(_)), Some(matching)) = (&kind, &mut matching) {
            self.implies_tcp(matching, find("match").unwrap_or(node), "reset");
        }
        if let (Some(Kind::Delay(delay)), Some(matching)) = (&kind, &matching)
            && let Mean::ByPeer(times) = &delay.mean
        {
            self.beside_by_peer(times, matching, find("match"));
        }
        // Whatever is wrong with its settings.
        if let (Some(_), Some(matching)) = (find("dns"), &mut matching) {
            self.beside_dns(matching, find("match"));
        }
        if let Some(Kind::Resource(resource)) = &kind {
            for name in ["match", "unprotected"] {
                if let Some((key, _)) = entries.iter().find(|(key, _)| key.name == name) {
                    let what = format!(
                        "{name} beside {}: it acts on the target itself, not on packets",
                        resource.name()
                    );
                    self.say(&key.at, what);
                }
            }
        }
        if let (Some(Kind::Resource(resource)), Some(node)) = (&kind, find("ramp"))
            && !resource.grows()
        {
            let what = format!(
                "ramp beside {}: it holds or it does not; use pulse, or several runs",
                resource.name()
            );
            self.say(&node.at, what);
        }
        let timeline = self.timeline(&find, run_for);
        if let (Some(Kind::Resource(Resource::Shutdown(shutdown))), Some(timeline), Some(run_for)) =
            (&kind, &timeline, run_for)
        {
            self.comes(shutdown, timeline.acts_within(run_for), &node.at);
        }
        let unprotected = match find("unprotected") {
            Some(node) => self.boolean(node),
            None => Some(false),
        };
        Some(FaultSpec {
            name: name.unwrap_or_default(),
            kind: kind?,
            matching: matching?,
            timeline: timeline?,
            unprotected: unprotected?,
        })
    }

    /// Exactly one key of a fault names its kind.
    fn kind_of(&mut self, node: &Node, entries: &[(Key, Node)]) -> Option<Kind> {
        let (kinds, others): (Vec<_>, Vec<_>) = entries
            .iter()
            .partition(|(key, _)| KINDS.contains(&key.name.as_str()));
        let mut unknown_kind = false;
        for (key, _) in others {
            if FAULT_KEYS.contains(&key.name.as_str()) || key.name.is_empty() {
                continue;
            }
            let known: Vec<&str> = KINDS.iter().chain(FAULT_KEYS).copied().collect();
            if kinds.is_empty()
                && words::nearest(&key.name, FAULT_KEYS).is_none()
                && home(&key.name).is_none()
            {
                unknown_kind = true;
                let what = format!(
                    "unknown fault kind {}: the kinds are {}",
                    quote(&key.name),
                    KINDS.join(", ")
                );
                let mistake = Mistake::new(what);
                self.add(
                    &key.at,
                    match words::nearest(&key.name, KINDS) {
                        Some(near) => mistake.instead(near),
                        None => mistake,
                    },
                );
            } else {
                self.unknown_key(key, "a fault", &known);
            }
        }
        match kinds.as_slice() {
            [] => {
                if !unknown_kind {
                    self.say(
                        &node.at,
                        format!("a fault without a kind: give one of {}", KINDS.join(", ")),
                    );
                }
                None
            }
            [(key, settings)] => self.kind(key, settings),
            [(first, _), rest @ ..] => {
                for (key, _) in rest {
                    let what = format!(
                        "a second kind, {}, after {}: write two faults",
                        key.name, first.name
                    );
                    self.say(&key.at, what);
                }
                for (key, settings) in &kinds {
                    self.kind(key, settings);
                }
                None
            }
        }
    }

    fn name(&mut self, node: &Node, names: &mut Names) -> Option<String> {
        let name = self.text(node)?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > LONGEST_NAME || !name.chars().all(good) {
            let what = format!(
                "{} is not a name of up to {LONGEST_NAME} letters, digits, -, _ and .",
                quote(name)
            );
            let mistake = Mistake::new(what);
            let fixed: String = name
                .trim()
                .chars()
                .map(|c| if good(c) { c } else { '-' })
                .collect();
            self.add(
                &node.at,
                if fixed.len() > LONGEST_NAME {
                    mistake
                } else {
                    mistake.instead(fixed)
                },
            );
            return None;
        }
        if !names.taken.insert(name.to_owned()) {
            self.say(
                &node.at,
                format!("a second fault is named {}: names are unique", quote(name)),
            );
        }
        Some(name.to_owned())
    }
}

impl Match {
    /// All packets.
    pub fn any() -> Self {
        Self {
            peers: Vec::new(),
            not_peers: Vec::new(),
            ports: None,
            local_ports: None,
            protocol: None,
            direction: crate::profile::Direction::Both,
            flags: None,
            flows: None,
            interfaces: Vec::new(),
        }
    }
}

/// The names of a profile's faults.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Names the nameless by their kinds, numbered from the second of a kind.
    pub(super) fn fill(mut self, faults: &mut [FaultSpec]) {
        for fault in faults.iter_mut().filter(|f| f.name.is_empty()) {
            let kind = fault.kind.name();
            let mut name = kind.to_owned();
            let mut number = 1;
            while !self.taken.insert(name.clone()) {
                number += 1;
                name = format!("{kind}-{number}");
            }
            fault.name = name;
        }
    }
}
