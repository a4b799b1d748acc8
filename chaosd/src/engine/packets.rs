//! The faults of a run that act on packets, in a plane.

use chaosd_ebpf::{EGRESS, INGRESS};

use crate::{
    bpf::{PeerSet, Plane, PlaneError, Steering},
    netlink::detour::Role,
    plan::Plan,
    report::{Count, FaultReport, Verdict},
};

use super::{
    dns::{Queries, excuse_parts},
    lost::Before,
    planes::NetemOf,
};

pub(super) struct Packets {
    /// The plane's number.
    pub plane: u32,
    /// Deleted when it is over.
    pub netems: Vec<NetemOf>,
    pub before: Before,
    slot: u32,
    installed: Vec<Installed>,
    cgroup: Option<u64>,
    start_ns: u64,
}

struct Installed {
    number: u8,
    /// What had passed its interfaces before it was armed.
    base: [u64; 2],
}

impl Packets {
    /// Puts a plan's faults into a plane, where they wait for [`Packets::arm`]. On failure the plane
    /// is as before. `vouch` is called now and then: as many faults as a plane takes may be more work
    /// than a lease lasts.
    pub fn install(
        plan: &Plan,
        plane: &mut Plane,
        netems: &[NetemOf],
        vouch: impl FnMut(&mut Plane),
    ) -> Result<Self, PlaneError> {
        let slot = plane.reserve_run()?;
        let mut packets = Self {
            plane: plane.number(),
            netems: Vec::new(),
            before: Before::now(plane)?,
            slot,
            installed: Vec::new(),
            cgroup: None,
            start_ns: u64::MAX,
        };
        match packets.fill(plan, plane, netems, vouch) {
            Ok(()) => Ok(packets),
            Err(e) => {
                // The plane goes on for others: what could not be taken out is disarmed all the same.
                let _told_by_the_error = packets.take_out(plane);
                Err(e)
            }
        }
    }

    fn fill(
        &mut self,
        plan: &Plan,
        plane: &mut Plane,
        netems: &[NetemOf],
        mut vouch: impl FnMut(&mut Plane),
    ) -> Result<(), PlaneError> {
        if let Some(cgroup) = plan.scope.sockets() {
            plane.attach_cgroup(cgroup)?;
            self.cgroup = Some(cgroup.id);
        }
        for (place, planned) in plan.faults.iter().enumerate() {
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

    /// From here on they act.
    pub fn arm(&mut self, plane: &mut Plane, start_ns: u64, deadline_ns: u64) {
        self.start_ns = start_ns;
        plane.arm(self.slot, start_ns, deadline_ns);
    }

    /// From here on they do not.
    pub fn disarm(&self, plane: &mut Plane) {
        plane.disarm(self.slot);
    }

    /// Takes them out; what went wrong.
    pub fn take_out(&mut self, plane: &mut Plane) -> Vec<String> {
        self.disarm(plane);
        let mut problems = Vec::new();
        for installed in self.installed.drain(..).rev() {
            plane.leave_netem(installed.number);
            if let Err(e) = plane.uninstall(installed.number) {
                problems.push(format!(
                    "{e}; the fault is disarmed all the same, and goes when chaosd ends"
                ));
            }
        }
        if let Some(id) = self.cgroup.take() {
            plane.detach_cgroup(id);
        }
        plane.release_run(self.slot);
        problems
    }

    /// True when its packets go through such a pair.
    pub fn needs(&self, plan: &Plan, role: Role) -> bool {
        let mut matchers = plan.faults.iter().map(|f| &f.rule.matcher);
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
        peers: PeerSet,
    ) -> Result<(), PlaneError> {
        self.installed
            .get(fault)
            .map_or(Ok(()), |i| plane.change_peers(i.number, peers))
    }

    /// What each of them did.
    pub fn reports(&self, plan: &Plan, plane: &Plane) -> Vec<FaultReport> {
        let queries = Queries::since(self.start_ns, plane);
        let faults = plan.faults.iter().zip(&self.installed);
        let mut reports: Vec<FaultReport> = faults
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
                let kind = &planned.spec.kind;
                let mut report = FaultReport {
                    name: planned.spec.name.clone(),
                    kind: kind.name().into(),
                    part_of: planned.part_of.clone(),
                    what: planned.what.clone(),
                    ingress: count(INGRESS),
                    egress: count(EGRESS),
                    verdict: Verdict::NoTraffic,
                    dns: None,
                    effect: None,
                };
                let total = report.total();
                report.verdict = verdict(total);
                report.dns = queries.report(plane, installed.number, kind, total);
                report
            })
            .collect();
        excuse_parts(&mut reports);
        reports
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
