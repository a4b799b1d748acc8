//! Experiments on a shop with a real database: what they find, how they end, and what they leave.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::shop::{REDIS_PORT, SHOP_PORT};
use support::{Daemon, Instance, Options, Prometheus, wait_until};

use crate::experiments_scene::{LONG, Scene, needs_shop, number, samples};

#[test]
fn an_experiment_whose_hypothesis_holds_ends_well() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("exphold")?;
    // So few of its packets that it will be none: the fault matches, and spares.
    let profile = scene
        .profile("stages: [{name: baseline, for: 500ms}, {name: faults, for: 2s, faults: all}, {name: recovery, for: 500ms}]\nload: [sh, -c, \"echo for {{duration}}; sleep 1\"]")
        .replace("partition:", "drop: 0.000001%");
    let (output, record) = scene.run(&profile)?;
    ensure!(output.status == Some(0), "{output:?}");
    ensure!(record["end"]["how"] == "completed", "{record}");
    let stages = record["stages"].as_array().context("no stages")?;
    let names: Vec<_> = stages.iter().map(|stage| &stage["name"]).collect();
    ensure!(names == ["baseline", "faults", "recovery"], "{names:?}");
    let run = &stages[1]["run"]["faults"][0];
    ensure!(run["out"]["matched"].as_u64() > Some(0), "{run}");
    ensure!(stages[0]["run"].is_null(), "{record}");
    ensure!(record["load"]["exit"] == 0, "{record}");
    ensure!(record["load"]["output"] == "for 3s\n", "{}", record["load"]);
    ensure!(
        samples(&record)?.len() >= 20,
        "probes looked {} times",
        samples(&record)?.len()
    );
    scene.assert_clean()
}

#[test]
fn an_experiment_whose_hypothesis_fails_says_so_and_tells_the_recovery() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expfail")?;
    let profile = scene.profile("for: 2s");
    let (output, record) = scene.run(&profile)?;
    ensure!(output.status == Some(4), "{output:?}");
    ensure!(record["end"]["how"] == "completed", "{record}");
    ensure!(output.stderr.contains("did not hold"), "{output:?}");
    ensure!(output.stderr.contains("steady again"), "{output:?}");
    let over = number(&record["stages"][0]["over"])?;
    let armed = number(&record["stages"][0]["armed"])?;
    let samples = samples(&record)?;
    let failed = samples
        .iter()
        .filter(|(at, ok)| !ok && *at > armed && *at < over);
    ensure!(failed.count() >= 5, "{samples:?}");
    ensure!(samples.last().is_some_and(|(_, ok)| *ok), "{samples:?}");
    scene.assert_clean()
}

#[test]
fn a_probe_that_fails_its_condition_reverts_at_once() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expabort")?;
    let profile = scene.profile(
        "abort-when: [{probe: http}]\nstages: [{for: 500ms}, {name: cut, for: 30s, faults: all}, {name: recovery, for: 10s}]",
    );
    let mut took = Vec::new();
    for _ in 0..3 {
        let (output, record) = scene.run(&profile)?;
        ensure!(output.status == Some(4), "{output:?}");
        ensure!(record["end"]["how"] == "aborted", "{record}");
        let gone = number(&record["end"]["gone"])?;
        let stages = record["stages"].as_array().context("no stages")?;
        let armed = number(&stages[1]["armed"])?;
        ensure!(
            stages.len() == 3 && stages[2]["name"] == "recovery",
            "{record}"
        );
        ensure!(record["aborts"][0]["fired"].is_number(), "{record}");
        let samples = record["probes"][0]["samples"].as_array().context("none")?;
        let failed = samples
            .iter()
            .find(|sample| sample["ok"] == false && sample["at"].as_f64() > Some(armed))
            .context("nothing failed")?;
        let known = number(&failed["at"])? + number(&failed["took"])?;
        took.push(gone - known);
        // Who asked once it was gone was served.
        let later = samples
            .iter()
            .find(|sample| sample["at"].as_f64() > Some(gone));
        ensure!(later.context("nobody asked")?["ok"] == true, "{samples:?}");
    }
    took.sort_by(f64::total_cmp);
    println!("from the failing probe to the effect gone: {took:?} s");
    // One period of the probe and 200 ms; the machine may be busy.
    ensure!(took[1] < 1.0, "{took:?}");
    scene.assert_clean()
}

#[test]
fn the_recovery_of_a_service_is_measured() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("exprec")?;
    let profile = scene
        .profile("stages: [{name: faults, for: 1s, faults: all}, {name: recovery, for: 8s}]")
        .replace("partition:", "drop: 0.000001%");
    let running = scene.start(&profile)?;
    ensure!(
        wait_until(LONG, || scene.shop.asked().len() >= 4),
        "nobody looks"
    );
    scene.shop.set_broken(true);
    std::thread::sleep(Duration::from_secs(3));
    let well = Instant::now();
    scene.shop.set_broken(false);
    let output = running.ended()?;
    let record = output.json()?;
    let samples = samples(&record)?;
    // The first of both is the same look.
    let first = scene.shop.asked()[0];
    let well = (well - first).as_secs_f64() + samples[0].0;
    let last_bad = samples
        .iter()
        .rposition(|(_, ok)| !ok)
        .context("all held")?;
    let seen = samples.get(last_bad + 1).context("never well again")?.0;
    println!("well again at {well:.3} s, seen at {seen:.3} s");
    // Within 100 ms on a machine that has nothing else to do.
    ensure!((seen - well).abs() < 0.5, "well at {well}, seen at {seen}");
    let told = number(&record["analysis"]["recovered"])? + number(&record["stages"][0]["over"])?;
    ensure!((told - well).abs() < 0.5, "well at {well}, told {told}");
    ensure!(output.stderr.contains("steady again"), "{output:?}");
    scene.assert_clean()
}

#[test]
fn an_interruption_reverts_in_any_stage_and_the_record_is_whole() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expint")?;
    let written = scene.profile(
        "stages: [{name: baseline, for: 3s}, {name: cut, for: 3s, faults: all}, {name: recovery, for: 30s}]\nload: [sleep, 60]",
    );
    let unwritten = scene.profile("stages: [{name: cut, for: 500ms, faults: all}]");
    for (profile, signal, after, stages) in [
        (&written, Signal::SIGINT, "stage baseline", 1),
        (&written, Signal::SIGTERM, "fails:", 2),
        (&written, Signal::SIGINT, "stage recovery", 3),
        (&unwritten, Signal::SIGINT, "fails:", 2),
    ] {
        let running = scene.start(profile)?;
        let mut told = String::new();
        let mut running = running;
        let child = running.0.as_mut().context("it has ended")?;
        let stderr = child.stderr.take().context("no pipe")?;
        let mut lines = std::io::BufReader::new(stderr);
        while !told.contains(after) {
            let read = std::io::BufRead::read_line(&mut lines, &mut told)?;
            ensure!(read > 0, "it ended before {after}: {told}");
        }
        if profile == &unwritten {
            // It does not get well again before we interrupt.
            scene.shop.set_broken(true);
            std::thread::sleep(Duration::from_secs(2));
        }
        running.signal(signal)?;
        let output = running.ended()?;
        scene.shop.set_broken(false);
        ensure!(output.status == Some(130), "{output:?} {told}");
        let record = output.json()?;
        ensure!(record["end"]["how"] == "interrupted", "{record}");
        let count = record["stages"].as_array().map(Vec::len);
        ensure!(count == Some(stages), "after {after}: {record}");
        scene.assert_clean()?;
    }
    Ok(())
}

#[test]
fn nothing_outlives_an_experimenter_that_is_killed() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expkill")?;
    let profile =
        scene.profile("stages: [{name: cut, for: 20s, faults: all}, {name: recovery, for: 5s}]");
    let running = scene.start(&profile)?;
    let target = scene.lab.target();
    let database = std::net::SocketAddr::new(
        scene
            .lab
            .peer()
            .address_facing(target, support::Family::V4)?,
        REDIS_PORT,
    );
    let reached = || {
        let connect =
            || std::net::TcpStream::connect_timeout(&database, Duration::from_millis(200)).is_ok();
        target.enter(connect).unwrap_or(false)
    };
    ensure!(wait_until(LONG, || !reached()), "the fault has no effect");
    running.signal(Signal::SIGKILL)?;
    let killed = Instant::now();
    ensure!(wait_until(LONG, reached), "the fault is still there");
    let outlived = killed.elapsed();
    ensure!(outlived < Duration::from_secs(10), "{outlived:?}");
    drop(running);
    scene.assert_clean()
}

#[test]
fn an_experiment_has_its_faults_from_a_daemon_that_is_there() -> Result<()> {
    needs_shop!();
    let mut scene = Scene::new("expdaemon")?;
    let daemon = Daemon::start(&Options::default())?;
    let profile =
        scene.profile("stages: [{name: cut, for: 2s, faults: all}, {name: recovery, for: 3s}]");
    let file = daemon.file("experiment.yaml", &profile)?;
    let file = file.display().to_string();
    let output = daemon.cli_in(scene.lab.peer(), ["run", &file, "-o", "json"])?;
    ensure!(output.status == Some(4), "{output:?}");
    let record = output.json()?;
    ensure!(record["end"]["how"] == "completed", "{record}");
    let run = &record["stages"][0]["run"];
    ensure!(run["phase"] == "reverted", "{run}");
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    ensure!(status["runs"][0]["id"] == run["id"], "{status}");
    drop(daemon);
    scene.instance = Instance::new()?;
    scene.assert_clean()
}

#[test]
fn two_experiments_at_once_do_not_disturb_each_other() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("exptwo")?;
    let keys = "stages: [{for: 300ms}, {name: faults, for: 2s, faults: all}, {for: 300ms}]";
    let profile = scene.profile(keys).replace("partition:", "drop: 0.000001%");
    let (first, second) = (scene.start(&profile)?, scene.start(&profile)?);
    for running in [first, second] {
        let output = running.ended()?;
        ensure!(output.status == Some(0), "{output:?}");
    }
    scene.assert_clean()
}

#[test]
fn nothing_is_done_when_the_steady_state_does_not_hold() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expnot")?;
    scene.shop.set_broken(true);
    let (output, record) = scene.run(&scene.profile("for: 5s"))?;
    ensure!(output.status == Some(4), "{output:?}");
    ensure!(record["end"]["how"] == "not-steady", "{record}");
    ensure!(
        record["end"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("status 500")),
        "{record}"
    );
    ensure!(
        record["stages"].as_array().is_some_and(Vec::is_empty),
        "{record}"
    );
    scene.assert_clean()
}

#[test]
fn what_an_experiment_lacks_is_told_before_anything_is_done() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("explack")?;
    let profile = scene.profile(
        "- {log: {file: /no/such.log, matches: x}}\n- {command: /no/such/check.sh}\nload: [no-such-tool]\nfor: 5s",
    );
    let file = scene.instance.file("lacking.yaml", &profile)?;
    let file = file.display().to_string();
    for verb in ["run", "plan"] {
        let output = scene.instance.cli_in(scene.lab.peer(), [verb, &file])?;
        ensure!(output.status == Some(2), "{output:?}");
        for missing in [
            "/no/such.log",
            "/no/such/check.sh",
            "no no-such-tool in PATH",
        ] {
            ensure!(output.stderr.contains(missing), "{missing}: {output:?}");
        }
    }
    ensure!(scene.shop.asked().is_empty(), "probes have looked");
    let plan = scene.profile("abort-when: [{probe: http, failing-for: 2s}]\nstages: [{name: calm, for: 1s}, {name: other, for: 2s, set: {port: 1}}]");
    let file = scene.instance.file("plan.yaml", &plan)?;
    let output = scene.instance.cli(["plan", &file.display().to_string()])?;
    ensure!(output.status == Some(0), "{output:?}");
    for told in [
        "The shop sells.",
        "http fails for 2s",
        "calm: 1s, no faults",
        "port=1",
        "nothing was changed",
    ] {
        ensure!(output.stdout.contains(told), "{told}: {output:?}");
    }
    scene.assert_clean()
}

#[test]
fn a_real_prometheus_that_scrapes_the_daemon_ends_an_experiment() -> Result<()> {
    needs_shop!();
    if !Prometheus::is_there() {
        support::skip!(
            Ok(()),
            "prometheus is not installed (cargo xtask setup brings it)"
        );
    }
    let mut scene = Scene::new("expprom")?;
    let daemon = Daemon::start(&Options::default())?;
    let scraped = || Prometheus::start(&daemon.socket(), Duration::from_millis(200));
    let prometheus = scene.lab.peer().enter(scraped)??;
    let query = "sum(chaosd_packets_affected_total) or vector(0)";
    let url = prometheus.url();
    let profile = scene.profile(&format!(
        "- prometheus: {{url: \"{url}\", query: 'chaosd_watchdog_up or vector(1)', above: 0, every: 200ms}}\nabort-when: [{{prometheus: {{url: \"{url}\", query: '{query}', above: 0, every: 200ms}}}}]\nstages: [{{name: cut, for: 50s, faults: all}}, {{name: recovery, for: 10s}}]"
    ));
    let file = daemon.file("experiment.yaml", &profile)?;
    let file = file.display().to_string();
    let output = daemon.cli_in(scene.lab.peer(), ["run", &file, "-o", "json"])?;
    ensure!(output.status == Some(4), "{output:?}");
    let record = output.json()?;
    ensure!(record["end"]["how"] == "aborted", "{record}");
    let why = record["end"]["why"].as_str().unwrap_or_default();
    ensure!(why.contains("is above 0: it is "), "{why}");
    println!("{}", output.stderr);
    drop((prometheus, daemon));
    scene.instance = Instance::new()?;
    scene.assert_clean()
}

#[test]
fn a_control_is_looked_at_too_and_one_that_would_be_hit_is_refused() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("expcontrol")?;
    let (target, peer) = (scene.lab.target(), scene.lab.peer());
    let database = peer.address_facing(target, support::Family::V4)?;
    let shop = target.address_facing(peer, support::Family::V4)?;
    let profile = |twin: &str| {
        format!(
            "version: 1\ntarget: {{netns: {}}}\nparameters: {{place: {{default: \"{shop}:{SHOP_PORT}\"}}}}\nfaults: [{{partition: , match: {{local-ports: [{SHOP_PORT}]}}}}]\nsteady-state: [{{tcp: {{address: \"${{place}}\", every: 100ms, within: 500ms}}}}]\ncontrol: {{set: {{place: \"{database}:{REDIS_PORT}\"}}{twin}}}\nstages: [{{for: 300ms}}, {{for: 1s, faults: all}}, {{for: 2s}}, {{for: 500ms, faults: all}}, {{for: 500ms, faults: all}}]\n",
            target.netns()
        )
    };
    let (output, record) = scene.run(&profile(""))?;
    ensure!(output.status == Some(4), "{output:?}");
    let probes = record["probes"].as_array().context("no probes")?;
    ensure!(
        probes.len() == 2 && probes[1]["control"] == true,
        "{record}"
    );
    let failed = |probe: &Value| {
        let samples = probe["samples"].as_array();
        samples.is_some_and(|samples| samples.iter().any(|sample| sample["ok"] == false))
    };
    ensure!(failed(&probes[0]) && !failed(&probes[1]), "{record}");
    // From one stage with faults to the next.
    let stages = record["stages"].as_array().context("no stages")?;
    let gap = number(&stages[4]["armed"])? - number(&stages[3]["over"])?;
    println!("from stage to stage: {:.1} ms", gap * 1e3);
    ensure!(gap < 5.0, "{gap} s");
    ensure!(
        stages.len() == 6 && stages[5]["name"] == "recovery",
        "{record}"
    );
    // The same place by another name.
    let file = scene.instance.file(
        "hit.yaml",
        &profile(&format!(", target: {{netns: {}}}", target.path())),
    )?;
    let file = file.display().to_string();
    for verb in ["plan", "run"] {
        let output = scene.instance.cli_in(peer, [verb, &file])?;
        ensure!(output.status == Some(2), "{output:?}");
        ensure!(output.stderr.contains("would be hit too"), "{output:?}");
    }
    scene.assert_clean()
}
