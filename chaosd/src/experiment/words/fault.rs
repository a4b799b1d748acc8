//! What a fault did, and what to check where it did nothing.

use super::{Tone, both, grouped, number::share_of};
use crate::report::{FaultReport, Verdict};

/// What a fault really did.
pub fn measured(fault: &FaultReport) -> String {
    if let Some(effect) = &fault.effect {
        let reached = match (effect.asked, effect.reached) {
            (Some(asked), Some(reached)) => {
                format!(
                    " ({})",
                    both(reached, "of", asked, &effect.unit.replace('-', " "))
                )
            }
            _ => String::new(),
        };
        return format!("{}{reached}", effect.told);
    }
    let total = fault.total();
    if let Some(dns) = fault.dns.as_ref().filter(|dns| dns.answered + dns.tcp > 0) {
        return format!(
            "acted on {} of {} queries",
            grouped(dns.answered + dns.tcp),
            grouped(total.matched.max(dns.answered + dns.tcp)),
        );
    }
    if total.matched == 0 {
        return match total.seen {
            0 => "no packet was seen".into(),
            seen => format!("nothing matched, of {} packets", grouped(seen)),
        };
    }
    let mut text = format!(
        "{} of {} packets ({})",
        grouped(total.affected),
        grouped(total.matched),
        share_of(total.affected, total.matched)
    );
    for (lost, what) in [
        (total.tail_dropped, "dropped at the tail of the full queue"),
        (total.overflow, "lost by chaosd's own queue"),
    ] {
        if lost > 0 {
            text = format!("{text}, {} {what}", grouped(lost));
        }
    }
    text
}

/// A verdict in words.
pub fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Effective => ("effective", Tone::Good),
        Verdict::Spared => ("spared all", Tone::Warn),
        Verdict::NotTaken => ("not taken", Tone::Plain),
        Verdict::Ineffective => ("ineffective", Tone::Bad),
        Verdict::Overflow => ("overflow", Tone::Bad),
        Verdict::NoTraffic => ("no traffic", Tone::Bad),
    }
}

fn packets(count: u64) -> String {
    counted(count, "packet", "packets")
}

/// How many of what: `1 packet`, `1,234 packets`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{} {many}", grouped(count)),
    }
}

/// In words, when the fault did nothing, or more than it was asked for, and what to check.
pub fn amiss(fault: &FaultReport) -> Option<(String, Tone)> {
    let total = fault.total();
    let text = match fault.verdict {
        // A full queue is what was asked for; it is told because nobody sees it otherwise.
        Verdict::Effective if total.tail_dropped > 0 => {
            let text = format!(
                "fault {} dropped {} at the tail of its full queue, as a bottleneck does",
                fault.name,
                packets(total.tail_dropped),
            );
            return Some((text, Tone::Plain));
        }
        Verdict::Effective | Verdict::NotTaken => return None,
        _ if fault.effect.is_some() => {
            let told = fault.effect.as_ref().map_or("", |effect| &effect.told);
            format!("fault {} had no effect: it {told}", fault.name)
        }
        Verdict::Overflow => format!(
            "fault {} lost {} that it was to hold: chaosd's own queue was full, or deleted over them, so that this run is no measurement",
            fault.name,
            packets(total.overflow),
        ),
        Verdict::Spared if fault.kind == "dns" => format!(
            "fault {} met {} and acted on none: a fault before it answered them, another lost them, or the rate is low and so was the traffic",
            fault.name,
            counted(total.matched, "query", "queries"),
        ),
        Verdict::Spared => format!(
            "fault {} matched {} and acted on none: the rate is low, and so was the traffic",
            fault.name,
            packets(total.matched),
        ),
        Verdict::Ineffective if fault.kind == "dns" => format!(
            "fault {} matched no query while {} flowed past; check --name, --type and --peer, and see `chaosd plan` for the way that the target's queries take",
            fault.name,
            packets(total.seen),
        ),
        Verdict::Ineffective => format!(
            "fault {} matched nothing while {} flowed past; check --peer, --port, --protocol and --direction (ARP, NDP, DHCP and live SSH sessions are spared)",
            fault.name,
            packets(total.seen),
        ),
        Verdict::NoTraffic => format!(
            "fault {} saw no packet at all; check the target and --interface (lo is left out unless it is named)",
            fault.name,
        ),
    };
    let tone = if fault.verdict == Verdict::Spared {
        Tone::Warn
    } else {
        Tone::Bad
    };
    Some((text, tone))
}
