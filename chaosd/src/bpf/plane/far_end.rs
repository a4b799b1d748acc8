//! The program where packets come out of a pair.

use std::os::fd::{AsFd, OwnedFd};

use aya::programs::{TcAttachType, tc::SchedClassifierLink};

use super::{Plane, PlaneError, attach::attach};
use crate::{
    bpf::{Mechanism, object},
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
    /// It sees what the far end receives.
    Received { _link: SchedClassifierLink },
    /// The same, and it goes with the device, which is ours.
    Filter,
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
            Kind::Veth => match self.hang_at(program, pair) {
                Ok(()) => Ok(FarEnd::Filter),
                // A kernel that has tcx may lack what filters need.
                Err(error) if self.mechanism == Mechanism::Tcx => {
                    tracing::debug!(device = pair.rx_name, "no filter: {error}");
                    let (object, ingress) = (&mut self.object, TcAttachType::Ingress);
                    let link = attach(object, &self.netns, program, &pair.rx_name, ingress)?;
                    Ok(FarEnd::Received { _link: link })
                }
                Err(error) => Err(error),
            },
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
    /// cost a whole grace period when it comes and when it goes (`net/tcx.h`, `tcx_entry_sync`), for which
    /// every container waits that is being made; a filter makes do with an expedited one
    /// (`net/sched/sch_generic.c`, `mini_qdisc_pair_swap`).
    fn hang_at(&self, program: &'static str, pair: &Detour) -> Result<(), PlaneError> {
        let netns = self.netns.fd.as_fd();
        let device = pair.rx_name.as_str();
        let wrong = |source| PlaneError::Hang {
            interface: device.into(),
            source,
        };
        let program = [self.program_at(Hook::Ingress, program)?];
        let prepared = filters::prepare_own(netns, pair.rx, device, self.number, &program);
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
