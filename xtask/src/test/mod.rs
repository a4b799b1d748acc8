//! `cargo xtask test`: builds everything, runs every test, and ends with the counts.
//!
//! A test that this kernel cannot run passes for libtest; it leaves a line in the file that
//! `CHAOSD_SKIPS` names (`support::skip!`), and is counted and listed here as skipped.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};

use crate::tree::Tree;
use crate::{build, setup, step};

#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose name contains this
    filter: Option<String>,
    /// Only this package: chaosd, chaosd-ebpf, xtask or tests
    #[arg(long, short)]
    package: Option<String>,
    /// Arguments for the test binaries, such as --nocapture or --test-threads=1
    #[arg(last = true)]
    rest: Vec<String>,
}

pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    setup::needs_root("the tests make network namespaces and load programs")?;
    setup::for_tests()?;
    build::programs(tree)?;
    // What is tested is what ships.
    build::binary(tree, true)?;

    let skips = tree.target().join(format!("skips-{}", std::process::id()));
    let started = Instant::now();
    step::heading("tests");
    let (tally, well) = run_tests(&mut command(tree, args, &skips))?;
    let skipped = take_skips(&skips);
    step::end("tests", started, well);
    for line in &skipped {
        anstream::println!("skipped: {line}");
    }
    let tally = tally.with_skipped(skipped.len());
    let colour = if well && tally.failed == 0 {
        AnsiColor::Green
    } else {
        AnsiColor::Red
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    anstream::println!("{style}{tally}{style:#}");
    if !well || tally.failed > 0 {
        bail!("not every test passed");
    }
    if tally.passed + tally.skipped == 0 {
        bail!("no test matches");
    }
    Ok(())
}

fn command(tree: &Tree, args: &Args, skips: &Path) -> Command {
    let mut cargo = tree.cargo();
    // One broken package must not hide what the others say.
    cargo
        .args(["test", "--no-fail-fast"])
        .env("CHAOSD_SKIPS", skips)
        .env("CHAOSD_BIN", tree.target().join("release/chaosd"));
    match &args.package {
        Some(package) => cargo.args(["-p", package]),
        None => cargo.arg("--workspace"),
    };
    cargo
        .args(&args.filter)
        .arg("--")
        .args(&args.rest)
        .stdout(Stdio::piped());
    cargo
}

/// Shows what the tests print while they run, and sums their results.
fn run_tests(command: &mut Command) -> Result<(Tally, bool)> {
    let mut child = command.spawn().context("failed to start cargo test")?;
    let stdout = child
        .stdout
        .take()
        .context("cargo test has no standard output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("failed to read what cargo test prints")?;
        let line = String::from_utf8_lossy(&line);
        anstream::println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("failed to wait for cargo test")?;
    Ok((tally, status.success()))
}

fn take_skips(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if path.exists()
        && let Err(error) = std::fs::remove_file(path)
    {
        step::failure(&format!("failed to remove {}: {error}", path.display()));
    }
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Results summed over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// Adds a binary's last line: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`
    fn read(&mut self, line: &str) {
        let line = anstream::adapter::strip_str(line).to_string();
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = result.split_once(". ") else {
            return;
        };
        for part in counts.split("; ") {
            match part
                .split_once(' ')
                .map(|(n, what)| (n.parse::<usize>(), what))
            {
                Some((Ok(n), "passed")) => self.passed += n,
                Some((Ok(n), "failed")) => self.failed += n,
                Some((Ok(n), "ignored")) => self.skipped += n,
                _ => {}
            }
        }
    }

    /// Moves the tests which said that they cannot run from passed to skipped.
    fn with_skipped(self, n: usize) -> Self {
        Self {
            passed: self.passed.saturating_sub(n),
            skipped: self.skipped + n,
            ..self
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn results_are_summed_over_the_binaries() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        tally.read(
            "test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 4 failed; 0 ignored; 0 measured",
        );
        tally.read("test a_name ... ok");
        assert_eq!(
            tally,
            Tally {
                passed: 5,
                failed: 4,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let tally = Tally {
            passed: 5,
            failed: 0,
            skipped: 1,
        }
        .with_skipped(2);
        assert_eq!(tally.to_string(), "3 passed, 0 failed, 3 skipped");
    }
}
