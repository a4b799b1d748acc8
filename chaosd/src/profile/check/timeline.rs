//! When a fault acts: within the run, and for some time.

use std::time::Duration;

use humantime::format_duration;

use crate::profile::{
    Pulse, Timeline,
    problem::{Found, Mistake},
    tree::Node,
};

impl Timeline {
    /// How long it acts at a time, in a run of this length.
    pub(super) fn acts_within(&self, run_for: Duration) -> Duration {
        let left = run_for.saturating_sub(self.after);
        let span = self.lasts.unwrap_or(left);
        self.pulse.map_or(span, |pulse| span.min(pulse.on))
    }
}

impl Found {
    /// `run_for` is `None` when it is not known for a mistake in it.
    pub(super) fn timeline<'t>(
        &mut self,
        find: &impl Fn(&str) -> Option<&'t Node>,
        run_for: Option<Duration>,
    ) -> Option<Timeline> {
        let mut whole = true;
        let after = find("after").map(|node| self.duration(node));
        let lasts = find("for").map(|node| self.some_time(node));
        let ramp = find("ramp").map(|node| self.duration(node));
        let pulse = find("pulse").map(|node| self.pulse(node));
        whole &=
            after != Some(None) && lasts != Some(None) && ramp != Some(None) && pulse != Some(None);
        let timeline = Timeline {
            after: after.flatten().unwrap_or_default(),
            lasts: lasts.flatten(),
            ramp: ramp.flatten().unwrap_or_default(),
            pulse: pulse.flatten(),
        };
        if !whole {
            return None;
        }
        self.fits(&timeline, find, run_for?).then_some(timeline)
    }

    fn fits<'t>(
        &mut self,
        timeline: &Timeline,
        find: &impl Fn(&str) -> Option<&'t Node>,
        run_for: Duration,
    ) -> bool {
        let run = format_duration(run_for);
        let left = run_for.saturating_sub(timeline.after);
        let start = format_duration(timeline.after);
        if left.is_zero() {
            if let Some(node) = find("after") {
                self.say(
                    &node.at,
                    format!("begins after {start}, when the run of {run} is over"),
                );
            }
            return false;
        }
        let span = timeline.lasts.unwrap_or(left);
        if span > left {
            if let Some(node) = find("for") {
                let end = format_duration(timeline.after.saturating_add(span));
                let what = if timeline.after.is_zero() {
                    format!("lasts {end}, longer than the run of {run}")
                } else {
                    format!("begins after {start} and ends at {end}, past the run of {run}")
                };
                self.add(
                    &node.at,
                    Mistake::new(what).instead(format_duration(left).to_string()),
                );
            }
            return false;
        }
        if timeline.ramp > span {
            if let Some(node) = find("ramp") {
                let what = format!(
                    "ramps for {}, longer than the fault's {}",
                    format_duration(timeline.ramp),
                    format_duration(span)
                );
                self.add(
                    &node.at,
                    Mistake::new(what).instead(format_duration(span).to_string()),
                );
            }
            return false;
        }
        true
    }

    fn pulse(&mut self, node: &Node) -> Option<Pulse> {
        let fields = self.fields(node, "pulse", &["on", "off"])?;
        let [on, off] = ["on", "off"].map(|name| {
            if fields.lacks(name) {
                let what = format!("pulse needs {name}, as in {{on: 5s, off: 10s}}");
                self.say(&node.at, what);
            }
            self.some_time(fields.get(name)?)
        });
        Some(Pulse { on: on?, off: off? })
    }
}
