//! What is made of three kept runs: one holds, one does not, one was aborted.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use chaosd::experiment::record::Record;
use chaosd::experiment::{report, store, words::grouped};
use chaosd::report::FaultReport;
use serde_json::Value;
use support::{Instance, Mount, run, run_with_input};

use crate::reports_page::texts;

/// The runs that are kept here, each in a directory of its name.
pub const KEPT: [&str; 3] = ["holds", "fails", "aborts"];
/// Set, it writes what is expected anew.
pub const ACCEPT: &str = "CHAOSD_ACCEPT";

/// Where a run's expectations lie.
pub fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("reports")
        .join(name)
}

/// A kept run.
pub fn kept(name: &str) -> Result<Record> {
    Ok(store::read(&place(name))?)
}

/// Puts a kept run among those of this chaosd, under an id that a test knows.
fn put(chaosd: &Instance, name: &str, id: &str) -> Result<PathBuf> {
    let to = chaosd.runs_dir().join(id);
    std::fs::create_dir_all(&to)?;
    let mut record = kept(name)?;
    id.clone_into(&mut record.id);
    std::fs::write(to.join("record.json"), serde_json::to_string(&record)?)?;
    Ok(to)
}

/// Every one of `parts` stands in `text`.
#[track_caller]
fn tells(text: &str, parts: &[impl AsRef<str>]) {
    for part in parts {
        let part = part.as_ref();
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// What each form must tell of each run, with what its faults did.
fn expected(name: &str, record: &Record) -> Vec<String> {
    let words: &[&str] = match name {
        "holds" => &[
            "Both probes held",
            "drops 1 % of packets",
            "drops 3 % of packets",
        ],
        "fails" => &[
            "1 of 2 probes did not hold: sale was as expected in",
            "(100 % asked; status 503)",
            "loses every packet",
            "nothing matched, of",
            "ineffective",
            "The shop has no cache",
        ],
        _ => &["It was aborted after", "drops 90 % of packets"],
    };
    let runs = record.stages.iter().filter_map(|stage| stage.run.as_ref());
    let faults = runs.flat_map(|run| &run.faults).map(FaultReport::total);
    let figures = faults.filter(|total| total.matched > 0).map(|total| {
        format!(
            "{} of {} packets",
            grouped(total.affected),
            grouped(total.matched)
        )
    });
    let words = words.iter().map(|word| (*word).to_owned());
    words
        .chain(figures)
        .chain(record.hypothesis.clone())
        .collect()
}

#[test]
fn a_page_says_what_it_said_of_the_kept_runs() -> Result<()> {
    for name in KEPT {
        let record = kept(name)?;
        let page = report::html(&record);
        let path = place(name).join("report.html");
        if std::env::var_os(ACCEPT).is_some() {
            std::fs::write(&path, &page)?;
        }
        let before = std::fs::read_to_string(&path)?;
        assert_eq!(
            texts(&page),
            texts(&before),
            "{name}: {ACCEPT}=1 takes the new page"
        );
        tells(
            &texts(&page).join(" ").replace("&amp;", "&"),
            &expected(name, &record),
        );
    }
    Ok(())
}

#[test]
fn a_page_tells_what_a_run_came_to() -> Result<()> {
    for (name, words) in [
        (
            "holds",
            &[
                "✓ held",
                "Resilience score 100 of 100",
                "Blast radius 1 hit",
                "load: wrk",
            ][..],
        ),
        (
            "fails",
            &[
                "✗ did not hold",
                "Resilience score 25 of 100",
                "detected after",
                "an effect, and not noise",
                "✗ ineffective",
            ],
        ),
        (
            "aborts",
            &[
                "✗ aborted",
                "Resilience score 75 of 100",
                "came true after",
                "did not come true",
                "The faults were gone",
            ],
        ),
    ] {
        tells(&texts(&report::html(&kept(name)?)).join(" "), words);
    }
    Ok(())
}

#[test]
fn a_ticket_tells_the_same() -> Result<()> {
    for name in KEPT {
        let record = kept(name)?;
        let ticket = report::markdown(&record);
        tells(&ticket, &expected(name, &record));
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
    for (name, failures) in [("holds", 0), ("fails", 3), ("aborts", 2)] {
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
    let path = place("record.schema.json");
    if std::env::var_os(ACCEPT).is_some() {
        let schema = serde_json::to_string_pretty(&report::schema())?;
        std::fs::write(&path, schema + "\n")?;
    }
    let published: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
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
    for (name, id) in KEPT.iter().zip(["x-0051ab1e", "x-0fa11ed0", "x-0ab0a7ed"]) {
        put(&chaosd, name, id)?;
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
            "✗ did not hold: The shop sells from its cache",
            "score 25 of 100",
            "× status 503",
            "no-search",
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
    let to = put(&chaosd, "holds", "x-0051ab1e")?;
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
    let mut record = kept("holds")?;
    "x-0051ab1e".clone_into(&mut record.id);
    let before = serde_json::to_string(&record)?;
    mount.file("x-0051ab1e/record.json", &before)?;
    let leave = |bytes: usize| run("mount", &["-o", &format!("remount,size={bytes}"), &runs]);
    // Room for the record once more, and not for its page.
    leave(2 * before.len() + (16 << 10))?;
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
    leave(before.len() + (8 << 10))?;
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
