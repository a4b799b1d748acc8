//! `reset`: TCP connections end with a RST to one end or both.

use chaosd_ebpf::{Fault, Kind, PER_SEGMENT, RESET_LOCAL, RESET_REMOTE};

use crate::{
    bpf::Steering,
    profile::{Reset, ResetEnd},
};

use super::PacketFault;

const IPPROTO_TCP: u8 = 6;

impl PacketFault for Reset {
    fn name(&self) -> &'static str {
        "reset"
    }

    fn what(&self) -> String {
        let to = match self.to {
            ResetEnd::Both => "both ends",
            ResetEnd::Local => "the target's end",
            ResetEnd::Remote => "the peer's end",
        };
        if self.rate.get() >= 100.0 {
            format!("resets TCP connections at {to}")
        } else {
            format!("resets TCP connections at {to} at {} of packets", self.rate)
        }
    }

    fn mechanism(&self) -> String {
        "the detour: the segment is rewritten as a RST with the exact next sequence number".into()
    }

    fn steering(&self) -> Steering {
        Steering::Always
    }

    fn protocols(&self) -> Option<&'static [u8]> {
        Some(&[IPPROTO_TCP])
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Reset as u32;
        fault.rate = self.rate.fixed_point();
        fault.flags |= PER_SEGMENT
            | match self.to {
                ResetEnd::Both => RESET_LOCAL | RESET_REMOTE,
                ResetEnd::Local => RESET_LOCAL,
                ResetEnd::Remote => RESET_REMOTE,
            };
    }
}
