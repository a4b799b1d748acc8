//! Three experiments on a real shop, run for real and held against the kept ones: one holds, one does not,
//! one is aborted. Numbers of time and chance are not compared; they have to make sense.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::record::{End, Record, Stage};
use chaosd::report::{FaultReport, Verdict};

use crate::reports::{ACCEPT, place};
use crate::reports_page::skeleton;
use crate::reports_scene::{Street, Told, lacking};

/// Skips the calling test where there is no shop, or no processor of its own for the load.
macro_rules! needs_street {
    () => {
        if let Some(why) = lacking() {
            support::skip!(Ok(()), "{why}");
        }
        if support::is_emulated() {
            support::skip!(Ok(()), "a computed processor serves too few customers");
        }
    };
}

/// Runs one of them, which takes the place of the kept one if that is asked for, and compares both.
fn run(name: &str, patience: Duration, surprise: Option<&str>) -> Result<Told> {
    let told = Street::open(name, patience)?.run(&place(name), surprise)?;
    let (record, page) = (
        place(name).join("record.json"),
        place(name).join("report.html"),
    );
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&record, serde_json::to_string(&told.record)? + "\n")?;
        std::fs::write(&page, &told.page)?;
    }
    let kept: Record = chaosd::experiment::store::read(&record)?;
    let expected = skeleton(&std::fs::read_to_string(&page)?.replace(&kept.id, "RUN"));
    let found = skeleton(&told.page.replace(&told.record.id, "RUN"));
    for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
        ensure!(
            found == expected,
            "text {n} is {found:?}, not {expected:?} ({ACCEPT}=1 takes it)"
        );
    }
    ensure!(
        found.len() == expected.len(),
        "{} texts, not {}",
        found.len(),
        expected.len()
    );
    let names = |record: &Record| {
        record
            .stages
            .iter()
            .map(|stage| stage.name.clone())
            .collect::<Vec<_>>()
    };
    ensure!(
        names(&told.record) == names(&kept),
        "{:?}",
        names(&told.record)
    );
    drawn(&told);
    Ok(told)
}

/// Each stage, fault and probe is in the picture, and each probe has looked in each stage.
#[track_caller]
fn drawn(told: &Told) {
    for stage in &told.record.stages {
        let part = format!("<title>{}: ", stage.name);
        assert!(told.page.contains(&part), "{part}");
        for fault in stage.run.iter().flat_map(|run| &run.faults) {
            let part = format!("<title>{}: from ", fault.name);
            assert!(told.page.contains(&part), "{part}");
        }
    }
    for probe in &told.record.probes {
        let part = format!("<tspan class=\"name\">{}</tspan>", probe.name);
        assert!(told.page.contains(&part), "{part}");
        for stage in &told.record.stages {
            let looks = probe
                .samples
                .iter()
                .filter(|sample| (stage.begin..stage.end).contains(&sample.at));
            assert!(
                looks.count() > 0,
                "{} did not look in {}",
                probe.name,
                stage.name
            );
        }
    }
}

fn stage<'r>(record: &'r Record, name: &str) -> Result<&'r Stage> {
    let found = record.stages.iter().find(|stage| stage.name == name);
    found.with_context(|| format!("no stage {name}"))
}

fn fault<'r>(record: &'r Record, in_stage: &str, name: &str) -> Result<&'r FaultReport> {
    let run = stage(record, in_stage)?
        .run
        .as_ref()
        .context("it had no faults")?;
    let found = run.faults.iter().find(|fault| fault.name == name);
    found.with_context(|| format!("no fault {name}"))
}

/// So many packets were lost, of enough of them, as were asked for.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
fn lost(record: &Record, in_stage: &str, name: &str, share: f64) -> Result<()> {
    let fault = fault(record, in_stage, name)?;
    let total = fault.total();
    let (matched, affected) = (total.matched as f64, total.affected as f64);
    ensure!(
        total.seen > total.matched,
        "customers' packets are not seen: {total:?}"
    );
    // Once in 2 million runs it is further off.
    let off = (affected - share * matched).abs() / (matched * share * (1.0 - share)).sqrt();
    ensure!(
        matched > 200.0 && off < 5.0,
        "{share} of {matched} packets asked, {affected} lost"
    );
    ensure!(fault.verdict == Verdict::Effective, "{:?}", fault.verdict);
    Ok(())
}

/// The sentence below its hypothesis begins so.
fn says(told: &Told, why: &str) -> Result<()> {
    let found = told.record.analysis().why;
    ensure!(found.starts_with(why) && told.page.contains(why), "{found}");
    Ok(())
}

/// A figure of the load's own summary.
fn figure(record: &Record, name: &str) -> Result<f64> {
    let load = record.load.as_ref().context("no load")?;
    let found = load.figures.iter().find(|figure| figure.name == name);
    Ok(found
        .with_context(|| format!("no {name} in {:?}", load.figures))?
        .value)
}

#[test]
fn one_whose_hypothesis_holds() -> Result<()> {
    needs_street!();
    let told = run("holds", Duration::from_secs(2), None)?;
    let record = &told.record;
    ensure!(told.output.status == Some(0), "{:?}", told.output);
    ensure!(record.end == End::Completed, "{:?}", record.end);
    let analysis = record.analysis();
    ensure!(
        analysis.held == Some(true) && analysis.score == Some(100.0),
        "{analysis:?}"
    );
    says(&told, "Both probes held while the faults were in force: ")?;
    lost(record, "small", "lossy-database", 0.01)?;
    lost(record, "full", "lossy-database", 0.03)?;
    let load = record.load.as_ref().context("no load")?;
    ensure!(
        load.tool.as_deref() == Some("wrk") && load.exit == Some(0),
        "{load:?}"
    );
    ensure!(
        figure(record, "requests/s")? > 10.0 && figure(record, "latency p99")? > 0.0,
        "{load:?}"
    );
    Ok(())
}

#[test]
fn one_whose_hypothesis_fails() -> Result<()> {
    needs_street!();
    let surprise = "The shop has no cache: it was taken out in March.\n\nIt tells its customers only after 200 ms.";
    let told = run("fails", Duration::from_millis(200), Some(surprise))?;
    let record = &told.record;
    ensure!(told.output.status == Some(4), "{:?}", told.output);
    ensure!(record.end == End::Completed, "{:?}", record.end);
    let analysis = record.analysis();
    // One of its probes holds, of a weight of 1 in 4.
    ensure!(
        analysis.held == Some(false) && analysis.score == Some(25.0),
        "{analysis:?}"
    );
    says(
        &told,
        "1 of 2 probes did not hold: sale was as expected in ",
    )?;
    let detected = analysis.detected.context("nothing failed")?;
    let recovered = analysis.recovered.context("it did not recover")?;
    ensure!(
        (0.0..3.0).contains(&detected) && (0.0..2.0).contains(&recovered),
        "{analysis:?}"
    );
    let cut = fault(record, "gone", "no-database")?.total();
    ensure!(cut.matched > 10 && cut.affected == cut.matched, "{cut:?}");
    let missed = fault(record, "gone", "no-search")?;
    ensure!(
        missed.verdict == Verdict::Ineffective && missed.total().matched == 0,
        "{missed:?}"
    );
    let sale = analysis.comparisons.iter().find(|one| one.probe == "sale");
    let sale = sale.context("the twin was not compared")?;
    ensure!(sale.differs && sale.difference > 100.0, "{sale:?}");
    ensure!(figure(record, "errors")? > 0.0, "{:?}", record.load);
    ensure!(record.surprises == surprise, "{:?}", record.surprises);
    Ok(())
}

#[test]
fn one_that_is_aborted() -> Result<()> {
    needs_street!();
    let told = run("aborts", Duration::from_millis(200), None)?;
    let record = &told.record;
    ensure!(told.output.status == Some(4), "{:?}", told.output);
    let End::Aborted { why, at, gone } = &record.end else {
        anyhow::bail!("{:?}", record.end);
    };
    ensure!(why.starts_with("sale "), "{why}");
    says(&told, "It was aborted after ")?;
    let bad = stage(record, "bad")?;
    // The machine may be busy: the time that it takes is another test's.
    ensure!(
        bad.begin < *at && at <= gone && *gone < bad.begin + bad.planned,
        "{bad:?}"
    );
    let fired: Vec<bool> = record
        .aborts
        .iter()
        .map(|abort| abort.fired.is_some())
        .collect();
    ensure!(fired == [true, false], "{:?}", record.aborts);
    let analysis = record.analysis();
    ensure!(
        analysis.held == Some(false) && analysis.score == Some(75.0),
        "{analysis:?}"
    );
    ensure!(
        analysis.recovered.is_some_and(|after| after < 3.0),
        "{analysis:?}"
    );
    lost(record, "small", "bad-way", 0.01)?;
    ensure!(
        fault(record, "bad", "bad-way")?.total().affected > 0,
        "nothing was lost"
    );
    let load = record.load.as_ref().context("no load")?;
    ensure!(load.end >= *at && load.exit != Some(0), "{load:?}");
    Ok(())
}
