//! Writes for people and programs. A reader that has gone (`| head`) never ends a run: what cannot
//! be written is dropped.

use std::{error::Error, fmt::Display, io::Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

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

/// News, to stderr.
pub(super) fn tell(text: impl Display) {
    writeln!(anstream::stderr().lock(), "{text}").ok();
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
    for line in text.lines() {
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
