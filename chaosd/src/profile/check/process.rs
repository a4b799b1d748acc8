//! What `process` takes.

use std::{num::NonZeroU32, time::Duration};

use nix::sys::signal::Signal;

use crate::profile::{
    Pattern, Process, Which,
    problem::{Found, Mistake, quote},
    resource::signal_name,
    tree::{Key, Node, Value},
    words,
};

use super::PROCESS_KEYS;

/// Signals that are sent again sooner than this come as fast as the engine looks around.
const SHORTEST_EVERY: Duration = Duration::from_millis(100);

impl Found {
    pub(super) fn process(&mut self, key: &Key, node: &Node) -> Option<Process> {
        let mut process = Process {
            which: Which::All {},
            signal: Signal::SIGKILL,
            every: None,
            count: None,
        };
        match &node.value {
            Value::Empty => return Some(process),
            Value::Text(text) => {
                process.signal = self.keep(&node.at, parse_signal(text))?;
                return Some(process);
            }
            _ => {}
        }
        let fields = self.fields(node, &key.name, PROCESS_KEYS)?;
        let mut which = Some(Which::All {});
        if let Some(node) = fields.get("pid") {
            if let Some((key, _)) = fields.entry("match") {
                let what = "match beside pid: one of them says which processes";
                self.say(&key.at, what);
            }
            which = self.integer::<i32>(node, "a process id", 1).map(Which::Pid);
        } else if let Some(node) = fields.get("match") {
            which = self.text(node).map(str::to_owned).and_then(|text| {
                if text.is_empty() || text.contains('/') || text.contains(char::is_whitespace) {
                    let what = format!(
                        "{} is not the name of a program, such as nginx or worker-*",
                        quote(&text)
                    );
                    self.say(&node.at, what);
                    return None;
                }
                Some(Which::Match(Pattern(text)))
            });
        }
        let signal = match fields.get("signal") {
            Some(node) => {
                let text = self.text(node).map(str::to_owned)?;
                self.keep(&node.at, parse_signal(&text))
            }
            None => Some(Signal::SIGKILL),
        };
        let every = match fields.get("every") {
            Some(node) => self.some_time(node).and_then(|every| {
                if every < SHORTEST_EVERY {
                    let every = humantime::format_duration(every);
                    let what = format!("every {every} is too often: at most every 100ms");
                    self.add(&node.at, Mistake::new(what).instead("100ms"));
                    return None;
                }
                Some(Some(every))
            }),
            None => Some(None),
        };
        let count = match fields.get("count") {
            Some(node) => self
                .integer(node, "how many processes each time, from 1", 1)
                .map(NonZeroU32::new),
            None => Some(None),
        };
        Some(Process {
            which: which?,
            signal: signal?,
            every: every?,
            count: count?,
        })
    }
}

/// `KILL`, `kill`, `SIGKILL` or `9`.
fn parse_signal(text: &str) -> Result<Signal, Mistake> {
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = Signal::iterator().find(|signal| signal_name(*signal) == bare);
    let by_number = || Signal::try_from(bare.parse::<i32>().ok()?).ok();
    if let Some(signal) = named.or_else(by_number) {
        return Ok(signal);
    }
    let lower = |signal| signal_name(signal).to_ascii_lowercase();
    let known: Vec<String> = Signal::iterator().map(lower).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mistake = Mistake::new(format!(
        "{} is not a signal, such as KILL, TERM or STOP",
        quote(text)
    ));
    Err(match words::nearest(&bare.to_ascii_lowercase(), &known) {
        Some(near) => mistake.instead(near.to_ascii_uppercase()),
        None => mistake,
    })
}
