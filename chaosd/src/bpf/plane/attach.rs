//! Programs on interfaces, on the detour and on cgroups.

use std::os::fd::AsFd;

use aya::programs::{
    CgroupAttachMode, CgroupSkbAttachType, LinkOrder, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use chaosd_ebpf::{Bits, MAX_SLOTS};

use super::{Object, Plane, PlaneError, map_error};
use crate::{
    bpf::{Mechanism, object},
    netlink::in_netns,
    plan::{Cgroup, Interface, Netns},
};

/// An interface with our programs on it.
#[derive(Debug)]
pub(super) struct Attached {
    pub name: String,
    pub slot: u32,
    pub ethernet: bool,
    pub default: bool,
    pub loopback: bool,
    pub bits: [Bits; 2],
    /// Empty where filters hang, whose maker takes them off.
    links: Vec<SchedClassifierLink>,
}

impl Plane {
    /// Puts the programs on `interface`, and the faults that want it. Idempotent. Where links are not
    /// to be had, [`Plane::programs`] hang there already.
    pub fn attach(&mut self, interface: &Interface) -> Result<(), PlaneError> {
        if let Some(a) = self.attached.get_mut(&interface.index) {
            a.name.clone_from(&interface.name);
            a.default = interface.default;
            self.write_iface(interface.index);
            return Ok(());
        }
        // Its own slot if it is free: the programs look there first.
        let own = interface.index % MAX_SLOTS;
        let slot = std::iter::once(own)
            .chain(0..MAX_SLOTS)
            .find(|s| self.attached.values().all(|a| a.slot != *s))
            .ok_or(PlaneError::Full {
                what: "interfaces",
                max: MAX_SLOTS as usize,
            })?;
        // The kernel takes a program once.
        self.released.clear();
        let links = match self.mechanism {
            Mechanism::Clsact => Vec::new(),
            Mechanism::Tcx => vec![
                attach(
                    &mut self.object,
                    &self.netns,
                    "egress",
                    &interface.name,
                    TcAttachType::Egress,
                )?,
                attach(
                    &mut self.object,
                    &self.netns,
                    "ingress",
                    &interface.name,
                    TcAttachType::Ingress,
                )?,
            ],
        };
        if slot != own {
            self.object
                .moved
                .insert(interface.index, slot, 0)
                .map_err(map_error("MOVED"))?;
        }
        self.forget_seen(slot)?;
        self.attached.insert(
            interface.index,
            Attached {
                name: interface.name.clone(),
                slot,
                ethernet: interface.ethernet,
                default: interface.default,
                loopback: interface.loopback,
                bits: [Bits::NONE; 2],
                links,
            },
        );
        self.write_iface(interface.index);
        Ok(())
    }

    /// Takes the programs off an interface (which may be gone).
    pub fn detach(&mut self, index: u32) {
        if let Some(a) = self.attached.remove(&index) {
            let slot = a.slot;
            drop(a);
            self.object.ifaces.update(slot as usize, |i| i.index = 0);
            if slot != index % MAX_SLOTS
                && let Err(e) = self.object.moved.remove(&index)
            {
                tracing::debug!("interface {index} had no slot: {e}");
            }
        }
    }

    /// Lets an interface of a plane without faults go: its programs are to be taken off, by
    /// [`Plane::take_one_off`]. Packets that are in the detour still find their way back to it.
    pub fn release(&mut self, index: u32) {
        if let Some(mut a) = self.attached.remove(&index) {
            self.released.append(&mut a.links);
        }
    }

    /// Takes one program off an interface that was released: a grace period of the kernel's, with its lock
    /// on all interfaces held (`net/tcx.h`, `tcx_entry_sync`). False when there is none.
    pub fn take_one_off(&mut self) -> bool {
        self.released.pop().is_some()
    }

    /// Interfaces that carry the programs.
    pub fn attached(&self) -> impl Iterator<Item = (u32, &str)> {
        self.attached.iter().map(|(i, a)| (*i, a.name.as_str()))
    }

    /// Puts the cgroup program on a target cgroup, once however many faults name it.
    pub fn attach_cgroup(&mut self, cgroup: &Cgroup) -> Result<(), PlaneError> {
        if let Some((_, users)) = self.cgroups.get_mut(&cgroup.id) {
            *users += 1;
            return Ok(());
        }
        let wrong = |source| PlaneError::Attach {
            interface: cgroup.path.display().to_string(),
            source,
        };
        let program = object::cgroup_ingress(&mut self.object.ebpf)?;
        let id = program
            .attach(
                cgroup.fd.as_fd(),
                CgroupSkbAttachType::Ingress,
                CgroupAttachMode::Single,
            )
            .map_err(wrong)?;
        let link = program.take_link(id).map_err(wrong)?;
        self.cgroups.insert(cgroup.id, (link, 1));
        Ok(())
    }

    /// Undoes one [`Plane::attach_cgroup`].
    pub fn detach_cgroup(&mut self, id: u64) {
        if let Some((_, users)) = self.cgroups.get_mut(&id) {
            *users -= 1;
            if *users == 0 {
                self.cgroups.remove(&id);
            }
        }
    }
}

/// Attaches first in the tcx order, so that nobody's verdict hides packets from us, and reads back
/// that the kernel lists the program.
pub(super) fn attach(
    object: &mut Object,
    netns: &Netns,
    program: &'static str,
    interface: &str,
    hook: TcAttachType,
) -> Result<SchedClassifierLink, PlaneError> {
    let wrong = |source| PlaneError::Attach {
        interface: interface.into(),
        source,
    };
    let classifier = object::classifier(&mut object.ebpf, program)?;
    in_netns(netns.fd.as_fd(), || {
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = classifier
            .attach_with_options(interface, hook, order)
            .map_err(wrong)?;
        let link = classifier.take_link(id).map_err(wrong)?;
        let own = classifier.info().map_err(wrong)?.id();
        let (_, programs) = SchedClassifier::query_tcx(interface, hook).map_err(wrong)?;
        if programs.iter().any(|p| p.id() == own) {
            Ok(link)
        } else {
            Err(PlaneError::NotAttached {
                interface: interface.into(),
            })
        }
    })
    .map_err(PlaneError::Netns)?
}
