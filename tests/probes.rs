//! Probes of experiments: what they see of real servers, and to which stage that counts.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;
use serde_json::Value;
use support::dns::{Server, zone};
use support::shop::SHOP_PORT;
use support::{Family, Instance, Lab, Node, Output, Snapshot};

use crate::dns_scene::needs_dns;
use crate::experiments_scene::{Running, Scene, needs_shop, number, samples};
use crate::limits::place;

/// Runs an experiment to its end, in a node's namespace if one is given.
fn run(instance: &Instance, profile: &str, node: Option<&Node>) -> Result<(Output, Value)> {
    let file = instance.file("experiment.yaml", profile)?;
    let mut command = instance.command()?;
    command
        .arg("run")
        .arg(file)
        .args(["-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = match node {
        Some(node) => node.enter(|| command.spawn())??,
        None => command.spawn()?,
    };
    let output = Running(Some(child)).ended()?;
    println!("{}", output.stderr);
    let record = output.json()?;
    Ok((output, record))
}

/// The samples of the first probe that began while the faults of the first stage were in force.
fn under_faults(record: &Value) -> Result<Vec<bool>> {
    let stage = &record["stages"][0];
    let (armed, over) = (number(&stage["armed"])?, number(&stage["over"])?);
    let mut samples = samples(record)?;
    samples.retain(|(at, _)| (armed..over).contains(at));
    Ok(samples.into_iter().map(|(_, ok)| ok).collect())
}

#[test]
fn a_look_that_outlasts_the_faults_counts_for_the_stage_in_which_it_began() -> Result<()> {
    needs_shop!();
    let scene = Scene::new("problong")?;
    let shop = scene
        .lab
        .target()
        .address_facing(scene.lab.peer(), support::Family::V4)?;
    // TCP asks again after 1 s, which is in vain, and after another (before Linux 6.5 after two more).
    let profile = |within: &str| {
        format!(
            "version: 1\ntarget: {{netns: {}}}\nfaults: [{{partition: , match: {{local-ports: [{SHOP_PORT}]}}}}]\nsteady-state: [{{tcp: {{address: \"{shop}:{SHOP_PORT}\", every: 100ms, within: {within}}}}}]\nstages: [{{name: faults, for: 1500ms, faults: all}}, {{name: recovery, for: 20s}}]\n",
            scene.lab.target().netns()
        )
    };
    let (output, record) = scene.run(&profile("1700ms"))?;
    ensure!(output.status == Some(4), "{output:?}");
    let held = &record["analysis"]["probes"][0]["held"];
    ensure!(*held == false, "{}", record["analysis"]);
    let seen = under_faults(&record)?;
    ensure!(seen.first() == Some(&false), "{seen:?}");
    // They did not hold up who looks whether all is well again.
    let recovered = number(&record["analysis"]["recovered"])?;
    ensure!(recovered < 1.0, "{recovered}");
    // What is in time for the probe is well, whenever the faults went, and its author is told.
    let (output, record) = scene.run(&profile("60s, timeout: 60s"))?;
    ensure!(output.status == Some(0), "{output:?}");
    let told = "probe tcp may take 1m, and stage faults lasts 1s 500ms";
    ensure!(output.stderr.contains(told), "{output:?}");
    let notes = record["notes"].as_array().context("no notes")?;
    ensure!(
        notes
            .iter()
            .any(|note| note.as_str().is_some_and(|note| note.starts_with(told)))
    );
    let seen = under_faults(&record)?;
    ensure!(!seen.is_empty() && seen.iter().all(|ok| *ok), "{seen:?}");
    scene.assert_clean()
}

#[test]
fn a_name_is_asked_of_a_real_server() -> Result<()> {
    needs_dns!();
    let lab = Lab::new("probdns")?;
    let (target, peer) = (lab.target(), lab.peer());
    let server = Server::start(peer)?;
    let before = Snapshot::take(target)?;
    let instance = Instance::new()?;
    let name = zone::NAMES[0];
    let [v4, v6] = zone::addresses(name);
    for (family, address) in Family::BOTH.into_iter().zip([v4, v6]) {
        let at = Server::address(peer, target, family)?;
        let profile = |address| {
            format!(
                "version: 1\ntarget: {{netns: {}}}\nfaults: [{{dns: {{names: [{name}], answer: servfail}}}}]\nsteady-state: [{{dns: {{name: {name}, server: \"{at}\", answer: \"{address}\", within: 2s, every: 100ms}}}}]\nstages: [{{name: faults, for: 1s, faults: all}}, {{name: recovery, for: 20s}}]\n",
                target.netns()
            )
        };
        let (output, record) = run(&instance, &profile(address), Some(target))?;
        ensure!(output.status == Some(4), "{output:?}");
        let samples = record["probes"][0]["samples"].as_array().context("none")?;
        let failed = samples.iter().filter(|sample| sample["ok"] == false);
        let mut whys: Vec<_> = failed.map(|sample| sample["why"].as_str()).collect();
        whys.dedup();
        ensure!(whys == [Some("SERVFAIL")], "{whys:?}");
        ensure!(record["analysis"]["recovered"].is_number(), "{record}");
        // An answer that holds another address is none.
        let other = if address == v4 {
            "192.0.2.9"
        } else {
            "2001:db8::9"
        };
        let (output, record) = run(&instance, &profile(other.parse()?), Some(target))?;
        ensure!(output.status == Some(4), "{output:?}");
        let why = record["end"]["why"].as_str().unwrap_or_default();
        ensure!(
            why.contains(&format!("the answer is {address}")),
            "{record}"
        );
    }
    ensure!(server.asked(name) > 20, "{}", server.log());
    Snapshot::take(target)?.assert_same(&before);
    Ok(())
}

#[test]
fn the_pressure_of_a_cgroup_is_that_of_its_processes() -> Result<()> {
    let mut place = place!();
    // What is empty has no pressure; one that sleeps waits for nothing.
    let sleeper = place.run("exec sleep 300")?;
    let file = format!("/proc/{sleeper}/cgroup");
    ensure!(std::fs::read_to_string(file)?.contains(place.path()));
    let directories = place.directories()?;
    if !directories
        .iter()
        .any(|dir| dir.join("cpu.pressure").is_file())
    {
        support::skip!(Ok(()), "this kernel tells no pressure of cgroups");
    }
    let instance = Instance::new()?;
    // Two that want the same processor.
    let profile = format!(
        "version: 1\ntarget: {{cgroup: {path}}}\nfaults: [{{name: one, cpu: {{load: 100%, of: core, cpus: \"0\"}}}}, {{name: other, cpu: {{load: 100%, of: core, cpus: \"0\"}}}}]\nsteady-state: [{{psi: {{cgroup: {path}, resource: cpu, below: 20%, every: 200ms}}}}]\nstages: [{{name: burn, for: 3s, faults: all}}, {{name: recovery, for: 20s}}]\n",
        path = place.path()
    );
    let (output, record) = run(&instance, &profile, None)?;
    ensure!(output.status == Some(4), "{output:?}");
    ensure!(record["end"]["how"] == "completed", "{record}");
    let stage = &record["analysis"]["probes"][0]["stages"][0];
    let median = number(&stage["median"])?;
    println!("{median:.0} % of the time one of both waited");
    ensure!((20.0..=100.0).contains(&median), "{stage}");
    ensure!(record["analysis"]["recovered"].is_number(), "{record}");
    let left = instance.processes();
    ensure!(left == [] as [Pid; 0], "{left:?}");
    Ok(())
}
