//! Runs that are over while packets that they held are still in a queue of ours.
//!
//! Invariant: nobody waits for them. Their faults act on nothing any more, which whoever asked has
//! been told; the engine looks at them in passing, and what a queue has not let go in its time is lost
//! and stands in the run's report.

use tokio::sync::oneshot;

use crate::{
    bpf::Plane,
    report::{FaultReport, Phase, RunReport},
    undo::RevertReport,
};

use super::{
    EngineError,
    lost::Before,
    packets::{Packets, verdict},
    planes::NetemOf,
    queue::{Left, Queue},
};

/// A run that is over, and not yet reverted.
pub(super) struct Leaving {
    /// What is to be said of it until [`Leaving::finish`] has the last word.
    pub report: RunReport,
    /// The plane's number; `None`: it was in none, and nothing of it leaves.
    pub plane: Option<u32>,
    /// Of its faults, to be deleted when they are empty.
    pub netems: Vec<NetemOf>,
    pub waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    /// Of each netem, and what it had not let go in its time.
    emptying: Vec<(Queue, u64)>,
    /// The place of the first fault that holds packets, and the queue that they are in.
    holder: Option<usize>,
    hold: Option<Queue>,
    before: Option<Before>,
}

impl Leaving {
    /// Its faults are out of the plane. `holder`: the place of its first fault that holds packets.
    pub fn new(
        report: RunReport,
        packets: Option<(Packets, &Plane)>,
        holder: Option<usize>,
    ) -> Self {
        let mut leaving = Self {
            report,
            plane: None,
            netems: Vec::new(),
            waiting: Vec::new(),
            emptying: Vec::new(),
            holder,
            hold: None,
            before: None,
        };
        if let Some((packets, plane)) = packets {
            let queue = |netem: &NetemOf| (Queue::netem(plane, netem.device.tx), 0);
            leaving.plane = Some(plane.number());
            leaving.emptying = packets.netems.iter().map(queue).collect();
            leaving.netems = packets.netems;
            leaving.hold = holder.and_then(|_| Queue::hold(plane));
            leaving.before = Some(packets.before);
        }
        leaving
    }

    /// True when no packet of it is under way, or those that are have had their time. `shared`:
    /// another run holds packets in this plane, so that the hold queue stays, and empties by itself.
    pub fn is_done(&mut self, plane: &Plane, shared: bool) -> bool {
        let mut done = true;
        for (queue, lost) in &mut self.emptying {
            match queue.look(plane) {
                Left::Nothing => *lost = 0,
                Left::Some => done = false,
                Left::Lost(packets) => *lost = packets,
            }
        }
        let hold = self.hold.as_mut().filter(|_| !shared);
        done && hold.is_none_or(|queue| queue.look(plane) != Left::Some)
    }

    /// The last word. `undone`: what came of deleting its netems. `closes`: the plane is taken down
    /// now, with what is left in its hold queue.
    pub fn finish(&mut self, plane: &Plane, undone: &RevertReport, closes: bool) {
        self.tell_detour(plane);
        self.tell_netems();
        self.tell_hold(plane, closes);
        let failed = undone.failed.iter().map(ToString::to_string);
        self.report.problems.extend(failed);
        self.conclude();
    }

    /// Says how it ended.
    pub fn conclude(&mut self) {
        self.report.phase = if self.report.problems.is_empty() {
            Phase::Reverted
        } else {
            Phase::Failed
        };
        self.answer();
    }

    /// Answers those who wait for it with what is known now.
    pub fn answer(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.send(Ok(self.report.clone())).ok();
        }
    }

    fn tell_detour(&mut self, plane: &Plane) {
        if let Some((lost, entered)) = self.before.as_ref().and_then(|b| b.lost_in_detour(plane)) {
            self.report.notes.push(format!(
                "overflow: {lost} of {entered} segments were lost on their way through the detour, \
                 for this machine takes no more at once: see net.core.netdev_max_backlog"
            ));
        }
    }

    fn tell_netems(&mut self) {
        for (netem, (_, lost)) in self.netems.iter().zip(&self.emptying) {
            let Some(fault) = self
                .report
                .faults
                .get_mut(netem.fault)
                .filter(|_| *lost > 0)
            else {
                continue;
            };
            add(fault, *lost);
            self.report.notes.push(format!(
                "overflow: {lost} packets were lost at revert: the netem of fault {} had not let them \
                 go within 2 s, and cannot be told to",
                fault.name
            ));
        }
    }

    fn tell_hold(&mut self, plane: &Plane, closes: bool) {
        let fault = self.holder.and_then(|at| self.report.faults.get_mut(at));
        let before = self.before.as_ref();
        let lost = before.map_or(0, |before| before.lost_in_hold(plane, closes));
        let (Some(fault), 1..) = (fault, lost) else {
            return;
        };
        add(fault, lost);
        let why = if plane.hold_device().is_none() {
            "with the hold queue, which somebody deleted"
        } else {
            "on their way out of the hold queue, for this machine takes no more at once: see \
             net.core.netdev_max_backlog"
        };
        let note = format!("overflow: {lost} held packets were lost {why}");
        self.report.notes.push(note);
    }
}

/// Neither direction can be told any more.
fn add(fault: &mut FaultReport, lost: u64) {
    fault.egress.overflow += lost;
    fault.verdict = verdict(fault.total());
}
