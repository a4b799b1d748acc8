//! What is said of DNS faults beyond what they counted: their answers, and the last names.

use std::collections::BTreeSet;

use crate::{
    bpf::{Hit, Plane},
    clock::now_ns,
    profile::{Kind, units::QueryType},
    report::{Count, DnsQuery, DnsReport, FaultReport, Verdict},
};

/// The queries that were hit last in a plane, the newest first, and when they are told.
pub(super) struct Queries {
    hits: Vec<Hit>,
    /// The monotonic clock and the wall clock at one moment.
    now: (u64, jiff::Timestamp),
}

impl Queries {
    /// Those since a run was armed: a fault's number was another's before.
    pub fn since(start_ns: u64, plane: &Plane) -> Self {
        let mut hits = plane.dns_hits();
        hits.retain(|hit| hit.when_ns >= start_ns);
        hits.reverse();
        Self {
            hits,
            now: (now_ns(), jiff::Timestamp::now()),
        }
    }

    /// What fault `n` did; `None` unless it is a DNS fault.
    pub fn report(&self, plane: &Plane, n: u8, kind: &Kind, total: Count) -> Option<DnsReport> {
        let Kind::Dns(dns) = kind else {
            return None;
        };
        let last = self.hits.iter().filter(|hit| hit.faults.has(n));
        let tcp = plane.dns_over_tcp(n).unwrap_or_default();
        Some(DnsReport {
            answer: dns.answer.map_or("none", |answer| answer.name()).into(),
            answered: total.affected.saturating_sub(tcp),
            tcp,
            last: last.map(|hit| query(hit, self.now)).collect(),
        })
    }
}

fn query(hit: &Hit, (now_ns, now): (u64, jiff::Timestamp)) -> DnsQuery {
    let ago = std::time::Duration::from_nanos(now_ns.saturating_sub(hit.when_ns));
    let at = now.checked_sub(ago).unwrap_or(now);
    DnsQuery {
        name: hit.name.clone(),
        kind: QueryType::new(hit.qtype).to_string(),
        at: at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    }
}

/// A part of a fault has not failed by seeing nothing when traffic took another part of it.
pub(super) fn excuse_parts(faults: &mut [FaultReport]) {
    let whole = |fault: &FaultReport| fault.part_of.clone().unwrap_or_else(|| fault.name.clone());
    let hit: BTreeSet<String> = faults
        .iter()
        .filter(|fault| fault.verdict == Verdict::Effective)
        .map(whole)
        .collect();
    for fault in faults {
        let idle = matches!(fault.verdict, Verdict::Ineffective | Verdict::NoTraffic);
        if idle && fault.part_of.as_ref().is_some_and(|of| hit.contains(of)) {
            fault.verdict = Verdict::NotTaken;
        }
    }
}

#[cfg(test)]
mod tests {
    use chaosd_ebpf::Bits;

    use super::*;

    fn fault(name: &str, part_of: Option<&str>, verdict: Verdict) -> FaultReport {
        FaultReport {
            name: name.into(),
            kind: "drop".into(),
            part_of: part_of.map(Into::into),
            what: String::new(),
            ingress: Count::default(),
            egress: Count::default(),
            verdict,
            dns: None,
            effect: None,
        }
    }

    fn verdicts(mut faults: Vec<FaultReport>) -> Vec<Verdict> {
        excuse_parts(&mut faults);
        faults.iter().map(|fault| fault.verdict).collect()
    }

    #[test]
    fn a_way_that_nobody_took_is_excused_by_another_of_the_same_fault() {
        use Verdict::{Effective, Ineffective, NotTaken};
        let group = |plain, tls, other| {
            vec![
                fault("dns", None, plain),
                fault("dns.tls", Some("dns"), tls),
                fault("x.tls", Some("x"), other),
                fault("y", None, Ineffective),
            ]
        };
        assert_eq!(
            verdicts(group(Effective, Ineffective, Ineffective)),
            [Effective, NotTaken, Ineffective, Ineffective]
        );
        // Names that were never seen are no success of the fault that names them.
        assert_eq!(
            verdicts(group(Ineffective, Effective, Ineffective)),
            [Ineffective, Effective, Ineffective, Ineffective]
        );
        assert_eq!(
            verdicts(group(Ineffective, Ineffective, Effective)),
            [Ineffective, Ineffective, Effective, Ineffective]
        );
    }

    #[test]
    fn a_query_is_told_with_its_type_and_its_time() {
        let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap_or_default();
        let hit = Hit {
            when_ns: 8_750_000_000,
            faults: Bits::NONE,
            qtype: 28,
            name: "Db.internal".into(),
        };
        let told = query(&hit, (10_000_000_000, now));
        assert_eq!(told.at, "2026-01-02T03:04:03.750Z");
        assert_eq!(
            (told.name.as_str(), told.kind.as_str()),
            ("Db.internal", "AAAA")
        );
    }
}
