//! Every sample, whole and broken.
//!
//! The samples of wrk, hey, fio, locust, pgbench and redis-benchmark are what these versions printed
//! here. Those whose names say `documented` have the form that the tool's documentation shows: k6,
//! vegeta and wrk2 are in no registry that the tests use.

use super::{read, summary, text::Text};
use crate::experiment::record::Figure;

macro_rules! samples {
    ($($name:literal),+ $(,)?) => {
        /// Every sample: its name, what the tool printed, and the figures that are in it.
        const SAMPLES: &[(&str, &str, &str)] = &[$((
            $name,
            include_str!(concat!("samples/", $name, ".txt")),
            include_str!(concat!("samples/", $name, ".figures")),
        )),+];
    };
}

samples![
    "wrk-4.1.0",
    "wrk-4.1.0-latency",
    "wrk2-documented",
    "hey-0.1.4",
    "hey-0.1.4-refused",
    "vegeta-12-documented",
    "vegeta-12-documented-json",
    "k6-1-documented",
    "k6-1-documented-handle-summary",
    "k6-0.49-documented",
    "k6-0.49-documented-export",
    "locust-2.47.0",
    "locust-2.47.0-json",
    "fio-3.33",
    "fio-3.33-two-jobs",
    "fio-3.33-json",
    "pgbench-15.18",
    "pgbench-15.18-progress-report",
    "pgbench-15.18-two-scripts",
    "redis-benchmark-7.0.15",
    "redis-benchmark-7.0.15-q",
    "redis-benchmark-7.0.15-csv",
];

/// A line for each figure: its name, its value to nine digits, its unit.
fn shown(figures: &[Figure]) -> String {
    let line = |f: &Figure| format!("{} {} {}", f.name, rounded(f.value), f.unit);
    let lines: Vec<_> = figures.iter().map(line).collect();
    lines.join("\n").replace(" \n", "\n").trim_end().to_owned()
}

fn rounded(value: f64) -> f64 {
    format!("{value:.8e}").parse().unwrap_or(f64::NAN)
}

/// Those of the broken text, each of which has to be one of the whole text's.
#[track_caller]
fn assert_none_is_wrong(name: &str, whole: &[Figure], broken: &str, cut: bool) {
    let text = Text::kept(broken, cut);
    for command in [vec![], vec![tool_of(name).to_owned()]] {
        let figures = summary(&command, &text).map_or(Vec::new(), |summary| summary.figures);
        for figure in figures {
            assert!(
                whole.contains(&figure),
                "{name}: {figure:?} of the end of {:?}",
                &broken[broken.len().saturating_sub(200)..]
            );
        }
    }
}

/// A sample's name begins with its tool's.
fn tool_of(name: &str) -> &str {
    if name.starts_with("redis-") {
        return "redis-benchmark";
    }
    name.split('-').next().unwrap_or(name)
}

fn figures(text: &str) -> Vec<Figure> {
    read(&[], text).map_or(Vec::new(), |summary| summary.figures)
}

/// Where a text may be cut: at each end of a line and beside it, and at some places between.
fn cuts(text: &str) -> impl Iterator<Item = usize> {
    (0..=text.len()).filter(|n| {
        let near = text.as_bytes()[n.saturating_sub(1)..(n + 1).min(text.len())].contains(&b'\n');
        text.is_char_boundary(*n) && (near || n % 37 == 0)
    })
}

#[test]
fn each_sample_yields_its_figures() {
    for (name, text, expected) in SAMPLES {
        let summary = read(&[], text).unwrap_or_else(|| panic!("{name}: nothing was read"));
        assert_eq!(summary.tool, tool_of(name));
        assert_eq!(shown(&summary.figures), expected.trim_end(), "{name}");
    }
}

#[test]
fn a_colour_and_an_end_of_line_of_another_system_change_nothing() {
    for (name, text, _) in SAMPLES {
        let other = text.replace('\n', "\x1b[0m\r\n");
        assert_eq!(figures(&other), figures(text), "{name}");
    }
}

#[test]
fn what_stands_before_and_after_a_summary_changes_nothing() {
    for (name, text, _) in SAMPLES {
        let other = format!("starting {{\n[1, 2\n{text}\nbye: 5 = 6\n[x]\n");
        assert_eq!(figures(&other), figures(text), "{name}");
    }
}

#[test]
fn the_command_decides_between_two_summaries() {
    let text = |wanted: &str| {
        let found = SAMPLES.iter().find(|(name, _, _)| *name == wanted);
        found.map_or("", |(_, text, _)| *text)
    };
    let both = format!("{}{}", text("fio-3.33"), text("pgbench-15.18"));
    for tool in ["fio", "pgbench"] {
        let command = [
            "timeout".to_owned(),
            "9".to_owned(),
            format!("/usr/bin/{tool}"),
        ];
        assert_eq!(
            read(&command, &both).map(|summary| summary.tool),
            Some(tool)
        );
    }
    // One that it names by chance has no summary there.
    let command = ["wrk".to_owned()];
    let summary = read(&command, text("pgbench-15.18"));
    assert_eq!(summary.map(|summary| summary.tool), Some("pgbench"));
}

#[test]
fn a_tool_that_was_killed_has_fewer_figures_and_none_that_is_wrong() {
    for (name, text, _) in SAMPLES {
        let whole = figures(text);
        for n in cuts(text) {
            assert_none_is_wrong(name, &whole, &text[..n], false);
        }
    }
}

#[test]
fn an_output_whose_front_is_lost_has_fewer_figures_and_none_that_is_wrong() {
    for (name, text, _) in SAMPLES {
        let whole = figures(text);
        for n in cuts(text) {
            assert_none_is_wrong(name, &whole, &text[n..], true);
        }
    }
}

#[test]
fn numbers_of_another_locale_are_left_out() {
    for (name, text, _) in SAMPLES {
        let chars: Vec<char> = text.chars().collect();
        let digit = |n: usize| chars.get(n).is_some_and(char::is_ascii_digit);
        let other: String = (0..chars.len())
            .map(|n| match chars[n] {
                '.' if n > 0 && digit(n - 1) && digit(n + 1) => ',',
                c => c,
            })
            .collect();
        assert_none_is_wrong(name, &figures(text), &other, false);
    }
}

#[test]
fn garbage_is_survived() {
    let mut random: u64 = 7;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap_or(0) % below
    };
    let junk = [
        "",
        "-",
        ".",
        ",",
        "\n",
        "\r",
        "\x1b[",
        "\x1b]",
        "9e999",
        "µ",
        "\"",
        "{",
        "[",
        "/",
        "nan",
        "99999999999999999999",
    ];
    for (name, text, _) in SAMPLES {
        for _ in 0..60 {
            let mut chars: Vec<String> = text.chars().map(String::from).collect();
            for _ in 0..=next(12) {
                let (at, with) = (next(chars.len()), next(junk.len()));
                junk[with].clone_into(&mut chars[at]);
            }
            let broken = chars.concat();
            for figure in figures(&broken) {
                assert!(
                    figure.value.is_finite() && figure.value >= 0.0,
                    "{name}: {figure:?}"
                );
            }
        }
    }
    assert_eq!(read(&[], ""), None);
    assert_eq!(read(&["wrk".to_owned()], "unable to connect\n"), None);
    assert_eq!(read(&[], &"{".repeat(100_000)), None);
    assert_eq!(read(&[], &"[\n".repeat(50_000)), None);
}

#[test]
fn older_forms_are_read() {
    let pgbench = "number of transactions actually processed: 10000/10000\n\
        latency average: 1.5 ms\n\
        tps = 85.2 (including connections establishing)\n\
        tps = 85.3 (excluding connections establishing)\n";
    assert_eq!(
        shown(&figures(pgbench)),
        "transactions 10000\nlatency mean 1.5 ms\ntps 85.3 1/s"
    );
    let redis = "====== SET ======\n  100000 requests completed in 1.23 seconds\n\n\
        99.99% <= 1 milliseconds\n81234.56 requests per second\n";
    assert_eq!(shown(&figures(redis)), "SET requests/s 81234.56 1/s");
    let redis = "\"test\",\"rps\"\n\"GET\",\"81234.56\"\n";
    assert_eq!(shown(&figures(redis)), "GET requests/s 81234.56 1/s");
    let vegeta = "Requests      [total, rate]             600, 10.02\n\
        Duration      [total, attack, wait]     1m0s, 59.9s, 100ms\n\
        Latencies     [mean, 50, 95, 99, max]   1.5ms, 1ms, 2ms, 3ms, 1m10.5s\n\
        Bytes In      [total, mean]             6000, 10.00\n\
        Success       [ratio]                   100.00%\n\
        Status Codes  [code:count]              200:600  \n";
    assert_eq!(
        shown(&figures(vegeta)),
        "requests 600\nrequests/s 10.02 1/s\nlatency mean 1.5 ms\nlatency p50 1 ms\n\
         latency p95 2 ms\nlatency p99 3 ms\nlatency max 70500 ms\nreceived 100 bytes/s\nerrors 0"
    );
    let wrk = "    Latency     0.00us    0.00us   0.00us    -nan%\n  0 requests in 2.00s, 0.00B read\n\
        \x20 Socket errors: connect 8, read 0, write 0, timeout 0\nRequests/sec:      0.00\nTransfer/sec:       0.00B\n";
    assert_eq!(
        shown(&figures(wrk)),
        "requests 0\nerrors 8\nrequests/s 0 1/s\nreceived 0 bytes/s"
    );
}

#[test]
fn jobs_of_one_name_are_told_by_their_group_alone() {
    let job = |iops: u32| {
        format!(
            "mix: (groupid=0, jobs=1): err= 0: pid={iops}: Sun Nov 22 01:58:48 2026\n\
             \x20 read: IOPS={iops}, BW=60.0KiB/s (61.4kB/s)(60KiB/1000msec)\n\
             \x20   clat (usec): min=1, max=2, avg= 1.50, stdev= 0.50\n\
             \x20 cpu          : usr=0.00%\n"
        )
    };
    let group =
        "\nRun status group 0 (all jobs):\n   READ: bw=120KiB/s (123kB/s), 60.0KiB/s-60.0KiB/s\n";
    assert_eq!(
        shown(&figures(&format!("{}{}{group}", job(15), job(16)))),
        "group 0 read bandwidth 122880 bytes/s"
    );
    assert_eq!(
        shown(&figures(&format!("{}{group}", job(15)))),
        "mix read iops 15 1/s\nmix read bandwidth 61440 bytes/s\n\
         mix read latency mean 0.0015 ms\nmix read latency max 0.002 ms\n\
         group 0 read bandwidth 122880 bytes/s"
    );
}
