//! The program where packets come out of a pair.

use std::os::fd::{AsFd, OwnedFd};

use super::{Plane, PlaneError};
use crate::{
    bpf::object,
    netlink::{
        detour::{Detour, Kind},
        filters, in_netns,
    },
    sys::netkit,
    undo::Hook,
};

/// What holds the program there; it goes when this does.
#[derive(Debug)]
pub(super) enum FarEnd {
    /// It sees what the near end sends.
    Sent { _link: OwnedFd },
    /// It sees what the far end receives, and goes with the device, which is ours.
    Received,
}

impl Plane {
    /// Puts `program` where packets come out of `pair`.
    pub(super) fn at_far_end(
        &mut self,
        program: &'static str,
        pair: &Detour,
    ) -> Result<FarEnd, PlaneError> {
        match pair.kind {
            Kind::Netkit => self.link_to_netkit(program, pair),
            Kind::Veth => {
                self.hang_at(program, pair)?;
                Ok(FarEnd::Received)
            }
        }
    }

    /// Reads back that the kernel lists the program.
    fn link_to_netkit(
        &mut self,
        program: &'static str,
        pair: &Detour,
    ) -> Result<FarEnd, PlaneError> {
        let interface = || pair.tx_name.clone();
        let wrong = |source| PlaneError::Attach {
            interface: interface(),
            source,
        };
        let classifier = object::classifier(&mut self.object.ebpf, program)?;
        let own = classifier.info().map_err(wrong)?.id();
        let fd = classifier.fd().map_err(wrong)?.as_fd();
        in_netns(self.netns.fd.as_fd(), || {
            let link = netkit::attach(fd, pair.tx).map_err(|e| wrong(e.into()))?;
            let there = netkit::attached(pair.tx).map_err(|e| wrong(e.into()))?;
            if there.contains(&own) {
                Ok(FarEnd::Sent { _link: link })
            } else {
                Err(PlaneError::NotAttached {
                    interface: interface(),
                })
            }
        })
        .map_err(PlaneError::Netns)?
    }

    /// On a device of our own nothing has to be recorded: what hangs there goes with it. A link would
    /// cost a grace period, twice (`net/tcx.h`, `tcx_entry_sync`), for which every container waits that
    /// is being made.
    fn hang_at(&self, program: &'static str, pair: &Detour) -> Result<(), PlaneError> {
        let netns = self.netns.fd.as_fd();
        let device = pair.rx_name.as_str();
        let wrong = |source| PlaneError::Hang {
            interface: device.into(),
            source,
        };
        let program = [self.program_at(Hook::Ingress, program)?];
        let prepared =
            filters::prepare(netns, pair.rx, device, self.number, &program).map_err(wrong)?;
        let ours = prepared.filters().to_vec();
        prepared.make().map_err(wrong)?;
        if filters::all_hang(netns, pair.rx, &ours).map_err(wrong)? {
            Ok(())
        } else {
            Err(PlaneError::NotAttached {
                interface: device.into(),
            })
        }
    }
}
