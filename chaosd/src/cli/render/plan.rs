//! The dry run: who is hit, by what, how, and how it would be undone.

use std::{fmt::Write, time::Duration};

use crate::{
    cli::out::{BOLD, DIM, WARN, paint},
    plan::{GroupPlan, Interface, Plan, Plans, way},
    profile::{FaultSpec, Timeline},
    target::protected,
};

/// Members whose place is written out.
const MEMBERS_SHOWN: usize = 8;
/// Connections of the protected set that are listed; the rest are counted.
const PROTECTED_SHOWN: usize = 5;

/// What ends every dry run.
pub(super) const UNCHANGED: &str = "nothing was changed";

/// Plans in full.
pub(in crate::cli) fn plans(plans: &Plans) -> String {
    let mut text = Text::default();
    match plans {
        Plans::One(plan) => {
            text.head(&plan.profile, &plan.about);
            text.time(plan.run_for, plan.seed, plan.seeded);
        }
        Plans::Group(group) => {
            text.head(&group.profile, &group.about);
            text.time(group.run_for, group.seed, group.seeded);
        }
    }
    text.doing(plans);
    text.line(paint(DIM, UNCHANGED));
    text.0.trim_end().to_owned()
}

/// Whom they hit, and how: what differs from stage to stage.
pub(super) fn doing(plans: &Plans) -> String {
    let mut text = Text::default();
    text.doing(plans);
    text.0.trim_end().to_owned()
}

/// A seed, and whose it is.
pub(super) fn told_seed(seed: u64, seeded: bool) -> String {
    let drawn = if seeded { "as asked" } else { "drawn now" };
    format!("{seed} ({drawn})")
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

    fn head(&mut self, profile: &str, about: &str) {
        self.line(paint(BOLD, profile));
        if !about.is_empty() {
            self.line(about);
        }
    }

    fn time(&mut self, run_for: Duration, seed: u64, seeded: bool) {
        self.item("for", humantime::format_duration(run_for));
        self.item("seed", told_seed(seed, seeded));
    }

    fn doing(&mut self, plans: &Plans) {
        match plans {
            Plans::One(plan) => {
                self.scope(plan);
                self.faults(plan);
                self.notes(plan.notes.iter().cloned());
            }
            Plans::Group(group) => self.group(group),
        }
    }

    /// Who is hit and who is not; where each is; and what is done to the first, as to all.
    fn group(&mut self, group: &GroupPlan) {
        let (hit, spared) = (group.members.len(), group.spared.len());
        self.item(
            "target",
            format_args!("{}: {hit} hit, {spared} spared", group.target),
        );
        for member in &group.members {
            let label = &member.plan.scope.label;
            self.item("hit", format_args!("{label}, says {}", member.runtime));
        }
        for spared in &group.spared {
            self.item("spared", format_args!("{}, {}", spared.label, spared.why));
        }
        for member in group.members.iter().take(MEMBERS_SHOWN) {
            self.line("");
            self.scope(&member.plan);
        }
        let more = hit.saturating_sub(MEMBERS_SHOWN);
        if more > 0 {
            let more = format_args!("\n  and {more} more, whose places `-o json` tells");
            self.line(paint(DIM, more));
        }
        let Some((first, others)) = group.members.split_first() else {
            return;
        };
        self.faults(&first.plan);
        let mut notes = first.plan.notes.clone();
        for member in others {
            let new = member
                .plan
                .notes
                .iter()
                .filter(|note| !notes.contains(note));
            let new: Vec<String> = new.cloned().collect();
            notes.extend(new);
        }
        self.notes(notes.into_iter());
    }

    fn faults(&mut self, plan: &Plan) {
        for fault in &plan.faults {
            self.fault(&fault.spec, &fault.what, &fault.mechanism, &fault.undo);
        }
        for fault in &plan.resources {
            self.fault(&fault.spec, &fault.what, &fault.mechanism, &fault.undo);
        }
    }

    fn notes(&mut self, notes: impl Iterator<Item = String>) {
        self.line("");
        for note in notes {
            self.line(format_args!("{} {note}", paint(WARN, "note:")));
        }
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
