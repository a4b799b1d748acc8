//! A run on those that answer to a name: a run for each life of each of them, told of as one.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    clock::{self, now_ns},
    plan::{GroupPlan, Incarnation},
    report::{Ended, FaultReport, MemberReport, Phase, RunId, RunReport, Verdict},
};

use super::{EngineError, packets::verdict, run::Span};

/// Queries of all members that are told of.
const MOST_QUERIES: usize = 64;

pub(super) struct Group {
    pub id: RunId,
    pub span: Span,
    /// Why it is over; members may still be on their way out.
    pub ended: Option<Ended>,
    pub waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    /// Every life of every member, in the order in which they were armed.
    pub seats: Vec<Seat>,
    /// Members that somebody let go: they are not hit again.
    pub dismissed: HashSet<String>,
    pub notes: Vec<String>,
    /// Of the seats that are over.
    pub done: Vec<RunReport>,
    profile: String,
    target: String,
    started: String,
    run_for: Duration,
    seed: u64,
    arm_ms: f64,
}

/// One life of one member.
pub(super) struct Seat {
    pub run: RunId,
    pub member: String,
    pub incarnation: Incarnation,
    runtime: String,
}

impl Group {
    pub fn new(id: RunId, plan: &GroupPlan) -> Self {
        let notes = plan.spared.iter();
        Self {
            id,
            span: Span::of(plan.run_for),
            ended: None,
            waiting: Vec::new(),
            seats: Vec::new(),
            dismissed: HashSet::new(),
            notes: notes
                .map(|spared| format!("spared: {} ({})", spared.label, spared.why))
                .collect(),
            done: Vec::new(),
            profile: plan.profile.clone(),
            target: plan.target.clone(),
            started: clock::now_rfc3339(),
            run_for: plan.run_for,
            seed: plan.seed,
            arm_ms: 0.0,
        }
    }

    /// The id of the next seat.
    pub fn next_id(&self) -> RunId {
        format!("{}.{}", self.id, self.seats.len() + 1)
    }

    pub fn seat(&mut self, member: String, runtime: String, incarnation: Incarnation) {
        self.seats.push(Seat {
            run: self.next_id(),
            member,
            incarnation,
            runtime,
        });
    }

    /// All are armed. `since`: when it was asked for.
    pub fn armed(&mut self, since: Instant) {
        self.arm_ms = since.elapsed().as_secs_f64() * 1e3;
    }

    /// Answers those who wait for it.
    pub fn answer(&mut self, report: &RunReport) {
        for waiting in self.waiting.drain(..) {
            waiting.send(Ok(report.clone())).ok();
        }
    }

    /// What is to be said of it. `parts`: what is to be said of each seat, in their order.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub fn report(&self, parts: Vec<RunReport>) -> RunReport {
        let mut notes = self.notes.clone();
        let mut problems = Vec::new();
        let mut faults: Vec<FaultReport> = Vec::new();
        let several = parts.len() > 1;
        for part in &parts {
            for fault in &part.faults {
                let same = |other: &&mut FaultReport| {
                    (&other.name, &other.part_of) == (&fault.name, &fault.part_of)
                };
                match faults.iter_mut().find(same) {
                    Some(whole) => add(whole, fault),
                    None => faults.push(fault.clone()),
                }
            }
            let told = |text: &String| {
                let shared =
                    |other: &RunReport| other.notes.contains(text) || other.problems.contains(text);
                if several && !parts.iter().all(shared) {
                    format!("{}: {text}", part.target)
                } else {
                    text.clone()
                }
            };
            for note in part.notes.iter().map(told) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            problems.extend(part.problems.iter().map(told));
        }
        notes.extend(without_effect(&faults, &parts));
        let phase = self.phase(&parts);
        RunReport {
            id: self.id.clone(),
            profile: self.profile.clone(),
            target: self.target.clone(),
            phase,
            ended: self.ended,
            started: self.started.clone(),
            for_seconds: self.run_for.as_secs_f64(),
            left_seconds: match self.ended {
                Some(_) => 0.0,
                None => self.span.deadline_ns.saturating_sub(now_ns()) as f64 / 1e9,
            },
            seed: self.seed,
            arm_ms: self.arm_ms,
            faults,
            members: self.members(parts),
            problems,
            notes,
        }
    }

    fn phase(&self, parts: &[RunReport]) -> Phase {
        let any = |phase| parts.iter().any(|part| part.phase == phase);
        if self.ended.is_none() || any(Phase::Armed) {
            Phase::Armed
        } else if any(Phase::Draining) {
            Phase::Draining
        } else if any(Phase::Failed) {
            Phase::Failed
        } else {
            Phase::Reverted
        }
    }

    fn members(&self, parts: Vec<RunReport>) -> Vec<MemberReport> {
        let member = |part: RunReport| MemberReport {
            runtime: self
                .seats
                .iter()
                .find(|seat| seat.run == part.id)
                .map_or_else(String::new, |seat| seat.runtime.clone()),
            id: part.id,
            target: part.target,
            phase: part.phase,
            ended: part.ended,
            arm_ms: part.arm_ms,
            faults: part.faults,
        };
        parts.into_iter().map(member).collect()
    }
}

/// The group that a seat's id belongs to.
pub(super) fn group_of(id: &str) -> Option<&str> {
    id.split_once('.').map(|(group, _)| group)
}

fn add(whole: &mut FaultReport, part: &FaultReport) {
    whole.ingress += part.ingress;
    whole.egress += part.egress;
    match (&mut whole.dns, &part.dns) {
        (Some(whole), Some(part)) => {
            whole.answered += part.answered;
            whole.tcp += part.tcp;
            whole.last.extend(part.last.iter().cloned());
            whole.last.sort_by(|a, b| b.at.cmp(&a.at));
            whole.last.truncate(MOST_QUERIES);
        }
        (whole @ None, part) => whole.clone_from(part),
        (Some(_), None) => {}
    }
    match (&mut whole.effect, &part.effect) {
        (Some(whole), Some(part)) => {
            whole.told = format!("{}; {}", whole.told, part.told);
            whole.reached = whole.reached.zip(part.reached).map(|(a, b)| a + b);
            whole.asked = whole.asked.zip(part.asked).map(|(a, b)| a + b);
        }
        (whole @ None, part) => whole.clone_from(part),
        (Some(_), None) => {}
    }
    whole.verdict = if whole.effect.is_some() {
        better(whole.verdict, part.verdict)
    } else if whole.verdict == Verdict::NotTaken && part.verdict == Verdict::NotTaken {
        Verdict::NotTaken
    } else {
        verdict(whole.total())
    };
}

/// Of faults that act on the machine: what acted somewhere acted.
fn better(a: Verdict, b: Verdict) -> Verdict {
    if a == Verdict::Effective { a } else { b }
}

/// Members that a fault did nothing to, though it did to others.
fn without_effect(faults: &[FaultReport], parts: &[RunReport]) -> Vec<String> {
    let mut notes = Vec::new();
    let acted = |fault: &&FaultReport| fault.verdict == Verdict::Effective;
    for whole in faults.iter().filter(acted) {
        for part in parts.iter().filter(|part| part.phase != Phase::Armed) {
            let mut same = part.faults.iter();
            if same.any(|f| f.name == whole.name && f.verdict == Verdict::Ineffective) {
                notes.push(format!(
                    "fault `{}` had no effect on {} ({})",
                    whole.name, part.target, part.id
                ));
            }
        }
    }
    notes
}
