//! The rules of the tree that no other linter knows.
//!
//! Rust files are short and say first what they are for; nothing is left for later; and no file
//! names a package registry's host, since every machine has its own mirrors.

use std::process::Command;

use anyhow::{Result, bail};

use crate::step;
use crate::tree::Tree;

/// Past this a file is two files.
const LINES_MAX: usize = 500;

/// What marks unfinished work, cut in two so that this file passes its own rule.
const UNFINISHED: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
];

/// Hosts of package registries and their mirrors, cut for the same reason.
const HOSTS: [&str; 9] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("static.rust-", "lang.org"),
    concat!("deb.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("files.python", "hosted.org"),
    concat!("registry.", "npmjs.org"),
    concat!("proxy.", "golang.org"),
    concat!("registry-1.", "docker.io"),
];

/// Checks every file that git tracks or would track.
pub fn check(tree: &Tree) -> Result<()> {
    let listing = step::output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(tree.root()),
    )?;
    let mut broken = Vec::new();
    for path in listing.split_terminator('\0') {
        // A tracked file may have been deleted, and one that is no text has no lines to check.
        if let Ok(text) = std::fs::read_to_string(tree.root().join(path)) {
            broken.extend(broken_rules(path, &text));
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    Ok(())
}

fn broken_rules(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let is_rust = path
        .rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "rs");
    if is_rust {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            broken.push(format!(
                "{path}: {lines} lines; past {LINES_MAX} it is two files"
            ));
        }
        if !text.starts_with("//!") {
            broken.push(format!(
                "{path}:1: does not begin by saying what it is for (//!)"
            ));
        }
    }
    for (line, number) in text.lines().zip(1..) {
        for mark in UNFINISHED
            .iter()
            .filter(|mark| is_rust && line.contains(**mark))
        {
            broken.push(format!("{path}:{number}: unfinished: {mark}"));
        }
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            broken.push(format!("{path}:{number}: names a registry's host: {host}"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::{HOSTS, LINES_MAX, UNFINISHED, broken_rules};

    #[test]
    fn a_file_that_keeps_the_rules_passes() {
        assert!(broken_rules("a.rs", "//! What it is for.\n").is_empty());
        assert!(broken_rules("README.md", "no doc comment here\n").is_empty());
    }

    #[test]
    fn each_broken_rule_is_named_with_its_line() {
        let text = format!("//! x\n{}\n// {}\n", UNFINISHED[0], HOSTS[0]);
        let broken = broken_rules("a.rs", &text);
        assert_eq!(broken.len(), 2);
        assert!(broken[0].starts_with("a.rs:2: unfinished"));
        assert!(broken[1].starts_with("a.rs:3: names a registry"));
    }

    #[test]
    fn a_long_file_and_a_file_without_a_purpose_are_refused() {
        let text = "fn f() {}\n".repeat(LINES_MAX + 1);
        assert_eq!(broken_rules("a.rs", &text).len(), 2);
    }
}
