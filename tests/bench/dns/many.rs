//! What a query costs with ten thousand names in the tables, against one: by running the programs
//! alone (`BPF_PROG_TEST_RUN`), and as dnsperf sees it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chaosd::bpf::{DnsRule, Matcher, Name, NameSet, Plane};
use chaosd::sys::test_run::{SkbContext, test_run};
use chaosd_ebpf::dns::ANSWER_NXDOMAIN;
use serde_json::json;
use support::dns::{message, zone};

use super::Effort;
use super::scene::Scene;
use crate::delay::figures::spread;
use crate::delay::table::{Row, Table};
use crate::{packet, plane};

const MOST: f64 = 1.3;
/// Runs of a program in one round.
const REPEAT: u32 = 500;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    programs(effort, table)?;
    dnsperf(scene, effort, table)
}

/// On a thread of its own, whose network is none.
fn programs(effort: Effort, table: &mut Table) -> Result<()> {
    let count = zone::MANY;
    let rounds = effort.pick(2000, 300);
    Table::progress(&format!(
        "{count} names against 1, by running the programs alone: {rounds} rounds of {REPEAT}"
    ));
    let measure = || -> Result<Vec<(String, [f64; 2])>> {
        plane::leave_the_network()?;
        // h1 is the only one, and one of the many.
        let planes = [1, count].map(|names| plane::armed_dns(leaving(), &rule(names)));
        let [one, many] = planes;
        let (one, many) = (one?, many?);
        let mut all = Vec::new();
        for (family, query) in [
            ("IPv4", packet::query4 as fn(&str) -> Vec<u8>),
            ("IPv6", packet::query6),
        ] {
            for (what, name) in [("hit", zone::many(1)), ("spared", zone::many(count + 1))] {
                let cost = fastest([&one, &many], &query(&name), rounds)?;
                all.push((format!("{family}, {what}"), cost));
            }
        }
        Ok(all)
    };
    let measured = std::thread::scope(|scope| scope.spawn(measure).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    for (what, [one, many]) in measured {
        let ratio = many / one;
        table.push(Row {
            what: format!("a query, {count} names: {what}"),
            chaosd: format!("{many:.0} ns"),
            beside: format!("1 name: {one:.0} ns"),
            ratio: Some(ratio),
            target: format!("< {MOST:.2} x one"),
            holds: Some(ratio < MOST),
            note: format!("the programs alone, the fastest of {rounds} rounds each, in turns"),
            figures: json!({"ns": many, "one_ns": one}),
        });
    }
    Ok(())
}

/// ns of a run of each plane's program on a packet. Rounds are so short that a busy machine lets some
/// of them through undisturbed: the fastest counts.
fn fastest(planes: [&Plane; 2], packet: &[u8], rounds: u32) -> Result<[f64; 2]> {
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..rounds {
        for (plane, fastest) in planes.into_iter().zip(&mut fastest) {
            let program = plane.program("egress").context("no such program")?;
            let started = Instant::now();
            let ran = test_run(program, packet, &SkbContext::default(), REPEAT)
                .context("failed to run a program")?;
            let ns = started.elapsed().as_secs_f64() * 1e9 / f64::from(REPEAT);
            ensure!(ran.packet == packet, "the packet was not passed on");
            *fastest = fastest.min(ns);
        }
    }
    Ok(fastest)
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
    let (turns, seconds) = (effort.pick(5, 3), effort.pick(3, 1));
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
    // The best of each: what else the machine does only takes away.
    let [(_, best_one), (least, best)] = [spread(&one), spread(&many)];
    let cost = best_one / best;
    table.push(Row {
        what: format!("{} names, all of them asked for", zone::MANY),
        chaosd: format!("{best:.0} queries/s"),
        beside: format!("1 name: {best_one:.0} queries/s"),
        ratio: Some(cost),
        target: format!("< {MOST:.2} x one"),
        holds: Some(cost < MOST),
        note: format!(
            "dnsperf's own cost included; the best of {turns} turns, of which the worst had \
             {least:.0} queries/s"
        ),
        figures: json!({"one_qps": one, "many_qps": many}),
    });
    Ok(())
}
