//! One run: its faults, and what is said of it.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    bpf::Plane,
    clock::{self, now_ns},
    netlink::detour::Role,
    plan::Plan,
    report::{Ended, Phase, RunId, RunReport},
};

use super::{EngineError, leaving::Leaving, machine::Machine, packets::Packets};

/// How a note begins of what somebody else had changed meanwhile.
pub(super) const LEFT_ALONE: &str = "left alone: ";

/// From when to when a run acts, by the clock of the programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub start_ns: u64,
    pub deadline_ns: u64,
}

impl Span {
    /// From now on, for so long.
    pub fn of(length: Duration) -> Self {
        let start_ns = now_ns();
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self {
            start_ns,
            deadline_ns: start_ns.saturating_add(length),
        }
    }
}

/// A run that is armed.
pub(super) struct Run {
    pub id: RunId,
    pub plan: Plan,
    pub deadline_ns: u64,
    /// Asked for its names last.
    pub resolved: Instant,
    pub waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    /// `None`: it has no faults that act on packets.
    pub packets: Option<Packets>,
    /// What the host refused when it began to act: it is to be ended at once.
    pub refused: Vec<String>,
    /// A fault tells of itself by looking around.
    machine: RefCell<Machine>,
    started: String,
    start_ns: u64,
    arm_ms: f64,
    problems: Vec<String>,
}

impl Run {
    /// Arms what was made ready, and lets it act. `span`: of the group that it joins, which may have
    /// begun before it. `since`: when it was asked for.
    pub fn begin(
        id: RunId,
        plan: Plan,
        mut packets: Option<Packets>,
        plane: Option<&mut Plane>,
        machine: Machine,
        (span, since): (Option<Span>, Instant),
    ) -> Self {
        let Span {
            start_ns,
            deadline_ns,
        } = span.unwrap_or_else(|| Span::of(plan.run_for));
        if let (Some(packets), Some(plane)) = (&mut packets, plane) {
            packets.arm(plane, start_ns, deadline_ns);
        }
        let mut run = Self {
            id,
            plan,
            deadline_ns,
            resolved: Instant::now(),
            waiting: Vec::new(),
            packets,
            machine: RefCell::new(machine),
            started: clock::now_rfc3339(),
            start_ns,
            arm_ms: 0.0,
            problems: Vec::new(),
            refused: Vec::new(),
        };
        let begun = run.since();
        run.refused = run.machine.get_mut().act(begun);
        run.arm_ms = since.elapsed().as_secs_f64() * 1e3;
        run
    }

    /// The number of the plane that it is in.
    pub fn plane(&self) -> Option<u32> {
        Some(self.packets.as_ref()?.plane)
    }

    /// True when it acts on the machine too.
    pub fn is_on_machine(&self) -> bool {
        !self.machine.borrow().is_empty()
    }

    fn since(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.start_ns))
    }

    /// Lets those of its faults act on the machine whose moment has come.
    pub fn act(&mut self) {
        let since = self.since();
        for problem in self.machine.get_mut().act(since) {
            tracing::warn!(run = self.id, "{problem}");
            self.plan.notes.push(problem);
        }
    }

    /// How long until the next of them does.
    pub fn acts_in(&self) -> Option<Duration> {
        self.machine.borrow().acts_in(self.since())
    }

    /// True when its packets go through such a pair.
    pub fn needs(&self, role: Role) -> bool {
        let packets = self.packets.as_ref();
        packets.is_some_and(|packets| packets.needs(&self.plan, role))
    }

    /// Disarms what acts on packets: what [`Run::end`] begins with.
    pub fn disarm(&self, plane: &mut Plane) {
        if let Some(packets) = &self.packets {
            packets.disarm(plane);
        }
    }

    /// Disarms and puts back: from here on it acts on nothing, and what it held leaves.
    pub fn end(mut self, plane: Option<&mut Plane>, why: Ended) -> Leaving {
        let mut plane = plane;
        if let Some(plane) = plane.as_deref_mut() {
            self.disarm(plane);
        }
        let mut report = self.report(plane.as_deref());
        let undone = self.machine.get_mut().end();
        let failed = undone.failed.iter().map(ToString::to_string);
        self.problems.extend(failed);
        let left = |left| format!("{LEFT_ALONE}{left}");
        report.notes.extend(undone.left_alone.into_iter().map(left));
        let packets = self.packets.take().zip(plane).map(|(mut packets, plane)| {
            self.problems.extend(packets.take_out(plane));
            (packets, &*plane)
        });
        report.problems = self.problems;
        report.phase = Phase::Draining;
        report.ended = Some(why);
        report.left_seconds = 0.0;
        let mut planned = self.plan.faults.iter();
        let holder = planned.position(|fault| fault.rule.matcher.holds);
        let mut leaving = Leaving::new(report, packets, holder);
        leaving.waiting = self.waiting;
        leaving
    }

    /// What is to be said of it now.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub fn report(&self, plane: Option<&Plane>) -> RunReport {
        let mut faults = match (&self.packets, plane) {
            (Some(packets), Some(plane)) => packets.reports(&self.plan, plane),
            _ => Vec::new(),
        };
        faults.extend(self.machine.borrow_mut().reports());
        RunReport {
            id: self.id.clone(),
            profile: self.plan.profile.clone(),
            target: self.plan.scope.label.clone(),
            phase: Phase::Armed,
            ended: None,
            started: self.started.clone(),
            for_seconds: self.plan.run_for.as_secs_f64(),
            left_seconds: self.deadline_ns.saturating_sub(now_ns()) as f64 / 1e9,
            seed: self.plan.seed,
            arm_ms: self.arm_ms,
            faults,
            members: Vec::new(),
            problems: self.problems.clone(),
            notes: self.plan.notes.clone(),
        }
    }
}
