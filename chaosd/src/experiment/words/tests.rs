//! Numbers and sentences as people read them.

use super::*;
use crate::experiment::report::sample::{record, run};
use crate::report::Verdict;

#[test]
fn numbers_have_three_digits() {
    for (value, text) in [
        (0.0, "0"),
        (0.000_01, "0"),
        (0.0214, "0.021"),
        (1.0, "1"),
        (2.056, "2.06"),
        (-9.996, "-10"),
        (42.0, "42"),
        (42.17, "42.2"),
        (99.96, "100"),
        (120.4, "120"),
        (51_529.0, "51,529"),
        (-1_234.0, "-1,234"),
        (f64::NAN, "?"),
    ] {
        assert_eq!(number(value), text);
    }
}

#[test]
fn thousands_are_grouped() {
    for (number, text) in [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn times_have_the_unit_that_people_use() {
    for (seconds, text) in [
        (0.0, "0 ms"),
        (0.0234, "23 ms"),
        (0.9996, "1 s"),
        (1.236, "1.24 s"),
        (42.0, "42 s"),
        (59.97, "1 min"),
        (125.0, "2 min 5 s"),
        (3_725.0, "1 h 2 min 5 s"),
    ] {
        assert_eq!(time(seconds), text);
    }
}

#[test]
fn quantities_have_their_units() {
    for (value, unit, text) in [
        (14.94, "ms", "14.9 ms"),
        (1_040.0, "ms", "1.04 s"),
        (2.0, "percent", "2 %"),
        (536_870_912.0, "bytes", "512 MiB"),
        (1_536.0, "bytes/s", "1.5 KiB/s"),
        (7.0, "", "7"),
        (812.4, "1/s", "812/s"),
    ] {
        assert_eq!(quantity(value, unit), text);
    }
}

#[test]
fn a_unit_of_both_is_told_once() {
    assert_eq!(both(312.0, "to", 523.0, "ms"), "312 to 523 ms");
    assert_eq!(both(312.0, "to", 1_040.0, "ms"), "312 ms to 1.04 s");
    assert_eq!(both(99.1, "of", 100.0, "percent"), "99.1 of 100 %");
    assert_eq!(both(1.0, "and", 2.0, ""), "1 and 2");
}

#[test]
fn a_run_without_a_hypothesis_is_called_by_its_faults() {
    let mut record = record();
    assert_eq!(headline(&record), "The shop answers within 300 ms.");
    record.hypothesis = None;
    record.about = "A lossy network.".into();
    assert_eq!(headline(&record), "A lossy network.");
    record.about.clear();
    assert_eq!(headline(&record), "Drops 2 % of packets");
    assert_eq!(outcome(&record, &record.analysis()).0, "done");
    record.stages[1].run = Some(run("r-1", &[("lossy", 0, 0, Verdict::NoTraffic)]));
    assert_eq!(
        outcome(&record, &record.analysis()),
        ("no effect", Tone::Warn)
    );
    record.stages.clear();
    assert_eq!(headline(&record), "slow-database");
}

#[test]
fn a_load_that_stood_in_the_way_of_the_end_was_ended_by_us() {
    let mut record = record();
    let load = |exit, end, ended_by_us| Load {
        command: ["ip", "netns", "exec", "a", "redis-benchmark"]
            .map(str::to_owned)
            .to_vec(),
        begin: 1.0,
        end,
        exit,
        ended_by_us,
        tool: None,
        figures: Vec::new(),
        output: String::new(),
    };
    assert_eq!(load_name(&load(None, 40.0, None)), "redis-benchmark");
    record.seconds = 40.5;
    for (exit, end, by_us, told) in [
        // As fio ends when it is interrupted.
        (Some(128), 40.2, Some(true), "was ended with the run"),
        (Some(139), 40.2, Some(false), "ended with code 139"),
        // Records of before.
        (Some(130), 40.2, None, "was ended with the run"),
        (Some(0), 40.2, None, "ended well"),
        (Some(130), 20.0, None, "ended with code 130"),
        (Some(3), 40.2, None, "ended with code 3"),
    ] {
        let told_of = load_ended(&record, &load(exit, end, by_us));
        assert!(told_of.ends_with(told), "{told_of}, not {told}");
    }
}

#[test]
fn a_share_is_all_or_nothing_only_when_it_is() {
    assert_eq!(share(117, 120), "97.5 %");
    assert_eq!(share(99_999, 100_000), "99.9 %");
    assert_eq!(share(1, 10_000_000), "0.001 %");
    assert_eq!(share(0, 10), "0 %");
    assert_eq!(share(10, 10), "100 %");
    assert_eq!(share(0, 0), "0 %");
}

#[test]
fn a_fault_tells_what_it_did_to_how_many() {
    let told = |affected, matched| {
        let run = run("r-1", &[("lossy", affected, matched, Verdict::Effective)]);
        measured(&run.faults[0])
    };
    assert_eq!(told(1_017, 51_529), "1,017 of 51,529 packets (1.97 %)");
    assert_eq!(told(0, 0), "no packet was seen");
}

#[test]
fn a_run_is_repeated_with_its_seed() {
    let mut record = record();
    assert_eq!(
        repeat(&record).as_deref(),
        Some("chaosd run slow-database --seed 7")
    );
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    record.command = words("chaosd run a.yaml -- wrk -d 5s");
    assert_eq!(
        repeat(&record).as_deref(),
        Some("chaosd run a.yaml --seed 7 -- wrk -d 5s")
    );
    record.command = words("chaosd inject drop --seed=9");
    assert_eq!(
        repeat(&record).as_deref(),
        Some("chaosd inject drop --seed=9")
    );
    record.command.clear();
    record.profile = "inject".into();
    assert_eq!(repeat(&record), None);
    record.profile = "my file's.yaml".into();
    assert_eq!(
        repeat(&record).as_deref(),
        Some(r"chaosd run 'my file'\''s.yaml' --seed 7")
    );
}

#[test]
fn nothing_that_a_terminal_obeys_is_left() {
    assert_eq!(line("a\x1b[31mred\x1b[0m\nb\x07"), "ared b");
    assert_eq!(line("a\u{202e}b"), "a b");
    assert_eq!(lines("10 %\r20 %\r\nok\tx\x08\n\n"), "20 %\nok    x");
}
