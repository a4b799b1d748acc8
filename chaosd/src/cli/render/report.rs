//! A run, from its first line to what it came to.

use super::{seconds, table};
use crate::{
    cli::out::{BAD, GOOD, WARN, paint},
    experiment::words::{amiss, counted},
    report::{Ended, FaultReport, Phase, RunReport},
};

/// Said when a run is armed.
pub(in crate::cli) fn started(report: &RunReport) -> Vec<String> {
    let head = format!(
        "{} {} on {}, for {}, armed in {:.1} ms, seed {}",
        paint(GOOD, &report.id),
        report.profile,
        report.target,
        seconds(report.for_seconds),
        report.arm_ms,
        report.seed,
    );
    std::iter::once(head)
        .chain(report.notes.iter().map(|n| note_line(n)))
        .collect()
}

/// Each fault and what it did.
pub(in crate::cli) fn faults(report: &RunReport) -> String {
    let mut table = table::table(&["FAULT", "WHAT", "SEEN", "MATCHED", "AFFECTED", "VERDICT"]);
    for fault in &report.faults {
        let mut row = vec![fault.name.as_str().into(), fault.what.as_str().into()];
        row.extend(table::counts(fault));
        row.push(table::verdict(fault.verdict));
        table.add_row(row);
    }
    let mut text = table::text(&table);
    if report.members.len() > 1 {
        text.push('\n');
        text.push_str(&table::text(&members(report)));
    }
    for line in report.faults.iter().filter_map(told) {
        text.push('\n');
        text.push_str(&line);
    }
    text
}

/// What came of each of those that a run is on.
fn members(report: &RunReport) -> comfy_table::Table {
    let mut table = table::table(&[
        "RUN", "TARGET", "FAULT", "SEEN", "MATCHED", "AFFECTED", "VERDICT",
    ]);
    for member in &report.members {
        for (n, fault) in member.faults.iter().enumerate() {
            let who = |text: &str| {
                if n == 0 {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            let mut row = vec![who(&member.id).into(), who(&member.target).into()];
            row.push(fault.name.as_str().into());
            row.extend(table::counts(fault));
            row.push(table::verdict(fault.verdict));
            table.add_row(row);
        }
    }
    table
}

/// Names that are written out.
const NAMES_SHOWN: usize = 5;

/// What a DNS fault answered, and to whose queries last: each name once.
fn queries(fault: &FaultReport) -> Option<String> {
    let dns = fault.dns.as_ref()?;
    if dns.answered + dns.tcp == 0 {
        return None;
    }
    let count = |count| counted(count, "query", "queries");
    let mut did = Vec::new();
    if dns.answered > 0 {
        did.push(match dns.answer.as_str() {
            "drop" => format!("lost {}", count(dns.answered)),
            "none" => format!("held {}", count(dns.answered)),
            "addresses" => format!("answered {} with its addresses", count(dns.answered)),
            answer => format!("answered {} with {answer}", count(dns.answered)),
        });
    }
    if dns.tcp > 0 {
        let verb = if dns.answer == "drop" {
            "lost"
        } else {
            "reset"
        };
        let segments = counted(dns.tcp, "segment", "segments");
        did.push(format!("{verb} {segments} of queries over TCP"));
    }
    let mut last: Vec<String> = Vec::new();
    for query in &dns.last {
        let told = format!("{} {}", query.name, query.kind);
        if !last.contains(&told) {
            last.push(told);
        }
    }
    last.truncate(NAMES_SHOWN);
    let last = if last.is_empty() {
        String::new()
    } else {
        format!("; last {}", last.join(", "))
    };
    Some(format!("fault {} {}{last}", fault.name, did.join(", ")))
}

/// What a fault did beyond what it counted.
pub(in crate::cli) fn told(fault: &FaultReport) -> Option<String> {
    match &fault.effect {
        Some(effect) => Some(format!("fault {} {}", fault.name, effect.told)),
        None => queries(fault),
    }
}

/// Said when a run is over: why, what had no effect and why, what is not as before, and the notes
/// that were not `told` before.
pub(in crate::cli) fn ended(report: &RunReport, told: &[String]) -> Vec<String> {
    let why = report.ended.map_or("it is over", reason);
    let mut lines = vec![if report.phase == Phase::Failed {
        let head = format!(
            "{} is over ({why}), and not everything is as before:",
            report.id
        );
        paint(BAD, head)
    } else {
        format!("{} is over ({why}); everything is as before", report.id)
    }];
    lines.extend(report.problems.iter().map(|problem| format!("  {problem}")));
    lines.extend(report.faults.iter().filter_map(verdict));
    let new = report.notes.iter().filter(|note| !told.contains(note));
    lines.extend(new.map(|n| note_line(n)));
    lines
}

fn note_line(note: &str) -> String {
    format!("{} {note}", paint(WARN, "note:"))
}

fn reason(ended: Ended) -> &'static str {
    match ended {
        Ended::Deadline => "its time was up",
        Ended::Reverted => "somebody reverted it",
        Ended::Shutdown => "chaosd was told to stop",
        Ended::TargetGone => "its target is gone",
        Ended::Fenced => "chaosd was late, and its watchdog disarmed it",
        Ended::CommandEnded => "its command ended",
        Ended::WatchdogLost => "chaosd lost its watchdog",
        Ended::AskerGone => "who asked for it is gone",
        Ended::DaemonLost => "the daemon died",
    }
}

/// What is amiss with a fault, in its colour.
fn verdict(fault: &FaultReport) -> Option<String> {
    let (text, tone) = amiss(fault)?;
    Some(paint(super::style(tone), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Count, DnsQuery, DnsReport, Verdict};

    fn fault(verdict: Verdict, seen: u64, matched: u64, lost: u64) -> FaultReport {
        FaultReport {
            name: "slow".into(),
            kind: "drop".into(),
            part_of: None,
            what: "drops 30 %".into(),
            ingress: Count {
                seen,
                matched,
                affected: matched.min(lost),
                tail_dropped: lost,
                overflow: lost,
            },
            egress: Count::default(),
            verdict,
            dns: None,
            effect: None,
        }
    }

    fn words(verdict: Verdict, seen: u64, matched: u64) -> String {
        let text = super::verdict(&fault(verdict, seen, matched, 0)).unwrap_or_default();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn a_fault_without_effect_says_what_to_check() {
        let missed = words(Verdict::Ineffective, 1234, 0);
        assert!(
            missed.contains("matched nothing while 1,234 packets flowed past"),
            "{missed}"
        );
        assert!(missed.contains("--port"), "{missed}");
        assert!(words(Verdict::NoTraffic, 0, 0).contains("saw no packet"));
        assert!(words(Verdict::Spared, 9, 7).contains("matched 7 packets"));
        assert_eq!(words(Verdict::Effective, 9, 9), "");
    }

    #[test]
    fn a_dns_fault_tells_its_answers_and_the_last_names() {
        let query = |name: &str, kind: &str| DnsQuery {
            name: name.into(),
            kind: kind.into(),
            at: String::new(),
        };
        let told = |answer: &str, answered, tcp, last: &[DnsQuery]| {
            let dns = DnsReport {
                answer: answer.into(),
                answered,
                tcp,
                last: last.to_vec(),
            };
            queries(&FaultReport {
                kind: "dns".into(),
                dns: Some(dns),
                ..fault(Verdict::Effective, 9, 9, 0)
            })
        };
        let asked = [query("b", "A"), query("a.b", "AAAA"), query("b", "A")];
        assert_eq!(
            told("nxdomain", 1234, 1, &asked).as_deref(),
            Some(
                "fault slow answered 1,234 queries with nxdomain, reset 1 segment of queries over TCP; last b A, a.b AAAA"
            )
        );
        assert_eq!(
            told("drop", 1, 2, &[]).as_deref(),
            Some("fault slow lost 1 query, lost 2 segments of queries over TCP")
        );
        assert_eq!(
            told("none", 3, 0, &[]).as_deref(),
            Some("fault slow held 3 queries")
        );
        assert_eq!(told("empty", 0, 0, &[]), None);
        assert_eq!(queries(&fault(Verdict::Effective, 9, 9, 0)), None);
        let missed = FaultReport {
            kind: "dns".into(),
            ..fault(Verdict::Ineffective, 9, 0, 0)
        };
        let said = super::verdict(&missed).unwrap_or_default();
        assert!(said.contains("--name"), "{said}");
    }

    #[test]
    fn packets_that_a_queue_lost_are_told() {
        let words = |verdict| {
            let text = super::verdict(&fault(verdict, 9, 9, 3)).unwrap_or_default();
            anstream::adapter::strip_str(&text).to_string()
        };
        let spilt = words(Verdict::Overflow);
        assert!(
            spilt.contains("lost 3 packets that it was to hold"),
            "{spilt}"
        );
        let tail = words(Verdict::Effective);
        assert!(tail.contains("dropped 3 packets at the tail"), "{tail}");
    }
}
