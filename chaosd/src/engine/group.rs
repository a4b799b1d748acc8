//! A run on those that answer to a name: a run for each life of each of them, told of as one.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    clock::{self, now_ns},
    plan::{GroupPlan, Incarnation},
    report::{Ended, FaultReport, MemberReport, Phase, RunId, RunReport, Verdict},
};

use super::{
    EngineError,
    lives::{Past, add},
    run::Span,
};

/// Lives that are over and still told of one by one.
const REMEMBERED: usize = 100;

pub(super) struct Group {
    pub id: RunId,
    pub span: Span,
    /// Why it is over; members may still be on their way out.
    pub ended: Option<Ended>,
    pub waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    /// Every life of every member that is told of by itself, in the order in which they were armed.
    pub seats: Vec<Seat>,
    /// Members that somebody let go: they are not hit again.
    pub dismissed: HashSet<String>,
    pub notes: Vec<String>,
    /// Of the seats that are over, the last one at the end.
    pub done: VecDeque<RunReport>,
    /// Of those that were over before them.
    past: Past,
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
    /// It is not the member's first.
    is_back: bool,
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
            done: VecDeque::new(),
            past: Past::default(),
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
        format!("{}.{}", self.id, self.past.lives + self.seats.len() + 1)
    }

    pub fn seat(&mut self, member: String, runtime: String, incarnation: Incarnation) {
        self.seats.push(Seat {
            run: self.next_id(),
            is_back: self.seats.iter().any(|seat| seat.member == member),
            member,
            incarnation,
            runtime,
        });
    }

    /// One of its lives is over. A group may see thousands of them, so that old ones become one sum.
    pub fn keep(&mut self, report: RunReport) {
        self.done.push_back(report);
        while self.done.len() > REMEMBERED
            && let Some(oldest) = self.done.pop_front()
        {
            self.seats.retain(|seat| seat.run != oldest.id);
            self.past.take(&oldest);
        }
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
        let past = &self.past;
        let mut notes = self.notes.clone();
        notes.extend(past.notes.iter().cloned());
        if past.lives > 0 {
            let lives = past.lives;
            notes.push(format!("{lives} lives that are over are told of together"));
        }
        let back = self
            .seats
            .iter()
            .zip(&parts)
            .filter(|(seat, _)| seat.is_back);
        notes.extend(back.map(|(seat, part)| format!("{} is back: {}", part.target, seat.run)));
        let mut problems = past.problems.clone();
        let mut faults = past.faults.clone();
        let several = past.lives + parts.len() > 1;
        for part in &parts {
            part.faults.iter().for_each(|fault| add(&mut faults, fault));
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
        } else if self.past.failed || any(Phase::Failed) {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::report::Count;

    fn group() -> Group {
        Group {
            id: "r-1".into(),
            span: Span::of(Duration::from_mins(1)),
            ended: Some(Ended::Reverted),
            waiting: Vec::new(),
            seats: Vec::new(),
            dismissed: HashSet::new(),
            notes: Vec::new(),
            done: VecDeque::new(),
            past: Past::default(),
            profile: "inject".into(),
            target: "processes curl".into(),
            started: String::new(),
            run_for: Duration::from_mins(1),
            seed: 7,
            arm_ms: 1.0,
        }
    }

    /// One that saw three packets, and acted on two of them.
    fn life(id: &str, phase: Phase, problems: Vec<String>) -> RunReport {
        let fault = FaultReport {
            name: "drop".into(),
            kind: "drop".into(),
            part_of: None,
            what: "drops".into(),
            ingress: Count {
                seen: 3,
                matched: 2,
                affected: 2,
                ..Count::default()
            },
            egress: Count::default(),
            verdict: Verdict::Effective,
            dns: None,
            effect: None,
        };
        RunReport {
            id: id.to_owned(),
            phase,
            problems,
            target: format!("process curl ({id})"),
            faults: vec![fault],
            ..group().report(Vec::new())
        }
    }

    /// After so many lives.
    fn after(lives: usize) -> RunReport {
        let mut group = group();
        for n in 0..lives {
            group.seat(format!("{n}:1"), "proc".into(), Incarnation::Process(7));
            let id = group.seats.last().unwrap().run.clone();
            assert_eq!(id, format!("r-1.{}", n + 1));
            let (phase, problems) = match n {
                3 => (Phase::Failed, vec!["a limit stays".to_owned()]),
                _ => (Phase::Reverted, Vec::new()),
            };
            group.keep(life(&id, phase, problems));
        }
        assert_eq!(group.seats.len(), lives.min(REMEMBERED));
        group.report(group.done.iter().cloned().collect())
    }

    #[test]
    fn a_thousand_lives_are_told_of_in_as_few_words_as_a_hundred_and_none_is_forgotten() {
        for lives in [10, 100, 101, 1000] {
            let told = after(lives);
            assert_eq!(told.members.len(), lives.min(REMEMBERED));
            assert_eq!(told.members.last().unwrap().id, format!("r-1.{lives}"));
            assert_eq!(told.faults.len(), 1);
            let total = told.faults[0].total();
            let count = u64::try_from(lives).unwrap();
            assert_eq!((total.seen, total.affected), (3 * count, 2 * count));
            assert_eq!(told.faults[0].verdict, Verdict::Effective);
            assert_eq!(told.phase, Phase::Failed);
            assert_eq!(told.problems, ["process curl (r-1.4): a limit stays"]);
        }
        let length = |lives| serde_json::to_string(&after(lives)).unwrap().len();
        assert!(length(5000) < length(500) + 500);
    }
}
