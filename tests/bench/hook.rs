//! What the hook adds to the start of a container: crun and runc, with it and without it in turn.
//!
//! In a guest of the laboratory alone, where they start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use support::runtime::Kind;
use support::runtime::hooked::{Bundles, Spec};
use support::{Daemon, Lab, Options};

use crate::times::{Limits, Table, Times};

/// How much later a container may start for it.
const ADDS: Duration = Duration::from_millis(50);
const PROFILE: &str = "version: 1\nfor: 10m\nfaults: [{drop: {rate: 1%}}]\n";
/// A daemon has loaded its programs ahead by then.
const WARMS_UP: Duration = Duration::from_secs(3);

/// Measures and prints it; true when every row holds.
pub fn run(rounds: usize) -> Result<bool> {
    let mut table = Table::default();
    for (kind, rows) in [
        (
            Kind::Crun,
            [
                "crun, no hook",
                "crun, not asked for",
                "crun, armed",
                "crun, the hook adds",
            ],
        ),
        (
            Kind::Runc,
            [
                "runc, no hook",
                "runc, not asked for",
                "runc, armed",
                "runc, the hook adds",
            ],
        ),
    ] {
        if let Some(reason) = kind.missing() {
            anyhow::bail!("{reason}: cargo xtask bench hook --kernel 6.12");
        }
        eprintln!("{kind}, {rounds} rounds");
        measure(kind, rows, rounds, &mut table)?;
    }
    println!("{table}");
    Ok(table.holds())
}

fn measure(kind: Kind, rows: [&'static str; 4], rounds: usize, table: &mut Table) -> Result<()> {
    let lab = Lab::new("bench-hook")?;
    let daemon = Daemon::start(&Options::default())?;
    std::thread::sleep(WARMS_UP);
    let profile = daemon.file("drop.yaml", PROFILE)?.display().to_string();
    let program = daemon.command()?.get_program().into();
    let socket = daemon.socket().display().to_string();
    let args = ["chaosd", "hook", "--within", "40s", "--socket", &socket];
    let hook = Some((program, args.map(str::to_owned).into()));
    let bundles = Bundles::new(kind)?;
    let bare = Spec {
        netns: Some(lab.target().path()),
        args: &["/bin/sleep", "600"],
        ..Spec::default()
    };
    let idle = Spec {
        hook,
        annotations: vec![("app".to_owned(), "shop".to_owned())],
        ..bare.clone()
    };
    let armed = Spec {
        annotations: vec![
            ("chaosd.profile".to_owned(), profile),
            ("chaosd.required".to_owned(), "true".to_owned()),
        ],
        ..idle.clone()
    };
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (spec, times) in [&bare, &idle, &armed].into_iter().zip(&mut times) {
            let container = bundles.bundle(&format!("bench-{kind}-{round}"), spec)?;
            let since = Instant::now();
            let said = container.create()?;
            times.push(since.elapsed());
            ensure!(said.done, "{said:?}");
            ensure!(container.delete()?.done);
        }
    }
    // What machines add that are busy with others adds to both of a round.
    let mut added: Vec<Duration> = Vec::new();
    for (with, without) in times[2].iter().zip(&times[0]) {
        added.push(with.saturating_sub(*without));
    }
    for (what, times) in rows.into_iter().zip(times) {
        table.push(Times::new(what, times, Limits::default()));
    }
    let limits = Limits {
        median: Some(ADDS),
        max: None,
    };
    table.push(Times::new(rows[3], added, limits));
    Ok(())
}
