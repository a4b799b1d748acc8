//! How a record begins and is filled in.

use std::{
    ffi::OsString,
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use super::record::{Blast, End, Host, Load, Record, SCHEMA};
use super::{load, load_command::LoadCommand};
use crate::{
    clock::now_rfc3339,
    profile::{Control, Experiment},
    report::{MemberReport, Phase},
};

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The profile's name.
    pub profile: String,
    /// The words that run it, from `chaosd` on.
    pub command: Vec<String>,
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
        self.started = now_rfc3339();
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
        let control = experiment.control.as_ref();
        let twin = control.and_then(|control| control.target.as_ref());
        let twin = twin.map(|twin| format!("{twin}: the control"));
        let mut record = Record {
            schema: SCHEMA,
            id: id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::here(),
            profile: self.profile,
            command: self.command,
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
            control: control.map(told_control),
            blast: Blast {
                hit: Vec::new(),
                spared: twin.into_iter().chain(self.spared).collect(),
            },
            surprises: String::new(),
            problems: Vec::new(),
            notes: experiment.warnings(),
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
        let (tool, figures) = load::read(&words, &output)
            .map(|summary| (summary.tool.to_owned(), summary.figures))
            .unzip();
        Self {
            command: words,
            begin,
            end,
            exit: command.code(),
            ended_by_us: Some(command.is_ended_by_us()),
            tool,
            figures: figures.unwrap_or_default(),
            output,
        }
    }
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

/// Where its probes look, and where that is.
fn told_control(control: &Control) -> String {
    let set = control.set.iter();
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    match &control.target {
        Some(target) => format!("{target} ({})", set.join(" ")),
        None => set.join(" "),
    }
}

fn id() -> String {
    format!(
        "x-{:08x}",
        RandomState::new().hash_one(Instant::now()) >> 32
    )
}
