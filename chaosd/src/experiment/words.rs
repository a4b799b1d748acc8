//! Numbers, times and sentences, as every form of a report has them.

mod fault;
mod number;
mod seen;

use std::borrow::Cow;

use super::{
    load,
    record::{Analysis, Comparison, End, Load, Probe, Record},
};

pub use fault::{amiss, counted, measured, verdict};
pub use number::{both, day, grouped, number, quantity, ratio, share, time};
pub use seen::{failures, reasons};

/// Those hit whom a line names.
const HIT_NAMED: usize = 3;
/// Seconds that are told as none.
pub const AT_ONCE: f64 = 0.000_5;

/// How something is to be taken: forms paint it in their own way, never by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As hoped for.
    Good,
    /// Not as hoped for.
    Bad,
    /// To think about.
    Warn,
    /// Nothing of that.
    Plain,
}

/// How a run ended, in two words.
pub fn outcome(record: &Record, analysis: &Analysis) -> (&'static str, Tone) {
    match (&record.end, analysis.held) {
        (End::NotSteady { .. }, _) => ("not started", Tone::Warn),
        (End::Aborted { .. }, _) => ("aborted", Tone::Bad),
        (End::Interrupted { .. }, _) => ("interrupted", Tone::Warn),
        (End::Broken { .. }, _) => ("broken off", Tone::Bad),
        (End::Completed, Some(true)) => ("held", Tone::Good),
        (End::Completed, Some(false)) => ("did not hold", Tone::Bad),
        (End::Completed, None) if !is_plain(record) => ("not put to the test", Tone::Warn),
        (End::Completed, None) if super::analysis::acted(record) => ("done", Tone::Good),
        (End::Completed, None) => ("no effect", Tone::Warn),
    }
}

/// A run without a hypothesis: there is nothing to hold.
pub fn is_plain(record: &Record) -> bool {
    record.hypothesis.is_none() && record.probes.is_empty()
}

/// True when probes looked while faults were in force, or could have.
pub fn is_tried(record: &Record) -> bool {
    !record.probes.is_empty() && !matches!(record.end, End::NotSteady { .. })
}

/// What the report is about: the hypothesis, what the profile says of itself, or else what its faults do.
pub fn headline(record: &Record) -> Cow<'_, str> {
    let hypothesis = record.hypothesis.as_deref().unwrap_or_default();
    let mut said = [hypothesis, &record.about].into_iter();
    if let Some(said) = said.find(|text| !text.trim().is_empty()) {
        return said.into();
    }
    let runs = record.stages.iter().filter_map(|stage| stage.run.as_ref());
    let faults = runs.flat_map(|run| &run.faults).map(|fault| &fault.what);
    let mut done: Vec<&str> = Vec::new();
    for what in faults.filter(|what| !what.is_empty()) {
        if !done.contains(&what.as_str()) {
            done.push(what);
        }
    }
    match (done.as_slice(), record.profile.trim()) {
        ([], "") => "A run".into(),
        ([], profile) => profile.to_owned().into(),
        (some, _) => upper_first(&some.join("; ")).into(),
    }
}

/// As a sentence begins.
pub fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// Who was hit, as far as a line has room.
pub fn hit(record: &Record) -> String {
    let hit = &record.blast.hit;
    let named = hit.iter().take(HIT_NAMED).cloned().collect::<Vec<_>>();
    match hit.len() {
        0 => "nobody".to_owned(),
        n if n > HIT_NAMED => format!("{} and {} more", named.join(", "), n - HIT_NAMED),
        _ => named.join(", "),
    }
}

/// The time to detect.
pub fn detected(record: &Record, analysis: &Analysis) -> String {
    let windows = super::analysis::windows(&record.stages);
    let looked = |probe: &Probe| super::analysis::tally(probe, &windows).0 > 0;
    match analysis.detected {
        Some(seconds) => time(seconds),
        None if windows.is_empty() => "no fault yet".into(),
        None if record.probes.iter().any(looked) => "nothing failed".into(),
        None => "not looked at".into(),
    }
}

/// The time to recover.
pub fn recovered(record: &Record, analysis: &Analysis) -> String {
    let gone = super::analysis::gone(record);
    let looked = |gone: f64| {
        let mut samples = record.probes.iter().flat_map(|probe| &probe.samples);
        samples.any(|sample| sample.at >= gone)
    };
    match (analysis.recovered, gone) {
        (Some(seconds), _) if seconds >= AT_ONCE => time(seconds),
        (Some(_), _) => "at once".into(),
        (None, Some(gone)) if looked(gone) => {
            format!("not within {}", time((record.seconds - gone).max(0.0)))
        }
        (None, _) => "not looked at".into(),
    }
}

/// True when the load was still there after the last stage, and was ended by us.
pub fn is_ended_by_us(record: &Record, load: &Load) -> bool {
    load.ended_by_us.unwrap_or_else(|| {
        let last = record.stages.last().map_or(0.0, |stage| stage.end);
        load.exit.is_none_or(|code| code > 128) && load.end >= last
    })
}

/// How long the load ran and how it ended.
pub fn load_ended(record: &Record, load: &Load) -> String {
    let ended = match load.exit {
        _ if is_ended_by_us(record, load) => "was ended with the run".to_owned(),
        Some(0) => "ended well".to_owned(),
        Some(code) => format!("ended with code {code}"),
        None => "nobody knows how it ended".to_owned(),
    };
    format!("ran for {}, {ended}", time(load.end - load.begin))
}

/// The load's tool, or else the command's first word.
pub fn load_name(load: &Load) -> String {
    let tool = load.tool.as_deref().or_else(|| load::tool(&load.command));
    let first = load.command.first().map(String::as_str);
    line(tool.or(first).unwrap_or("command"))
}

/// How many samples of a probe began under faults, and how many of them were as expected.
pub fn under_faults(record: &Record, probe: &Probe) -> (usize, usize) {
    super::analysis::tally(probe, &super::analysis::windows(&record.stages))
}

/// A comparison in one sentence.
pub fn compared(comparison: &Comparison, unit: &str) -> String {
    let (target, control) = (
        quantity(comparison.target, unit),
        quantity(comparison.control, unit),
    );
    let more = if comparison.difference < 0.0 {
        "less"
    } else {
        "more"
    };
    let verdict = if comparison.differs {
        "an effect, and not noise"
    } else {
        "no more than noise: the interval has 0 in it"
    };
    format!(
        "Under faults the median was {target} on the target and {control} on the control: {} {more}, between {} with 95 % confidence; {verdict}.",
        quantity(comparison.difference.abs(), unit),
        both(comparison.low, "and", comparison.high, unit),
    )
}

/// How to run it once more, when that is known.
pub fn repeat(record: &Record) -> Option<String> {
    if record.command.is_empty() {
        let seed = record.seed;
        return (record.profile != "inject")
            .then(|| format!("chaosd run {} --seed {seed}", quoted(&record.profile)));
    }
    let mut words: Vec<String> = record.command.iter().map(|word| quoted(word)).collect();
    let ours = record.command.iter().position(|word| word == "--");
    let told = record.command.iter().take(ours.unwrap_or(words.len()));
    if !told
        .clone()
        .any(|word| word == "--seed" || word.starts_with("--seed="))
    {
        let seed = ["--seed".to_owned(), record.seed.to_string()];
        let at = ours.unwrap_or(words.len());
        words.splice(at..at, seed);
    }
    Some(words.join(" "))
}

/// A word as a shell takes it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// One line, without what a terminal or a parser would take for a command: escape sequences go, other
/// control characters become blanks.
pub fn line(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    text.replace(is_command, " ").trim().to_owned()
}

/// The same, of several lines.
pub fn lines(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    let lines = text.lines().map(|text| {
        let mut parts = text.rsplit('\r');
        let last = parts.find(|part| !part.is_empty()).unwrap_or_default();
        last.replace('\t', "    ").replace(is_command, " ")
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// Controls, and those of text that runs from right to left, which would hide what stands there.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
