//! What a profile leaves open: declared under `parameters`, used as `${name}` in any value, given
//! by `--set name=value`. Substituted before anything is checked, so that a value from the outside
//! meets the same checks as one in the file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    problem::{Found, Mistake, Place, quote},
    tree::{Node, Value},
    words,
};

/// Bytes that substituted values may come to in one profile.
const BUDGET: usize = 8 << 20;

/// Something a profile leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parameter {
    /// What follows `--set`.
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// Used unless set; `None`: must be set.
    pub default: Option<String>,
}

struct Declared<'t> {
    at: &'t Place,
    about: &'t str,
    default: Option<&'t Node>,
}

/// The parameters of a tree, for listing.
pub(super) fn list(root: &Node) -> Vec<Parameter> {
    declarations(root, &mut Found::default())
        .into_iter()
        .map(|(name, declared)| Parameter {
            name: name.to_owned(),
            about: declared.about.to_owned(),
            default: declared.default.and_then(|node| match &node.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            }),
        })
        .collect()
}

/// A value that somebody gives to a parameter.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) name: String,
    /// Where the name was typed.
    pub(super) at: Place,
    pub(super) value: Node,
}

impl Given {
    /// By `--set`.
    pub(super) fn flags(set: &[(String, String)]) -> Vec<Self> {
        set.iter()
            .map(|(name, value)| {
                let at = Place::flag(&format!("--set {name}"));
                Self {
                    name: name.clone(),
                    value: Node::text(at.clone(), value),
                    at,
                }
            })
            .collect()
    }
}

/// Both; `set` wins.
pub(super) fn over(given: &[Given], set: &[Given]) -> Vec<Given> {
    let others = given
        .iter()
        .filter(|given| set.iter().all(|set| set.name != given.name));
    others.chain(set).cloned().collect()
}

/// The tree with each `${name}` replaced.
pub(super) fn substitute(root: &Node, given: &[Given], found: &mut Found) -> Node {
    let declared = declarations(root, found);
    let mut values: BTreeMap<&str, Option<Node>> = declared
        .iter()
        .map(|(name, declared)| (*name, declared.default.cloned()))
        .collect();
    let names: Vec<&str> = declared.keys().copied().collect();
    let mut seen = BTreeSet::new();
    for Given { name, at, value } in given {
        let Some(slot) = values.get_mut(name.as_str()) else {
            found.add(at, unknown(name, &names));
            continue;
        };
        if !seen.insert(name) {
            found.say(at, "given twice");
        }
        *slot = Some(value.clone());
    }
    let mut pass = Pass {
        values,
        names,
        used: BTreeSet::new(),
        spent: 0,
        found,
    };
    let mut out = root.clone();
    if let Value::Map(entries) = &mut out.value {
        for (key, node) in entries {
            if key.name != "parameters" {
                pass.node(node);
            }
        }
    }
    let Pass {
        values,
        used,
        found,
        ..
    } = pass;
    for (name, declared) in &declared {
        if !used.contains(name) {
            found.say(
                declared.at,
                format!(
                    "the parameter {} is used nowhere: write ${{{name}}} where its value belongs",
                    quote(name)
                ),
            );
        } else if values.get(name).is_some_and(Option::is_none) {
            found.say(
                declared.at,
                format!(
                    "the parameter {} has no value: give --set {name}=VALUE",
                    quote(name)
                ),
            );
        }
    }
    out
}

fn unknown(name: &str, names: &[&str]) -> Mistake {
    let what = if names.is_empty() {
        format!("unknown parameter {}: the profile takes none", quote(name))
    } else {
        format!(
            "unknown parameter {} (there is {})",
            quote(name),
            names.join(", ")
        )
    };
    match words::nearest(name, names) {
        Some(near) => Mistake::new(what).instead(near),
        None => Mistake::new(what),
    }
}

fn declarations<'t>(root: &'t Node, found: &mut Found) -> BTreeMap<&'t str, Declared<'t>> {
    let mut declared = BTreeMap::new();
    let Some(node) = root.get("parameters") else {
        return declared;
    };
    let Some(entries) = found.map(
        node,
        "parameters, such as `zone: {about: ..., default: ...}`",
    ) else {
        return declared;
    };
    for (key, node) in entries {
        let first = key
            .name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic());
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !first || !key.name.bytes().all(word) {
            if !key.name.is_empty() {
                found.say(
                    &key.at,
                    format!(
                        "{} is not a name of letters, digits, - and _",
                        quote(&key.name)
                    ),
                );
            }
            continue;
        }
        let mut this = Declared {
            at: &key.at,
            about: "",
            default: None,
        };
        if !matches!(node.value, Value::Empty)
            && let Some(fields) = found.fields(node, "a parameter", &["about", "default"])
        {
            this.about = fields
                .get("about")
                .and_then(|n| found.text(n))
                .unwrap_or("");
            this.default = fields.get("default").filter(|n| found.text(n).is_some());
        }
        declared.insert(key.name.as_str(), this);
    }
    declared
}

struct Pass<'p, 'f> {
    values: BTreeMap<&'p str, Option<Node>>,
    names: Vec<&'p str>,
    used: BTreeSet<&'p str>,
    spent: usize,
    found: &'f mut Found,
}

impl Pass<'_, '_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, v)| self.node(v)),
            Value::Text(text) if text.contains("${") => {
                let text = std::mem::take(text);
                *node = self.replace(&node.at, &text);
            }
            _ => {}
        }
    }

    /// A broken node when some value is missing: that is reported once, at the declaration.
    fn replace(&mut self, at: &Place, text: &str) -> Node {
        let broken = Node {
            at: at.clone(),
            value: Value::Broken,
        };
        let (mut out, mut rest, mut whole) = (String::new(), text, None);
        let mut missing = false;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            // `$${` is how a literal `${` is written.
            if before.ends_with('$') {
                out.push('{');
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}') else {
                self.found
                    .say(at, format!("{} has ${{ without a }}", quote(text)));
                return broken;
            };
            rest = after;
            let Some((name, value)) = self.values.get_key_value(name) else {
                self.found.add(at, unknown(name, &self.names));
                missing = true;
                continue;
            };
            self.used.insert(*name);
            let Some(Node {
                at: from,
                value: Value::Text(value),
            }) = value
            else {
                missing = true;
                continue;
            };
            self.spent += value.len();
            if self.spent > BUDGET {
                self.found.say(
                    at,
                    "too much for a profile once its parameters are filled in",
                );
                return broken;
            }
            out.push_str(value);
            if text.len() == name.len() + "${}".len() {
                whole = Some(from.clone());
            }
        }
        if missing {
            return broken;
        }
        out.push_str(rest);
        // A bad value is reported where it was given.
        Node::text(whole.unwrap_or_else(|| at.clone()), out)
    }
}
