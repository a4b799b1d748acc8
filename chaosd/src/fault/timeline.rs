//! `after`, `for`, `ramp`, `pulse`: the same for every kind.

use std::time::Duration;

use chaosd_ebpf::Fault;

use crate::profile::Timeline;

pub(super) fn ns(d: Duration) -> u64 {
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
    let parts = [
        (!t.after.is_zero()).then(|| format!(", after {}", d(t.after))),
        t.lasts.map(|lasts| format!(", for {}", d(lasts))),
        (!t.ramp.is_zero()).then(|| format!(", growing over {}", d(t.ramp))),
        t.pulse
            .map(|p| format!(", {} on and {} off", d(p.on), d(p.off))),
    ];
    parts.into_iter().flatten().collect()
}
