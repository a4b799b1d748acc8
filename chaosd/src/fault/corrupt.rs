//! `corrupt`: payload bits flip, noticed by the receiver's checksum or not.

use chaosd_ebpf::{Fault, Kind, PER_SEGMENT, UNDETECTED};

use crate::{
    bpf::Steering,
    profile::{Corrupt, CorruptMode},
};

use super::PacketFault;

impl PacketFault for Corrupt {
    fn name(&self) -> &'static str {
        "corrupt"
    }

    fn what(&self) -> String {
        let bits = if self.bits == 1 {
            "1 bit".into()
        } else {
            format!("{} bits", self.bits)
        };
        let seen = match self.mode {
            CorruptMode::Detected => "the checksum fails",
            CorruptMode::Undetected => "the checksum is kept right",
        };
        format!("flips {bits} ({seen}) in {} of packets", self.rate)
    }

    fn mechanism(&self) -> String {
        match self.mode {
            CorruptMode::Detected => {
                "the detour, whose device has no checksum offload: the sum in the packet is the old one"
            }
            CorruptMode::Undetected => {
                "tcx, the layer 4 checksum updated; TCP and super-packets in the detour"
            }
        }
        .into()
    }

    fn steering(&self) -> Steering {
        match self.mode {
            CorruptMode::Detected => Steering::Always,
            CorruptMode::Undetected => Steering::Segments,
        }
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Corrupt as u32;
        fault.rate = self.rate.fixed_point();
        fault.count = self.bits;
        fault.flags |= PER_SEGMENT;
        if self.mode == CorruptMode::Undetected {
            fault.flags |= UNDETECTED;
        }
    }
}
