//! `/metrics`: the Prometheus text exposition format, version 0.0.4.

use std::fmt::{self, Write};

use crate::report::{Count, Effect, FaultReport, Phase, RunReport, Status};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Its name, what it counts, and where it stands.
type Counter = (&'static str, &'static str, fn(&Count) -> u64);

/// All metrics. A run that is over is left out once the engine forgets it, which bounds the labels.
pub(super) fn text(status: &Status) -> String {
    let mut page = Page::default();
    let armed: usize = status
        .runs
        .iter()
        .filter(|run| run.phase == Phase::Armed)
        .map(|run| run.faults.len())
        .sum();
    page.head(
        "chaosd_faults_armed",
        "gauge",
        "Faults of the runs in force",
    );
    page.sample("chaosd_faults_armed", &[], &armed);

    let counters: [Counter; 5] = [
        (
            "seen",
            "Wire segments that passed the interfaces of the fault",
            |c| c.seen,
        ),
        (
            "matched",
            "Wire segments the fault matched while active",
            |c| c.matched,
        ),
        ("affected", "Wire segments the fault acted on", |c| {
            c.affected
        }),
        (
            "tail_dropped",
            "Of those, wire segments that the full queue of a bandwidth dropped",
            |c| c.tail_dropped,
        ),
        (
            "overflow",
            "Held wire segments lost because chaosd's own queue was full or was deleted",
            |c| c.overflow,
        ),
    ];
    for (what, help, value) in counters {
        let name = format!("chaosd_packets_{what}_total");
        page.head(&name, "counter", help);
        for (run, fault, direction, count) in counts(&status.runs) {
            let labels = [
                ("run", run.id.as_str()),
                ("fault", fault.name.as_str()),
                ("direction", direction),
            ];
            page.sample(&name, &labels, &value(count));
        }
    }

    page.dns(&status.runs);
    page.effects(&status.runs);

    if let Some(daemon) = &status.daemon {
        page.head(
            "chaosd_watchdog_up",
            "gauge",
            "1 while the watchdog process lives",
        );
        page.sample(
            "chaosd_watchdog_up",
            &[],
            &u8::from(daemon.watchdog_pid != 0),
        );
        page.head("chaosd_build_info", "gauge", "1, labelled with the version");
        page.sample("chaosd_build_info", &[("version", &daemon.version)], &1);
    }
    page.0
}

fn counts(
    runs: &[RunReport],
) -> impl Iterator<Item = (&RunReport, &FaultReport, &'static str, &Count)> {
    runs.iter().flat_map(|run| {
        let on_packets = run.faults.iter().filter(|fault| fault.effect.is_none());
        on_packets.flat_map(move |fault| {
            [
                (run, fault, "in", &fault.ingress),
                (run, fault, "out", &fault.egress),
            ]
        })
    })
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// The labels are bounded: an answer is one of a few words, and no name is among them.
    fn dns(&mut self, runs: &[RunReport]) {
        const NAME: &str = "chaosd_dns_answers_total";
        self.head(
            NAME,
            "counter",
            "DNS queries the fault acted on, by what came back: reset stands for queries over TCP",
        );
        for run in runs {
            for fault in &run.faults {
                let Some(dns) = &fault.dns else { continue };
                let mut sample = |answer: &str, count: u64| {
                    let labels = [
                        ("run", run.id.as_str()),
                        ("fault", fault.name.as_str()),
                        ("answer", answer),
                    ];
                    self.sample(NAME, &labels, &count);
                };
                if matches!(dns.answer.as_str(), "drop" | "none") {
                    sample(&dns.answer, dns.answered + dns.tcp);
                } else {
                    sample(&dns.answer, dns.answered);
                    sample("reset", dns.tcp);
                }
            }
        }
    }

    /// Of faults that act on the machine.
    fn effects(&mut self, runs: &[RunReport]) {
        type Value = fn(&Effect) -> Option<f64>;
        let figures: [(&str, &str, Value); 2] = [
            ("asked", "What the fault was asked for, in its unit", |e| {
                e.asked
            }),
            ("reached", "What the fault reached, in its unit", |e| {
                e.reached
            }),
        ];
        for (what, help, value) in figures {
            let name = format!("chaosd_effect_{what}");
            self.head(&name, "gauge", help);
            for run in runs {
                for fault in &run.faults {
                    let Some(effect) = &fault.effect else {
                        continue;
                    };
                    let Some(value) = value(effect) else { continue };
                    let labels = [
                        ("run", run.id.as_str()),
                        ("fault", fault.name.as_str()),
                        ("unit", effect.unit.as_str()),
                    ];
                    self.sample(&name, &labels, &value);
                }
            }
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn fmt::Display) {
        if labels.is_empty() {
            return self.line(format_args!("{name} {value}"));
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
            .collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{line}").ok();
    }
}

/// The three characters which the format escapes in a label's value.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_the_format() {
        assert_eq!(escape("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
