//! What a packet pays for chaosd: `cargo xtask bench classify`.
//!
//! Every figure is the time of one run of a program by `BPF_PROG_TEST_RUN`, next to that of an
//! empty program, measured in turns so that both see the same machine. The verdict is on the
//! ratio of the fastest rounds; absolute times are this machine's own.

mod classify;
mod meter;
mod packet;
mod plane;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True when every row holds.
fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["classify"] => classify::run(),
        _ => bail!("usage: bench classify"),
    }
}
