//! `delay`: packets arrive later.

use std::{collections::BTreeMap, time::Duration};

use chaosd_ebpf::{
    BY_PEER, FIRST_CUSTOM, Fault, HOLDS, KEEP_ORDER, Kind, NORMAL, ONE, PARETO, PARETO_NORMAL,
    PER_SEGMENT, UNIFORM, UNIT,
};
use humantime::format_duration;
use ipnet::IpNet;

use crate::{
    bpf::Steering,
    profile::{Delay, Distribution, Jitter, Mean},
};

use super::{PacketFault, distribution, timeline::ns};

/// Said by every kind that goes through the hold queue.
pub(super) const QUEUE: &str = "hold queue: fq on a veth pair of chaosd's, the packet's departure time written by tcx; \
     released back to the interface";

/// Said by every kind that decides per wire segment.
pub(super) const BY_SEGMENT: &str =
    "TCP and super-packets one wire segment at a time through the detour";

impl PacketFault for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn what(&self) -> String {
        let Some(jitter) = &self.jitter else {
            return match &self.mean {
                Mean::Time(time) => format!("adds {} to packets", format_duration(*time)),
                Mean::ByPeer(times) => format!("delays packets by {} ({})", span(times), of(times)),
            };
        };
        let width = format_duration(jitter.width);
        let law = law(&jitter.distribution);
        let correlation = if jitter.correlation.is_none() {
            String::new()
        } else {
            format!(", correlation {}", jitter.correlation)
        };
        let order = if self.keep_order { "kept" } else { "not kept" };
        let shape = format!("{law}{correlation}; order within a flow {order}");
        match &self.mean {
            Mean::Time(time) => {
                let time = format_duration(*time);
                format!("adds {time} ± {width} ({shape}) to packets")
            }
            Mean::ByPeer(times) => {
                let (span, of) = (span(times), of(times));
                format!("delays packets by {span} ± {width} ({of}; {shape})")
            }
        }
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
        self.mean.longest().saturating_add(jitter.saturating_mul(4))
    }

    fn notes(&self) -> Vec<String> {
        let Some(jitter) = &self.jitter else {
            return Vec::new();
        };
        let cut = cut_share(self.mean.shortest(), jitter);
        if cut < 0.01 {
            return Vec::new();
        }
        let whose = match &self.mean {
            Mean::ByPeer(times) if times.len() > 1 => " of its nearest peer",
            _ => "",
        };
        vec![format!(
            "would let {:.0} % of packets{whose} leave before they came: its jitter is cut at 0, which makes the mean longer and the spread smaller than asked",
            cut * 100.0
        )]
    }

    fn distribution(&self) -> Option<&Distribution> {
        self.jitter.as_ref().map(|jitter| &jitter.distribution)
    }

    fn by_peer(&self) -> Option<&BTreeMap<IpNet, Duration>> {
        match &self.mean {
            Mean::ByPeer(times) => Some(times),
            Mean::Time(_) => None,
        }
    }

    fn program(&self, fault: &mut Fault) {
        fault.kind = Kind::Delay as u32;
        fault.rate = ONE;
        fault.flags |= HOLDS;
        match self.mean {
            Mean::Time(time) => fault.hold.time_ns = ns(time),
            Mean::ByPeer(_) => fault.flags |= BY_PEER,
        }
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

/// `2ms to 90ms`
fn span(times: &BTreeMap<IpNet, Duration>) -> String {
    let (least, most) = (times.values().min(), times.values().max());
    let [least, most] = [least, most].map(|t| format_duration(t.copied().unwrap_or_default()));
    let (least, most) = (least.to_string(), most.to_string());
    if least == most {
        least
    } else {
        format!("{least} to {most}")
    }
}

/// `by peer, 3 entries`
fn of(times: &BTreeMap<IpNet, Duration>) -> String {
    match times.len() {
        1 => "by peer, 1 entry".into(),
        count => format!("by peer, {count} entries"),
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
