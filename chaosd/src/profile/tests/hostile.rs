//! Texts made to hurt: never a panic, never long.

use std::fmt::Write;

use crate::profile::{Overrides, load, shipped};

#[test]
fn hostile_texts_end_in_a_problem_soon() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let alias = format!("*a{}, ", n - 1).repeat(9);
        writeln!(bomb, "a{n}: &a{n} [{alias}]").unwrap();
    }
    let aliases = format!(
        "a: &a {}\nb: [{}]",
        "x".repeat(500_000),
        "*a, ".repeat(100_000)
    );
    let chain: String = (1..20_000).fold("a0: &a0 [x]\n".into(), |s, n| {
        s + &format!("a{n}: &a{n} [*a{}]\n", n - 1)
    });
    let params = format!(
        "version: 1\nparameters: {{p: {{default: {}}}}}\nfaults: [{}]\n",
        "x".repeat(400_000),
        "\"${p}\", ".repeat(60_000)
    );
    for text in [
        bomb,
        aliases,
        chain,
        params,
        "[".repeat(500_000),
        "- ".repeat(500_000),
        "{a: ".repeat(200_000),
        "? ".repeat(200_000),
        "[],".repeat(300_000),
        format!("[{}]", "1,".repeat(500_000)),
        "k: v\n".repeat(200_000),
        (0..90_000).fold(String::new(), |mut s, n| {
            writeln!(s, "k{n}: v").unwrap();
            s
        }),
        format!(
            "version: 1\nfaults: [{{drop: 1%, match: {{ports: [{}]}}}}]",
            "x,".repeat(300_000)
        ),
        "x".repeat((1 << 20) + 1),
        "\"".repeat(100_000),
        "&a *a".into(),
        "&a [*a]".into(),
        "*nobody".into(),
        "\0\u{1}\u{feff}".into(),
        "%YAML 9.9\n---\n".into(),
        "!!binary x".into(),
        "a: b: c".into(),
        "\t- x".into(),
        "<<: {version: 1}".into(),
        "version: 1\nfaults: [{drop: 1%}]\nfor: 584554530872y".into(),
    ] {
        let problems = load("t.yaml", &text, &Overrides::default()).unwrap_err();
        assert!(
            (1..=101).contains(&problems.0.len()),
            "{}",
            problems.0.len()
        );
        assert!(
            problems
                .0
                .iter()
                .all(|p| !p.what.is_empty() && p.what.len() < 600)
        );
    }
}

#[test]
fn any_cut_and_any_changed_byte_of_a_profile_is_read_or_refused() {
    // A processor that is computed takes ten times as long.
    let step = if std::env::var_os("CHAOSD_EMULATED").is_some() {
        37
    } else {
        3
    };
    for shipped in shipped() {
        let text = shipped.text;
        for at in (0..text.len())
            .step_by(step)
            .filter(|at| text.is_char_boundary(*at))
        {
            assert!(
                load("cut", &text[..at], &Overrides::default()).map_err(|p| p.0.len()) != Err(0)
            );
            for byte in ["\0", "{", ":", "\"", "&", "!", "\n"] {
                let next = at + text[at..].chars().next().map_or(0, char::len_utf8);
                let changed = format!("{}{byte}{}", &text[..at], &text[next..]);
                assert!(
                    load("changed", &changed, &Overrides::default()).map_err(|p| p.0.len())
                        != Err(0)
                );
            }
        }
    }
}
