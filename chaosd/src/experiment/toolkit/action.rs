//! What an action of the method runs: chaosd itself, or a load tool.

use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::Value;

use super::place::{Found, Place};
use crate::profile::flags::InjectFlags;

/// What a shell would make something else of than a word.
const SHELL: &[char] = &[';', '|', '&', '<', '>', '(', ')', '`', '\n', '*', '?', '\\'];

/// The words of chaosd that an action may say.
#[derive(Parser, Debug)]
#[command(
    name = "chaosd",
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_help_flag = true
)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Inject {
        #[command(flatten)]
        flags: Box<InjectFlags>,
        #[arg(short, long, global = true)]
        detach: bool,
        #[arg(short, long, global = true)]
        output: Option<String>,
        #[arg(long = "as", global = true)]
        name: Option<String>,
    },
    Revert {
        names: Vec<String>,
        #[arg(short, long)]
        all: bool,
        #[arg(short, long)]
        output: Option<String>,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// An action that can be done here.
#[derive(Debug)]
pub(super) enum Action {
    /// A profile's document with one fault, and how long its run lasts.
    Inject {
        document: Value,
        /// Its `after` is part of it.
        lasts: Duration,
        after: Duration,
        /// The action ends at once, and the fault goes on.
        detached: bool,
        name: Option<String>,
    },
    /// The runs of these names end; of none: all.
    Revert(Vec<String>),
    /// Another program.
    Program(Vec<String>),
}

/// The words of a process, as the Chaos Toolkit starts it: arguments as a list, as a map of flags
/// and values, or as a text, which a shell gets.
pub(super) fn words(found: &mut Found, place: &Place, provider: &Value) -> Option<Vec<String>> {
    let path = found
        .text(&place.key("path"), &provider["path"])?
        .to_owned();
    let place = place.key("arguments");
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        // As Python writes them.
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null => Some(String::new()),
        _ => None,
    };
    let words: Option<Vec<String>> = match &provider["arguments"] {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(word).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(flag, value)| Some([flag.clone(), word(value)?]))
            .collect::<Option<Vec<_>>>()
            .map(|pairs| pairs.into_iter().flatten().collect()),
        Value::String(line) => {
            return Some(shell(&path, line));
        }
        _ => None,
    };
    let Some(words) = words else {
        found.say(
            &place,
            "expected a list of words, a map of flags, or a text",
        );
        return None;
    };
    let words = words.into_iter().filter(|word| !word.is_empty());
    Some(std::iter::once(path).chain(words).collect())
}

/// A line that a shell would split at its spaces alone is split here; another is left to it.
fn shell(path: &str, line: &str) -> Vec<String> {
    let mut words = vec![path.to_owned()];
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some('"'), '\\' | '`' | '$') => return through_shell(path, line),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, c) if SHELL.contains(&c) => return through_shell(path, line),
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quote.is_some() {
        return through_shell(path, line);
    }
    if begun {
        words.push(word);
    }
    words
}

fn through_shell(path: &str, line: &str) -> Vec<String> {
    let line = format!("{path} {line}");
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

/// What the words mean; `None`: told why not.
pub(super) fn read(found: &mut Found, place: &Place, words: Vec<String>) -> Option<Action> {
    let program = words.first().map_or("", String::as_str);
    if program.rsplit('/').next() != Some("chaosd") {
        return Some(Action::Program(words));
    }
    let line = match Line::try_parse_from(&words[1..]) {
        Ok(line) => line,
        Err(error) => {
            found.say(place, in_one_line(&error));
            return None;
        }
    };
    match line.verb {
        Verb::Inject {
            flags,
            detach,
            name,
            ..
        } => inject(found, place, &flags, detach, name),
        Verb::Revert { names, all, .. } => {
            if all != names.is_empty() {
                let what = "write --all, or the names of runs (`chaosd inject --as NAME`)";
                found.say(place, what);
                return None;
            }
            Some(Action::Revert(names))
        }
        Verb::Other(words) => {
            let verb = words.first().map_or("", String::as_str);
            let what = format!(
                "an action can be `chaosd inject` or `chaosd revert`, not `chaosd {verb}`: a profile's faults go here one by one"
            );
            found.say(place, what);
            None
        }
    }
}

fn inject(
    found: &mut Found,
    place: &Place,
    flags: &InjectFlags,
    detached: bool,
    name: Option<String>,
) -> Option<Action> {
    match flags.profile(Duration::MAX) {
        Ok(profile) => {
            let fault = profile.faults.first()?;
            Some(Action::Inject {
                document: flags.document(),
                lasts: profile.run_for,
                after: fault.timeline.after,
                detached,
                name,
            })
        }
        Err(problems) => {
            for problem in problems.0 {
                found.say(place, problem.to_string());
            }
            None
        }
    }
}

/// What clap says, without its usage.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = words.join("; ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}
