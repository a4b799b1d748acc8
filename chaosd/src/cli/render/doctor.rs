//! The host on one page.

use comfy_table::Color;

use super::table;
use crate::{
    cli::out::{BAD, BOLD, GOOD, WARN, paint},
    host::{Capability, Doctor, State},
};

/// What this host can do, what is missing, what is left over.
pub(in crate::cli) fn doctor(doctor: &Doctor) -> String {
    let verdict = if doctor.ready {
        paint(GOOD, "packet faults work here")
    } else {
        paint(BAD, "packet faults do not work here")
    };
    let mut parts = vec![format!("{}: {verdict}", doctor.kernel)];
    let mut capabilities = table::table(&["", "CAPABILITY", "NEEDED FOR", "FOUND"]);
    for capability in &doctor.capabilities {
        capabilities.add_row(vec![
            state(capability),
            capability.name.as_str().into(),
            capability.needed_for.as_str().into(),
            capability.detail.as_str().into(),
        ]);
    }
    parts.push(table::text(&capabilities));
    let fixes: Vec<String> = doctor.capabilities.iter().filter_map(fix).collect();
    if !fixes.is_empty() {
        parts.push(format!("{}\n{}", paint(BOLD, "To do"), fixes.join("\n")));
    }
    let live: Vec<String> = doctor
        .instances
        .iter()
        .map(|live| {
            format!(
                "  chaosd {} (pid {}, instance {} of {})",
                live.kind, live.pid, live.number, live.state_dir
            )
        })
        .collect();
    if !live.is_empty() {
        parts.push(format!("{}\n{}", paint(BOLD, "Alive"), live.join("\n")));
    }
    let left: Vec<String> = doctor
        .leftovers
        .iter()
        .map(|left| format!("  {} in {}: {}", left.what, left.place, left.fix))
        .collect();
    parts.push(if left.is_empty() {
        "Nothing is left over.".to_owned()
    } else {
        format!("{}\n{}", paint(WARN, "Left over"), left.join("\n"))
    });
    parts.join("\n\n")
}

fn state(capability: &Capability) -> comfy_table::Cell {
    match capability.state {
        State::Available => table::coloured("yes", Color::Green),
        State::Missing if capability.required => table::coloured("NO", Color::Red),
        State::Missing => table::coloured("no", Color::Yellow),
        State::Unknown => table::coloured("?", Color::Yellow),
    }
}

fn fix(capability: &Capability) -> Option<String> {
    let missing = capability.state == State::Missing && !capability.fix.is_empty();
    missing.then(|| format!("  {}: {}", capability.name, capability.fix))
}
