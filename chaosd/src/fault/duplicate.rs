//! `duplicate`: packets arrive more than once.

use chaosd_ebpf::{Fault, Kind, PER_SEGMENT};

use crate::{bpf::Steering, profile::Duplicate};

use super::{PacketFault, delay::BY_SEGMENT};

impl PacketFault for Duplicate {
    fn name(&self) -> &'static str {
        "duplicate"
    }

    fn what(&self) -> String {
        match self.copies {
            1 => format!("sends twice {} of packets", self.rate),
            copies => format!("sends {} times {} of packets", copies + 1, self.rate),
        }
    }

    fn mechanism(&self) -> String {
        format!("tcx clones the packet; {BY_SEGMENT}")
    }

    fn steering(&self) -> Steering {
        Steering::Segments
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Duplicate as u32;
        fault.rate = self.rate.fixed_point();
        fault.count = self.copies;
        fault.flags |= PER_SEGMENT;
    }
}
