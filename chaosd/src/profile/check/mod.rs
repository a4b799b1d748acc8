//! From the tree to a checked profile. Every check runs, whatever the others found.

mod by_peer;
mod clock;
mod dns;
mod experiment;
mod fault;
mod file;
mod fill;
mod hold;
mod kind;
mod latency;
mod limit;
mod load;
mod matching;
mod named;
mod netem;
mod process;
mod read;
mod target;
mod timeline;

use std::time::Duration;

use experiment::{EXPERIMENT_KEYS, Heads, Source, is_experiment, only_in_stages};
use read::Fields;

use super::{
    FaultSpec, Profile, Target, Whom,
    flags::TargetFlags,
    parameters::{self, Given},
    problem::{Found, Mistake, Place, Problems, quote},
    tree::{self, Node, Value},
};

/// The schema this chaosd reads.
const VERSION: &str = "1";
/// A run's time when nothing says another.
const DEFAULT_FOR: Duration = Duration::from_mins(1);
/// The cap on `for` when nothing configures another.
const DEFAULT_MAX_FOR: Duration = Duration::from_hours(1);

/// Beside those of an experiment.
const ROOT_KEYS: &[&str] = &[
    "version",
    "about",
    "for",
    "seed",
    "parameters",
    "target",
    "faults",
];
const FAULT_KEYS: &[&str] = &[
    "name",
    "match",
    "after",
    "for",
    "ramp",
    "pulse",
    "unprotected",
];
const DROP_KEYS: &[&str] = &["rate", "every", "gilbert-elliott", "whole-skb"];
const CORRUPT_KEYS: &[&str] = &["rate", "bits", "mode"];
const RESET_KEYS: &[&str] = &["rate", "to"];
const DELAY_KEYS: &[&str] = &[
    "time",
    "by-peer",
    "jitter",
    "distribution",
    "correlation",
    "keep-order",
];
const REORDER_KEYS: &[&str] = &["rate", "by"];
const DUPLICATE_KEYS: &[&str] = &["rate", "copies"];
const BANDWIDTH_KEYS: &[&str] = &["rate", "burst", "queue", "per"];
const NETEM_KEYS: &[&str] = &[
    "delay",
    "jitter",
    "delay-correlation",
    "distribution",
    "loss",
    "ecn",
    "duplicate",
    "corrupt",
    "reorder",
    "gap",
    "rate",
    "packet-overhead",
    "cell-size",
    "cell-overhead",
    "slot",
    "limit",
];
const DNS_KEYS: &[&str] = &[
    "names",
    "not-names",
    "types",
    "answer",
    "rate",
    "delay",
    "encrypted",
    "resolvers",
];
const PROCESS_KEYS: &[&str] = &["match", "pid", "signal", "every", "count"];
const CPU_KEYS: &[&str] = &["load", "of", "cores", "cpus", "slice", "priority"];
const MEMORY_KEYS: &[&str] = &["size", "percent", "leave", "of", "swap", "oom"];
const DISK_FILL_KEYS: &[&str] = &["path", "size", "leave", "force"];
const PIDS_KEYS: &[&str] = &["leave"];
const CLOCK_KEYS: &[&str] = &["offset", "drift", "time-service"];
const SHUTDOWN_KEYS: &[&str] = &["action", "notice"];
const DISK_LATENCY_KEYS: &[&str] = &["path", "open", "read"];
const DISK_BURN_KEYS: &[&str] = &["path", "read", "write", "block", "direct"];
const CPU_QUOTA_KEYS: &[&str] = &["limit"];
const DISK_KEYS: &[&str] = &[
    "path",
    "device",
    "read-bps",
    "write-bps",
    "read-iops",
    "write-iops",
];
const DISK_ERROR_KEYS: &[&str] = &["path", "errno", "operations", "rate"];
const MATCH_KEYS: &[&str] = &[
    "peers",
    "not-peers",
    "ports",
    "not-ports",
    "local-ports",
    "not-local-ports",
    "protocol",
    "direction",
    "flags",
    "flows",
    "interfaces",
];

/// What the command line or the API says over the profile's head.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// `--set name=value`.
    pub set: Vec<(String, String)>,
    /// `--for`, as typed.
    pub run_for: Option<String>,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--host`, `--cgroup`, `--pid` or `--netns`.
    pub target: Option<TargetFlags>,
    /// The cap on `for`; `chaosd serve --max-for`.
    pub max_for: Duration,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            set: Vec::new(),
            run_for: None,
            seed: None,
            target: None,
            max_for: DEFAULT_MAX_FOR,
        }
    }
}

/// Reads and checks a profile: YAML, or JSON, which is YAML. `source_name` is what problems call
/// it. Touches nothing.
pub fn load(source_name: &str, text: &str, over: &Overrides) -> Result<Profile, Problems> {
    let mut found = Found::default();
    let root = tree::parse(source_name, text, &mut found)?;
    check(&root, over, found)
}

/// The one validation path: of files, of the API's bodies and of flags.
pub(super) fn check(root: &Node, over: &Overrides, mut found: Found) -> Result<Profile, Problems> {
    let given = Given::flags(&over.set);
    // What only stages set is not missing.
    let filled = parameters::over(&given, &only_in_stages(root, &given));
    let filled = parameters::substitute(root, &filled, &mut found);
    let source = Source {
        root,
        given: &given,
        over,
    };
    match found.profile(&filled, source) {
        Some(profile) if found.is_empty() => Ok(profile),
        _ => Err(found.into_problems()),
    }
}

impl Found {
    fn profile(&mut self, root: &Node, source: Source<'_>) -> Option<Profile> {
        let over = source.over;
        let top = self.fields(root, "a profile", &[ROOT_KEYS, EXPERIMENT_KEYS].concat())?;
        self.version(root, &top);
        let heads = top.get("stages").map(|node| self.heads(node));
        // Faults have to fit into each stage, which is looked at there.
        let (run_for, longest) = if let Some(heads) = &heads {
            self.no_time_beside_stages(&top, over);
            let heads = heads.as_ref();
            (heads.map(Heads::lasts), heads.and_then(Heads::longest))
        } else {
            let run_for = self.run_for(top.get("for"), over);
            (run_for, run_for)
        };
        let plain = self.body(root, &top, over, longest);
        let experiment = if is_experiment(&top) {
            let faults = plain.iter().flat_map(|plain| &plain.faults);
            let names: Vec<&str> = faults.map(|fault| fault.name.as_str()).collect();
            match heads {
                // What is wrong with its stages is told already.
                Some(None) => None,
                heads => self
                    .experiment(source, &top, heads.flatten(), &names, run_for)
                    .map(|experiment| Some(Box::new(experiment))),
            }
        } else {
            Some(None)
        };
        Some(Profile {
            run_for: run_for?,
            experiment: experiment?,
            ..plain?
        })
    }

    /// The faults and whom they hit, for so long: what a profile is without stages. `wanted`: only
    /// these.
    fn plain(
        &mut self,
        root: &Node,
        over: &Overrides,
        run_for: Duration,
        wanted: Option<&[String]>,
    ) -> Option<Profile> {
        let top = self.fields(root, "a profile", &[ROOT_KEYS, EXPERIMENT_KEYS].concat())?;
        let mut profile = self.body(root, &top, over, Some(run_for))?;
        if let Some(wanted) = wanted {
            profile.faults.retain(|fault| wanted.contains(&fault.name));
        }
        Some(profile)
    }

    fn body(
        &mut self,
        root: &Node,
        top: &Fields<'_>,
        over: &Overrides,
        run_for: Option<Duration>,
    ) -> Option<Profile> {
        let about = match top.get("about") {
            Some(node) => self.text(node).unwrap_or_default().trim().to_owned(),
            None => String::new(),
        };
        let seed = match top.get("seed") {
            Some(node) => self.integer(node, "a whole number (0 to 18446744073709551615)", 0),
            None => None,
        };
        let target = match top.get("target") {
            Some(node) => self.target(node),
            None => Some(Whom::At(Target::Host)),
        };
        let target = match over.target.as_ref().and_then(TargetFlags::node) {
            Some(node) => self.target(&node),
            None => target,
        };
        if top.lacks("faults") {
            let what = "no faults: a profile has a list of them under the key faults";
            self.say(&root.at, what);
        }
        let faults = top
            .get("faults")
            .and_then(|node| self.faults(node, run_for));
        Some(Profile {
            about,
            run_for: run_for?,
            seed: over.seed.or(seed),
            target: target?,
            faults: faults?,
            experiment: None,
        })
    }

    fn no_time_beside_stages(&mut self, top: &Fields<'_>, over: &Overrides) {
        let what = "beside stages, each of which has a time of its own";
        if let Some((key, _)) = top.entry("for") {
            self.say(&key.at, format!("for {what}"));
        }
        if over.run_for.is_some() {
            self.say(&Place::flag("--for"), what);
        }
    }

    fn version(&mut self, root: &Node, top: &Fields<'_>) {
        if top.lacks("version") {
            let what = "no version: a profile begins with `version: 1`";
            self.say(&root.at, what);
        }
        if let Some(node) = top.get("version")
            && let Some(text) = self.text(node)
            && text != VERSION
        {
            let what = format!(
                "version {} is not known: this chaosd reads version {VERSION}",
                quote(text)
            );
            self.say(&node.at, what);
        }
    }

    fn run_for(&mut self, in_profile: Option<&Node>, over: &Overrides) -> Option<Duration> {
        let flag = over
            .run_for
            .as_ref()
            .map(|text| Node::text(Place::flag("--for"), text));
        if flag.is_some()
            && let Some(node) = in_profile
        {
            // Not used, but no reason to keep quiet about what is wrong with it.
            self.some_time(node);
        }
        let Some(node) = flag.as_ref().or(in_profile) else {
            return Some(DEFAULT_FOR.min(over.max_for));
        };
        let run_for = self.some_time(node)?;
        if run_for > over.max_for {
            let cap = humantime::format_duration(over.max_for).to_string();
            let what = format!(
                "{} is longer than the cap of {cap} (`--max-for` of `chaosd serve` sets it)",
                humantime::format_duration(run_for)
            );
            self.add(&node.at, Mistake::new(what).instead(cap));
            return None;
        }
        Some(run_for)
    }

    fn faults(&mut self, node: &Node, run_for: Option<Duration>) -> Option<Vec<FaultSpec>> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Broken => return None,
            Value::Empty => &[],
            _ => {
                self.say(
                    &node.at,
                    format!(
                        "expected a list of faults, found {}: begin each with `- `",
                        node.shape()
                    ),
                );
                return None;
            }
        };
        if items.is_empty() {
            self.say(&node.at, "no faults: give at least one");
            return None;
        }
        if let Some(first_over) = items.get(chaosd_ebpf::MAX_FAULTS) {
            let what = format!(
                "{} faults: a profile has at most {}",
                items.len(),
                chaosd_ebpf::MAX_FAULTS
            );
            self.say(&first_over.at, what);
            return None;
        }
        let mut names = fault::Names::default();
        let read: Vec<_> = items
            .iter()
            .map(|item| self.fault(item, run_for, &mut names))
            .collect();
        let mut faults: Vec<FaultSpec> = read.into_iter().collect::<Option<_>>()?;
        names.fill(&mut faults);
        self.not_too_many_names(node, &faults);
        Some(faults)
    }
}
