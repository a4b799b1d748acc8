//! What is in force on this machine.

use std::{io::IsTerminal, path::Path};

use comfy_table::{Cell, Color, Table};

use super::{seconds, table};
use crate::{
    bpf::Mechanism,
    cli::{
        out::{BAD, DIM, WARN, paint},
        status::{Machine, Process},
    },
    report::{Daemon, Phase, RunReport},
};

/// Runs, faults, counters and time left.
pub(in crate::cli) fn status(machine: &Machine, socket: &Path) -> String {
    let mut parts = vec![match &machine.daemon {
        Some(daemon) if daemon.watchdog_pid == 0 => format!(
            "daemon {} (pid {}){}; {}",
            daemon.version,
            daemon.pid,
            attached(daemon),
            paint(WARN, "its watchdog is being replaced")
        ),
        Some(daemon) => format!(
            "daemon {} (pid {}, watchdog {}){}",
            daemon.version,
            daemon.pid,
            daemon.watchdog_pid,
            attached(daemon)
        ),
        None => format!("no daemon answers on {}", socket.display()),
    }];
    if machine.runs.is_empty() && machine.daemon.is_some() {
        parts.push("no runs".to_owned());
    }
    if !machine.runs.is_empty() {
        parts.push(table::text(&runs(&machine.runs)));
        let alive = machine.runs.iter().filter(|run| run.phase == Phase::Armed);
        parts.extend(alive.flat_map(|run| {
            let told = run.faults.iter().filter_map(super::report::told);
            told.map(|line| format!("{}: {line}", run.id))
        }));
    }
    parts.extend(machine.foreground.iter().map(|process| {
        let pid = pid(process);
        format!("a foreground run lives (pid {pid}); `chaosd revert {pid}` ends it")
    }));
    parts.extend(machine.left_over.iter().map(|process| {
        let text = format!(
            "instance {} died (pid {}) and left something behind; `chaosd revert --all` undoes it",
            process.instance,
            pid(process)
        );
        paint(WARN, text)
    }));
    let idle = machine.daemon.is_none() && machine.foreground.is_empty();
    if idle && machine.left_over.is_empty() && machine.problems.is_empty() {
        parts.push(paint(DIM, "nothing is in force, nothing is left over"));
    }
    parts.extend(machine.problems.iter().map(|problem| paint(BAD, problem)));
    parts.join("\n")
}

/// Said where programs come onto interfaces otherwise than on a current kernel.
fn attached(daemon: &Daemon) -> String {
    match daemon.attach {
        Mechanism::Tcx => String::new(),
        Mechanism::Clsact => format!(", attaches by {}", daemon.attach.words()),
    }
}

fn pid(process: &Process) -> String {
    process
        .pid
        .map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
}

fn runs(runs: &[RunReport]) -> Table {
    let mut table = table::table(&[
        "RUN", "PROFILE", "TARGET", "LEFT", "FAULT", "SEEN", "MATCHED", "AFFECTED", "VERDICT",
    ]);
    for run in runs {
        for (n, fault) in run.faults.iter().enumerate() {
            // What all faults of a run share stands beside the first.
            let mut row: Vec<Cell> = if n == 0 {
                vec![
                    run.id.as_str().into(),
                    run.profile.as_str().into(),
                    run.target.as_str().into(),
                    left(run),
                ]
            } else {
                std::iter::repeat_n(Cell::new(""), 4).collect()
            };
            row.push(fault.name.as_str().into());
            row.extend(table::counts(fault));
            row.push(table::verdict(fault.verdict));
            table.add_row(row);
        }
    }
    table
}

fn left(run: &RunReport) -> Cell {
    match run.phase {
        Phase::Armed => table::coloured(&seconds(run.left_seconds), Color::Yellow),
        Phase::Draining => table::coloured("draining", Color::Yellow),
        Phase::Reverted => Cell::new("reverted"),
        Phase::Failed => table::coloured("NOT REVERTED", Color::Red),
    }
}

/// Clears a terminal (ECMA-48: home, erase display); sets looks apart elsewhere.
pub(in crate::cli) fn fresh_screen() -> &'static str {
    if std::io::stdout().is_terminal() {
        "\x1b[H\x1b[2J"
    } else {
        "\n"
    }
}
