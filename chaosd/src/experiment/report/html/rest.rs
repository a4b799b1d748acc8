//! Who was hit, what would have ended it, what somebody noticed, and how to repeat it.

use maud::{Markup, html};

use crate::experiment::{
    record::{Abort, End, Record},
    words::{self, line, lines, time},
};

/// Lines to write on in print.
const RULED: usize = 5;

/// What went wrong with chaosd's own work.
pub(super) fn problems(record: &Record) -> Markup {
    html! {
        @if !record.problems.is_empty() {
            section.alarm {
                h2.bad { "Not everything is as it should be" }
                (list(&record.problems))
            }
        }
    }
}

fn list(entries: &[String]) -> Markup {
    html! { ul { @for entry in entries { li { (line(entry)) } } } }
}

/// Who was hit and who was not, and what would have ended it.
pub(super) fn blast(record: &Record) -> Markup {
    let blast = &record.blast;
    html! {
        section {
            h2 { "Blast radius" }
            div.two {
                div {
                    h3 { "Hit" }
                    @if blast.hit.is_empty() { p.muted { "Nobody." } } @else { (list(&blast.hit)) }
                }
                @if !blast.spared.is_empty() {
                    div { h3 { "Spared" } (list(&blast.spared)) }
                }
                @if !record.aborts.is_empty() && !record.stages.is_empty() {
                    div {
                        h3 { "Conditions to abort" }
                        ul { @for abort in &record.aborts { (condition(abort)) } }
                        @if let End::Aborted { at, gone, .. } = record.end {
                            p.muted { "The faults were gone " (time(gone - at)) " after the condition came true." }
                        }
                    }
                }
            }
        }
    }
}

fn condition(abort: &Abort) -> Markup {
    html! {
        li {
            (line(&abort.what)) ": "
            @match abort.fired {
                Some(at) => { strong.bad { "came true after " (time(at)) } }
                None => { span.muted { "did not come true" } }
            }
        }
    }
}

/// What somebody wrote down, or room for it.
pub(super) fn surprises(record: &Record) -> Markup {
    let text = lines(&record.surprises);
    html! {
        section {
            h2 { "Surprises" }
            @if text.is_empty() {
                p.muted.hint {
                    "What did nobody expect? "
                    code { "chaosd report " (record.id) " --surprise '…'" } " writes it here."
                }
                div.ruled aria-hidden="true" { @for _ in 0..RULED { i {} } }
            } @else {
                @for paragraph in text.split("\n\n") { p { (paragraph) } }
            }
        }
    }
}

/// What the reader should know.
pub(super) fn notes(record: &Record) -> Markup {
    html! {
        @if !record.notes.is_empty() { section { h2 { "Notes" } (list(&record.notes)) } }
    }
}

/// How to do it once more.
pub(super) fn repeat(record: &Record) -> Markup {
    html! {
        section {
            h2 { "Once more" }
            @if let Some(command) = words::repeat(record) { pre { (line(&command)) } }
            p.muted style="margin:8px 0 0" {
                "Seed " (record.seed) " makes each fault decide as it did here."
            }
        }
    }
}

/// Who made this.
pub(super) fn foot(record: &Record) -> Markup {
    html! {
        footer { "chaosd " (line(&record.version)) " · record of form " (record.schema) " beside this page: record.json" }
    }
}
