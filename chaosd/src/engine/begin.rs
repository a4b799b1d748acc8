//! How a run begins: what it needs is made ready, watched, and then one store arms it.

use std::time::Instant;

use crate::{
    bpf::{LEASE_NS, Plane, PlaneError},
    clock::now_ns,
    plan::Plan,
    report::{Ended, RunId, RunReport},
};

use super::{
    EngineError,
    machine::Machine,
    packets::Packets,
    planes::Ready,
    run::{Run, Span},
    worker::Worker,
};

impl Worker {
    pub(super) fn arm(&mut self, plan: Plan) -> Result<RunReport, EngineError> {
        let id = self.new_id();
        self.arm_as(id, plan, None)
    }

    /// `span`: of the group that it joins.
    pub(super) fn arm_as(
        &mut self,
        id: RunId,
        plan: Plan,
        span: Option<Span>,
    ) -> Result<RunReport, EngineError> {
        let when = (span, Instant::now());
        if !self.guarded() {
            return Err(EngineError::Refused(
                "the watchdog is gone and no other could be started".into(),
            ));
        }
        let ready = if plan.faults.is_empty() {
            None
        } else {
            let prepared = self.planes.prepare(&plan, &self.instance);
            if prepared.is_err() {
                // A plane that was opened for nothing goes before that is told.
                self.close_planes();
            }
            Some(prepared.map_err(|e| EngineError::Refused(e.to_string()))?)
        };
        let result = match self.watched(&id, &plan) {
            Ok(machine) => self.begin(id, plan, ready, machine, when),
            Err(e) => {
                self.drop_ready(ready);
                Err(e)
            }
        };
        self.settle();
        result
    }

    /// Watched and vouched for before anything acts; and then what acts on the machine.
    fn watched(&mut self, id: &RunId, plan: &Plan) -> Result<Machine, EngineError> {
        let refused = |e: &dyn std::fmt::Display| EngineError::Refused(e.to_string());
        if let Some(watchdog) = &self.planes.watchdog {
            watchdog.armed().map_err(|e| refused(&e))?;
        }
        for run in &self.runs {
            if let Some(claim) = run.plan.clashes_with(plan) {
                return Err(EngineError::Refused(format!(
                    "{claim} is in the hands of run {}: end that first (chaosd revert {})",
                    run.id, run.id
                )));
            }
        }
        let system = self.planes.system();
        Machine::arm(id, plan, &self.instance, &system).map_err(|e| refused(&e))
    }

    fn begin(
        &mut self,
        id: RunId,
        plan: Plan,
        ready: Option<Ready>,
        machine: Machine,
        when: (Option<Span>, Instant),
    ) -> Result<RunReport, EngineError> {
        let run = match ready {
            None => Run::begin(id, plan, None, None, machine, when),
            Some(ready) => self.begin_in(id, plan, ready, machine, when)?,
        };
        tracing::info!(
            run = run.id,
            profile = run.plan.profile,
            target = run.plan.scope.label,
            "armed"
        );
        let (id, refused) = (run.id.clone(), run.refused.clone());
        self.runs.push(run);
        if refused.is_empty() {
            self.report(&id)
        } else {
            self.end(&id, Ended::Shutdown);
            Err(EngineError::Refused(refused.join("; ")))
        }
    }

    /// In a plane that is ready for it.
    fn begin_in(
        &mut self,
        id: RunId,
        plan: Plan,
        ready: Ready,
        mut machine: Machine,
        when: (Option<Span>, Instant),
    ) -> Result<Run, EngineError> {
        let Ready { number, netems } = ready;
        // Out of the list meanwhile, for the others have to be vouched for too.
        let Some(mut held) = self.planes.take(number) else {
            let undone = machine.end();
            self.note(&undone);
            return Err(EngineError::Stopped);
        };
        let vouch = |plane: &mut Plane| {
            self.planes.vouch();
            plane.lease(now_ns() + LEASE_NS);
        };
        let mut packets = match Packets::install(&plan, &mut held.plane, &netems, vouch) {
            Ok(packets) => packets,
            Err(e) => {
                self.planes.put_back(held);
                let mut undone = machine.end();
                undone.merge(self.planes.drop_netems(number, &netems));
                self.note(&undone);
                self.close_if_idle(Some(number));
                return Err(match e {
                    PlaneError::Full { .. } => EngineError::Full(e.to_string()),
                    e => EngineError::Refused(e.to_string()),
                });
            }
        };
        held.idle = None;
        packets.netems = netems;
        let run = Run::begin(
            id,
            plan,
            Some(packets),
            Some(&mut held.plane),
            machine,
            when,
        );
        self.planes.put_back(held);
        Ok(run)
    }

    /// Nothing comes of what was made ready.
    fn drop_ready(&mut self, ready: Option<Ready>) {
        if let Some(Ready { number, netems }) = ready {
            let undone = self.planes.drop_netems(number, &netems);
            self.note(&undone);
            self.close_if_idle(Some(number));
        }
    }
}
