//! Programs on interfaces, on the detour and on cgroups.

use std::os::fd::{AsFd, OwnedFd};

use aya::programs::{
    CgroupAttachMode, CgroupSkbAttachType, LinkOrder, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use chaosd_ebpf::{Bits, MAX_SLOTS};

use super::{Object, Plane, PlaneError, map_error};
use crate::{
    bpf::object,
    netlink::detour::{Detour, Kind},
    plan::{Cgroup, Interface, Netns},
    sys::netkit,
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
    _links: [SchedClassifierLink; 2],
}

impl Plane {
    /// Puts the programs on `interface`, and the faults that want it. Idempotent.
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
        let links = [
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
        ];
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
                _links: links,
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

/// A program where packets come out of a pair; goes when this does.
#[derive(Debug)]
pub(super) enum FarEnd {
    /// What the far end receives.
    Received { _link: SchedClassifierLink },
    /// What the near end sends.
    Sent { _link: OwnedFd },
}

/// Puts `program` where packets come out of `pair`.
pub(super) fn at_far_end(
    object: &mut Object,
    netns: &Netns,
    program: &'static str,
    pair: &Detour,
) -> Result<FarEnd, PlaneError> {
    match pair.kind {
        Kind::Veth => attach(object, netns, program, &pair.rx_name, TcAttachType::Ingress)
            .map(|link| FarEnd::Received { _link: link }),
        Kind::Netkit => attach_netkit(object, netns, program, pair),
    }
}

/// Reads back that the kernel lists the program.
fn attach_netkit(
    object: &mut Object,
    netns: &Netns,
    program: &'static str,
    pair: &Detour,
) -> Result<FarEnd, PlaneError> {
    let interface = || pair.tx_name.clone();
    let wrong = |source| PlaneError::Attach {
        interface: interface(),
        source,
    };
    let classifier = object::classifier(&mut object.ebpf, program)?;
    let own = classifier.info().map_err(wrong)?.id();
    let fd = classifier.fd().map_err(wrong)?.as_fd();
    crate::netlink::in_netns(netns.fd.as_fd(), || {
        let link = netkit::attach(fd, pair.tx).map_err(|e| wrong(e.into()))?;
        if netkit::attached(pair.tx)
            .map_err(|e| wrong(e.into()))?
            .contains(&own)
        {
            Ok(FarEnd::Sent { _link: link })
        } else {
            Err(PlaneError::NotAttached {
                interface: interface(),
            })
        }
    })
    .map_err(PlaneError::Netns)?
}

/// Attaches first in the tcx order, so that nobody's verdict hides packets from us, and reads back
/// that the kernel lists the program.
fn attach(
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
    crate::netlink::in_netns(netns.fd.as_fd(), || {
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
