//! Who suffers.

use std::path::{Component, Path, PathBuf};

use crate::profile::{
    Target,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    words,
};

const TARGETS: &[&str] = &["host", "cgroup", "pid", "netns"];

impl Found {
    pub(super) fn target(&mut self, node: &Node) -> Option<Target> {
        if let Value::Text(text) = &node.value {
            if text.trim() == "host" {
                return Some(Target::Host);
            }
            let mistake = Mistake::new(format!("{} is not a target", quote(text)));
            self.add(
                &node.at,
                match words::nearest(text, TARGETS) {
                    Some("host") => mistake.instead("host"),
                    Some(near) => mistake.instead(format!("{{{near}: ...}}")),
                    None if text.starts_with('/') => mistake.instead(format!("{{cgroup: {text}}}")),
                    None => Mistake::new(format!(
                        "{}: write host, {{cgroup: PATH}}, {{pid: N}} or {{netns: NAME}}",
                        mistake.what
                    )),
                },
            );
            return None;
        }
        let fields = self.fields(node, "target", TARGETS)?;
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
        match key.name.as_str() {
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
        }
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
