//! Programs onto the interfaces of a plane, and off again, by what the kernel has.
//!
//! A tcx link goes with the process, and needs no record. Filters stay behind, so each interface
//! that gets some has a journal, written before they are hung.

use std::{os::fd::AsFd, sync::Arc};

use crate::{
    bpf::{Mechanism, Plane, PlaneError},
    instance::Instance,
    netlink::filters,
    plan::Interface,
    txn::{Applied, Txn},
    undo::{Filters, NetnsId, RevertReport, System, Undo},
};

use super::planes::{Held, OpenError};

impl Held {
    /// Puts the programs on an interface, and the faults that want it. Idempotent.
    pub fn attach(
        &mut self,
        interface: &Interface,
        instance: &Instance,
        system: &Arc<dyn System>,
    ) -> Result<(), OpenError> {
        let new = self.plane.attached().all(|(i, _)| i != interface.index);
        if new && self.plane.mechanism() == Mechanism::Clsact {
            let applied = hang(&self.plane, interface, instance, system)?;
            self.filters.insert(interface.index, applied);
        }
        let attached = self.plane.attach(interface);
        if attached.is_err() {
            let undone = self.take_off(interface.index);
            if !undone.is_clean() {
                tracing::error!("{undone}");
            }
        }
        Ok(attached?)
    }

    /// Takes one program off an interface, or lets one go; false: nothing is left on any.
    pub fn take_one_off(&mut self, report: &mut RevertReport) -> bool {
        if self.plane.take_one_off() {
            return true;
        }
        let index = self.plane.attached().next().map(|(index, _)| index);
        let Some(index) = index.or_else(|| self.filters.keys().next().copied()) else {
            return false;
        };
        self.plane.release(index);
        report.merge(self.take_off(index));
        true
    }

    /// Takes the programs off an interface (which may be gone).
    pub fn detach(&mut self, index: u32) -> RevertReport {
        self.plane.detach(index);
        self.take_off(index)
    }

    /// The filters alone.
    pub fn take_off(&mut self, index: u32) -> RevertReport {
        let applied = self.filters.remove(&index);
        applied.map(Applied::revert).unwrap_or_default()
    }
}

fn hang(
    plane: &Plane,
    interface: &Interface,
    instance: &Instance,
    system: &Arc<dyn System>,
) -> Result<Applied, OpenError> {
    let netns = plane.netns();
    let fd = netns.fd.as_fd();
    let (index, name) = (interface.index, &interface.name);
    let owner = format!("plane-{}-on-{index}", plane.number());
    let mut txn = Txn::begin(instance.journal(&owner)?, Arc::clone(system));
    let programs = plane.programs()?;
    let wrong = |source| PlaneError::Hang {
        interface: name.clone(),
        source,
    };
    let prepared = filters::prepare(fd, index, name, plane.number(), &programs).map_err(wrong)?;
    let undo = Filters {
        netns: NetnsId::from(netns),
        interface: name.clone(),
        index,
        clsact: prepared.clsact(),
        filters: prepared.filters().to_vec(),
    };
    let ours = undo.filters.clone();
    txn.step(
        Undo::Filters(undo),
        || Ok(prepared.make()?),
        |()| {
            if filters::all_hang(fd, index, &ours)? {
                Ok(())
            } else {
                Err(format!("the kernel does not list the filters of {name}").into())
            }
        },
    )?;
    Ok(txn.commit()?)
}
