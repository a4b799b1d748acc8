//! Forms of small and of hostile records.

use super::{html, junit, markdown, sample, schema};
use crate::{
    experiment::record::{Blast, End, Figure, Load, Probe, Record, Stage},
    report::{MemberReport, Phase, Verdict},
};

/// Ends tags, attributes, cells and lines, and commands a terminal.
const HOSTILE: &str = "</script></title><b onload=\"x\">'&amp;|`*\u{1b}[31m\u{0}\nline\u{202e}";

fn hostile() -> Record {
    let mut record = sample::record();
    let text = || HOSTILE.to_owned();
    let probe = Probe {
        name: text(),
        kind: text(),
        what: text(),
        unit: text(),
        ..sample::probe("x", |second| second > 12)
    };
    let mut control = Probe {
        control: true,
        ..probe.clone()
    };
    for sample in &mut control.samples {
        (sample.value, sample.why) = (Some(3.0), Some(text()));
    }
    record.probes = vec![probe, control];
    record.aborts = vec![sample::abort(HOSTILE, Some(12.0))];
    record.load = Some(Load {
        command: vec![text(), text()],
        begin: 1.0,
        end: 2.0,
        exit: None,
        ended_by_us: None,
        tool: Some(text()),
        figures: vec![Figure {
            name: text(),
            value: f64::NAN,
            unit: text(),
        }],
        output: text(),
    });
    record.blast = Blast {
        hit: vec![text()],
        spared: vec![text()],
    };
    for stage in &mut record.stages {
        stage.name = text();
        stage.set.insert(text(), text());
    }
    if let Some(run) = &mut record.stages[1].run {
        run.faults[0].name = text();
        run.faults[0].what = text();
    }
    for field in [
        &mut record.profile,
        &mut record.about,
        &mut record.started,
        &mut record.surprises,
        &mut record.version,
        &mut record.host.name,
        &mut record.host.kernel,
    ] {
        *field = text();
    }
    record.hypothesis = Some(text());
    record.control = Some(text());
    record.problems = vec![text()];
    record.notes = vec![text()];
    record.command = vec![text()];
    record.end = End::Aborted {
        why: text(),
        at: 12.0,
        gone: 12.1,
    };
    record
}

#[test]
fn a_hostile_record_stays_text() {
    let page = html(&hostile());
    assert!(
        !page.contains("<b") || page.contains("<body"),
        "a tag of the record's"
    );
    assert!(!page.contains("<b onload"), "a tag of the record's");
    assert!(!page.contains("</script"), "the end of a script");
    assert_eq!(
        page.matches("</title></head>").count() + page.matches("</title><style>").count(),
        1
    );
    let results = junit(&hostile());
    assert!(!results.contains("<b "), "{results}");
    let ticket = markdown(&hostile());
    // What is indented is code, in which nothing is a tag.
    let mut marked = ticket.lines().filter(|line| !line.starts_with("    "));
    assert!(!marked.any(|line| line.contains("<b ")), "{ticket}");
    for text in [&page, &results, &ticket] {
        let commands = |c: char| c.is_control() && c != '\n';
        assert!(
            !text.contains(commands),
            "{:?}",
            text.chars().find(|c| commands(*c))
        );
        assert!(!text.contains("NaN"));
    }
    for row in ticket.lines().filter(|line| line.starts_with('|')) {
        assert!(row.ends_with('|'), "{row}");
    }
}

#[test]
fn forms_of_the_emptiest_record_are_whole() {
    let record = Record {
        hypothesis: None,
        stages: Vec::new(),
        profile: String::new(),
        started: String::new(),
        seconds: 0.0,
        ..sample::record()
    };
    for text in [html(&record), markdown(&record), junit(&record)] {
        assert!(text.contains("x-0000000a"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}

#[test]
fn a_hundred_thousand_samples_make_a_page_that_a_browser_opens() {
    let mut probe = sample::probe("http", |_| false);
    let mut sample = probe.samples[0].clone();
    probe.samples.clear();
    for n in 0..100_000_u32 {
        sample.at = f64::from(n) * 0.0004;
        sample.ok = n % 7 != 0;
        sample.value = Some(f64::from(n % 100));
        probe.samples.push(sample.clone());
    }
    let record = Record {
        probes: vec![probe],
        ..sample::record()
    };
    let page = html(&record);
    assert!(page.len() < 500_000, "{} bytes", page.len());
}

#[test]
fn many_stages_stay_readable() {
    let mut record = sample::record();
    let [first, second, _] = record.stages.clone().try_into().expect("it has three");
    record.stages.clear();
    for n in 0..24_u32 {
        let begin = f64::from(n) * 10.0;
        record.stages.push(Stage {
            name: format!("a-long-name-of-stage-{n}"),
            begin,
            end: begin + 10.0,
            armed: (n % 2 == 1).then_some(begin),
            over: (n % 2 == 1).then_some(begin + 10.0),
            ..if n % 2 == 1 {
                second.clone()
            } else {
                first.clone()
            }
        });
    }
    record.probes = vec![sample::probe("http", |_| false)];
    let page = html(&record);
    // In the picture the number; in the table, and on the pointer's rest, the name.
    assert!(page.contains(">24</text>"), "no number");
    assert!(page.contains("<title>a-long-name-of-stage-23: "));
    assert!(page.contains("class=\"stacked many\""));
    assert!(page.contains("data-name=\"a-long-name-of-stage-23\""));
    let few = html(&Record {
        probes: record.probes,
        ..sample::record()
    });
    assert!(few.contains("class=\"stacked\"") && few.contains("recovery"));
}

#[test]
fn every_form_says_why_samples_failed_and_what_to_check() {
    let mut record = sample::record();
    record.probes = vec![sample::probe("http", |second| second > 15)];
    record.stages[1].run = Some(sample::run("r-1", &[("lossy", 0, 0, Verdict::NoTraffic)]));
    record.blast.hit = vec!["netns shop".into()];
    for (form, text) in [
        ("html", html(&record)),
        ("markdown", markdown(&record)),
        ("junit", junit(&record)),
    ] {
        assert!(text.contains("24 × refused"), "{form}: {text}");
        assert!(
            form == "junit" || text.contains("ault lossy saw no packet at all"),
            "{form}"
        );
        assert!(form == "junit" || text.contains("netns shop"), "{form}");
    }
    record.probes[0].samples.clear();
    assert!(html(&record).contains("never looked"));
}

#[test]
fn the_schema_refers_to_nothing_but_its_own_definitions() {
    let schema = schema();
    let text = schema.to_string();
    assert!(!text.contains("#/components"), "{text}");
    let references = text.split("\"$ref\":\"").skip(1);
    let mut seen = 0;
    for target in references.filter_map(|rest| rest.split('"').next()) {
        let pointer = target.trim_start_matches('#');
        assert!(schema.pointer(pointer).is_some(), "{target}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    assert!(schema["properties"]["stages"].is_object());
}

/// Contrast of two colours of the style (WCAG 2.2, 1.4.3).
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |colour: &str| {
        let part = |n: usize| {
            let byte = u8::from_str_radix(&colour[n..n + 2], 16).expect("six hexadecimal digits");
            let value = f64::from(byte) / 255.0;
            if value <= 0.040_45 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    };
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

#[test]
fn texts_can_be_told_from_what_is_behind_them_in_light_and_dark() {
    let style = include_str!("style.css");
    let mut palettes = 0;
    for palette in style.split(":root {").skip(1) {
        let palette = palette.split('}').next().unwrap_or_default();
        let colour = |name: &str| {
            let (_, rest) = palette
                .split_once(&format!("--{name}:"))
                .unwrap_or_else(|| panic!("no {name}"));
            rest.trim_start().get(..7).unwrap_or_default().to_owned()
        };
        for (text, behind, least) in [
            ("ink", "page", 7.0),
            ("ink", "card", 7.0),
            ("ink", "plain-back", 4.5),
            ("ink", "stage", 4.5),
            ("ink", "fault-wash", 4.5),
            ("ink", "target-soft", 4.5),
            ("muted", "page", 4.5),
            ("muted", "card", 4.5),
            ("muted", "plain-back", 4.5),
            ("good", "good-back", 4.5),
            ("bad", "bad-back", 4.5),
            ("bad", "fault-wash", 4.5),
            ("bad", "card", 4.5),
            ("warn", "warn-back", 4.5),
            ("fault-ink", "fault", 4.5),
            ("target", "card", 3.0),
            ("target", "fault-wash", 3.0),
            ("control", "card", 3.0),
            ("control", "fault-wash", 3.0),
            ("failed", "failed-wash", 3.0),
        ] {
            let found = contrast(&colour(text), &colour(behind));
            assert!(
                found >= least,
                "--{text} on --{behind}: {found:.2} below {least}"
            );
        }
        palettes += 1;
    }
    assert_eq!(palettes, 2);
}

#[test]
fn the_page_fetches_and_runs_nothing() {
    let mut record = sample::record();
    record.probes = vec![sample::probe("http", |second| second > 20)];
    let page = html(&record);
    for part in [
        "<script",
        "javascript:",
        "@import",
        "url(",
        "src=",
        "<iframe",
        "<object",
        "http-equiv=\"refresh",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    assert_eq!(page.matches("role=\"img\"").count(), 2);
}

#[test]
fn each_of_several_that_were_hit_has_its_rows_in_every_form() {
    let mut record = sample::record();
    let member = |n: u32, verdict| MemberReport {
        id: format!("r-00000001.{n}"),
        target: format!("container shop-{n}"),
        runtime: "docker".into(),
        phase: Phase::Reverted,
        ended: None,
        arm_ms: 1.0,
        faults: sample::run("r", &[("lossy", 1, 50, verdict)]).faults,
    };
    let one = vec![member(1, Verdict::Effective)];
    record.stages[1].run.as_mut().expect("no run").members = one;
    // One alone is all that was hit.
    assert!(!markdown(&record).contains("shop-1"));
    let run = record.stages[1].run.as_mut().expect("no run");
    run.members.push(member(2, Verdict::Ineffective));
    let text = markdown(&record);
    for (n, verdict) in [(1, "| effective |"), (2, "| ineffective |")] {
        let row = format!("| full | lossy on container shop-{n} |");
        let row = text.lines().find(|line| line.starts_with(&row));
        assert!(row.is_some_and(|row| row.ends_with(verdict)), "{text}");
    }
    let xml = junit(&record);
    let case = "name=\"lossy on container shop-2 in full: drops 2 % of packets\"";
    assert!(xml.contains(case), "{xml}");
    assert!(xml.contains("tests=\"4\" failures=\"1\""), "{xml}");
    let page = html(&record);
    assert!(page.contains("on container shop-1") && page.contains("on container shop-2"));
}
