//! `cargo xtask test`: builds everything, runs every test here or under the laboratory's kernels,
//! and ends with the counts.
//!
//! A test that a kernel cannot run passes for libtest; it leaves a line in the file that
//! `CHAOSD_SKIPS` names (`support::skip!`), and is counted and listed here as skipped.

mod binaries;
mod matrix;
mod outcome;
pub mod place;
mod protocol;
pub mod runner;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};
use matrix::Column;
use outcome::{Key, Outcome, Results};
use place::{Place, Places};
use runner::Job;

use crate::tree::Tree;
use crate::vm::size::Size;
use crate::vm::{Machine, interrupt};
use crate::{build, setup, step};

/// Tells the tests that every instruction is slow, so that what they repeat for the sake of
/// statistics is repeated less.
pub const EMULATED: &str = "CHAOSD_EMULATED";

#[derive(clap::Args)]
pub struct Args {
    /// Run only the tests whose name contains one of these
    filters: Vec<String>,
    /// Only this package: chaosd, chaosd-ebpf, xtask or tests
    #[arg(long, short)]
    package: Option<String>,
    /// The kernels to run them under: host, 6.1, 6.12, 7, several by commas, or all
    #[arg(long, value_name = "KERNEL", default_value = "host")]
    kernel: Places,
    /// Show also the tests that are good under every kernel
    #[arg(long)]
    all_rows: bool,
    /// What standard output gets: text, or one JSON document when all is done
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    size: Size,
    /// Arguments for the test binaries, such as --nocapture or --test-threads=1
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    setup::needs_root("the tests make network namespaces and load programs")?;
    setup::for_tests()?;
    setup::for_toolkit(tree);
    // What cannot boot is known before anything is built.
    let places = args
        .kernel
        .0
        .iter()
        .map(|&place| match place {
            Place::Host => Ok((place, None)),
            Place::Under(series) => {
                Machine::new(tree, series, &args.size, false).map(|m| (place, Some(m)))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    build::programs(tree)?;
    // What is tested is what ships.
    build::binary(tree, true)?;
    let binaries = binaries::build(tree, args.package.as_deref())?;
    let job = Job {
        binaries,
        filters: args.filters.clone(),
        rest: args.rest.clone(),
        chaosd: tree.target().join("release/chaosd"),
        skips: tree.target().join(format!("skips-{}", std::process::id())),
    };

    let mut columns = Vec::new();
    for (place, machine) in &places {
        let label = match machine {
            None => "tests".to_owned(),
            Some(machine) => format!("tests under {machine}"),
        };
        let started = Instant::now();
        step::heading(&label);
        let results = match machine {
            None => here(tree, args, &job)?,
            Some(machine) => under(machine, args, &job)?,
        };
        step::end(&label, started, results.are_good());
        columns.push(Column {
            name: place.to_string(),
            results,
            seconds: started.elapsed().as_secs(),
        });
    }
    report(args, &columns)
}

fn report(args: &Args, columns: &[Column]) -> Result<()> {
    match (args.output, columns) {
        (Format::Json, _) => anstream::println!(
            "{}",
            matrix::json(columns).context("failed to write the report")?
        ),
        (Format::Text, [only]) if !args.all_rows => summary(&only.results),
        (Format::Text, _) => anstream::print!("{}", matrix::table(columns, args.all_rows)),
    }
    if columns.iter().any(|column| !column.results.are_good()) {
        bail!("not every test passed");
    }
    if columns
        .iter()
        .any(|column| column.results.outcomes.is_empty())
    {
        bail!("no test matches");
    }
    Ok(())
}

/// The end of a run under one kernel.
fn summary(results: &Results) {
    for ((binary, test), outcome) in &results.outcomes {
        match outcome {
            Outcome::Skipped(reason) => anstream::println!("skipped: {test}: {reason}"),
            Outcome::Failed => anstream::println!("failed: {binary}: {test}"),
            Outcome::Passed => {}
        }
    }
    for (binary, test) in &results.again {
        anstream::println!("passed when it ran again, alone: {binary}: {test}");
    }
    for trouble in &results.troubles {
        anstream::println!("{trouble}");
    }
    let counts = results.counts();
    let colour = if results.are_good() {
        AnsiColor::Green
    } else {
        AnsiColor::Red
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    anstream::println!("{style}{counts}{style:#}");
}

/// Runs the tests on this machine, those in the documentation too.
fn here(tree: &Tree, args: &Args, job: &Job) -> Result<Results> {
    let mut results = Results::default();
    job.run(&mut |line| {
        show(args, &mut results, line);
        Ok(())
    })?;
    again(&mut results, 1, |results, failed| {
        job.alone(failed).run(&mut |line| {
            show(args, results, line);
            Ok(())
        })
    })?;
    // A package without a library has no documentation to test.
    if args.package.as_deref() != Some("xtask") {
        documentation(tree, args, &mut results)?;
    }
    Ok(results)
}

fn documentation(tree: &Tree, args: &Args, results: &mut Results) -> Result<()> {
    let begin = protocol::Say::Begin {
        binary: "documentation".to_owned(),
    };
    results.read(&begin.line());
    let mut cargo = tree.cargo();
    cargo.args(["test", "--quiet", "--doc", "--no-fail-fast"]);
    match &args.package {
        Some(package) => cargo.args(["-p", package]),
        None => cargo.arg("--workspace"),
    };
    // Quietly it would print a dot for each test.
    cargo.args(["--", "--format=pretty"]).args(&args.filters);
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start cargo test --doc")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("failed to read what cargo test --doc prints")?;
        show(args, results, &String::from_utf8_lossy(&line));
    }
    let status = child
        .wait()
        .context("failed to wait for cargo test --doc")?;
    interrupt::check()?;
    if !status.success() && results.are_good() {
        results.troubles.push(format!("cargo test --doc: {status}"));
    }
    Ok(())
}

/// Tests that get another try; more of them are no accident.
const A_FEW: usize = 12;
/// How many more tries they get in a guest that is computed.
const MORE_TRIES: usize = 2;

/// Runs the tests in a guest. That the guest fails is a result too: the others are still told.
fn under(machine: &Machine, args: &Args, job: &Job) -> Result<Results> {
    let job = Job {
        // The directory is the guest's own.
        skips: "/run/skips".into(),
        ..job.clone()
    };
    let mut results = Results::default();
    in_guest(machine, args, &job, &mut results)?;
    again(&mut results, MORE_TRIES, |results, failed| {
        in_guest(machine, args, &job.alone(failed), results)
    })?;
    Ok(results)
}

/// Runs a few that failed again, alone, and remembers which passed then: the report names them.
///
/// A guest that is computed may stand still for seconds whenever this machine is busy, and so may
/// this machine where others have a part of it; chaosd takes a process that was late by a second for
/// dead, and tests of rates find a disk that somebody else uses.
fn again(
    results: &mut Results,
    tries: usize,
    mut run: impl FnMut(&mut Results, &[Key]) -> Result<()>,
) -> Result<()> {
    for _ in 0..tries {
        let failed = results.failed();
        if !results.troubles.is_empty() || failed.is_empty() || failed.len() > A_FEW {
            break;
        }
        step::heading("again, alone");
        run(results, &failed)?;
        let left = results.failed();
        let passed = failed.into_iter().filter(|key| !left.contains(key));
        results.again.extend(passed);
    }
    Ok(())
}

fn in_guest(machine: &Machine, args: &Args, job: &Job, results: &mut Results) -> Result<()> {
    let mut partial = Vec::new();
    let env: &[_] = if machine.is_emulated() {
        &[(EMULATED.into(), "1".into())]
    } else {
        &[]
    };
    let ended = machine.run(
        &job.command()?,
        env,
        &mut |bytes| {
            partial.extend_from_slice(bytes);
            while let Some(end) = partial.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = partial.drain(..=end).collect();
                show(args, results, &String::from_utf8_lossy(&line[..end]));
            }
            Ok(())
        },
        &mut |bytes| std::io::Write::write_all(&mut std::io::stderr(), bytes),
    );
    interrupt::check()?;
    match ended {
        Ok(ended) => {
            if ended.status != 0 {
                let status = ended.status;
                results
                    .troubles
                    .push(format!("the runner ended with status {status}"));
            }
            for line in ended.complaints {
                results.troubles.push(format!("the kernel: {line}"));
            }
        }
        Err(error) => results.troubles.push(format!("{error:#}")),
    }
    Ok(())
}

/// Shows a line while the tests run, where standard output is not for a program.
fn show(args: &Args, results: &mut Results, line: &str) {
    if !results.read(line) {
        return;
    }
    match args.output {
        Format::Text => anstream::println!("{line}"),
        Format::Json => anstream::eprintln!("{line}"),
    }
}
