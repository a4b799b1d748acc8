//! An experiment: its keys stand at the top of a profile, beside the faults.

mod abort;
mod address;
mod kinds;
mod load;
mod probe;
mod stages;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::{Fields, Overrides};
use crate::profile::{
    Control, Experiment, ProbeSpec,
    flags::TargetFlags,
    parameters::{self, Given},
    problem::{Found, quote},
    tree::{Key, Node, Value},
    words,
};

pub(super) use stages::{Heads, only_in_stages};

/// Keys of a profile that make it an experiment.
pub(super) const EXPERIMENT_KEYS: &[&str] = &[
    "hypothesis",
    "steady-state",
    "abort-when",
    "stages",
    "load",
    "control",
];
/// More than this no person has in mind.
const MOST_PROBES: usize = 64;
const CONTROL_KEYS: &[&str] = &["set", "target"];

/// A profile as it was written, and what is said over its head.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) root: &'s Node,
    pub(super) given: &'s [Given],
    pub(super) over: &'s Overrides,
}

impl Source<'_> {
    /// The same profile with other parameters, and the problems of only these.
    fn with(&self, set: &[Given], found: &mut Found) -> Node {
        parameters::substitute(self.root, &parameters::over(self.given, set), found)
    }
}

/// True when it is one.
pub(super) fn is_experiment(top: &Fields<'_>) -> bool {
    EXPERIMENT_KEYS.iter().any(|key| top.get(key).is_some())
}

impl Found {
    /// `None` when something is wrong with it. `run_for`: of a profile without stages.
    pub(super) fn experiment(
        &mut self,
        source: Source<'_>,
        top: &Fields<'_>,
        heads: Option<Heads>,
        faults: &[&str],
        run_for: Option<Duration>,
    ) -> Option<Experiment> {
        let hypothesis = match top.get("hypothesis") {
            Some(node) => self.text(node).map(|text| Some(text.trim().to_owned())),
            None => Some(None),
        };
        let steady_state = match top.get("steady-state") {
            Some(node) => self.probes(node),
            None => Some(Vec::new()),
        };
        let abort_when = match (top.get("abort-when"), &steady_state) {
            (Some(node), probes) => self.aborts(node, probes.as_deref()),
            (None, _) => Some(Vec::new()),
        };
        let stages = match heads {
            Some(heads) => self.stages(source, heads, faults),
            None => stages::default_stages(source, steady_state.as_deref(), run_for?),
        };
        let lasts = stages
            .as_ref()
            .map(|stages| stages.iter().map(|stage| stage.lasts).sum());
        let load = match top.get("load") {
            Some(node) => self.load_command(node, lasts.unwrap_or_default()),
            None => Some(Vec::new()),
        };
        let control = match top.get("control") {
            Some(node) => self
                .control(source, node, top, steady_state.as_deref())
                .map(Some),
            None => Some(None),
        };
        Some(Experiment {
            hypothesis: hypothesis?,
            steady_state: steady_state?,
            abort_when: abort_when?,
            stages: stages?,
            load: load?,
            control: control?,
            document: document(source),
        })
    }

    fn probes(&mut self, node: &Node) -> Option<Vec<ProbeSpec>> {
        let what = "probes, such as `- http: {url: \"http://shop.local/\", within: 300ms}`";
        let items = self.items(node, what)?;
        if let Some(first_over) = items.get(MOST_PROBES) {
            let what = format!("{} probes: there are at most {MOST_PROBES}", items.len());
            self.say(&first_over.at, what);
            return None;
        }
        let mut taken = HashSet::new();
        let read: Vec<_> = items
            .iter()
            .map(|item| self.probe(item, &mut taken))
            .collect();
        let mut probes: Vec<ProbeSpec> = read.into_iter().collect::<Option<_>>()?;
        for probe in probes.iter_mut().filter(|probe| probe.name.is_empty()) {
            let kind = probe.kind.name();
            let mut name = kind.to_owned();
            let mut number = 1;
            while !taken.insert(name.clone()) {
                number += 1;
                name = format!("{kind}-{number}");
            }
            probe.name = name;
        }
        Some(probes)
    }

    /// A list with something in it.
    fn items<'t>(&mut self, node: &'t Node, what: &str) -> Option<&'t [Node]> {
        match &node.value {
            Value::List(items) if !items.is_empty() => Some(items),
            Value::Broken => None,
            Value::List(_) | Value::Empty => {
                self.say(&node.at, "an empty list: leave the key out");
                None
            }
            _ => {
                let what = format!("expected a list of {what}, found {}", node.shape());
                self.say(&node.at, what);
                None
            }
        }
    }

    /// The parameters that a map sets.
    fn set(&mut self, node: &Node) -> Option<Vec<Given>> {
        let entries = self.map(node, "parameters and their values, such as {percent: 10}")?;
        if entries.is_empty() {
            self.say(&node.at, "nothing is set: leave the key out");
            return None;
        }
        let read: Vec<_> = entries
            .iter()
            .map(|(Key { at, name }, value)| {
                self.text(value)?;
                Some(Given {
                    name: name.clone(),
                    at: at.clone(),
                    value: value.clone(),
                })
            })
            .collect();
        read.into_iter().collect()
    }

    fn control(
        &mut self,
        source: Source<'_>,
        node: &Node,
        top: &Fields<'_>,
        probes: Option<&[ProbeSpec]>,
    ) -> Option<Control> {
        let fields = self.fields(node, "control", CONTROL_KEYS)?;
        if fields.lacks("set") {
            let what = "control needs set: the parameters that lead the probes to the twin, such as {host: 10.0.0.8}";
            self.say(&node.at, what);
        }
        let target = match fields.get("target") {
            Some(node) => self.target(node).map(Some),
            None => Some(None),
        };
        if let (Some(Some(twin)), Some(target)) = (&target, top.get("target"))
            && Some(twin) == Found::default().target(target).as_ref()
            && let Some(node) = fields.get("target")
        {
            self.say(
                &node.at,
                "the twin is the target itself: name one that is spared",
            );
        }
        let set = fields.get("set").and_then(|node| self.set(node))?;
        let mut other = Found::default();
        let root = source.with(&set, &mut other);
        let twins = root
            .get("steady-state")
            .and_then(|node| other.probes(node))
            .unwrap_or_default();
        if !other.is_empty() {
            self.adopt("on the control: ", other);
            return None;
        }
        let own = probes?;
        let probes: Vec<ProbeSpec> = twins
            .into_iter()
            .filter(|twin| !own.contains(twin))
            .collect();
        if probes.is_empty() {
            let names: Vec<String> = set.iter().map(|given| quote(&given.name)).collect();
            let what = format!(
                "no probe uses {}: they would look at the target, not at a twin",
                names.join(" or ")
            );
            self.say(&node.at, what);
            return None;
        }
        Some(Control {
            set: values(&set),
            target: target?,
            probes,
        })
    }

    /// A word that ought to be one of these.
    fn one_of(&mut self, node: &Node, what: &str, valid: &[&str]) -> Option<String> {
        let text = self.text(node)?.trim().to_owned();
        if valid.contains(&text.as_str()) {
            return Some(text);
        }
        let mistake = crate::profile::Mistake::new(if valid.is_empty() {
            format!("{} is not {what}: there is none", quote(&text))
        } else {
            format!(
                "{} is not {what} (there is {})",
                quote(&text),
                valid.join(", ")
            )
        });
        let mistake = match words::nearest(&text, valid) {
            Some(near) => mistake.instead(near),
            None => mistake,
        };
        self.add(&node.at, mistake);
        None
    }
}

fn values(set: &[Given]) -> BTreeMap<String, String> {
    set.iter()
        .filter_map(|given| match &given.value.value {
            Value::Text(text) => Some((given.name.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

/// The profile as it was written, with what was said over its head in it.
fn document(source: Source<'_>) -> serde_json::Value {
    let mut document = source.root.to_json();
    let Some(top) = document.as_object_mut() else {
        return document;
    };
    if let Some(parameters) = top.get_mut("parameters").and_then(|p| p.as_object_mut()) {
        for given in source.given {
            let Value::Text(text) = &given.value.value else {
                continue;
            };
            let parameter = &mut parameters[&given.name];
            if !parameter.is_object() {
                *parameter = serde_json::json!({});
            }
            parameter["default"] = text.clone().into();
        }
    }
    let mut put = |key: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            top.insert(key.to_owned(), value);
        }
    };
    put("for", source.over.run_for.clone().map(Into::into));
    put("seed", source.over.seed.map(|seed| seed.to_string().into()));
    let target = source.over.target.as_ref().and_then(TargetFlags::node);
    put("target", target.map(|node| node.to_json()));
    document
}
