//! Runs the test binaries one after another, here or, as a hidden verb, inside a guest.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::binaries::Binary;
use super::outcome::Key;
use super::protocol::Say;
use crate::vm::interrupt::{self, Supervised};

/// What to run, and how; it travels to the guest as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub binaries: Vec<Binary>,
    /// Names of which a test's must contain one; none for all.
    pub filters: Vec<String>,
    /// Arguments of the binaries.
    pub rest: Vec<String>,
    /// The chaosd that is tested.
    pub chaosd: PathBuf,
    /// Where the tests leave the reasons of skips.
    pub skips: PathBuf,
}

/// The hidden verb.
#[derive(clap::Args)]
pub struct Args {
    /// A job, as JSON
    job: String,
}

/// Runs the job and prints everything, the runner's own lines too.
pub fn run(args: &Args) -> Result<()> {
    let job: Job = serde_json::from_str(&args.job).context("failed to read the job")?;
    job.run(&mut |line| {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    })
}

impl Job {
    /// This job as a command for a guest.
    pub fn command(&self) -> Result<Vec<OsString>> {
        let xtask = std::env::current_exe().context("failed to find this program")?;
        let job = serde_json::to_string(self).context("failed to write the job")?;
        Ok(vec![xtask.into(), "run-tests".into(), job.into()])
    }

    /// Only these tests, one at a time.
    pub fn alone(&self, tests: &[Key]) -> Self {
        let of = |binary: &Binary| tests.iter().any(|(name, _)| *name == binary.name);
        let one_by_one = ["--exact", "--test-threads=1"].map(str::to_owned);
        Self {
            binaries: self.binaries.iter().filter(|b| of(b)).cloned().collect(),
            filters: tests.iter().map(|(_, test)| test.clone()).collect(),
            rest: one_by_one.into(),
            ..self.clone()
        }
    }

    /// Runs all binaries, each to its end, and hands over every line.
    pub fn run(&self, line: &mut dyn FnMut(&str) -> std::io::Result<()>) -> Result<()> {
        for binary in &self.binaries {
            let name = binary.name.clone();
            line(
                &Say::Begin {
                    binary: name.clone(),
                }
                .line(),
            )?;
            let started = Instant::now();
            let status = self.run_one(binary, line)?;
            for (test, reason) in take_skips(&self.skips)? {
                let binary = name.clone();
                line(
                    &Say::Skip {
                        binary,
                        test,
                        reason,
                    }
                    .line(),
                )?;
            }
            let end = Say::End {
                binary: name,
                seconds: started.elapsed().as_secs(),
                trouble: trouble(status),
            };
            line(&end.line())?;
        }
        Ok(())
    }

    fn run_one(
        &self,
        binary: &Binary,
        line: &mut dyn FnMut(&str) -> std::io::Result<()>,
    ) -> Result<ExitStatus> {
        let mut command = Command::new(&binary.path);
        command
            .current_dir(&binary.cwd)
            .args(&self.filters)
            .args(&self.rest)
            .env("CHAOSD_BIN", &self.chaosd)
            .env("CHAOSD_SKIPS", &self.skips);
        let (child, pipes) = Supervised::start(&command)?;
        std::thread::scope(|scope| {
            scope.spawn(|| std::io::copy(&mut { pipes.err }, &mut std::io::stderr()));
            for read in BufReader::new(pipes.out).split(b'\n') {
                let read = read.context("failed to read what the tests print")?;
                line(&String::from_utf8_lossy(&read))?;
            }
            anyhow::Ok(())
        })?;
        let status = child.wait(Duration::MAX)?;
        interrupt::check()?;
        status.context("the tests closed their output and went on")
    }
}

/// What went wrong besides tests that failed, for which libtest has a status of its own.
fn trouble(status: ExitStatus) -> Option<String> {
    const SOME_TESTS_FAILED: i32 = 101;
    match status.code() {
        Some(0 | SOME_TESTS_FAILED) => None,
        _ => Some(status.to_string()),
    }
}

/// Reads `test: reason` lines (`support::skip!`) and removes the file.
fn take_skips(path: &Path) -> Result<Vec<(String, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    std::fs::remove_file(path).with_context(|| format!("failed to remove {}", path.display()))?;
    Ok(text.lines().filter_map(skip).collect())
}

/// A test's path has `::` in it, so the reason begins after the first `: `.
fn skip(line: &str) -> Option<(String, String)> {
    line.split_once(": ")
        .map(|(test, reason)| (test.to_owned(), reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::skip;

    #[test]
    fn a_skip_is_told_from_its_reason() {
        let read = skip("cgroup::a_test: no tree: it is mounted elsewhere");
        let expected = ("cgroup::a_test", "no tree: it is mounted elsewhere");
        assert_eq!(read, Some((expected.0.to_owned(), expected.1.to_owned())));
    }
}
