//! Who suffers.

use std::path::{Component, Path, PathBuf};

use super::named::BESIDE;
use crate::profile::{
    Target, Whom,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    words,
};

const TARGETS: &[&str] = &[
    "host",
    "cgroup",
    "pid",
    "netns",
    "container",
    "pod",
    "unit",
    "process",
];

impl Found {
    pub(super) fn target(&mut self, node: &Node) -> Option<Whom> {
        if let Value::Text(text) = &node.value {
            if text.trim() == "host" {
                return Some(Whom::At(Target::Host));
            }
            let mistake = Mistake::new(format!("{} is not a target", quote(text)));
            self.add(
                &node.at,
                match words::nearest(text, TARGETS) {
                    Some("host") => mistake.instead("host"),
                    Some(near) => mistake.instead(format!("{{{near}: ...}}")),
                    None if text.starts_with('/') => mistake.instead(format!("{{cgroup: {text}}}")),
                    None => Mistake::new(format!(
                        "{}: write host, {{cgroup: PATH}}, {{pid: N}}, {{netns: NAME}}, {{container: NAME}}, \
                         {{pod: NAME}}, {{unit: NAME}} or {{process: NAME}}",
                        mistake.what
                    )),
                },
            );
            return None;
        }
        // One of those, and what goes beside a name.
        let fields = self.fields(node, "target", &[TARGETS, BESIDE].concat())?;
        let given: Vec<_> = TARGETS
            .iter()
            .filter_map(|name| fields.entry(name))
            .collect();
        let (key, value) = match given.as_slice() {
            [one] => one,
            [] => {
                if let Value::Map(entries) = &node.value
                    && entries.is_empty()
                {
                    self.say(&node.at, "an empty target: leave it out to mean the host");
                } else if let Some((key, _)) = BESIDE.iter().find_map(|name| fields.entry(name)) {
                    self.say(
                        &key.at,
                        format!(
                            "{} without a container, pod, unit or process to choose from",
                            key.name
                        ),
                    );
                }
                return None;
            }
            [(first, _), (second, _), ..] => {
                self.say(
                    &second.at,
                    format!(
                        "{} beside {}: a run has one target",
                        second.name, first.name
                    ),
                );
                return None;
            }
        };
        let by_name = ["container", "pod", "unit", "process"];
        if by_name.contains(&key.name.as_str()) {
            return self.named(key, value, &fields);
        }
        if let Some((beside, _)) = BESIDE.iter().find_map(|name| fields.entry(name)) {
            self.say(
                &beside.at,
                format!(
                    "{} beside {}: it goes with container, pod, unit or process",
                    beside.name, key.name
                ),
            );
            return None;
        }
        let place = match key.name.as_str() {
            "host" => match &value.value {
                Value::Empty => Some(Target::Host),
                Value::Map(entries) if entries.is_empty() => Some(Target::Host),
                Value::Text(text) if text == "true" => Some(Target::Host),
                Value::Broken => None,
                _ => {
                    self.add(
                        &value.at,
                        Mistake::new("host takes no value").instead("target: host"),
                    );
                    None
                }
            },
            "pid" => self
                .integer(value, "a process id (from 1)", 1)
                .map(Target::Pid),
            "cgroup" => self.path(value, "cgroup").map(Target::Cgroup),
            _ => self.path(value, "network namespace").map(Target::Netns),
        };
        place.map(Whom::At)
    }

    fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let text = self.text(node)?.trim();
        let path = Path::new(text);
        if text.contains(char::is_control) || path.components().any(|c| c == Component::ParentDir) {
            self.say(
                &node.at,
                format!(
                    "{} is not a path of a {what}: no `..`, no control characters",
                    quote(text)
                ),
            );
            return None;
        }
        Some(path.to_owned())
    }
}
