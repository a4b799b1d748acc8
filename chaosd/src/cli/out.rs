//! Writes for people and programs. A reader that has gone (`| head`) never ends a run: what cannot
//! be written is dropped.

use std::{error::Error, fmt::Display, io::Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::printable::printable;

/// Bad news.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// News to think about.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
/// Good news.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What matters less.
pub(super) const DIM: Style = Style::new().dimmed();
/// What matters more.
pub(super) const BOLD: Style = Style::new().bold();

/// A result, to stdout.
pub(super) fn say(text: impl Display) {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .ok();
}

/// News, to stderr. Of what others chose in it, nothing moves the cursor.
pub(super) fn tell(text: impl Display) {
    let text = harmless(&text.to_string());
    writeln!(anstream::stderr().lock(), "{text}").ok();
}

/// Ends of lines and styles (ECMA-48, SGR) stay, other control characters do not.
fn harmless(text: &str) -> String {
    let lines = |text: &str| {
        let lines: Vec<String> = text.split('\n').map(printable).collect();
        lines.join("\n")
    };
    let mut parts = text.split('\x1b');
    let first = parts.next().map(lines);
    parts.fold(first.unwrap_or_default(), |mut shown, part| {
        shown.push(if is_style(part) { '\x1b' } else { '?' });
        shown + &lines(part)
    })
}

/// What follows an ESC sets a style.
fn is_style(text: &str) -> bool {
    let numbers = text.strip_prefix('[');
    let end = numbers.map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    end.is_some_and(|end| end.starts_with('m'))
}

/// A result for programs, to stdout.
pub(super) fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(text),
        Err(source) => error(&source),
    }
}

/// A result for programs in one line, where many follow each other.
pub(super) fn json_line(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => say(text),
        Err(source) => error(&source),
    }
}

/// An error and its causes, to stderr.
pub(super) fn error(error: &dyn Error) {
    let text = chain(error);
    for line in text.lines().map(printable) {
        tell(format_args!("{BAD}error:{BAD:#} {line}"));
    }
}

/// An error and its causes in one line each.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Text in a style.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_and_lines_of_ours_stay_and_nothing_moves_the_cursor() {
        let ours = format!("{BAD}error:{BAD:#} one\ntwo");
        assert_eq!(harmless(&ours), ours);
        let theirs = "a\x1b[2Jb\x1b]0;title\x07c\rd\x1b[1;9Hz\x1b";
        assert_eq!(harmless(theirs), "a?[2Jb?]0;title?c?d?[1;9Hz?");
    }
}
