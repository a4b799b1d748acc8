//! Queries that no fault wants, as fast as a busy service asks: another name's, another cgroup's.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;
use support::counters::Counters;
use support::dns::{Loaded, zone};
use support::{Cgroup, Member, Run};

use super::Effort;
use super::scene::{Pair, Scene};
use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};

const RATE: u32 = 20_000;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let (turns, seconds) = (effort.pick(7, 2), effort.pick(5, 2));
    Table::progress(&format!(
        "{RATE} queries/s of dnsperf, {turns} turns of {seconds} s: names that no fault wants"
    ));
    let wanted = (0..zone::MANY)
        .step_by(10)
        .map(|n| format!("{} A", zone::many(n)));
    let wanted: Vec<String> = wanted.collect();
    // The fault wants as many other names, of the same zone.
    let others: Vec<String> = (0..1000).map(|n| format!("x{n}.many.example")).collect();
    let fields = format!("names: [{}], answer: nxdomain", others.join(", "));
    let run = scene.arm(&fields)?;
    let measure = |pair: &Pair, cgroup| -> Result<Loaded> {
        let before = Counters::read(pair.lab.peer())?;
        let mut loaded = pair.load(cgroup, Some(RATE), seconds)?.run(&wanted)?;
        // What the server was too slow to read has arrived there, and says nothing of chaosd.
        let after = Counters::read(pair.lab.peer())?;
        let unread = after.since(&before, "UdpRcvbufErrors");
        loaded.lost = loaded.lost.saturating_sub(unread);
        Ok(loaded)
    };
    row(
        "a name that no fault wants",
        turns,
        || measure(&scene.chaosd, None),
        || measure(&scene.plain, None),
        table,
    )?;
    run.revert()?;

    let Some(cgroup) = Cgroup::new()? else {
        Table::progress("no unified cgroup tree here: no row of another cgroup's queries");
        return Ok(());
    };
    Table::progress("the same of another cgroup");
    let beside = Cgroup::new()?.context("the tree has gone")?;
    let _member = Member::start(&cgroup, scene.chaosd.client())?;
    let text = format!(
        "version: 1\nfor: 10m\ntarget: {{cgroup: {}}}\nfaults:\n  - dns: {{answer: nxdomain}}\n",
        cgroup.path()
    );
    let file = scene.daemon.file("cgroup.yaml", &text)?;
    let run = Run::start(&scene.daemon, ["run", &file.display().to_string()])?;
    row(
        "a cgroup that no fault targets",
        turns,
        || measure(&scene.chaosd, Some(&beside)),
        || measure(&scene.plain, Some(&beside)),
        table,
    )?;
    run.revert()?;
    Ok(())
}

fn row(
    what: &str,
    turns: usize,
    ours: impl Fn() -> Result<Loaded>,
    theirs: impl Fn() -> Result<Loaded>,
    table: &mut Table,
) -> Result<()> {
    // Each against another run of no fault: what differs between those two is noise.
    let [mut under, mut plain, mut again] = [const { Vec::new() }; 3];
    for _ in 0..turns {
        plain.push(theirs()?);
        under.push(ours()?);
        again.push(theirs()?);
    }
    let latency = |all: &[Loaded]| all.iter().map(|one| ms(one.average)).collect::<Vec<_>>();
    let sum = |all: &[Loaded], of: fn(&Loaded) -> u64| all.iter().map(of).sum::<u64>();
    let (ours, both) = (latency(&under), latency(&[&plain[..], &again].concat()));
    let (least, most) = spread(&both);
    let [lost, sent] = [sum(&under, |l| l.lost), sum(&under, |l| l.sent)];
    let [plain_lost, plain_sent] = [&plain, &again]
        .map(|all| [sum(all, |l| l.lost), sum(all, |l| l.sent)])
        .into_iter()
        .fold([0, 0], |a, b| [a[0] + b[0], a[1] + b[1]]);
    let denied = under.iter().any(|l| l.codes.contains("NXDOMAIN"));
    let within = median(&ours) <= most;
    table.push(Row {
        what: what.to_owned(),
        chaosd: format!("{lost} of {sent} lost, {:.3} ms", median(&ours)),
        beside: format!("{plain_lost} lost, {:.3} ms", median(&both)),
        ratio: Some(median(&ours) / median(&both)),
        target: "0 lost, noise".to_owned(),
        holds: Some(lost == 0 && within && !denied),
        note: format!(
            "lost: not those that the server's socket had no room for; mean latency, median of \
             {turns} turns at {RATE} queries/s; no fault: {least:.3} to \
             {most:.3} ms in {} turns, {plain_lost} of {plain_sent} lost; no fault against no fault: {:.2}{}",
            2 * turns,
            median(&latency(&again)) / median(&latency(&plain)),
            if denied { "; some were DENIED" } else { "" },
        ),
        figures: json!({
            "ms": ours, "no_fault_ms": both, "lost": lost, "sent": sent, "no_fault_lost": plain_lost,
            "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        }),
    });
    Ok(())
}
