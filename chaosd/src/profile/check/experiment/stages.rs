//! Stages: each is the same profile with other parameters, and is checked as such.

use std::{collections::HashSet, time::Duration};

use humantime::format_duration;

use super::{Source, values};
use crate::profile::{
    DEFAULT_RECOVERY, ProbeSpec, Profile, StageSpec,
    check::{Fields, fault::LONGEST_NAME},
    parameters::Given,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    words,
};

const STAGE_KEYS: &[&str] = &["name", "for", "set", "faults"];
/// More than this no person has in mind.
const MOST_STAGES: usize = 256;

/// The stages of a profile, before it is known what their faults come to.
pub(in crate::profile::check) struct Heads(Vec<Head>);

struct Head {
    node: Node,
    name: String,
    lasts: Duration,
    set: Vec<Given>,
    /// Of those that it names.
    faults: Faults,
}

enum Faults {
    All,
    None,
    Named(Vec<Node>),
}

impl Heads {
    /// The longest time that faults are in force without a pause.
    pub(in crate::profile::check) fn longest(&self) -> Option<Duration> {
        let with = self.0.iter().filter(|head| head.has_faults());
        with.map(|head| head.lasts).max()
    }

    /// The sum of all.
    pub(in crate::profile::check) fn lasts(&self) -> Duration {
        self.0.iter().map(|head| head.lasts).sum()
    }
}

impl Head {
    fn has_faults(&self) -> bool {
        !matches!(self.faults, Faults::None)
    }
}

/// Values of parameters that stages set and nothing else does: what is the same in all stages is
/// checked with the first.
pub(in crate::profile::check) fn only_in_stages(root: &Node, given: &[Given]) -> Vec<Given> {
    let mut first: Vec<Given> = Vec::new();
    let Some(Value::List(stages)) = root.get("stages").map(|node| &node.value) else {
        return first;
    };
    for stage in stages {
        let Some(Value::Map(set)) = stage.get("set").map(|node| &node.value) else {
            continue;
        };
        for (key, value) in set {
            let declared = root
                .get("parameters")
                .and_then(|all| all.get(&key.name))
                .is_some_and(|parameter| parameter.get("default").is_none());
            let known = given.iter().chain(&first).any(|g| g.name == key.name);
            if declared && !known && matches!(value.value, Value::Text(_)) {
                first.push(Given {
                    name: key.name.clone(),
                    at: key.at.clone(),
                    value: value.clone(),
                });
            }
        }
    }
    first
}

impl Found {
    /// What the stages say of themselves.
    pub(in crate::profile::check) fn heads(&mut self, node: &Node) -> Option<Heads> {
        let what = "stages, such as `- {name: baseline, for: 30s}`";
        let items = self.items(node, what)?;
        if let Some(first_over) = items.get(MOST_STAGES) {
            let what = format!("{} stages: there are at most {MOST_STAGES}", items.len());
            self.say(&first_over.at, what);
            return None;
        }
        let mut names = HashSet::new();
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(n, item)| self.head(item, n, &mut names))
            .collect();
        let heads = Heads(read.into_iter().collect::<Option<Vec<_>>>()?);
        if heads.longest().is_none() {
            let what = "no stage has faults: give at least one `faults: all`, or something to set";
            self.say(&node.at, what);
            return None;
        }
        Some(heads)
    }

    fn head(&mut self, node: &Node, n: usize, names: &mut HashSet<String>) -> Option<Head> {
        let fields = self.fields(node, "a stage", STAGE_KEYS)?;
        if fields.lacks("for") {
            self.say(&node.at, "a stage without a time: give it, as in for: 30s");
        }
        let name = match fields.get("name") {
            Some(node) => self.text(node).map(|name| name.trim().to_owned()),
            None => Some(format!("stage-{}", n + 1)),
        };
        if let Some(name) = &name {
            let node = fields.get("name").unwrap_or(node);
            if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                let what = format!(
                    "{} is longer than {LONGEST_NAME} bytes, or no word",
                    quote(name)
                );
                self.say(&node.at, what);
            }
            if !names.insert(name.clone()) {
                let what = format!("a second stage is named {}: names are unique", quote(name));
                self.say(&node.at, what);
            }
        }
        let lasts = fields.get("for").and_then(|node| self.some_time(node));
        let set = match fields.get("set") {
            Some(node) => self.set(node),
            None => Some(Vec::new()),
        };
        let faults = self.stage_faults(&fields);
        Some(Head {
            node: node.clone(),
            name: name?,
            lasts: lasts?,
            set: set?,
            faults: faults?,
        })
    }

    fn stage_faults(&mut self, fields: &Fields<'_>) -> Option<Faults> {
        let Some(node) = fields.get("faults") else {
            // One with other parameters has the faults that they are for.
            return Some(match fields.get("set") {
                Some(_) => Faults::All,
                None => Faults::None,
            });
        };
        match &node.value {
            Value::Text(text) if text.trim() == "all" => Some(Faults::All),
            Value::Text(text) if text.trim() == "none" => {
                if let Some((key, _)) = fields.entry("set") {
                    self.say(&key.at, "set beside faults: none: it would have no effect");
                }
                Some(Faults::None)
            }
            Value::Text(_) => Some(Faults::Named(vec![node.clone()])),
            Value::List(items) if !items.is_empty() => Some(Faults::Named(items.clone())),
            Value::Broken => None,
            _ => {
                let what = "which faults? write all, none, or a list of their names";
                self.say(&node.at, what);
                None
            }
        }
    }

    /// `faults`: the names of all.
    pub(super) fn stages(
        &mut self,
        source: Source<'_>,
        heads: Heads,
        faults: &[&str],
    ) -> Option<Vec<StageSpec>> {
        let mut in_force = Duration::ZERO;
        let mut stages = Vec::new();
        let mut whole = true;
        for head in heads.0 {
            if head.has_faults() {
                let before = in_force;
                in_force += head.lasts;
                let cap = source.over.max_for;
                if in_force > cap && before <= cap {
                    let what = format!(
                        "up to here stages with faults come to {}, longer than the cap of {} (`--max-for` of `chaosd serve` sets it)",
                        format_duration(in_force),
                        format_duration(cap)
                    );
                    let at = head.node.get("for").map_or(&head.node.at, |node| &node.at);
                    self.say(at, what);
                    whole = false;
                }
            }
            match self.stage(source, head, faults) {
                Some(stage) => stages.push(stage),
                None => whole = false,
            }
        }
        whole.then_some(stages)
    }

    fn stage(&mut self, source: Source<'_>, head: Head, names: &[&str]) -> Option<StageSpec> {
        let wanted = match &head.faults {
            Faults::All => Some(None),
            Faults::None => None,
            Faults::Named(nodes) => Some(Some(self.fault_names(nodes, names)?)),
        };
        let profile = match wanted {
            None => None,
            Some(wanted) => Some(self.stage_profile(source, &head, wanted.as_deref())?),
        };
        Some(StageSpec {
            name: head.name,
            lasts: head.lasts,
            until_steady: false,
            set: values(&head.set),
            profile: profile.map(Box::new),
        })
    }

    fn fault_names(&mut self, nodes: &[Node], names: &[&str]) -> Option<Vec<String>> {
        // They are not known when something is wrong with them, which is told already.
        if names.is_empty() {
            return None;
        }
        let read: Vec<_> = nodes
            .iter()
            .map(|node| {
                let text = self.text(node)?.trim().to_owned();
                if names.contains(&text.as_str()) {
                    return Some(text);
                }
                let what = format!(
                    "there is no fault {} (there is {})",
                    quote(&text),
                    names.join(", ")
                );
                let all = [names, &["all", "none"]].concat();
                let mistake = Mistake::new(what);
                self.add(
                    &node.at,
                    match words::nearest(&text, &all) {
                        Some(near) => mistake.instead(near),
                        None => mistake,
                    },
                );
                None
            })
            .collect();
        read.into_iter().collect()
    }

    fn stage_profile(
        &mut self,
        source: Source<'_>,
        head: &Head,
        wanted: Option<&[String]>,
    ) -> Option<Profile> {
        let mut other = Found::default();
        let root = source.with(&head.set, &mut other);
        let profile = other.plain(&root, source.over, head.lasts, wanted);
        if !other.is_empty() {
            self.adopt(&format!("in stage {}: ", quote(&head.name)), other);
            return None;
        }
        profile
    }
}

/// What a profile without stages goes through: its faults, then the recovery from them.
pub(super) fn default_stages(
    source: Source<'_>,
    probes: Option<&[ProbeSpec]>,
    run_for: Duration,
) -> Option<Vec<StageSpec>> {
    // Whatever is wrong with it is told already.
    let mut other = Found::default();
    let root = source.with(&[], &mut other);
    let profile = other.plain(&root, source.over, run_for, None)?;
    let mut stages = vec![StageSpec {
        name: "faults".into(),
        lasts: run_for,
        until_steady: false,
        set: std::collections::BTreeMap::new(),
        profile: Some(Box::new(profile)),
    }];
    if !probes?.is_empty() {
        stages.push(StageSpec {
            name: "recovery".into(),
            lasts: DEFAULT_RECOVERY,
            until_steady: true,
            set: std::collections::BTreeMap::new(),
            profile: None,
        });
    }
    Some(stages)
}
