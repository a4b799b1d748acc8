//! `cargo xtask bench WHAT`: builds everything for release and measures, on this machine or in the
//! laboratory.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::test::EMULATED;
use crate::test::place::{Place, Places};
use crate::tree::Tree;
use crate::vm::Machine;
use crate::vm::series::Series;
use crate::vm::size::Size;
use crate::{program, step};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    size: Size,
    /// What to measure, and how: classify, apply `[ROUNDS]`, hook `[ROUNDS]`, delay, dns, resources or targets `[--quick]`. With --kernel, under
    /// which kernels: host, 6.1, 6.12, 7, several by commas, or all
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WHAT"
    )]
    rest: Vec<String>,
}

/// The exit status is the measurement's: 1 when a row is missed; of several, the first not 0.
pub fn run(tree: &Tree, args: &Args) -> Result<ExitCode> {
    let mut rest = args.rest.clone();
    let places = match kernel(&mut rest)? {
        Some(places) => places.0,
        None if rest.first().is_some_and(|what| what == "delay") && !holds_packets()? => {
            step::nothing_to_do(
                "this kernel",
                "no fq or no netem, so the laboratory's is measured",
            );
            vec![Place::Under(Series::V6_12)]
        }
        None => vec![Place::Host],
    };
    let mut status = 0;
    for place in places {
        let one = match place {
            Place::Host => program::here(tree, "bench", &rest)?,
            Place::Under(series) => under(tree, args, series, &rest)?,
        };
        if status == 0 {
            status = one;
        }
    }
    Ok(ExitCode::from(status))
}

/// Takes `--kernel` out of the words that are the program's.
fn kernel(words: &mut Vec<String>) -> Result<Option<Places>> {
    const NAME: &str = "--kernel";
    let Some(at) = words
        .iter()
        .position(|word| word == NAME || word.starts_with("--kernel="))
    else {
        return Ok(None);
    };
    let word = words.remove(at);
    let value = match word.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None if at < words.len() => words.remove(at),
        None => anyhow::bail!("{NAME} takes a kernel: host, 6.1, 6.12, 7 or all"),
    };
    value
        .parse()
        .map(Some)
        .map_err(|known: String| anyhow::anyhow!("{NAME} takes {known}"))
}

/// Whether this kernel has the queues that `bench delay` compares: tried in a namespace that goes
/// again.
fn holds_packets() -> Result<bool> {
    for queue in ["fq", "netem"] {
        let status = Command::new("unshare")
            .args(["-n", "tc", "qdisc", "add", "dev", "lo", "root", queue])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("failed to start unshare")?;
        if !status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The exit status in a guest with this kernel.
fn under(tree: &Tree, args: &Args, series: Series, rest: &[String]) -> Result<u8> {
    let machine = Machine::new(tree, series, &args.size, false)?;
    let program = program::build(tree, "bench")?;
    let mut env: Vec<(OsString, OsString)> =
        vec![("CHAOSD_BIN".into(), program.with_file_name("chaosd").into())];
    if machine.is_emulated() {
        env.push((EMULATED.into(), "1".into()));
    }
    // The guest's output is no terminal, though ours is (anstream's variable).
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        env.push(("CLICOLOR_FORCE".into(), "1".into()));
    }
    let command: Vec<OsString> = std::iter::once(program.into())
        .chain(rest.iter().map(OsString::from))
        .collect();
    step::heading(&format!("bench under {machine}"));
    machine.show(&command, &env)
}

#[cfg(test)]
mod tests {
    use super::kernel;
    use crate::test::place::Place;
    use crate::vm::series::Series;

    #[test]
    fn the_kernel_is_taken_out_of_the_words() {
        for written in ["delay --kernel 6.12 --quick", "delay --quick --kernel=6.12"] {
            let mut words: Vec<_> = written.split(' ').map(str::to_owned).collect();
            let places = kernel(&mut words).ok().flatten().map(|places| places.0);
            assert_eq!(places, Some(vec![Place::Under(Series::V6_12)]));
            assert_eq!(words, ["delay", "--quick"]);
        }
    }

    #[test]
    fn a_kernel_that_is_not_there_is_an_error() {
        for written in ["delay --kernel", "delay --kernel 5.4"] {
            let mut words: Vec<_> = written.split(' ').map(str::to_owned).collect();
            assert!(kernel(&mut words).is_err());
        }
    }
}
