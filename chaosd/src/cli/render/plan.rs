//! The dry run: who is hit, by what, how, and how it would be undone.

use std::fmt::Write;

use crate::{
    cli::out::{BOLD, DIM, WARN, paint},
    plan::{Interface, Plan, way},
    profile::{FaultSpec, Timeline},
    target::protected,
};

/// Connections of the protected set that are listed; the rest are counted.
const PROTECTED_SHOWN: usize = 5;

/// A plan in full.
pub(in crate::cli) fn plan(plan: &Plan) -> String {
    let mut text = Text::default();
    text.line(format_args!("{}", paint(BOLD, &plan.profile)));
    if !plan.about.is_empty() {
        text.line(format_args!("{}", plan.about));
    }
    let seed = if plan.seeded { "as asked" } else { "drawn now" };
    text.item("for", humantime::format_duration(plan.run_for));
    text.item("seed", format_args!("{} ({seed})", plan.seed));
    text.scope(plan);
    for fault in &plan.faults {
        text.fault(&fault.spec, &fault.what, &fault.mechanism, &fault.undo);
    }
    for fault in &plan.resources {
        text.fault(&fault.spec, &fault.what, &fault.mechanism, &fault.undo);
    }
    text.line(format_args!(""));
    for note in &plan.notes {
        text.line(format_args!("{} {note}", paint(WARN, "note:")));
    }
    text.line(format_args!("{}", paint(DIM, "nothing was changed")));
    text.0.trim_end().to_owned()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{line}").ok();
    }

    fn item(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!(
            "  {}{value}",
            paint(DIM, format_args!("{name:<11}"))
        ));
    }

    fn scope(&mut self, plan: &Plan) {
        let scope = &plan.scope;
        self.item("target", &scope.label);
        if !plan.faults.is_empty() {
            self.network(plan);
        }
        if let Some(cgroup) = &scope.cgroup {
            self.item(
                "cgroup",
                format_args!("{} and below", cgroup.path.display()),
            );
        }
        if let Some(resolver) = &plan.resolver {
            let servers: Vec<String> = resolver.servers.iter().map(way).collect();
            self.item(
                "names",
                format_args!(
                    "asked of {}, says {}",
                    servers.join(", "),
                    resolver.file.display()
                ),
            );
        }
        if let Some(pid) = scope.pid {
            self.item("ends with", format_args!("process {pid}"));
        }
        if !plan.faults.is_empty() {
            self.spared(plan);
        }
    }

    fn network(&mut self, plan: &Plan) {
        let netns = &plan.scope.netns;
        self.item(
            "netns",
            format_args!("{} (inode {})", netns.path.display(), netns.ino),
        );
        self.item("interfaces", interfaces(plan));
    }

    /// The protected set.
    fn spared(&mut self, plan: &Plan) {
        let scope = &plan.scope;
        let flows = &scope.protected;
        let mut spared: Vec<String> = flows
            .iter()
            .take(PROTECTED_SHOWN)
            .map(protected::label)
            .collect();
        if flows.len() > PROTECTED_SHOWN {
            spared.push(format!(
                "{} more SSH connections",
                flows.len() - PROTECTED_SHOWN
            ));
        }
        spared.push("ARP, NDP, DHCP".to_owned());
        self.item("spared", spared.join(", "));
    }

    fn fault(&mut self, spec: &FaultSpec, what: &str, mechanism: &str, undo: &str) {
        self.line(format_args!("\n{}: {what}", paint(BOLD, &spec.name)));
        let when = when(&spec.timeline);
        if !when.is_empty() {
            self.item("when", when);
        }
        self.item("how", mechanism);
        self.item("undo", undo);
        if spec.unprotected {
            self.item(
                "unprotected",
                "hits live SSH sessions, ARP, NDP and DHCP too",
            );
        }
    }
}

/// Those that a fault is on, and those that may come to be.
fn interfaces(plan: &Plan) -> String {
    let hit = |i: &&Interface| {
        let mut matchers = plan.faults.iter().map(|fault| &fault.rule.matcher);
        matchers.any(|m| m.wants(&i.name, i.default, i.loopback))
    };
    let all = plan.scope.interfaces.iter().filter(hit);
    let mut list: Vec<&str> = all.map(|interface| interface.name.as_str()).collect();
    let mut faults = plan.faults.iter();
    if faults.any(|fault| fault.spec.matching.interfaces.is_empty()) {
        list.push("and those that get an address meanwhile");
    }
    list.join(", ")
}

fn when(timeline: &Timeline) -> String {
    let time = humantime::format_duration;
    let mut parts = Vec::new();
    if !timeline.after.is_zero() {
        parts.push(format!("after {}", time(timeline.after)));
    }
    if let Some(lasts) = timeline.lasts {
        parts.push(format!("for {}", time(lasts)));
    }
    if !timeline.ramp.is_zero() {
        parts.push(format!("growing over {}", time(timeline.ramp)));
    }
    if let Some(pulse) = timeline.pulse {
        parts.push(format!(
            "{} on, {} off in turn",
            time(pulse.on),
            time(pulse.off)
        ));
    }
    parts.join(", ")
}
