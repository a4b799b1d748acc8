//! What a query costs with ten thousand names in the tables, against one: by running the programs
//! alone (`BPF_PROG_TEST_RUN`), and as dnsperf sees it.

use anyhow::{Context as _, Result, ensure};
use chaosd::bpf::{DnsRule, Matcher, Name, NameSet};
use chaosd_ebpf::dns::ANSWER_NXDOMAIN;
use serde_json::json;
use support::dns::{message, zone};

use super::Effort;
use super::scene::Scene;
use crate::delay::figures::{median, spread};
use crate::delay::table::{Row, Table};
use crate::meter::{Cost, Meter};
use crate::{packet, plane};

const MOST: f64 = 1.3;
/// Of the programs alone.
const TURNS: usize = 3;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    programs(table)?;
    dnsperf(scene, effort, table)
}

/// On a thread of its own, whose network is none.
fn programs(table: &mut Table) -> Result<()> {
    let count = zone::MANY;
    Table::progress(&format!(
        "{count} names against 1, by running the programs alone"
    ));
    let measure = || -> Result<Vec<(String, Cost, Cost)>> {
        plane::leave_the_network()?;
        let meter = Meter::new()?;
        let mut all = Vec::new();
        for (family, query) in [
            ("IPv4", packet::query4 as fn(&str) -> Vec<u8>),
            ("IPv6", packet::query6),
        ] {
            for (what, asked) in [
                ("hit", zone::many(1)),
                ("spared", "h.many.example".to_owned()),
            ] {
                // h1 is the only one, and one of the many. In turns, of which the fastest counts: what
                // else the machine does comes and goes.
                let (mut one, mut many): (Option<Cost>, Option<Cost>) = (None, None);
                for _ in 0..TURNS {
                    for (names, least) in [(1, &mut one), (count, &mut many)] {
                        let plane = plane::armed_dns(leaving(), &rule(names))?;
                        let program = plane.program("egress").context("no such program")?;
                        let cost = meter.cost(program, &query(&asked))?;
                        if least.is_none_or(|least| cost.ratio() < least.ratio()) {
                            *least = Some(cost);
                        }
                    }
                }
                let both = one.zip(many).context("nothing was measured")?;
                all.push((format!("{family}, {what}"), both.0, both.1));
            }
        }
        Ok(all)
    };
    let measured = std::thread::scope(|scope| scope.spawn(measure).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    for (what, one, many) in measured {
        let ratio = many.ratio() / one.ratio();
        table.push(Row {
            what: format!("a query, {count} names: {what}"),
            chaosd: format!("{:.0} ns", many.min_ns),
            beside: format!("1 name: {:.0} ns", one.min_ns),
            ratio: Some(ratio),
            target: format!("< {MOST:.2} x one"),
            holds: Some(ratio < MOST),
            note: format!(
                "the programs alone; {:.1} x the empty program with {count} names, {:.1} x with one",
                many.ratio(),
                one.ratio()
            ),
            figures: json!({"ns": many.min_ns, "one_ns": one.min_ns, "empty_ns": [many.empty_ns, one.empty_ns]}),
        });
    }
    Ok(())
}

fn leaving() -> Matcher {
    Matcher {
        directions: [true, false],
        ..Matcher::default()
    }
}

/// `h1.many.example` and, of more, those that follow; denied at a rate of 0, so that the packet stays
/// what it is from one run to the next.
fn rule(names: u16) -> DnsRule {
    let name = |n: u16| Name {
        wire: message::wire(&zone::many(n)),
        zone: false,
    };
    let mut rule = DnsRule {
        names: NameSet {
            names: (1..=names).map(name).collect(),
            not_names: Vec::new(),
        },
        ..DnsRule::default()
    };
    rule.program.answer = ANSWER_NXDOMAIN;
    rule
}

/// Every query is answered by the program, for one name or for each of ten thousand in turn.
fn dnsperf(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let (turns, seconds) = (effort.pick(5, 2), effort.pick(3, 1));
    Table::progress(&format!(
        "the same by dnsperf, {turns} turns of {seconds} s"
    ));
    let list = |count: u16| (0..count).map(zone::many).collect::<Vec<_>>();
    let [mut one, mut many] = [const { Vec::new() }; 2];
    for _ in 0..turns {
        for (count, rates) in [(1, &mut one), (zone::MANY, &mut many)] {
            let names = list(count);
            let run = scene.arm(&format!("names: [{}], answer: nxdomain", names.join(", ")))?;
            let queries: Vec<String> = names.iter().map(|name| format!("{name} A")).collect();
            let loaded = scene.chaosd.load(None, None, seconds)?.run(&queries)?;
            ensure!(loaded.lost == 0, "{loaded:?}");
            ensure!(
                loaded.codes.starts_with("NXDOMAIN") && loaded.codes.contains("(100.00%)"),
                "{loaded:?}"
            );
            rates.push(loaded.per_second);
            run.revert()?;
        }
    }
    let cost = median(&one) / median(&many);
    let (least, most) = spread(&many);
    table.push(Row {
        what: format!("{} names, all of them asked for", zone::MANY),
        chaosd: format!("{:.0} queries/s", median(&many)),
        beside: format!("1 name: {:.0} queries/s", median(&one)),
        ratio: Some(cost),
        target: format!("< {MOST:.2} x one"),
        holds: Some(cost < MOST),
        note: format!(
            "dnsperf's own cost included; {least:.0} to {most:.0} queries/s in {turns} turns"
        ),
        figures: json!({"one_qps": one, "many_qps": many}),
    });
    Ok(())
}
