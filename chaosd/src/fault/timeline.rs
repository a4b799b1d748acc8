//! `after`, `for`, `ramp`, `pulse`: the same for every kind.

use std::time::Duration;

use chaosd_ebpf::Fault;

use crate::profile::Timeline;

fn ns(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn program(t: &Timeline, fault: &mut Fault) {
    fault.after_ns = ns(t.after);
    fault.until_ns = t.lasts.map_or(u64::MAX, |d| ns(t.after.saturating_add(d)));
    fault.ramp_ns = ns(t.ramp);
    if let Some(p) = t.pulse {
        fault.pulse_on_ns = ns(p.on);
        fault.pulse_period_ns = ns(p.on.saturating_add(p.off));
    }
}

pub(super) fn describe(t: &Timeline) -> String {
    let d = humantime::format_duration;
    let mut text = String::new();
    if !t.after.is_zero() {
        text += &format!(", after {}", d(t.after));
    }
    if let Some(lasts) = t.lasts {
        text += &format!(", for {}", d(lasts));
    }
    if !t.ramp.is_zero() {
        text += &format!(", growing over {}", d(t.ramp));
    }
    if let Some(p) = t.pulse {
        text += &format!(", {} on and {} off", d(p.on), d(p.off));
    }
    text
}
