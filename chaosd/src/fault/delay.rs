//! `delay`: packets arrive later.

use std::time::Duration;

use chaosd_ebpf::{
    FIRST_CUSTOM, Fault, HOLDS, KEEP_ORDER, Kind, NORMAL, ONE, PARETO, PARETO_NORMAL, PER_SEGMENT,
    UNIFORM, UNIT,
};
use humantime::format_duration;

use crate::{
    bpf::Steering,
    profile::{Delay, Distribution, Jitter},
};

use super::{PacketFault, distribution, timeline::ns};

/// Said by every kind that goes through the hold queue.
pub(super) const QUEUE: &str = "hold queue: fq on a veth pair of chaosd's, the packet's departure time written by tcx; \
     released back to the interface";

impl PacketFault for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn what(&self) -> String {
        let time = format_duration(self.time);
        let Some(jitter) = &self.jitter else {
            return format!("adds {time} to packets");
        };
        let width = format_duration(jitter.width);
        let law = law(&jitter.distribution);
        let correlation = if jitter.correlation.is_none() {
            String::new()
        } else {
            format!(", correlation {}", jitter.correlation)
        };
        let order = if self.keep_order { "kept" } else { "not kept" };
        format!(
            "adds {time} ± {width} ({law}{correlation}; order within a flow {order}) to packets"
        )
    }

    fn mechanism(&self) -> String {
        match self.steering() {
            Steering::Never => format!("{QUEUE}; super-packets stay whole"),
            _ => format!("{QUEUE}; one wire segment at a time through the detour"),
        }
    }

    fn steering(&self) -> Steering {
        // Segments of one super-packet can only overtake each other when they are apart.
        if self.keep_order || self.jitter.is_none() {
            Steering::Never
        } else {
            Steering::Segments
        }
    }

    fn holds(&self) -> bool {
        true
    }

    fn longest_hold(&self) -> Duration {
        let jitter = self.jitter.as_ref().map_or(Duration::ZERO, |j| j.width);
        // Of a Pareto distribution's packets one in a thousand lies further out.
        self.time.saturating_add(jitter.saturating_mul(4))
    }

    fn notes(&self) -> Vec<String> {
        let Some(jitter) = &self.jitter else {
            return Vec::new();
        };
        let cut = cut_share(self.time, jitter);
        if cut < 0.01 {
            return Vec::new();
        }
        vec![format!(
            "would let {:.0} % of packets leave before they came: its jitter is cut at 0, which makes the mean longer and the spread smaller than asked",
            cut * 100.0
        )]
    }

    fn distribution(&self) -> Option<&Distribution> {
        self.jitter.as_ref().map(|jitter| &jitter.distribution)
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Delay as u32;
        fault.rate = ONE;
        fault.flags |= HOLDS;
        fault.hold.time_ns = ns(self.time);
        let Some(jitter) = &self.jitter else {
            return;
        };
        // Without jitter nothing overtakes, and order costs nothing to keep.
        fault.flags |= if self.keep_order {
            KEEP_ORDER
        } else {
            PER_SEGMENT
        };
        fault.hold.jitter_ns = ns(jitter.width);
        fault.hold.table = number(&jitter.distribution);
        let correlation = jitter.correlation.get() / 100.0;
        fault.hold.correlation = unit(correlation);
        fault.hold.independence = unit((1.0 - correlation * correlation).sqrt());
    }
}

/// The share of packets whose jitter would take them before their arrival; 0 when it is not known
/// without a file.
fn cut_share(time: Duration, jitter: &Jitter) -> f64 {
    let limit = time.as_secs_f64() / jitter.width.as_secs_f64();
    match number(&jitter.distribution) {
        UNIFORM => ((1.0 - limit) / 2.0).max(0.0),
        FIRST_CUSTOM => 0.0,
        number => distribution::below(number, -limit),
    }
}

fn number(law: &Distribution) -> u32 {
    match law {
        Distribution::Uniform => UNIFORM,
        Distribution::Normal => NORMAL,
        Distribution::Pareto => PARETO,
        Distribution::ParetoNormal => PARETO_NORMAL,
        Distribution::Table(_) => FIRST_CUSTOM,
    }
}

pub(super) fn law(law: &Distribution) -> String {
    match law {
        Distribution::Uniform => "uniform".into(),
        Distribution::Normal => "normal".into(),
        Distribution::Pareto => "pareto".into(),
        Distribution::ParetoNormal => "paretonormal".into(),
        Distribution::Table(path) => format!("by {path}"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1 becomes 0 to 2^16"
)]
fn unit(part: f64) -> u32 {
    (part * f64::from(UNIT)).round() as u32
}
