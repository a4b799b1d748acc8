//! How a record begins and is filled in.

use std::{
    ffi::OsString,
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use jiff::Timestamp;

use super::record::{Blast, End, Host, Load, Record, SCHEMA, Stage};
use super::{figures::figures, load_command::LoadCommand};
use crate::{
    profile::Experiment,
    report::{MemberReport, Phase, RunReport},
};

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The profile's name.
    pub profile: String,
    /// Its sentence.
    pub about: String,
    /// The seed of all its stages.
    pub seed: u64,
    /// Who is not hit, with why.
    pub spared: Vec<String>,
    /// RFC 3339; empty until it begins.
    pub started: String,
}

impl Heading {
    /// Begins now.
    pub(super) fn begin(mut self) -> Self {
        self.started = now();
        self
    }

    /// All that is known without `fill`, which fills in what was seen, and what follows from that.
    pub(super) fn record(
        self,
        experiment: &Experiment,
        end: End,
        seconds: f64,
        fill: impl FnOnce(&mut Record),
    ) -> Record {
        let mut record = Record {
            schema: SCHEMA,
            id: id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host(),
            profile: self.profile,
            about: self.about,
            hypothesis: experiment.hypothesis.clone(),
            started: self.started,
            seconds,
            seed: self.seed,
            end,
            stages: Vec::new(),
            probes: Vec::new(),
            aborts: Vec::new(),
            load: None,
            control: experiment.control.as_ref().map(told_control),
            blast: Blast {
                hit: Vec::new(),
                spared: self.spared,
            },
            surprises: String::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            analysis: None,
        };
        fill(&mut record);
        gather(&mut record);
        record
    }
}

impl Load {
    /// Of a command that is over. `times`: from when to when it ran, in seconds of its experiment.
    pub fn of(words: &[OsString], (begin, end): (f64, f64), command: &LoadCommand) -> Self {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let output = command.output();
        let (tool, figures) = figures(&words, &output);
        Self {
            command: words,
            begin,
            end,
            exit: command.code(),
            tool,
            figures,
            output,
        }
    }
}

/// A run without an experiment: one stage, without probes. `seconds`: from its beginning to the end of
/// all.
pub fn plain(report: &RunReport, interrupted: bool, load: Option<Load>, seconds: f64) -> Record {
    let end = if interrupted {
        End::Interrupted { at: seconds }
    } else {
        End::Completed
    };
    let over = (report.for_seconds - report.left_seconds).clamp(0.0, seconds);
    let armed = report.arm_ms / 1e3;
    let mut record = Record {
        schema: SCHEMA,
        id: report.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        profile: report.profile.clone(),
        about: String::new(),
        hypothesis: None,
        started: report.started.clone(),
        seconds,
        seed: report.seed,
        end,
        stages: vec![Stage {
            name: "faults".into(),
            begin: 0.0,
            end: seconds,
            planned: report.for_seconds,
            set: std::collections::BTreeMap::new(),
            armed: Some(armed),
            over: Some(over.max(armed)),
            bands: Vec::new(),
            run: Some(report.clone()),
        }],
        probes: Vec::new(),
        aborts: Vec::new(),
        load,
        control: None,
        blast: Blast {
            hit: Vec::new(),
            spared: Vec::new(),
        },
        surprises: String::new(),
        problems: Vec::new(),
        notes: Vec::new(),
        analysis: None,
    };
    gather(&mut record);
    record
}

/// What the runs of the stages say of the whole.
fn gather(record: &mut Record) {
    let Record {
        stages,
        blast,
        problems,
        notes,
        ..
    } = record;
    let once = |list: &mut Vec<String>, line: &String| {
        if !list.contains(line) {
            list.push(line.clone());
        }
    };
    for run in stages.iter().filter_map(|stage| stage.run.as_ref()) {
        if run.members.is_empty() {
            once(&mut blast.hit, &run.target);
        }
        let members = run
            .members
            .iter()
            .map(|member: &MemberReport| &member.target);
        members.for_each(|target| once(&mut blast.hit, target));
        run.notes.iter().for_each(|note| once(notes, note));
        run.problems.iter().for_each(|line| once(problems, line));
        if run.phase == Phase::Failed && run.problems.is_empty() {
            let line = format!("run {} could not be reverted as a whole", run.id);
            once(problems, &line);
        }
    }
}

fn told_control(control: &crate::profile::Control) -> String {
    let set: Vec<String> = control
        .set
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let probes: Vec<&str> = control.probes.iter().map(|p| p.name.as_str()).collect();
    format!("{} by {}", probes.join(", "), set.join(", "))
}

fn host() -> Host {
    nix::sys::utsname::uname().map_or_else(
        |_| Host::default(),
        |name| Host {
            name: name.nodename().to_string_lossy().into_owned(),
            kernel: name.release().to_string_lossy().into_owned(),
        },
    )
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn id() -> String {
    format!(
        "x-{:08x}",
        RandomState::new().hash_one(Instant::now()) >> 32
    )
}
