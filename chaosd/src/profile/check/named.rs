//! Targets by name, and how many of those that answer are hit.

use std::num::NonZeroU32;

use crate::profile::{
    Asked, Choice, Named, Part, Pattern, Whom,
    named::Labels,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
};

use super::read::Fields;

/// What goes beside a name.
pub(super) const BESIDE: &[&str] = &["count", "percent", "exclude", "runtime"];
const CONTAINER_KEYS: &[&str] = &["name", "labels"];
const POD_KEYS: &[&str] = &["namespace", "name", "labels"];
const PROCESS_KEYS: &[&str] = &["name", "args"];

impl Found {
    /// `key` is one of `container`, `pod`, `unit` and `process`.
    pub(super) fn named(&mut self, key: &Key, value: &Node, fields: &Fields<'_>) -> Option<Whom> {
        let asked = match key.name.as_str() {
            "container" => self.container(value),
            "pod" => self.pod(value),
            "unit" => self.unit(value),
            _ => self.some_process(value),
        };
        let runtime = match fields.get("runtime") {
            Some(node) => Some(self.text(node)?.trim().to_owned()),
            None => None,
        };
        if let (Some("unit" | "process"), Some((key, _))) =
            (asked.as_ref().map(Asked::kind), fields.entry("runtime"))
        {
            let what =
                "runtime says which container runtime to ask, and none is asked here: leave it out";
            self.say(&key.at, what);
            return None;
        }
        let choice = self.choice(fields);
        Some(Whom::Named(Named {
            asked: asked?,
            runtime,
            choice: choice?,
        }))
    }

    fn container(&mut self, node: &Node) -> Option<Asked> {
        if let Value::Text(_) = node.value {
            return self.one_name(node, "container").map(Asked::Container);
        }
        let fields = self.fields(node, "container", CONTAINER_KEYS)?;
        match (fields.get("name"), fields.entry("labels")) {
            (Some(name), None) => self.one_name(name, "container").map(Asked::Container),
            (None, Some((_, labels))) => {
                let labels = self.labels(labels)?;
                Some(Asked::Containers { labels })
            }
            (Some(_), Some((key, _))) => {
                self.say(&key.at, "labels beside name: a name is one container's");
                None
            }
            (None, None) => {
                if fields.lacks("name") && fields.lacks("labels") {
                    self.say(&node.at, "a container by its name, or by labels");
                }
                None
            }
        }
    }

    fn pod(&mut self, node: &Node) -> Option<Asked> {
        if let Value::Text(_) = node.value {
            let text = self.one_name(node, "pod")?;
            let (namespace, name) = match text.split_once('/') {
                Some((namespace, name)) => (Some(namespace), name),
                None => (None, text.as_str()),
            };
            if namespace == Some("") || name.is_empty() || name.contains('/') {
                let name = text.trim_matches('/').rsplit('/').next();
                let what = format!("{} is not NAME or NAMESPACE/NAME of a pod", quote(&text));
                let mistake = Mistake::new(what).instead(name.unwrap_or_default());
                self.add(&node.at, mistake);
                return None;
            }
            return Some(Asked::Pod {
                namespace: namespace.map(ToOwned::to_owned),
                name: name.to_owned(),
            });
        }
        let fields = self.fields(node, "pod", POD_KEYS)?;
        let namespace = match fields.get("namespace") {
            Some(node) => Some(self.one_name(node, "namespace")?),
            None => None,
        };
        match (fields.get("name"), fields.entry("labels")) {
            (Some(name), None) => Some(Asked::Pod {
                namespace,
                name: self.one_name(name, "pod")?,
            }),
            (None, Some((_, labels))) => Some(Asked::Pods {
                namespace,
                labels: self.labels(labels)?,
            }),
            (Some(_), Some((key, _))) => {
                self.say(&key.at, "labels beside name: a name is one pod's");
                None
            }
            (None, None) => {
                if fields.lacks("name") && fields.lacks("labels") {
                    self.say(&node.at, "a pod by its name, or by labels");
                }
                None
            }
        }
    }

    fn unit(&mut self, node: &Node) -> Option<Asked> {
        const WITH_PROCESSES: &[&str] = &[".service", ".scope", ".slice", ".socket", ".mount"];
        let text = self.one_name(node, "unit")?;
        if !WITH_PROCESSES.iter().any(|end| text.ends_with(end)) {
            let what = format!("{} does not say what kind of unit it is", quote(&text));
            self.add(
                &node.at,
                Mistake::new(what).instead(format!("{text}.service")),
            );
            return None;
        }
        Some(Asked::Unit(Pattern(text)))
    }

    fn some_process(&mut self, node: &Node) -> Option<Asked> {
        if let Value::Text(_) = node.value {
            let name = Pattern(self.one_name(node, "program")?);
            return Some(Asked::Process { name, args: None });
        }
        let fields = self.fields(node, "process", PROCESS_KEYS)?;
        let args = match fields.get("args") {
            Some(node) => Some(self.text(node)?.to_owned()),
            None => None,
        };
        let name = match fields.get("name") {
            Some(node) => Pattern(self.one_name(node, "program")?),
            None if args.is_some() => Pattern("*".to_owned()),
            None => {
                if fields.lacks("name") {
                    self.say(&node.at, "a process by its name, or by a part of its args");
                }
                return None;
            }
        };
        Some(Asked::Process { name, args })
    }

    fn one_name(&mut self, node: &Node, of: &str) -> Option<String> {
        let text = self.text(node)?.trim();
        // A slash parts the namespace, the pod and the container.
        let slash = !matches!(of, "pod" | "container") && text.contains('/');
        if slash || text.contains(char::is_whitespace) || text.contains(char::is_control) {
            self.say(
                &node.at,
                format!("{} is not the name of a {of}", quote(text)),
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// A map, or `key=value` words.
    fn labels(&mut self, node: &Node) -> Option<Labels> {
        if let Value::Map(entries) = &node.value {
            if entries.is_empty() {
                self.say(&node.at, "no labels: everything would be hit; name one");
                return None;
            }
            let mut labels = Labels::new();
            for (key, value) in entries {
                // A label may have no value.
                let value = match &value.value {
                    Value::Empty => String::new(),
                    Value::Text(text) if text.is_empty() => String::new(),
                    _ => self.text(value)?.to_owned(),
                };
                labels.insert(key.name.clone(), value);
            }
            return Some(labels);
        }
        let words = self.list(node, |word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Mistake::new(format!("{} is not a label", quote(word)))
                .instead(format!("{word}=VALUE"))),
        })?;
        Some(words.into_iter().collect())
    }

    fn choice(&mut self, fields: &Fields<'_>) -> Option<Choice> {
        let some = match (fields.get("count"), fields.entry("percent")) {
            (Some(_), Some((key, _))) => {
                self.say(
                    &key.at,
                    "percent beside count: one of them says how many are hit",
                );
                return None;
            }
            (Some(node), None) => {
                let count: Option<u32> = self.integer(node, "how many are hit (from 1)", 1);
                Some(Part::Count(NonZeroU32::new(count?)?))
            }
            (None, Some((_, node))) => {
                let percent = self.percent(node)?;
                if percent.get() <= 0.0 {
                    self.say(
                        &node.at,
                        "0% of them is nobody: give more, or leave the key out",
                    );
                    return None;
                }
                Some(Part::Percent(percent))
            }
            (None, None) => None,
        };
        let exclude = match fields.get("exclude") {
            Some(node) => self.list(node, |word| Ok(Pattern(word.to_owned())))?,
            None => Vec::new(),
        };
        Some(Choice { some, exclude })
    }
}
