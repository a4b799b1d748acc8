//! The devices of a plane: what is steered into them, and the programs at their far ends.
//!
//! Invariant: a program stands at the far end before anything is steered in, and nothing is steered
//! in any more before it goes.

use std::{collections::BTreeMap, os::fd::AsFd};

use aya::programs::{TcAttachType, tc::SchedClassifierLink};
use chaosd_ebpf::Control;

use super::{Plane, PlaneError, attach::attach, map_error};
use crate::{
    bpf::{Mechanism, tables::write_control},
    netlink::{filters, in_netns},
    undo::Hook,
};

/// The program at the far end of a pair.
#[derive(Debug)]
enum FarEnd {
    Link {
        _link: SchedClassifierLink,
    },
    /// It goes with the device, which is ours.
    Filter,
}

/// What stands at the far ends.
#[derive(Debug, Default)]
pub(super) struct Devices {
    segmenting: Option<FarEnd>,
    hold: Option<FarEnd>,
    /// By fault.
    netems: BTreeMap<u8, Netem>,
}

#[derive(Debug)]
struct Netem {
    rx: u32,
    _end: FarEnd,
}

impl Plane {
    /// Sends packets one wire segment at a time through this pair from now on.
    pub fn use_detour(&mut self, tx: u32, rx_name: &str) -> Result<(), PlaneError> {
        self.devices.segmenting = Some(self.at_far_end("detour", rx_name)?);
        self.steer(|c| c.detour = tx);
        Ok(())
    }

    /// Holds packets in this pair's queue from now on.
    pub fn use_hold(&mut self, tx: u32, rx_name: &str) -> Result<(), PlaneError> {
        self.devices.hold = Some(self.at_far_end("release", rx_name)?);
        self.steer(|c| c.hold = tx);
        Ok(())
    }

    /// Sends what fault `n` matches through the netem of this pair from now on.
    pub fn use_netem(&mut self, n: u8, tx: u32, rx: u32, rx_name: &str) -> Result<(), PlaneError> {
        let end = self.at_far_end("detour", rx_name)?;
        self.object
            .netem_ends
            .insert(rx, u32::from(n), 0)
            .map_err(map_error("NETEM_ENDS"))?;
        let netem = Netem { rx, _end: end };
        self.devices.netems.insert(n, netem);
        self.object
            .netems
            .set(n.into(), tx, 0)
            .map_err(map_error("NETEMS"))
    }

    /// Steers nothing more into the netem of fault `n`. Its program stays until
    /// [`Plane::lose_netem`]: what is in its queue still comes out.
    pub fn leave_netem(&mut self, n: u8) {
        if let Err(e) = self.object.netems.set(n.into(), 0, 0) {
            tracing::warn!("fault {n} is still steered into its netem: {e}");
        }
    }

    /// Takes the program off the far end of a netem.
    pub fn lose_netem(&mut self, rx: u32) {
        self.devices.netems.retain(|_, netem| netem.rx != rx);
        if let Err(e) = self.object.netem_ends.remove(&rx) {
            tracing::debug!("device {rx} was no netem: {e}");
        }
    }

    fn at_far_end(&mut self, program: &'static str, rx_name: &str) -> Result<FarEnd, PlaneError> {
        match self.mechanism {
            Mechanism::Tcx => {
                let ingress = TcAttachType::Ingress;
                let link = attach(&mut self.object, &self.netns, program, rx_name, ingress)?;
                Ok(FarEnd::Link { _link: link })
            }
            Mechanism::Clsact => {
                self.hang_at(program, rx_name)?;
                Ok(FarEnd::Filter)
            }
        }
    }

    /// On a device of our own nothing has to be recorded: what hangs there goes with it.
    fn hang_at(&self, program: &'static str, device: &str) -> Result<(), PlaneError> {
        let netns = self.netns.fd.as_fd();
        let wrong = |source| PlaneError::Hang {
            interface: device.into(),
            source,
        };
        let index = in_netns(netns, || nix::net::if_::if_nametoindex(device))
            .map_err(PlaneError::Netns)?
            .map_err(|errno| PlaneError::Netns(errno.into()))?;
        let program = [self.program_at(Hook::Ingress, program)?];
        let prepared =
            filters::prepare(netns, index, device, self.number, &program).map_err(wrong)?;
        let ours = prepared.filters().to_vec();
        prepared.make().map_err(wrong)?;
        if filters::all_hang(netns, index, &ours).map_err(wrong)? {
            Ok(())
        } else {
            Err(PlaneError::NotAttached {
                interface: device.into(),
            })
        }
    }

    fn steer(&mut self, change: impl FnOnce(&mut Control)) {
        let mut control = self.object.control.get(0);
        change(&mut control);
        write_control(&mut self.object.control, &control);
    }

    /// Takes the programs off one interface; false when there is none left. Steering stops first.
    pub fn shut_one(&mut self) -> bool {
        self.stop_steering();
        self.attached.pop_first().is_some()
    }

    /// Takes everything off: first nothing is steered any more, then the programs at the far ends go.
    pub fn shut(&mut self) {
        self.stop_steering();
        self.attached.clear();
        self.cgroups.clear();
        self.steer(|c| (c.detour, c.hold) = (0, 0));
        self.devices = Devices::default();
    }

    /// Every packet passes from now on, and what is in a device comes out.
    pub fn stop_steering(&mut self) {
        self.lease(0);
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
}
