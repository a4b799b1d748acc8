//! `partition`: nothing gets through, of new flows and of established ones.

use chaosd_ebpf::{Fault, Kind, ONE};

use crate::bpf::Steering;

use super::PacketFault;

/// The kind has no parameters of its own.
pub(super) struct Partition;

impl PacketFault for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn what(&self) -> String {
        "loses every packet".into()
    }

    fn mechanism(&self) -> String {
        "tcx, in place; silent to the local sender".into()
    }

    fn steering(&self) -> Steering {
        Steering::Never
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Drop as u32;
        fault.rate = ONE;
    }
}
