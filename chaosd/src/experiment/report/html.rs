//! The report as one page: no script, nothing fetched, readable in light, dark, on a phone and in print.
//!
//! Every text of a record goes through the template's escaping; the policy in the page's head keeps it
//! from fetching or running anything even so.

mod evidence;
mod rest;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::experiment::{
    record::{Analysis, Record},
    words::{self, Tone, line, number, time},
};

use super::timeline::timeline;

const STYLE: &str = include_str!("style.css");
/// Of the picture: on a screen and on paper, and on a phone.
const WIDE: f64 = 960.0;
const NARROW: f64 = 380.0;

/// The page.
pub fn html(record: &Record) -> String {
    let analysis = record.analysis();
    let (outcome, tone) = words::outcome(record, &analysis);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (outcome) ": " (line(&words::headline(record))) " (" (record.id) ")" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(record, &analysis, outcome, tone))
                    (tiles(record, &analysis))
                    (rest::problems(record))
                    (picture(record, &analysis))
                    (evidence::probes(record, &analysis))
                    (evidence::comparisons(record, &analysis))
                    (evidence::faults(record))
                    (evidence::load(record))
                    (rest::blast(record))
                    (rest::surprises(record))
                    (rest::notes(record))
                    (rest::repeat(record))
                    (rest::foot(record))
                }
            }
        }
    };
    page.into_string()
}

/// A word with its tone: colour, and a sign for who sees none.
fn pill(word: &str, tone: Tone, big: bool) -> Markup {
    let (class, sign) = match tone {
        Tone::Good => ("good", "✓ "),
        Tone::Bad => ("bad", "✗ "),
        Tone::Warn => ("warn", "! "),
        Tone::Plain => ("plain", ""),
    };
    html! {
        span class={ "pill " (class) @if big { " big" } } {
            span aria-hidden="true" { (sign) } (word)
        }
    }
}

fn head(record: &Record, analysis: &Analysis, outcome: &str, tone: Tone) -> Markup {
    let plain = words::is_plain(record);
    html! {
        header {
            (pill(outcome, tone, true))
            h1 { (line(&words::headline(record))) }
            @if !plain || tone != Tone::Good {
                p.why { (line(&analysis.why)) }
            }
            p.meta {
                @if words::headline(record) != record.profile.as_str() { (line(&record.profile)) " · " }
                (record.id) " · "
                time datetime=(line(&record.started)) { (words::day(&record.started)) }
                @if !record.host.name.is_empty() {
                    " · on " (line(&record.host.name)) ", Linux " (line(&record.host.kernel))
                }
            }
            @if !record.blast.hit.is_empty() { p.meta { "Hit: " (line(&words::hit(record))) } }
        }
    }
}

fn tile(name: &str, value: &str, more: &str) -> Markup {
    let words = !value.starts_with(|c: char| c.is_ascii_digit());
    html! {
        div.tile {
            dt { (name) }
            dd.words[words] { (value) @if !more.is_empty() { " " small { (more) } } }
        }
    }
}

fn tiles(record: &Record, analysis: &Analysis) -> Markup {
    let (hit, spared) = (record.blast.hit.len(), record.blast.spared.len());
    let spared = match spared {
        0 => "hit".to_owned(),
        n => format!("hit, {n} spared"),
    };
    html! {
        dl.tiles {
            @if let Some(score) = analysis.score {
                (tile("Resilience score", &number(score.round()), "of 100"))
            }
            @if words::is_tried(record) {
                (tile("Time to detect", &words::detected(record, analysis), ""))
                (tile("Time to recover", &words::recovered(record, analysis), ""))
            }
            (tile("Blast radius", &hit.to_string(), &spared))
            (tile("Lasted", &time(record.seconds), ""))
        }
    }
}

fn picture(record: &Record, analysis: &Analysis) -> Markup {
    if record.stages.is_empty() {
        return html! {};
    }
    let failed = record
        .probes
        .iter()
        .flat_map(|probe| &probe.samples)
        .any(|sample| !sample.ok);
    let limit = record.probes.iter().any(|probe| probe.limit.is_some());
    let control = record.probes.iter().any(|probe| probe.control);
    let key = |drawing: Markup, name: &str| {
        html! { li { svg width="22" height="12" viewBox="0 0 22 12" aria-hidden="true" { (drawing) } (name) } }
    };
    html! {
        section {
            h2 { "What happened" }
            @if !record.probes.is_empty() {
                ul.legend {
                    (key(html! { rect class="hot" width="22" height="12" rx="3" {} }, "faults in force"))
                    (key(html! { polyline class="target" points="0,9 7,4 14,7 22,2" {} circle class="dot" cx="7" cy="4" r="2" {} }, "target"))
                    @if control {
                        (key(html! { polyline class="control" points="0,9 7,4 14,7 22,2" {} }, "control, spared"))
                    }
                    @if limit {
                        (key(html! { line class="limit" x1="0" x2="22" y1="6" y2="6" {} }, "limit"))
                    }
                    @if failed {
                        (key(html! { rect class="failed" x="4" width="14" height="12" {} path class="cross" d="M8 3l6 6m0-6l-6 6" {} }, "failed"))
                    }
                }
            }
            div.wide { (timeline(record, analysis, WIDE)) }
            div.narrow { (timeline(record, analysis, NARROW)) }
        }
    }
}
