//! Probes of experiments: what they see of real servers, and to which stage that counts.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::shop::SHOP_PORT;

use crate::experiments_scene::{Scene, needs_shop, number, samples};

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
    ensure!(notes.iter().any(|note| note.as_str().is_some_and(|note| note.starts_with(told))));
    let seen = under_faults(&record)?;
    ensure!(!seen.is_empty() && seen.iter().all(|ok| *ok), "{seen:?}");
    scene.assert_clean()
}
