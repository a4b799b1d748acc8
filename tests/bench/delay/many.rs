//! A thousand delays of a thousand peers, against one delay for all of them, and against what
//! netem takes for it: a class, a queue and a filter for each.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use support::Run;

use super::Effort;
use super::figures::{median, ms, spread};
use super::scene::{ALL_PEERS, PEERS, Pair, Scene, peer};
use super::table::{Row, Table};
use super::traffic::{Flood, delivered};

/// The time that no delay is longer than.
const LONGEST: Duration = Duration::from_millis(30);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let count = PEERS;
    Table::progress(&format!("{count} delays: arming"));
    let distinct = Pair::new("distinct")?;
    let asked = Instant::now();
    let many = Run::faults(&scene.daemon, distinct.target(), &by_peer(count)?)?;
    let our_setup = asked.elapsed();
    let everyone = format!("  - delay: 20ms\n    match: {{direction: out, peers: [{ALL_PEERS}]}}");
    let one = Run::faults(&scene.daemon, scene.chaosd.target(), &everyone)?;
    Table::progress(&format!("{count} classes, netems and filters"));
    let asked = Instant::now();
    let netem = scene.netem.queue(&classes(count)?)?;
    let their_setup = asked.elapsed();

    let turns = effort.pick(5, 3);
    let span = Duration::from_secs(effort.pick(3, 2));
    Table::progress(&format!("{count} delays against one, {turns} turns"));
    let peers: Vec<Ipv4Addr> = (0..count).map(peer).collect();
    let pps = |pair: &Pair| -> Result<f64> {
        let flood = Flood {
            pair,
            to: &peers,
            size: 64,
            warm_up: Duration::from_millis(500) + LONGEST,
            span,
            spans: 1,
            rate: None,
        };
        Ok(median(&delivered(&flood.run()?)))
    };
    let [mut ones, mut manies, mut theirs] = [const { Vec::new() }; 3];
    for _ in 0..turns {
        ones.push(pps(&scene.chaosd)?);
        manies.push(pps(&distinct)?);
        theirs.push(pps(&scene.netem)?);
    }
    drop(netem);
    one.revert()?;
    many.revert()?;

    let (single, several, their) = (median(&ones), median(&manies), median(&theirs));
    // Packets per second of one thread: the inverse of what a packet costs.
    let cost = single / several;
    let (least, most) = spread(&manies);
    table.push(Row {
        what: format!("{count} delays of {count} peers, cost against 1"),
        chaosd: format!("{several:.0} packets/s"),
        beside: format!("{their:.0} packets/s"),
        ratio: Some(cost),
        target: "< 1.30 x one".to_owned(),
        holds: Some(cost < 1.3),
        note: format!(
            "one delay for all: {single:.0} packets/s; {least:.0} to {most:.0} in {turns} turns; \
             {:.1} x what netem's classes let through",
            several / their
        ),
        figures: json!({"one_pps": ones, "distinct_pps": manies, "netem_pps": theirs}),
    });
    table.push(Row {
        what: format!("{count} delays of {count} peers: set-up"),
        chaosd: format!("{:.0} ms", ms(our_setup)),
        beside: format!("{:.0} ms", ms(their_setup)),
        ratio: Some(ms(our_setup) / ms(their_setup)),
        target: "-".to_owned(),
        note: "chaosd: one fault of a profile, by its command line; netem: one tc -batch of htb classes, \
               netems and u32 filters"
            .to_owned(),
        figures: json!({"ms": ms(our_setup), "netem_ms": ms(their_setup)}),
        ..Row::default()
    });
    Ok(())
}

/// A delay of its own for each peer.
fn by_peer(count: u16) -> Result<String> {
    let mut fault = "  - match: {direction: out}\n    delay:\n      by-peer:\n".to_owned();
    for n in 0..count {
        writeln!(fault, "        {}: {}us", peer(n), delay_us(n))?;
    }
    Ok(fault)
}

/// 10 to 30 ms, 20 us apart.
fn delay_us(n: u16) -> u32 {
    10_000 + 20 * u32::from(n)
}

/// What it takes with tc(8).
fn classes(count: u16) -> Result<String> {
    let mut batch = "qdisc replace dev eth0 root handle 1: htb default 0\n".to_owned();
    for n in 0..count {
        let (id, us, address) = (n + 1, delay_us(n), peer(n));
        writeln!(
            batch,
            "class add dev eth0 parent 1: classid 1:{id:x} htb rate 10gbit quantum 60000"
        )?;
        writeln!(
            batch,
            "qdisc add dev eth0 parent 1:{id:x} netem delay {us}us limit 100000"
        )?;
        writeln!(
            batch,
            "filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst {address}/32 flowid 1:{id:x}"
        )?;
    }
    Ok(batch)
}
