//! What is made of three kept runs: one holds, one does not, one was aborted.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::record::Record;
use chaosd::experiment::{report, store};
use serde_json::Value;
use support::{Instance, Mount, run, run_with_input};

use crate::reports_scene as scene;

/// The runs that are kept here, each in a directory of its name.
pub const KEPT: [&str; 3] = ["holds", "fails", "aborts"];
/// Set, it writes what is expected anew.
const ACCEPT: &str = "CHAOSD_ACCEPT";

/// Where a run's expectations lie.
pub fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("reports")
        .join(name)
}

/// A kept run.
pub fn kept(name: &str) -> Result<Record> {
    if std::env::var_os(ACCEPT).is_some() {
        accept()?;
    }
    Ok(store::read(&place(name))?)
}

/// Writes the three of `reports_scene`, and the schema.
fn accept() -> Result<()> {
    for (name, record) in KEPT
        .into_iter()
        .zip([scene::holds(), scene::fails(), scene::aborts()])
    {
        std::fs::create_dir_all(place(name))?;
        std::fs::write(
            place(name).join("record.json"),
            serde_json::to_string(&record)? + "\n",
        )?;
        std::fs::write(
            place(name).join("report.html"),
            report::html(&record) + "\n",
        )?;
    }
    let schema = serde_json::to_string_pretty(&report::schema())?;
    Ok(std::fs::write(place("record.schema.json"), schema + "\n")?)
}

/// The texts of a page, in order: what is between tags, without its style.
pub fn texts(page: &str) -> Vec<String> {
    let body = page.split_once("<body>").map_or(page, |(_, body)| body);
    let texts = body.split('<').filter_map(|part| part.split_once('>'));
    let texts = texts.map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "));
    texts.filter(|text| !text.is_empty()).collect()
}

/// Every one of `parts` stands in `text`.
#[track_caller]
fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// What each form must tell of each run.
fn expected(name: &str) -> &'static [&'static str] {
    match name {
        "holds" => &[
            "The shop answers within 300 ms while its database is slow.",
            "Both probes held",
            "adds 20ms ± 5ms (normal) to packets",
            "1,022 of 104,338 packets (0.98 %)",
        ],
        "fails" => &[
            "Checkout works from its cache when the payment provider's name cannot be resolved.",
            "1 of 2 probes did not hold",
            "99 %",
            "acted on 412 of 412 queries",
            "no packet was seen",
            "ineffective",
        ],
        _ => &[
            "A noisy neighbour on the same processors slows the shop by less than 300 ms.",
            "It was aborted after 51.1 s: http failing for 10 s: no answer within 500 ms.",
            "took 7.93 of 8 processors (99.1 of 100 %)",
        ],
    }
}

#[test]
fn a_page_says_what_it_said_of_the_kept_runs() -> Result<()> {
    for name in KEPT {
        let page = report::html(&kept(name)?);
        let before = std::fs::read_to_string(place(name).join("report.html"))?;
        assert_eq!(
            texts(&page),
            texts(&before),
            "{name}: {ACCEPT}=1 takes the new page"
        );
        tells(
            &texts(&page).join(" ").replace("&amp;", "&"),
            expected(name),
        );
    }
    Ok(())
}

#[test]
fn a_page_tells_the_figures_of_a_run() -> Result<()> {
    let told = |name: &str| kept(name).map(|record| texts(&report::html(&record)).join(" "));
    tells(
        &told("holds")?,
        &[
            "✓ held",
            "Resilience score 100",
            "Time to detect nothing failed",
            "Time to recover at once",
            "Blast radius 1 hit, 2 spared",
        ],
    );
    tells(
        &told("holds")?,
        &["an effect, and not noise", "Ran for 4 min"],
    );
    tells(
        &told("holds")?,
        &["chaosd run shop.yaml --set db=10.0.0.7 --seed 42"],
    );
    tells(
        &told("fails")?,
        &[
            "✗ did not hold",
            "Resilience score 25",
            "recovered after",
            "The resolver's cache held for 3 s only",
        ],
    );
    tells(
        &told("aborts")?,
        &[
            "✗ aborted",
            "Resilience score 0",
            "came true after 51.1 s",
            "did not come true",
            "gone 150 ms after",
        ],
    );
    Ok(())
}

#[test]
fn a_ticket_tells_the_same() -> Result<()> {
    for name in KEPT {
        let ticket = report::markdown(&kept(name)?);
        tells(&ticket, expected(name));
        tells(
            &ticket,
            &[
                "### Faults: asked and measured",
                "### Surprises",
                "### Once more",
                "| Profile | shop.yaml |",
            ],
        );
    }
    Ok(())
}

#[test]
fn results_are_well_formed_and_fail_where_a_run_did() -> Result<()> {
    for (name, failures) in [("holds", 0), ("fails", 3), ("aborts", 3)] {
        let results = report::junit(&kept(name)?);
        tells(
            &results,
            &[&format!("failures=\"{failures}\" errors=\"0\"")],
        );
        assert_eq!(results.matches("<failure ").count(), failures, "{results}");
    }
    if Command::new("xmllint").arg("--version").output().is_err() {
        support::skip!(Ok(()), "xmllint is not there");
    }
    for name in KEPT {
        let results = report::junit(&kept(name)?);
        run_with_input("xmllint", &["--noout", "--nonet", "-"], &results)?;
        let cases = run_with_input("xmllint", &["--xpath", "count(//testcase)", "-"], &results)?;
        let told = run_with_input(
            "xmllint",
            &["--xpath", "string(/testsuites/@tests)", "-"],
            &results,
        )?;
        assert_eq!(cases.trim(), told.trim(), "{name}");
    }
    Ok(())
}

#[test]
fn the_published_schema_is_that_of_the_types() -> Result<()> {
    kept("holds")?;
    let published: Value =
        serde_json::from_str(&std::fs::read_to_string(place("record.schema.json"))?)?;
    assert_eq!(
        report::schema(),
        published,
        "{ACCEPT}=1 takes the new schema"
    );
    let printed = Instance::new()?.cli(["report", "--schema"])?;
    assert_eq!(printed.json()?, published);
    Ok(())
}

#[test]
fn records_are_valid_by_their_schema() -> Result<()> {
    let there = Command::new("python3")
        .args(["-c", "import jsonschema"])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        support::skip!(Ok(()), "python3-jsonschema is not there");
    }
    let script = "import json, sys, jsonschema\n\
        schema, *records = [json.load(open(path)) for path in sys.argv[1:]]\n\
        validator = jsonschema.Draft202012Validator\n\
        validator.check_schema(schema)\n\
        for record in records: validator(schema).validate(record)\n\
        broken = dict(records[0], stages=7)\n\
        assert not validator(schema).is_valid(broken)\n\
        del broken['stages']\n\
        assert not validator(schema).is_valid(broken)\n";
    kept("holds")?;
    let mut paths = vec![place("record.schema.json")];
    paths.extend(KEPT.map(|name| place(name).join("record.json")));
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(paths)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn chaosd_tells_of_a_kept_run_in_every_form() -> Result<()> {
    let chaosd = Instance::new()?;
    let none = chaosd.cli(["report"])?;
    assert_eq!(none.status, Some(2), "{none:?}");
    tells(&none.stderr, &["no run is kept in"]);
    for name in KEPT {
        let to = chaosd.runs_dir().join(kept(name)?.id);
        std::fs::create_dir_all(&to)?;
        std::fs::copy(place(name).join("record.json"), to.join("record.json"))?;
    }
    let list = chaosd.cli(["report", "--list"])?;
    tells(
        &list.stdout,
        &[
            "x-0051ab1e",
            "x-0fa11ed0",
            "x-0ab0a7ed",
            "did not hold",
            "aborted",
            "held",
        ],
    );
    assert_eq!(
        chaosd
            .cli(["report", "--list", "-o", "json"])?
            .json()?
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    let text = chaosd.cli(["report", "x-0fa"])?;
    assert_eq!(text.status, Some(0), "{text:?}");
    tells(
        &text.stdout,
        &[
            "✗ did not hold: Checkout works",
            "score 25 of 100",
            "×",
            "no-payments",
        ],
    );
    assert!(
        !text.stdout.contains('\u{1b}'),
        "colours in a pipe: {text:?}"
    );
    for (form, begins) in [
        ("html", "<!DOCTYPE html>"),
        ("junit", "<?xml"),
        ("markdown", "## ❌"),
        ("json", "{"),
    ] {
        let output = chaosd.cli(["report", "0fa11ed0", "-o", form])?;
        assert!(output.stdout.starts_with(begins), "{form}: {output:?}");
    }
    let both = chaosd.cli(["report", "x-0"])?;
    assert_eq!(both.status, Some(2));
    tells(&both.stderr, &["x-0051ab1e, x-0ab0a7ed, x-0fa11ed0"]);
    let unknown = chaosd.cli(["report", "x-0fa11ed1"])?;
    assert_eq!(unknown.status, Some(2));
    tells(&unknown.stderr, &["did you mean `x-0fa11ed0`?"]);
    let path = place("aborts").join("record.json").display().to_string();
    tells(&chaosd.cli(["report", &path])?.stdout, &["✗ aborted"]);
    Ok(())
}

#[test]
fn a_surprise_is_written_into_the_kept_run() -> Result<()> {
    let chaosd = Instance::new()?;
    let to = chaosd.runs_dir().join("x-0051ab1e");
    std::fs::create_dir_all(&to)?;
    std::fs::copy(place("holds").join("record.json"), to.join("record.json"))?;
    let text = "The <b>cache</b> was cold.";
    let output = chaosd.cli(["report", "latest", "--surprise", text])?;
    assert_eq!(output.status, Some(0), "{output:?}");
    let page = std::fs::read_to_string(to.join("report.html")).context("no page was made")?;
    tells(&page, &["The &lt;b&gt;cache&lt;/b&gt; was cold."]);
    assert_eq!(store::read(&to)?.surprises, text);
    let elsewhere = place("holds").display().to_string();
    let refused = chaosd.cli(["report", &elsewhere, "--surprise", text])?;
    assert_eq!(refused.status, Some(2), "{refused:?}");
    Ok(())
}

#[test]
fn a_full_disk_is_told_and_costs_no_record() -> Result<()> {
    let mount = Mount::tmpfs()?;
    let runs = mount.path().display().to_string();
    let before = std::fs::read_to_string(place("holds").join("record.json"))?;
    mount.file("x-0051ab1e/record.json", &before)?;
    // Room for the record once more, and not for its page.
    run("mount", &["-o", "remount,size=100k", &runs])?;
    let chaosd = Instance::new()?;
    let words = [
        "report",
        "latest",
        "--surprise",
        "none",
        "--runs-dir",
        &runs,
    ];
    let output = chaosd.cli(words)?;
    assert_eq!(output.status, Some(3), "{output:?}");
    tells(
        &output.stderr,
        &["report.html: there is no space left", "--runs-dir"],
    );
    let kept = mount.path().join("x-0051ab1e");
    assert_eq!(store::read(&kept)?.surprises, "none");
    let names = std::fs::read_dir(&kept)?
        .flatten()
        .map(|entry| entry.file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["record.json"]);
    // No room for the record either.
    run("mount", &["-o", "remount,size=52k", &runs])?;
    let output = chaosd.cli([
        "report",
        "latest",
        "--surprise",
        "many",
        "--runs-dir",
        &runs,
    ])?;
    assert_eq!(output.status, Some(3), "{output:?}");
    tells(&output.stderr, &["record.json: there is no space left"]);
    assert_eq!(store::read(&kept)?.surprises, "none");
    Ok(())
}
