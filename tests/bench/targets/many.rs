//! 200 containers on one host, of which one is targeted: how soon it is found, and what a packet of another
//! costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chaosd::api::{Client, RunRequest};
use chaosd::report::Ended;
use chaosd::runtime::{Asked, Runtimes};
use serde_json::json;
use support::runtime::{Engine, Kind, Network};
use support::{Daemon, Options};

use super::echo::Echo;
use super::{bound, verdict};
use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

const LIMIT_MS: f64 = 200.0;
/// What a packet of a network that no fault is in may cost, of what it costs without any.
const MOST: f64 = 1.1;
const WITHIN: Duration = Duration::from_mins(1);
/// Each of two networks has one that is targeted and one beside it.
const NAMES: [&str; 4] = [
    "many-own",
    "many-own-beside",
    "many-host",
    "many-host-beside",
];

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    if let Some(why) = Kind::Crun.missing() {
        Table::progress(&format!("200 containers: {why}"));
        return Ok(());
    }
    let count: usize = effort.pick(200, 40);
    Table::progress(&format!("{count} containers of crun start"));
    let engine = Engine::start(Kind::Crun)?;
    for number in NAMES.len()..count {
        engine.start_container(&format!("many-{number}"), Network::Own)?;
    }
    for name in NAMES {
        let host = name.contains("host");
        let network = if host { Network::Host } else { Network::Own };
        engine.start_container(name, network)?;
    }
    let runtimes = Runtimes::new(engine.places());
    let asked = |name: &str| Asked::Container(name.to_owned());
    let mut times = Vec::new();
    for _ in 0..effort.pick(51, 11) {
        let since = Instant::now();
        runtimes.find(&asked(NAMES[0]), None, WITHIN)?;
        times.push(ms(since.elapsed()));
    }
    let (least, most) = spread(&times);
    table.push(Row {
        what: format!("one of {count} containers: name to place"),
        chaosd: format!("{:.1} ms", median(&times)),
        beside: "-".to_owned(),
        target: format!("< {LIMIT_MS:.0} ms"),
        holds: verdict(median(&times) < LIMIT_MS),
        note: format!(
            "crun, median of {}, {least:.1} to {most:.1} ms{}",
            times.len(),
            bound()
        ),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    let daemon = Daemon::start(&Options::default())?;
    for (pair, what, limit) in [
        (
            [NAMES[0], NAMES[1]],
            "another's packet, in its own network",
            Some(MOST),
        ),
        // Where all share one network, its programs look whose each packet is.
        (
            [NAMES[2], NAMES[3]],
            "another's packet, in the same network",
            None,
        ),
    ] {
        Table::progress(what);
        let mut found = runtimes.find(&asked(pair[1]), None, WITHIN)?;
        let pid = found.pop().and_then(|member| member.pid);
        let echo = Echo::new(pid.context("it does not run")?)?;
        others(&daemon, (pair[0], what, limit), &echo, effort, table)?;
    }
    Ok(())
}

/// With a fault of `name` and without, by turns.
fn others(
    daemon: &Daemon,
    (name, what, limit): (&str, &str, Option<f64>),
    echo: &Echo,
    effort: Effort,
    table: &mut Table,
) -> Result<()> {
    let count = effort.pick(3000, 500);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(&daemon.socket());
    let profile = json!({
        "version": 1,
        "for": "1h",
        "target": {"container": name},
        "faults": [{"drop": "1%", "match": {"interfaces": ["lo"], "protocol": "udp"}}],
    });
    let request = RunRequest {
        profile,
        ..RunRequest::default()
    };
    echo.round_trip(count)?;
    let [mut with, mut without] = [const { Vec::new() }; 2];
    for _ in 0..effort.pick(15, 3) {
        without.push(echo.round_trip(count)?);
        let report = runtime.block_on(client.start(&request))?;
        with.push(echo.round_trip(count)?);
        runtime.block_on(client.revert(&report.id, Ended::Reverted))?;
        without.push(echo.round_trip(count)?);
    }
    // Whatever else the machine does only takes away: the fastest turns count.
    let [(best, worst), (best_without, most)] = [spread(&with), spread(&without)];
    let ratio = best / best_without;
    table.push(Row {
        what: what.to_owned(),
        chaosd: format!("{:.1} us a round trip", best / 1e3),
        beside: format!("no fault: {:.1} us", best_without / 1e3),
        ratio: Some(ratio),
        target: limit.map_or("-".to_owned(), |limit| format!("< {limit:.2} x")),
        holds: limit.map(|limit| ratio < limit),
        note: format!(
            "UDP, {count} round trips a turn, the fastest turns; of one container, with a fault of another \
             and without; medians {:.1} and {:.1} us, the slowest {:.1} and {:.1} us",
            median(&with) / 1e3,
            median(&without) / 1e3,
            worst / 1e3,
            most / 1e3,
        ),
        figures: json!({"ns": with, "no_fault_ns": without}),
    });
    Ok(())
}
