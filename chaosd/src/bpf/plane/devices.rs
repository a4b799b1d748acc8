//! The devices of a plane: what is steered into them, and the programs at their far ends.
//!
//! Invariant: a program stands at the far end before anything is steered in, and nothing is steered
//! in any more before it goes.

use std::collections::BTreeMap;

use chaosd_ebpf::Control;

use super::{Plane, PlaneError, far_end::FarEnd, map_error};
use crate::{bpf::tables::write_control, netlink::detour::Detour};

/// What stands at the far ends.
#[derive(Debug, Default)]
pub(super) struct Devices {
    segmenting: Option<FarEnd>,
    hold: Option<FarEnd>,
    /// By ifindex of the far end, and not by fault: one that lets go what it holds outlives its fault,
    /// whose number is another's by then.
    netems: BTreeMap<u32, FarEnd>,
}

impl Plane {
    /// Sends packets one wire segment at a time through this pair from now on.
    pub fn use_detour(&mut self, pair: &Detour) -> Result<(), PlaneError> {
        self.devices.segmenting = Some(self.at_far_end("detour", pair)?);
        self.steer(|c| c.detour = pair.tx);
        Ok(())
    }

    /// Holds packets in this pair's queue from now on.
    pub fn use_hold(&mut self, pair: &Detour) -> Result<(), PlaneError> {
        self.devices.hold = Some(self.at_far_end("release", pair)?);
        self.steer(|c| c.hold = pair.tx);
        Ok(())
    }

    /// Sends what fault `n` matches through the netem of this pair from now on.
    pub fn use_netem(&mut self, n: u8, pair: &Detour) -> Result<(), PlaneError> {
        let end = self.at_far_end("detour", pair)?;
        self.object
            .netem_ends
            .insert(pair.rx, u32::from(n), 0)
            .map_err(map_error("NETEM_ENDS"))?;
        self.devices.netems.insert(pair.rx, end);
        self.object
            .netems
            .set(n.into(), pair.tx, 0)
            .map_err(map_error("NETEMS"))
    }

    /// Steers nothing more into the netem of fault `n`. Its program stays until
    /// [`Plane::lose_netem`]: what is in its queue still comes out.
    pub fn leave_netem(&mut self, n: u8) {
        if let Err(e) = self.object.netems.set(n.into(), 0, 0) {
            tracing::warn!("fault {n} is still steered into its netem: {e}");
        }
    }

    /// Forgets a netem, whose device is gone.
    pub fn lose_netem(&mut self, rx: u32) {
        self.devices.netems.remove(&rx);
        if let Err(e) = self.object.netem_ends.remove(&rx) {
            tracing::debug!("device {rx} was no netem: {e}");
        }
    }

    fn steer(&mut self, change: impl FnOnce(&mut Control)) {
        let mut control = self.object.control.get(0);
        change(&mut control);
        write_control(&mut self.object.control, &control);
    }

    /// Takes everything off: first nothing is steered any more, then the links at the far ends go; filters
    /// go with their devices.
    pub fn shut(&mut self) {
        self.lease(0);
        self.attached.clear();
        self.released.clear();
        self.cgroups.clear();
        self.steer(|c| (c.detour, c.hold) = (0, 0));
        self.devices = Devices::default();
    }

    /// Forgets a segmenting pair that somebody deleted.
    pub fn lose_detour(&mut self) {
        self.steer(|c| c.detour = 0);
        self.devices.segmenting = None;
    }

    /// Forgets a hold queue that somebody deleted.
    pub fn lose_hold(&mut self) {
        self.steer(|c| c.hold = 0);
        self.devices.hold = None;
    }

    /// True when it has a segmenting pair.
    pub fn has_detour(&self) -> bool {
        self.devices.segmenting.is_some()
    }

    /// True when it has a hold queue.
    pub fn has_hold(&self) -> bool {
        self.devices.hold.is_some()
    }

    /// ifindex of the hold queue's device, if there is one.
    pub fn hold_device(&self) -> Option<u32> {
        let device = self.object.control.get(0).hold;
        (self.has_hold() && device != 0).then_some(device)
    }
}
