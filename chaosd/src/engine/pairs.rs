//! The devices of a plane: made in transactions of their own, undone.
//!
//! Invariant: what is to come out of one before it is deleted is waited for by [`super::leaving`].

use std::{os::fd::AsFd, sync::Arc};

use crate::{
    bpf::Plane,
    instance::Instance,
    netlink::{
        self, PLANES,
        detour::{self, Detour, Names, Role, Spec},
        qdisc::{self, Fq},
    },
    txn::{Applied, Txn},
    undo::{Link, NetnsId, RevertReport, System, Undo},
};

use super::planes::{NetemOf, OpenError};

/// Of a pair, in bytes: an interface that comes later may have any MTU.
const LARGEST_MTU: u32 = 65_535;

/// The pairs of one plane.
#[derive(Default)]
pub(super) struct Pairs {
    segment: Option<Applied>,
    hold: Option<Applied>,
    netems: Vec<Netem>,
}

/// The netem of one fault.
struct Netem {
    number: u8,
    applied: Applied,
}

/// Who makes a pair, and where.
pub(super) struct Maker<'a> {
    pub instance: &'a Instance,
    pub system: &'a Arc<dyn System>,
}

impl Pairs {
    /// The pair that splits super-packets, unless it is there.
    pub fn want_segment(&mut self, plane: &mut Plane, maker: &Maker) -> Result<(), OpenError> {
        if !plane.has_detour() {
            let spec = Spec::segment(LARGEST_MTU);
            let (_, applied) = make(plane, maker, "detour", &spec, |plane, made| {
                plane.use_detour(made)
            })?;
            self.segment = Some(applied);
        }
        Ok(())
    }

    /// The hold queue, unless it is there.
    pub fn want_hold(&mut self, plane: &mut Plane, maker: &Maker) -> Result<(), OpenError> {
        if !plane.has_hold() {
            let spec = Spec::hold(LARGEST_MTU, Fq::holding(capacity()));
            let (_, applied) = make(plane, maker, "hold", &spec, |plane, made| {
                plane.use_hold(made)
            })?;
            self.hold = Some(applied);
        }
        Ok(())
    }

    /// A netem of its own; nothing is steered into it yet. Returns its number and its device.
    pub fn add_netem(
        &mut self,
        plane: &mut Plane,
        maker: &Maker,
        netem: qdisc::Netem,
    ) -> Result<(u8, Detour), OpenError> {
        let number = (0..=u8::MAX)
            .find(|n| self.netems.iter().all(|netem| netem.number != *n))
            .ok_or(OpenError::Full)?;
        let spec = Spec::netem(number, LARGEST_MTU, netem);
        let name = format!("netem-{number}");
        let (device, applied) = make(plane, maker, &name, &spec, |_, _| Ok(()))?;
        self.netems.push(Netem { number, applied });
        Ok((number, device))
    }

    /// Which of the pairs somebody deleted or set down. `plane` steers nothing into them any more.
    pub fn lost(&mut self, plane: &mut Plane) -> Vec<Role> {
        let Ok(up) = netlink::ours_up(plane.netns().fd.as_fd()) else {
            return Vec::new();
        };
        let gone = |role| {
            let pair = names(plane, role);
            !(up.contains(&pair.tx) && up.contains(&pair.rx))
        };
        let mut lost = Vec::new();
        if plane.has_detour() && gone(Role::Segment) {
            lost.push(Role::Segment);
        }
        if plane.has_hold() && gone(Role::Hold) {
            lost.push(Role::Hold);
        }
        let netems = self.netems.iter().map(|netem| Role::Netem(netem.number));
        lost.extend(netems.filter(|role| gone(*role)));
        for role in &lost {
            let pair = match role {
                Role::Segment => {
                    plane.lose_detour();
                    self.segment.take()
                }
                Role::Hold => {
                    plane.lose_hold();
                    self.hold.take()
                }
                // With the run that it is of.
                Role::Netem(_) => None,
            };
            // Its journal makes room for that of the next one.
            let report = pair.map(Applied::revert).unwrap_or_default();
            if !report.is_clean() {
                tracing::error!("{report}");
            }
        }
        lost
    }

    /// Deletes these netems, with what is in them. `vouch` is called all the while.
    pub fn drop_netems(
        &mut self,
        plane: &mut Plane,
        netems: &[NetemOf],
        mut vouch: impl FnMut(&mut Plane),
    ) -> RevertReport {
        let mut report = RevertReport::default();
        for NetemOf { number, device, .. } in netems {
            vouch(plane);
            let at = self.netems.iter().position(|n| n.number == *number);
            if let Some(at) = at {
                report.merge(self.netems.swap_remove(at).applied.revert());
            }
            plane.lose_netem(device.rx);
        }
        report
    }

    /// Deletes every pair, the newest first.
    pub fn revert(self) -> RevertReport {
        let mut report = RevertReport::default();
        let netems = self.netems.into_iter().rev().map(|netem| netem.applied);
        for applied in netems.chain(self.hold).chain(self.segment) {
            report.merge(applied.revert());
        }
        report
    }
}

/// The device, then the program at its far end: no packet is steered before both stand.
fn make(
    plane: &mut Plane,
    maker: &Maker,
    journal: &str,
    spec: &Spec,
    equip: impl FnOnce(&mut Plane, &Detour) -> Result<(), crate::bpf::PlaneError>,
) -> Result<(Detour, Applied), OpenError> {
    let netns = plane.netns().clone();
    let names = names(plane, spec.role);
    let journal = maker
        .instance
        .journal(&format!("plane-{}-{journal}", plane.number()))?;
    let mut txn = Txn::begin(journal, Arc::clone(maker.system));
    let link = Link {
        netns: NetnsId::from(&netns),
        name: names.tx,
        alias: names.alias,
    };
    let made = txn.step(
        Undo::Link(link),
        || {
            let (instance, number) = place(plane);
            let made = detour::create(netns.fd.as_fd(), instance, number, spec)?;
            equip(plane, &made)?;
            Ok(made)
        },
        // Both verify what they did themselves: offloads, addresses, the queue, the program.
        |_| Ok(()),
    )?;
    Ok((made, txn.commit()?))
}

/// What a plane's devices are called.
fn names(plane: &Plane, role: Role) -> Names {
    let (instance, number) = place(plane);
    detour::names(instance, number, role)
}

/// The instance that a plane's number is one of, and which of its numbers.
fn place(plane: &Plane) -> (u32, u32) {
    (plane.number() / PLANES, plane.number() % PLANES)
}

/// Packets that the hold queue takes: as many as fit an eighth of the memory, at 2 KiB for a packet
/// of 1500 bytes with what the kernel adds to it (`skb->truesize`).
fn capacity() -> u32 {
    const PACKET: u64 = 2048;
    const LEAST: u64 = 1 << 16;
    let memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
    let packets = (memory / 8 / PACKET).clamp(LEAST, 1 << 24);
    u32::try_from(packets).unwrap_or(u32::MAX)
}
