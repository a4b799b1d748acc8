//! How runs on those that answer to a name begin, gain a member, and end.
//!
//! Invariant: a group ends when somebody ends it or its time is up, whoever of its members is there;
//! a member whose end had another reason than the group's takes the group with it.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use crate::{
    clock::now_ns,
    plan::{GroupPlan, Incarnation, MemberPlan},
    report::{Ended, Phase, RunId, RunReport},
};

use super::{
    EngineError,
    group::{Group, group_of},
    worker::Worker,
};

/// Who of a group's is there, for its follower.
#[derive(Debug, Default)]
pub(super) struct Seated {
    /// Under fault now: each life with its run, and whose it is.
    pub alive: HashMap<Incarnation, (RunId, String)>,
    /// Any of these has a process.
    pub has_processes: bool,
    /// Every member that is told of.
    pub members: HashSet<String>,
    /// Not to be hit again.
    pub dismissed: HashSet<String>,
}

/// What came of one that was to join.
#[derive(Debug)]
pub(super) enum Joined {
    /// It is under fault.
    Armed,
    /// It was already, with another of the group's: by this run.
    Covered(RunId),
}

impl Worker {
    /// Arms all members, or none.
    pub(super) fn arm_group(&mut self, plan: GroupPlan) -> Result<RunReport, EngineError> {
        let since = Instant::now();
        let id = self.new_id();
        self.groups.push(Group::new(id.clone(), &plan));
        for member in plan.members {
            let label = member.plan.scope.label.clone();
            if let Err(error) = self.join(&id, member) {
                self.end_group(&id, Ended::Shutdown);
                self.groups.retain(|group| group.id != id);
                self.over.retain(|report| report.id != id);
                return Err(match error {
                    EngineError::Refused(why) => EngineError::Refused(format!("{label}: {why}")),
                    EngineError::Full(why) => EngineError::Full(format!("{label}: {why}")),
                    error => error,
                });
            }
        }
        if let Some(group) = self.group_mut(&id) {
            group.armed(since);
        }
        self.report(&id)
    }

    /// Arms one more member, for as long as the group has, unless a run of the group's hits it already.
    pub(super) fn join(&mut self, id: &RunId, member: MemberPlan) -> Result<Joined, EngineError> {
        let over = || EngineError::NoSuchRun(id.clone());
        let group = self.group_mut(id).ok_or_else(over)?;
        if group.ended.is_some() {
            return Err(over());
        }
        let mut runs = self.runs.iter().filter(|run| group_of(&run.id) == Some(id));
        if let Some(run) = runs.find(|run| run.plan.covers(&member.plan)) {
            return Ok(Joined::Covered(run.id.clone()));
        }
        let group = self.group_mut(id).ok_or_else(over)?;
        let (seat, span) = (group.next_id(), group.span);
        let incarnation = member.incarnation;
        self.arm_as(seat, member.plan, Some(span))?;
        if let Some(group) = self.group_mut(id) {
            group.seat(member.id, member.runtime, incarnation);
        }
        Ok(Joined::Armed)
    }

    /// `None`: the group is over.
    pub(super) fn seated(&self, id: &RunId) -> Option<Seated> {
        let group = self.groups.iter().find(|group| group.id == *id)?;
        if group.ended.is_some() {
            return None;
        }
        let seats = group.seats.iter();
        let alive = seats
            .clone()
            .filter(|seat| self.runs.iter().any(|run| run.id == seat.run))
            .map(|seat| (seat.incarnation, (seat.run.clone(), seat.member.clone())))
            .collect();
        let mut runs = self.runs.iter().filter(|run| group_of(&run.id) == Some(id));
        Some(Seated {
            alive,
            has_processes: runs.any(|run| run.plan.scope.has_processes()),
            members: seats.map(|seat| seat.member.clone()).collect(),
            dismissed: group.dismissed.clone(),
        })
    }

    /// Ends a group, and all its members with it.
    pub(super) fn end_group(&mut self, id: &RunId, why: Ended) -> Option<RunReport> {
        let group = self.group_mut(id)?;
        group.ended.get_or_insert(why);
        for seat in self.ids(|run| group_of(&run.id) == Some(id)) {
            self.end(&seat, why);
        }
        self.look_at_groups();
        self.report(id).ok()
    }

    /// Ends one member's run by somebody's wish: it is not hit again.
    pub(super) fn dismiss(&mut self, seat: &RunId) {
        let group = group_of(seat).map(str::to_owned);
        if let Some(group) = group.and_then(|id| self.group_mut(&id))
            && let Some(member) = group.seats.iter().find(|s| s.run == *seat)
        {
            let member = member.member.clone();
            group.dismissed.insert(member);
        }
    }

    /// What a follower has found out.
    pub(super) fn group_gone(&mut self, id: &RunId, why: &str) {
        if let Some(group) = self.group_mut(id).filter(|group| group.ended.is_none()) {
            group.notes.push(format!("ended early: {why}"));
            self.end_group(id, Ended::TargetGone);
        }
    }

    /// Ends groups whose time is up, or whose members all ended for a reason that is the group's too,
    /// and is done with those that are over.
    pub(super) fn look_at_groups(&mut self) {
        let now = now_ns();
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            if group.ended.is_some() || self.runs.iter().any(|r| group_of(&r.id) == Some(&group.id))
            {
                continue;
            }
            let last = group
                .seats
                .last()
                .and_then(|seat| self.report(&seat.run).ok());
            let ended = match last.and_then(|report| report.ended) {
                _ if group.span.deadline_ns <= now => Some(Ended::Deadline),
                // Another may take the seat.
                Some(Ended::TargetGone) | None => None,
                other => other,
            };
            self.groups[at].ended = ended;
        }
        let mut at = 0;
        while at < self.groups.len() {
            let group = &self.groups[at];
            let over = group.ended.is_some();
            let Some(report) = over.then(|| self.group_report(group)).flatten() else {
                at += 1;
                continue;
            };
            match report.phase {
                Phase::Armed => at += 1,
                Phase::Draining => {
                    self.groups[at].answer(&report);
                    at += 1;
                }
                Phase::Reverted | Phase::Failed => {
                    self.groups.remove(at).answer(&report);
                    self.remember(report);
                }
            }
        }
    }

    pub(super) fn group_report(&self, group: &Group) -> Option<RunReport> {
        let parts: Result<Vec<_>, _> = group
            .seats
            .iter()
            .map(|seat| self.report(&seat.run))
            .collect();
        Some(group.report(parts.ok()?))
    }

    pub(super) fn group_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }
}
