//! Tables: as wide as the terminal, plain when piped.

use std::io::IsTerminal;

use anstream::{AutoStream, ColorChoice};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use crate::report::{Count, FaultReport, Verdict};

/// Some terminals do not know their width, or say that it is 0.
pub(in crate::cli) fn terminal_width(told: Option<u16>) -> u16 {
    told.filter(|cells| *cells >= 20).unwrap_or(80)
}

/// An empty table with these headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if AutoStream::choice(&std::io::stdout()) == ColorChoice::Never {
        table.force_no_tty();
    } else {
        table.enforce_styling();
    }
    // A program that reads tables wants its lines whole.
    if std::io::stdout().is_terminal() {
        table.set_width(terminal_width(table.width()));
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(
        headings
            .iter()
            .map(|text| Cell::new(text).add_attribute(Attribute::Bold)),
    );
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// The table's lines, without blanks at their ends.
pub(super) fn text(table: &Table) -> String {
    table.trim_fmt()
}

/// A number.
pub(super) fn number(value: u64) -> Cell {
    Cell::new(super::grouped(value)).set_alignment(CellAlignment::Right)
}

/// What a fault saw, matched and acted on; one that acts on the machine counts no packets.
pub(super) fn counts(fault: &FaultReport) -> [Cell; 3] {
    if fault.effect.is_some() {
        return [(); 3].map(|()| Cell::new("-").set_alignment(CellAlignment::Right));
    }
    let total = fault.total();
    [number(total.seen), number(total.matched), affected(total)]
}

/// What a fault acted on, and what queues lost of it.
fn affected(total: Count) -> Cell {
    let mut text = super::grouped(total.affected);
    for (lost, what) in [
        (total.tail_dropped, "tail-dropped"),
        (total.overflow, "OVERFLOW"),
    ] {
        if lost > 0 {
            text = format!("{text}, {} {what}", super::grouped(lost));
        }
    }
    let cell = Cell::new(text).set_alignment(CellAlignment::Right);
    if total.overflow > 0 {
        cell.fg(Color::Red)
    } else {
        cell
    }
}

/// A verdict in its colour.
pub(super) fn verdict(verdict: Verdict) -> Cell {
    let (word, color) = match verdict {
        Verdict::Effective => ("effective", Color::Green),
        Verdict::Spared => ("spared all", Color::Yellow),
        Verdict::NotTaken => ("not taken", Color::Reset),
        Verdict::Ineffective => ("INEFFECTIVE", Color::Red),
        Verdict::Overflow => ("OVERFLOW", Color::Red),
        Verdict::NoTraffic => ("NO TRAFFIC", Color::Red),
    };
    coloured(word, color)
}

/// A word in a colour.
pub(super) fn coloured(word: &str, color: Color) -> Cell {
    Cell::new(word).fg(color)
}
