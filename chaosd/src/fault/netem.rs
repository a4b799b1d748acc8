//! `netem`: the kernel's own emulator, on matched packets only.

use std::{sync::Arc, time::Duration};

use chaosd_ebpf::{Fault, Kind, ONE, PER_SEGMENT};
use humantime::format_duration;

use crate::{
    bpf::Steering,
    profile::{Correlated, Distribution, Interval, Netem, NetemLoss},
};

use super::{PacketFault, delay::law, table, table::TableError};

/// What a netem device is given.
#[derive(Clone, Debug, PartialEq)]
pub struct NetemRule {
    /// Its parameters.
    pub netem: Netem,
    /// `TCA_NETEM_DELAY_DIST`: quantiles, 8192 is one standard deviation; `None`: uniform.
    pub delay_table: Option<Arc<[i16]>>,
    /// `TCA_NETEM_SLOT_DIST`, likewise.
    pub slot_table: Option<Arc<[i16]>>,
}

impl NetemRule {
    /// Reads the tables that the distributions name.
    pub(super) fn make(netem: &Netem) -> Result<Self, TableError> {
        let delay = netem.delay.as_ref().and_then(|d| d.distribution.as_ref());
        let slot = netem.slot.as_ref().and_then(|slot| match &slot.every {
            Interval::Law { distribution, .. } => Some(distribution),
            Interval::Range { .. } => None,
        });
        let read = |law: Option<&Distribution>| law.map(table::of_netem).transpose();
        Ok(Self {
            delay_table: read(delay)?.flatten(),
            slot_table: read(slot)?.flatten(),
            netem: netem.clone(),
        })
    }
}

impl PacketFault for Netem {
    fn name(&self) -> &'static str {
        "netem"
    }

    fn what(&self) -> String {
        let share = |word: &str, part: &Correlated| {
            if part.correlation.is_none() {
                format!("{word} {}", part.rate)
            } else {
                format!("{word} {} (correlation {})", part.rate, part.correlation)
            }
        };
        let delay = self.delay.as_ref().map(|d| {
            let time = format_duration(d.time);
            if d.jitter.is_zero() {
                return format!("delay {time}");
            }
            let by = d.distribution.as_ref().map_or("uniform".into(), law);
            format!("delay {time} ± {} ({by})", format_duration(d.jitter))
        });
        let loss = self.loss.as_ref().map(|loss| match loss {
            NetemLoss::Random(part) => share("loss", part),
            NetemLoss::State(s) => format!(
                "loss by four states (p13 {}, p31 {}, p32 {}, p23 {}, p14 {})",
                s.p13, s.p31, s.p32, s.p23, s.p14
            ),
            NetemLoss::Gemodel(g) => format!(
                "loss by gemodel (p {}, r {}, 1-h {}, 1-k {})",
                g.p, g.r, g.lost_in_bad, g.lost_in_good
            ),
        });
        let parts = [
            delay,
            loss,
            self.ecn.then(|| "ecn".into()),
            self.duplicate.as_ref().map(|part| share("duplicate", part)),
            self.corrupt.as_ref().map(|part| share("corrupt", part)),
            self.reorder
                .as_ref()
                .map(|r| format!("{}, gap {}", share("reorder", &r.reorder), r.gap)),
            self.rate.map(|link| format!("rate {}", link.rate)),
            self.slot.as_ref().map(|_| "slots".into()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("sends through netem ({}) packets", parts.join(", "))
    }

    fn mechanism(&self) -> String {
        format!(
            "a netem of its own, limit {} packets, on a veth pair of chaosd's; one wire segment at a time",
            self.limit
        )
    }

    fn steering(&self) -> Steering {
        Steering::Segments
    }

    fn longest_hold(&self) -> Duration {
        self.longest_wait()
    }

    fn netem(&self) -> Option<&Netem> {
        Some(self)
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Netem as u32;
        fault.rate = ONE;
        fault.flags |= PER_SEGMENT;
    }
}
