//! `JUnit`'s XML, for CI: a test case for the hypothesis, for each probe and for each fault.
//!
//! What was not put to the test is an error when something kept it from it, and skipped when there was
//! nothing to test.

use std::fmt::{Display, Write};

use crate::{
    experiment::{
        record::{End, Probe, Record},
        words::{self, number, ratio},
    },
    report::{RunReport, Verdict},
};

/// What a case came to.
enum Outcome {
    Passed,
    Failed(String),
    Error(String),
    Skipped(String),
}

struct Case {
    /// What kind of case, below the profile's name.
    class: &'static str,
    name: String,
    result: Outcome,
}

/// The document.
pub fn junit(record: &Record) -> String {
    let cases = cases(record);
    let of =
        |wanted: fn(&Outcome) -> bool| cases.iter().filter(|case| wanted(&case.result)).count();
    let failures = of(|result| matches!(result, Outcome::Failed(_)));
    let errors = of(|result| matches!(result, Outcome::Error(_)));
    let skipped = of(|result| matches!(result, Outcome::Skipped(_)));
    let (tests, seconds, name) = (cases.len(), record.seconds, Text(&record.profile));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    writeln!(
        xml,
        "<testsuites name=\"chaosd\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\">\n  \
         <testsuite name=\"{name}\" id=\"0\" timestamp=\"{}\" hostname=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        Text(record.started.trim_end_matches('Z')),
        Text(&record.host.name),
    )
    .ok();
    let analysis = record.analysis();
    let properties = [
        ("run", record.id.clone()),
        ("chaosd", record.version.clone()),
        ("kernel", record.host.kernel.clone()),
        ("seed", record.seed.to_string()),
        ("score", analysis.score.map(number).unwrap_or_default()),
        ("time-to-detect", words::detected(record, &analysis)),
        ("time-to-recover", words::recovered(record, &analysis)),
    ];
    xml.push_str("    <properties>\n");
    for (name, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(
            xml,
            "      <property name=\"{name}\" value=\"{}\"/>",
            Text(value)
        )
        .ok();
    }
    xml.push_str("    </properties>\n");
    for case in &cases {
        case.write(&mut xml, record);
    }
    if !record.surprises.trim().is_empty() {
        writeln!(
            xml,
            "    <system-out>{}</system-out>",
            Text(&record.surprises)
        )
        .ok();
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

impl Case {
    fn write(&self, xml: &mut String, record: &Record) {
        let (tag, message) = match &self.result {
            Outcome::Passed => ("", ""),
            Outcome::Failed(message) => ("failure", message.as_str()),
            Outcome::Error(message) => ("error", message.as_str()),
            Outcome::Skipped(message) => ("skipped", message.as_str()),
        };
        write!(
            xml,
            "    <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\"",
            Text(&record.profile),
            self.class,
            Text(&self.name),
            record.seconds,
        )
        .ok();
        match tag {
            "" => writeln!(xml, "/>"),
            "skipped" => writeln!(
                xml,
                ">\n      <skipped message=\"{}\"/>\n    </testcase>",
                Text(message)
            ),
            tag => writeln!(
                xml,
                ">\n      <{tag} type=\"chaosd\" message=\"{0}\">{0}</{tag}>\n    </testcase>",
                Text(message)
            ),
        }
        .ok();
    }
}

fn cases(record: &Record) -> Vec<Case> {
    let analysis = record.analysis();
    let why = || analysis.why.clone();
    let mut cases = vec![Case {
        class: "hypothesis",
        name: words::headline(record).into_owned(),
        result: match (analysis.held, &record.end) {
            (Some(true), _) => Outcome::Passed,
            (Some(false), _) => Outcome::Failed(why()),
            (None, End::Completed) => Outcome::Skipped(why()),
            (None, _) => Outcome::Error(why()),
        },
    }];
    let probes = record.probes.iter().zip(&analysis.probes);
    cases.extend(
        probes
            .filter(|(probe, _)| !probe.control)
            .map(|(probe, told)| Case {
                class: "probe",
                name: probe.name.clone(),
                result: match told.held {
                    Some(true) => Outcome::Passed,
                    Some(false) => Outcome::Failed(failed(record, probe)),
                    None => {
                        Outcome::Skipped("no sample was taken while faults were in force".into())
                    }
                },
            }),
    );
    for stage in &record.stages {
        let rows = stage.run.iter().flat_map(RunReport::rows);
        cases.extend(rows.map(|(member, fault)| {
            let on = member.map_or(String::new(), |target| format!(" on {target}"));
            let told = || {
                format!(
                    "{}: {}",
                    words::verdict(fault.verdict).0,
                    words::measured(fault)
                )
            };
            Case {
                class: "fault",
                name: format!("{}{on} in {}: {}", fault.name, stage.name, fault.what),
                result: match fault.verdict {
                    Verdict::Effective | Verdict::Spared => Outcome::Passed,
                    Verdict::NotTaken => Outcome::Skipped(told()),
                    Verdict::Ineffective | Verdict::NoTraffic | Verdict::Overflow => {
                        Outcome::Failed(told())
                    }
                },
            }
        }));
    }
    cases.extend((!record.problems.is_empty()).then(|| Case {
        class: "revert",
        name: "everything is as before".into(),
        result: Outcome::Error(record.problems.join("\n")),
    }));
    cases
}

fn failed(record: &Record, probe: &Probe) -> String {
    let (all, ok) = words::under_faults(record, probe);
    let asked = number(probe.at_least * 100.0);
    let mut told = vec![format!(
        "{}: {} samples under faults were as expected, {asked} % asked",
        probe.what,
        ratio(ok, all)
    )];
    told.extend(words::failures(&probe.samples, &probe.unit));
    told.join("; ")
}

/// Text in XML 1.0: what would be read as markup is escaped, and what no document may have is replaced.
struct Text<'t>(&'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in words::lines(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\n' => f.write_str("&#10;")?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
