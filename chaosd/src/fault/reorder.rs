//! `reorder`: some packets arrive after those that followed them.

use std::time::Duration;

use chaosd_ebpf::{Fault, HOLDS, Kind, PER_SEGMENT};
use humantime::format_duration;

use crate::{bpf::Steering, profile::Reorder};

use super::{
    PacketFault,
    delay::{BY_SEGMENT, QUEUE},
    timeline::ns,
};

impl PacketFault for Reorder {
    fn name(&self) -> &'static str {
        "reorder"
    }

    fn what(&self) -> String {
        let by = format_duration(self.by);
        format!(
            "holds back by {by}, while others pass, {} of packets",
            self.rate
        )
    }

    fn mechanism(&self) -> String {
        format!("{QUEUE}; {BY_SEGMENT}")
    }

    fn steering(&self) -> Steering {
        Steering::Segments
    }

    fn holds(&self) -> bool {
        true
    }

    fn longest_hold(&self) -> Duration {
        self.by
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Reorder as u32;
        fault.rate = self.rate.fixed_point();
        fault.flags |= HOLDS | PER_SEGMENT;
        fault.hold.time_ns = ns(self.by);
    }
}
