//! Numbers, times and sentences, as every form of a report has them.

use crate::report::{FaultReport, Verdict};

use super::{
    record::{Analysis, Comparison, End, Probe, Record},
    stats::count,
};

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
        (End::Completed, None) if is_plain(record) => ("done", Tone::Good),
        (End::Completed, None) => ("not put to the test", Tone::Warn),
    }
}

/// A run without a hypothesis: there is nothing to hold.
pub fn is_plain(record: &Record) -> bool {
    record.hypothesis.is_none() && record.probes.is_empty()
}

/// What the report is about: the hypothesis, or what the profile says of itself.
pub fn headline(record: &Record) -> &str {
    let hypothesis = record.hypothesis.as_deref().unwrap_or_default();
    [hypothesis, &record.about, &record.profile]
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .unwrap_or("A run")
}

/// The time to detect.
pub fn detected(record: &Record, analysis: &Analysis) -> String {
    match analysis.detected {
        Some(seconds) => time(seconds),
        None if record.probes.is_empty() => "not looked at".into(),
        None => "nothing failed".into(),
    }
}

/// The time to recover.
pub fn recovered(record: &Record, analysis: &Analysis) -> String {
    let gone = super::analysis::gone(record);
    match (analysis.recovered, gone) {
        (Some(seconds), _) if seconds > 0.0 => time(seconds),
        (Some(_), _) => "at once".into(),
        (None, Some(gone)) if !record.probes.is_empty() => {
            format!("not within {}", time((record.seconds - gone).max(0.0)))
        }
        (None, _) => "not looked at".into(),
    }
}

/// How many samples of a probe began under faults, and how many of them were as expected.
pub fn under_faults(record: &Record, probe: &Probe) -> (usize, usize) {
    super::analysis::tally(probe, &super::analysis::windows(&record.stages))
}

/// What a fault really did.
pub fn measured(fault: &FaultReport) -> String {
    if let Some(effect) = &fault.effect {
        let reached = match (effect.asked, effect.reached) {
            (Some(asked), Some(reached)) => format!(
                " ({} of {})",
                number(reached),
                quantity(asked, &effect.unit.replace('-', " "))
            ),
            _ => String::new(),
        };
        return format!("{}{reached}", effect.told);
    }
    let total = fault.total();
    if let Some(dns) = fault.dns.as_ref().filter(|dns| dns.answered + dns.tcp > 0) {
        return format!(
            "acted on {} of {} queries",
            grouped(dns.answered + dns.tcp),
            grouped(total.matched.max(dns.answered + dns.tcp)),
        );
    }
    if total.matched == 0 {
        return match total.seen {
            0 => "no packet was seen".into(),
            seen => format!("nothing matched, of {} packets", grouped(seen)),
        };
    }
    let mut text = format!(
        "{} of {} packets ({})",
        grouped(total.affected),
        grouped(total.matched),
        share_of(total.affected, total.matched)
    );
    for (lost, what) in [
        (total.tail_dropped, "dropped at the tail of the full queue"),
        (total.overflow, "lost by chaosd's own queue"),
    ] {
        if lost > 0 {
            text = format!("{text}, {} {what}", grouped(lost));
        }
    }
    text
}

/// A verdict in words.
pub fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Effective => ("effective", Tone::Good),
        Verdict::Spared => ("spared all", Tone::Warn),
        Verdict::NotTaken => ("not taken", Tone::Plain),
        Verdict::Ineffective => ("ineffective", Tone::Bad),
        Verdict::Overflow => ("overflow", Tone::Bad),
        Verdict::NoTraffic => ("no traffic", Tone::Bad),
    }
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
        "Under faults the median was {target} on the target and {control} on the control: {} {more}, between {} and {} with 95 % confidence; {verdict}.",
        quantity(comparison.difference.abs(), unit),
        number(comparison.low),
        quantity(comparison.high, unit),
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

/// Three significant digits, thousands grouped, nothing after a point that says nothing.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "?".into();
    }
    let text = match size {
        _ if size >= 999.5 => {
            let sign = if value < 0.0 { "-" } else { "" };
            return format!("{sign}{}", group(&format!("{size:.0}")));
        }
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ if size >= 0.0005 => format!("{value:.3}"),
        _ => "0".into(),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A number with its unit.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "s" => time(value),
        "percent" => format!("{} %", number(value)),
        "bytes" => bytes(value, ""),
        "bytes/s" | "bytes per second" => bytes(value, "/s"),
        "1/s" => format!("{}/s", number(value)),
        unit => format!("{} {}", number(value), line(unit)),
    }
}

fn bytes(value: f64, per: &str) -> String {
    let mut value = value;
    let mut units = ["bytes", "KiB", "MiB", "GiB", "TiB"].into_iter().peekable();
    let mut unit = "bytes";
    while let Some(next) = units.next() {
        unit = next;
        if value.abs() < 1024.0 || units.peek().is_none() {
            break;
        }
        value /= 1024.0;
    }
    format!("{} {unit}{per}", number(value))
}

/// A length of time: `340 ms`, `1.24 s`, `42 s`, `2 min 5 s`.
pub fn time(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".into();
    }
    if seconds.abs() < 0.9995 {
        return format!("{} ms", number((seconds * 1e3).round()));
    }
    if seconds < 59.95 {
        return format!("{} s", number(seconds));
    }
    let whole = seconds.round();
    let (minutes, rest) = ((whole / 60.0).floor(), whole % 60.0);
    let (hours, minutes) = ((minutes / 60.0).floor(), minutes % 60.0);
    let parts = [(hours, "h"), (minutes, "min"), (rest, "s")];
    let parts = parts.iter().filter(|(amount, _)| *amount > 0.0);
    let parts: Vec<String> = parts
        .map(|(amount, unit)| format!("{amount} {unit}"))
        .collect();
    parts.join(" ")
}

/// `117 of 120`
pub fn ratio(part: usize, whole: usize) -> String {
    format!("{} of {}", number(count(part)), number(count(whole)))
}

/// A part of a whole in percent, never rounded to all or nothing.
pub fn share(part: usize, whole: usize) -> String {
    share_of(part as u64, whole as u64)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn share_of(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    let text = number(percent);
    match text.as_str() {
        "100" if part < whole => "99.9 %".into(),
        "0" if part > 0 => "0.001 %".into(),
        _ => format!("{text} %"),
    }
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    group(&number.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
