//! One run: its faults in a plane, and what is said of it.

use std::time::Instant;

use chaosd_ebpf::{EGRESS, INGRESS};
use tokio::sync::oneshot;

use crate::{
    bpf::{Plane, PlaneError, Steering},
    clock::now_ns,
    fault,
    netlink::detour::Role,
    plan::Plan,
    report::{Count, Ended, FaultReport, Phase, RunId, RunReport, Verdict},
};

use super::{
    EngineError,
    dns::{Queries, excuse_parts},
    leaving::Leaving,
    lost::Before,
    planes::NetemOf,
};

/// A run that is armed.
pub(super) struct Run {
    pub id: RunId,
    pub plan: Plan,
    /// The plane's number.
    pub plane: u32,
    pub deadline_ns: u64,
    /// Asked for its names last.
    pub resolved: Instant,
    /// Deleted when it is over.
    pub netems: Vec<NetemOf>,
    pub waiting: Vec<oneshot::Sender<Result<RunReport, EngineError>>>,
    slot: u32,
    started: String,
    start_ns: u64,
    arm_ms: f64,
    installed: Vec<Installed>,
    cgroup: Option<u64>,
    before: Before,
    problems: Vec<String>,
}

struct Installed {
    number: u8,
    /// What had passed its interfaces before it was armed.
    base: [u64; 2],
}

impl Run {
    /// Puts a plan's faults into a plane and arms them. On failure the plane is as before. `vouch` is
    /// called now and then: as many faults as a plane takes may be more work than a lease lasts.
    pub fn arm(
        id: RunId,
        plan: Plan,
        plane: &mut Plane,
        netems: &[NetemOf],
        since: Instant,
        vouch: impl FnMut(&mut Plane),
    ) -> Result<Self, PlaneError> {
        let slot = plane.reserve_run()?;
        let mut run = Self {
            id,
            plane: plane.number(),
            deadline_ns: 0,
            resolved: Instant::now(),
            netems: Vec::new(),
            waiting: Vec::new(),
            slot,
            started: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            start_ns: u64::MAX,
            arm_ms: 0.0,
            installed: Vec::new(),
            cgroup: None,
            before: Before::now(plane)?,
            problems: Vec::new(),
            plan,
        };
        match run.install(plane, netems, vouch) {
            Ok(()) => {
                let start = now_ns();
                let length = u64::try_from(run.plan.run_for.as_nanos()).unwrap_or(u64::MAX);
                run.deadline_ns = start.saturating_add(length);
                run.start_ns = start;
                plane.arm(slot, start, run.deadline_ns);
                run.arm_ms = since.elapsed().as_secs_f64() * 1e3;
                Ok(run)
            }
            Err(e) => {
                run.take_out(plane);
                Err(e)
            }
        }
    }

    fn install(
        &mut self,
        plane: &mut Plane,
        netems: &[NetemOf],
        mut vouch: impl FnMut(&mut Plane),
    ) -> Result<(), PlaneError> {
        if let Some(cgroup) = &self.plan.scope.cgroup {
            plane.attach_cgroup(cgroup)?;
            self.cgroup = Some(cgroup.id);
        }
        for (place, planned) in self.plan.faults.iter().enumerate() {
            let mut fault = planned.rule.fault;
            fault.run = self.slot;
            let matcher = planned.rule.matcher.clone();
            let number = match &planned.rule.dns {
                Some(dns) => plane.install_dns(matcher, fault, dns)?,
                None => plane.install(
                    matcher,
                    fault,
                    planned.rule.table.as_deref(),
                    &planned.rule.times,
                )?,
            };
            self.installed.push(Installed {
                number,
                base: [0; 2],
            });
            for NetemOf { device, .. } in netems.iter().filter(|n| n.fault == place) {
                plane.use_netem(number, device)?;
            }
            vouch(plane);
        }
        plane.refresh();
        for installed in &mut self.installed {
            installed.base = plane.seen(installed.number)?;
        }
        Ok(())
    }

    /// True when its packets go through such a pair.
    pub fn needs(&self, role: Role) -> bool {
        let mut matchers = self.plan.faults.iter().map(|f| &f.rule.matcher);
        match role {
            Role::Segment => matchers.any(|m| m.steering != Steering::Never),
            Role::Hold => matchers.any(|m| m.holds),
            Role::Netem(number) => self.netems.iter().any(|n| n.number == number),
        }
    }

    /// Replaces the peers of one fault.
    pub fn change_peers(
        &self,
        plane: &mut Plane,
        fault: usize,
        peers: crate::bpf::PeerSet,
    ) -> Result<(), PlaneError> {
        self.installed
            .get(fault)
            .map_or(Ok(()), |i| plane.change_peers(i.number, peers))
    }

    /// Disarms: what [`Run::end`] begins with.
    pub fn disarm(&self, plane: &mut Plane) {
        plane.disarm(self.slot);
    }

    /// Disarms: from here on it acts on nothing, and what it held leaves.
    pub fn end(mut self, plane: &mut Plane, why: Ended) -> Leaving {
        self.disarm(plane);
        let mut report = self.report(plane);
        self.take_out(plane);
        report.problems = self.problems;
        report.phase = Phase::Draining;
        report.ended = Some(why);
        report.left_seconds = 0.0;
        let mut planned = self.plan.faults.iter();
        let holder = planned.position(|fault| fault.rule.matcher.holds);
        let mut leaving = Leaving::new(report, plane, self.netems, holder, self.before);
        leaving.waiting = self.waiting;
        leaving
    }

    fn take_out(&mut self, plane: &mut Plane) {
        self.disarm(plane);
        for installed in self.installed.drain(..).rev() {
            plane.leave_netem(installed.number);
            if let Err(e) = plane.uninstall(installed.number) {
                self.problems.push(format!(
                    "{e}; the fault is disarmed all the same, and goes when chaosd ends"
                ));
            }
        }
        if let Some(id) = self.cgroup.take() {
            plane.detach_cgroup(id);
        }
        plane.release_run(self.slot);
    }

    /// What is to be said of it now.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub fn report(&self, plane: &Plane) -> RunReport {
        let queries = Queries::since(self.start_ns, plane);
        let mut faults: Vec<FaultReport> = self
            .plan
            .faults
            .iter()
            .zip(&self.installed)
            .map(|(planned, installed)| {
                let counts = plane.counts(installed.number).unwrap_or_default();
                let seen = plane.seen(installed.number).unwrap_or_default();
                let count = |direction: u32| {
                    let d = direction as usize;
                    Count {
                        seen: seen[d].saturating_sub(installed.base[d]),
                        ..counts[d]
                    }
                };
                let mut report = FaultReport {
                    name: planned.spec.name.clone(),
                    kind: fault::packet(&planned.spec.kind).name().into(),
                    part_of: planned.part_of.clone(),
                    what: planned.what.clone(),
                    ingress: count(INGRESS),
                    egress: count(EGRESS),
                    verdict: Verdict::NoTraffic,
                    dns: None,
                };
                let (kind, total) = (&planned.spec.kind, report.total());
                report.verdict = verdict(total);
                report.dns = queries.report(plane, installed.number, kind, total);
                report
            })
            .collect();
        excuse_parts(&mut faults);
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
            problems: self.problems.clone(),
            notes: self.plan.notes.clone(),
        }
    }
}

/// What such counts come to.
pub(super) fn verdict(total: Count) -> Verdict {
    match total {
        Count { overflow: 1.., .. } => Verdict::Overflow,
        Count { affected: 1.., .. } => Verdict::Effective,
        Count { matched: 1.., .. } => Verdict::Spared,
        Count { seen: 1.., .. } => Verdict::Ineffective,
        _ => Verdict::NoTraffic,
    }
}
