//! A DNS fault that cannot be is refused with its line, before anything is changed.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use support::{Instance, Lab};

/// What is wrong, and a word that the refusal has to name.
const WRONG: [(&str, &str); 22] = [
    (
        "names: [db.internal], not-names: [\"*.internal\"], answer: nxdomain",
        "not-names",
    ),
    ("names: []", "answer"),
    ("names: [\"a..b\"], answer: nxdomain", "a..b"),
    ("names: [\".example\"], answer: nxdomain", ".example"),
    ("names: [\"a.*.example\"], answer: nxdomain", "a.*.example"),
    ("names: [\"*x.example\"], answer: nxdomain", "*x.example"),
    ("names: [\"\"], answer: nxdomain", "nothing"),
    ("names: [\"b\u{fc}cher.example\"], answer: nxdomain", "xn--"),
    ("names: [], answer: nxdomain", "empty list"),
    ("not-names: [\"a b\"], answer: nxdomain", "a b"),
    ("types: [], answer: nxdomain", "empty list"),
    ("types: [NOSUCH], answer: nxdomain", "NOSUCH"),
    ("types: [TYPE70000], answer: nxdomain", "TYPE70000"),
    ("types: [AAAA], answer: {A: 192.0.2.1}", "AAAA"),
    ("answer: {A: \"2001:db8::1\"}", "2001:db8::1"),
    ("answer: {AAAA: 192.0.2.1}", "192.0.2.1"),
    ("answer: {ttl: 5s}", "A"),
    ("answer: {A: 192.0.2.1, ttl: 2w}", "ttl"),
    ("answer: nxdomian", "nxdomain"),
    ("names: [db.internal]", "answer"),
    ("answer: nxdomain, rate: 300%", "300%"),
    ("encrypted: nxdomain", "reset"),
];

#[test]
fn each_mistake_is_told_with_its_line_and_nothing_is_touched() -> Result<()> {
    let instance = Instance::new()?;
    for (fields, word) in WRONG {
        let text = format!(
            "version: 1\nfor: 1m\ntarget: {{host: true}}\nfaults:\n  - dns: {{{fields}}}\n"
        );
        let path = instance.file("wrong.yaml", &text)?.display().to_string();
        for verb in ["run", "plan"] {
            let said = instance.cli([verb, &path])?;
            ensure!(said.status == Some(2), "{verb} {fields}: {said:?}");
            let told = |line: &str| line.contains(&format!("{path}:5:")) && line.contains(word);
            ensure!(said.stderr.lines().any(told), "{verb} {fields}: {said:?}");
        }
    }
    ensure!(
        !instance.state_dir().exists(),
        "the state directory was made"
    );
    Ok(())
}

#[test]
fn names_that_are_too_long_are_refused_and_the_longest_are_not() -> Result<()> {
    let lab = Lab::new("dns-long")?;
    let netns = lab.target().netns();
    let instance = Instance::new()?;
    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
    for (name, status) in [
        (format!("{label}.example"), 0),
        (format!("x{label}.example"), 2),
        (longest.clone(), 0),
        (format!("{longest}x"), 2),
    ] {
        let text = format!(
            "version: 1\nfor: 1m\ntarget: {{netns: {netns}}}\nfaults:\n  - dns: {{names: [{name}], answer: nxdomain}}\n"
        );
        let path = instance.file("long.yaml", &text)?.display().to_string();
        let said = instance.cli(["plan", &path])?;
        ensure!(said.status == Some(status), "{name}: {said:?}");
    }
    Ok(())
}

#[test]
fn only_leaving_queries_can_be_hit_and_a_refusal_says_what_to_do_about_the_others() -> Result<()> {
    let instance = Instance::new()?;
    for direction in ["in", "both"] {
        let text = format!(
            "version: 1\nfor: 1m\ntarget: {{host: true}}\nfaults:\n  - dns: {{answer: nxdomain}}\n    match: {{direction: {direction}}}\n"
        );
        let path = instance.file("in.yaml", &text)?.display().to_string();
        let said = instance.cli(["plan", &path])?;
        let told = |line: &str| line.contains(&format!("{path}:6:"));
        ensure!(
            said.status == Some(2) && said.stderr.lines().any(told),
            "{direction}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn flags_are_held_to_the_same() -> Result<()> {
    let instance = Instance::new()?;
    for (flags, word) in [
        ("--name a..b --answer nxdomain", "a..b"),
        ("--name db.internal", "answer"),
        ("--answer A=2001:db8::1", "2001:db8::1"),
        ("--type NOSUCH --answer empty", "NOSUCH"),
        ("--answer nxdomian", "nxdomain"),
    ] {
        let words = format!("inject dns {flags} --host --for 1s");
        let said = instance.cli(words.split(' '))?;
        ensure!(
            said.status == Some(2) && said.stderr.contains(word),
            "{flags}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn more_names_than_there_is_room_for_are_refused_with_the_limit() -> Result<()> {
    let instance = Instance::new()?;
    let mut list = String::new();
    for n in 0..65_537 {
        write!(list, "n{n}.example, ")?;
    }
    let text = format!(
        "version: 1\nfor: 1m\ntarget: {{host: true}}\nfaults:\n  - dns: {{names: [{list}], answer: nxdomain}}\n"
    );
    let path = instance.file("many.yaml", &text)?.display().to_string();
    let said = instance.cli(["plan", &path])?;
    ensure!(
        said.status == Some(2)
            && ["65536", "65,536"]
                .iter()
                .any(|limit| said.stderr.contains(limit)),
        "{:?}: {}",
        said.status,
        said.stderr.chars().take(500).collect::<String>()
    );
    Ok(())
}
