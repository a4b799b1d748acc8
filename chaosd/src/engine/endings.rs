//! How runs end and planes are taken down.
//!
//! Invariant: an end is told once the faults act on nothing any more. What they held leaves meanwhile,
//! and a plane is taken down when nothing leaves it.

use std::time::Instant;

use crate::{
    netlink::detour::Role,
    report::{Ended, RunId, RunReport},
    undo::RevertReport,
};

use super::{Reply, group::group_of, leaving::Leaving, queue::LOOK, run::Run, worker::Worker};

/// Runs that are over and still told of.
const REMEMBERED: usize = 100;

/// Everything was ended, and somebody waits until the machine is as it was.
pub(super) struct RevertingAll {
    /// Of the runs that were ended.
    reports: Vec<RunReport>,
    /// The planes that there were.
    planes: Vec<u32>,
    reply: Reply<Vec<RunReport>>,
}

impl Worker {
    /// Ends one run that is alive.
    pub(super) fn end(&mut self, id: &RunId, why: Ended) -> Option<RunReport> {
        let i = self.runs.iter().position(|r| r.id == *id)?;
        let run = self.runs.remove(i);
        let held = run.plane().and_then(|number| self.planes.get_mut(number));
        let leaving = run.end(held.map(|held| &mut held.plane), why);
        tracing::info!(run = id, why = ?why, "ended");
        self.leaving.push(leaving);
        self.settle();
        self.look_at_leaving();
        // Who waits for it asks again for what comes of draining, unless nobody is there to answer then.
        if why != Ended::Shutdown
            && let Some(leaving) = self.leaving.iter_mut().find(|l| l.report.id == *id)
        {
            leaving.answer();
        }
        self.report(id).ok()
    }

    fn end_all(&mut self, why: Ended) -> Vec<RunReport> {
        // All at once, for an end may take the kernel a while.
        for run in &self.runs {
            if let Some(held) = run.plane().and_then(|number| self.planes.get_mut(number)) {
                run.disarm(&mut held.plane);
            }
        }
        let groups: Vec<RunId> = self.groups.iter().map(|group| group.id.clone()).collect();
        let mut reports: Vec<RunReport> = groups
            .iter()
            .filter_map(|id| self.end_group(id, why))
            .collect();
        let alone = self.ids(|run| group_of(&run.id).is_none());
        reports.extend(alone.iter().filter_map(|id| self.end(id, why)));
        for held in self.planes.iter_mut() {
            held.closing = true;
        }
        reports
    }

    /// Ends every run now, and answers when every plane that there was is taken down.
    pub(super) fn revert_all(&mut self, why: Ended, reply: Reply<Vec<RunReport>>) {
        let planes = self.planes.numbers();
        let reports = self.end_all(why);
        self.reverting_all.push(RevertingAll {
            reports,
            planes,
            reply,
        });
        self.answer_reverted();
    }

    fn answer_reverted(&mut self) {
        let (planes, leaving) = (&self.planes, &self.leaving);
        let done = |all: &mut RevertingAll| {
            let closes = |n: &u32| planes.get(*n).is_some_and(|held| held.closing);
            let leaves = |report: &RunReport| {
                let id = |l: &Leaving| {
                    l.report.id == report.id || group_of(&l.report.id) == Some(&report.id)
                };
                leaving.iter().any(id)
            };
            !all.planes.iter().any(closes) && !all.reports.iter().any(leaves)
        };
        for all in self.reverting_all.extract_if(.., done) {
            all.reply.send(all.reports).ok();
        }
    }

    /// Takes the lease from planes without faults, and the watchdog's attention when there are none.
    pub(super) fn settle(&mut self) {
        for held in self.planes.iter_mut() {
            if held.plane.is_idle() {
                held.plane.lease(0);
                held.idle.get_or_insert_with(Instant::now);
            }
        }
        if self.runs.is_empty()
            && let Some(watchdog) = &self.planes.watchdog
            && let Err(e) = watchdog.idle()
        {
            // The next fault finds out, and starts another.
            tracing::warn!("{e}");
        }
    }

    /// True while something leaves that is to be looked at every [`LOOK`].
    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Looks once at everything that leaves, and is done with what has left.
    pub(super) fn look_at_leaving(&mut self) {
        let (planes, runs) = (&self.planes, &self.runs);
        let is_done = |leaving: &mut Leaving| {
            let number = leaving.plane;
            let holds = |run: &Run| run.plane() == number && run.needs(Role::Hold);
            let shared = runs.iter().any(holds);
            let held = number.and_then(|number| planes.get(number));
            held.is_none_or(|held| leaving.is_done(&held.plane, shared))
        };
        let done: Vec<Leaving> = self.leaving.extract_if(.., is_done).collect();
        for leaving in done {
            self.finish(leaving);
        }
    }

    fn finish(&mut self, mut leaving: Leaving) {
        let plane = leaving.plane;
        let undone = plane.map_or_else(RevertReport::default, |number| {
            self.planes.drop_netems(number, &leaving.netems)
        });
        self.note(&undone);
        if let Some(held) = plane.and_then(|number| self.planes.get(number)) {
            let last = self.leaving.iter().all(|l| l.plane != leaving.plane);
            leaving.finish(&held.plane, &undone, held.closing && last);
        } else {
            leaving.conclude();
        }
        let report = leaving.report;
        match group_of(&report.id).map(str::to_owned) {
            Some(id) => {
                if let Some(group) = self.group_mut(&id) {
                    group.keep(report);
                }
                self.look_at_groups();
            }
            None => self.remember(report),
        }
    }

    /// It is over, and still told of for a while.
    pub(super) fn remember(&mut self, report: RunReport) {
        for all in &mut self.reverting_all {
            let mut reports = all.reports.iter_mut();
            if let Some(told) = reports.find(|r| r.id == report.id) {
                *told = report.clone();
            }
        }
        self.over.push_front(report);
        self.over.truncate(REMEMBERED);
    }

    /// Takes a plane down, as soon as nothing leaves it.
    pub(super) fn close(&mut self, number: u32) {
        if let Some(held) = self.planes.get_mut(number) {
            held.closing = true;
        }
    }

    /// A plane that is to go and that nothing leaves.
    pub(super) fn closes(&self) -> Option<u32> {
        let goes = |number: &u32| {
            self.planes.get(*number).is_some_and(|held| held.closing)
                && self.leaving.iter().all(|l| l.plane != Some(*number))
        };
        self.planes.numbers().into_iter().find(goes)
    }

    /// A step of taking down the planes that are to go, so that whoever asks for something meanwhile does
    /// not wait for all of it. False: there is none, or something leaves it.
    pub(super) fn close_further(&mut self) -> bool {
        let closes = self.closes();
        if let Some(number) = closes {
            let mut report = RevertReport::default();
            self.planes.close_further(number, &mut report);
            self.note(&report);
        }
        self.answer_reverted();
        closes.is_some()
    }

    /// Takes down the planes that are to go and that nothing leaves.
    pub(super) fn close_planes(&mut self) {
        while self.close_further() {
            self.planes.vouch();
        }
    }

    pub(super) fn note(&mut self, report: &RevertReport) {
        for failure in &report.failed {
            tracing::error!("{failure}");
            self.problems.push(failure.to_string());
        }
        for left in &report.left_alone {
            tracing::warn!("left alone: {left}");
        }
    }

    /// Ends everything, and waits for what leaves: as long as the slowest of its queues may take.
    pub(super) fn stop(mut self) -> Vec<String> {
        self.end_all(Ended::Shutdown);
        self.close_planes();
        while self.is_leaving() {
            std::thread::sleep(LOOK);
            self.planes.vouch();
            self.look_at_leaving();
            self.close_planes();
        }
        if let Some(watchdog) = self.planes.watchdog.take() {
            watchdog.goodbye();
        }
        std::mem::take(&mut self.problems)
    }
}
