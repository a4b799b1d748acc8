//! `bandwidth`: packets pass through a slow link, whose queue drops its tail.

use std::time::Duration;

use chaosd_ebpf::{Fault, HOLDS, Kind, ONE, PER_FLOW, PER_SEGMENT};
use humantime::format_duration;

use crate::{
    bpf::Steering,
    profile::{
        Bandwidth, Queue, Share,
        units::{Rate, Size},
    },
};

use super::{
    PacketFault,
    delay::{BY_SEGMENT, QUEUE},
    timeline::ns,
};

impl PacketFault for Bandwidth {
    fn name(&self) -> &'static str {
        "bandwidth"
    }

    fn what(&self) -> String {
        let link = match self.per {
            Share::Fault => "direction",
            Share::Flow => "flow and direction",
        };
        let burst = match self.burst {
            Size::NONE => String::new(),
            burst => format!("burst {burst}, "),
        };
        let queue = match self.queue {
            Queue::Size(size) => size.to_string(),
            Queue::Time(time) => format_duration(time).to_string(),
        };
        format!(
            "lets through {} per {link} ({burst}queue {queue}) of packets",
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
        // The queue is bounded by the link's own rate, and so is its memory: see `notes`.
        Duration::ZERO
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "takes TCP apart into wire segments before it is held: a fast sender costs more CPU"
                .to_owned(),
        ];
        let bytes = self.longest_wait().as_nanos() * u128::from(self.rate.bytes()) / 1_000_000_000;
        if bytes >= super::MUCH_MEMORY {
            let size = u64::try_from(bytes / 1_000_000)
                .ok()
                .and_then(|mb| Size::new(mb * 1_000_000));
            let each = if self.per == Share::Flow {
                " per flow"
            } else {
                ""
            };
            notes.push(format!(
                "may hold up to {}{each} and direction in kernel memory when its queue is full",
                size.unwrap_or(Size::MOST)
            ));
        }
        notes
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Bandwidth as u32;
        fault.rate = ONE;
        fault.flags |= HOLDS | PER_SEGMENT;
        if self.per == Share::Flow {
            fault.flags |= PER_FLOW;
        }
        fault.hold.ns_per_byte = ns_per_byte(self.rate);
        fault.hold.burst_ns = ns(Self::time(self.rate, self.burst));
        fault.hold.queue_ns = ns(self.longest_wait());
    }
}

/// In units of 2^-20 ns, rounded: exact to 1 in 16,000 at 1 Tbit/s, and better below.
fn ns_per_byte(rate: Rate) -> u64 {
    ((8_000_000_000 << 20) + rate.bits() / 2) / rate.bits()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_byte_s_time_is_exact_from_the_slowest_to_the_fastest_link() {
        let time = |bits| ns_per_byte(Rate::new(bits).unwrap());
        assert_eq!(time(1_000), 8_000_000 << 20);
        assert_eq!(time(8_000_000), 1_000 << 20);
        assert_eq!(time(1_000_000_000_000), 8389);
    }
}
