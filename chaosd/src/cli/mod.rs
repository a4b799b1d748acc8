//! The command line: one file per verb.
//!
//! A verb returns how it ended or an error; the error and its causes are printed here and nowhere
//! else. No verb but `serve`, `run` and `inject` changes the system, and these only through the
//! engine.

mod ask;
mod called;
mod doctor;
mod exit;
mod experiment;
mod experiment_show;
mod failure;
mod follow;
mod hook;
mod inject;
mod keep;
mod live;
mod logs;
mod lost;
mod machine;
mod notify;
mod out;
mod plan;
mod profiles;
mod render;
mod report;
mod revert;
mod run;
mod runs;
mod serve;
mod side;
mod signals;
mod status;
mod syslog;
#[cfg(test)]
mod tests;
mod watchdog;

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{
    bpf::Mechanism,
    instance::{DEFAULT_STATE_DIR, StateDir},
};

pub use exit::Exit;
use failure::CliError;

const EXIT_CODES: &str = "Exit codes:
  0    done and reverted
  1    a run is not as `status --expect` says
  2    bad usage or profile
  3    this host cannot do it
  4    the steady state of an experiment did not hold: before it, under its faults, or so that it was aborted
  5    a fault had no effect, or lost packets that it was to hold
  6    something could not be reverted (and what, and how to do it by hand)
  130  interrupted and reverted
  else that of the command after --";

/// Injects faults into this machine, for a time, and leaves it exactly as it was
#[derive(Debug, Parser)]
#[command(name = "chaosd", version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Args, Clone, Debug)]
struct Global {
    /// The daemon's socket [default: chaosd.sock in the state directory]
    #[arg(
        long,
        env = "CHAOSD_SOCKET",
        global = true,
        value_name = "PATH",
        help_heading = "Global"
    )]
    socket: Option<PathBuf>,
    /// Where locks and journals live: another one is another chaosd
    #[arg(long, env = "CHAOSD_STATE_DIR", global = true, value_name = "PATH", default_value = DEFAULT_STATE_DIR, help_heading = "Global")]
    state_dir: PathBuf,
    /// How logs are written to stderr
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human",
        help_heading = "Global"
    )]
    log_format: LogFormat,
    /// Log more (-vv: still more); the variable `CHAOSD_LOG` chooses by module
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global")]
    verbose: u8,
    /// How programs come onto interfaces: `clsact` is what kernels before 6.6 get, to be tried on
    /// any (for testing)
    #[arg(
        long,
        env = "CHAOSD_ATTACH",
        global = true,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Global"
    )]
    attach: Attach,
    /// When to colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global"
    )]
    color: Color,
    #[command(flatten)]
    runs: runs::Runs,
}

impl Global {
    fn state(&self) -> StateDir {
        StateDir::new(&self.state_dir)
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.state().socket())
    }

    fn mechanism(&self) -> Mechanism {
        match self.attach {
            Attach::Auto => Mechanism::of_this_kernel(),
            Attach::Tcx => Mechanism::Tcx,
            Attach::Clsact => Mechanism::Clsact,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

/// `--attach`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Attach {
    /// The better one that this kernel has
    Auto,
    /// tcx links (Linux 6.6)
    Tcx,
    /// Filters at a clsact qdisc
    Clsact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// How results are written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables
    #[default]
    Human,
    /// For programs
    Json,
}

/// `-o`
#[derive(Args, Clone, Copy, Debug, Default)]
struct Output {
    /// How the result is written
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human"
    )]
    output: Format,
}

impl Output {
    fn is_json(self) -> bool {
        self.output == Format::Json
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a fault profile until its time is up, Ctrl-C, or its command ends
    Run(run::Run),
    /// Inject one fault, described by flags
    Inject(inject::Inject),
    /// Show what would be changed, where, how, and how undone; change nothing
    Plan(plan::Plan),
    /// Be the daemon
    Serve(serve::Serve),
    /// Show runs, faults, counters and time left
    Status(status::Status),
    /// End runs now; works with no daemon, from the journal alone
    Revert(revert::Revert),
    /// Show what this host can do, what is missing and what is left over
    Doctor(doctor::Doctor),
    /// Tell of a run that is over, to people and to programs
    Report(report::Report),
    /// List the profiles that ship, or show one
    Profiles(profiles::Profiles),
    /// Be a container runtime's hook: arm what a container asks for in its annotations
    Hook(hook::Hook),
    /// Be the watchdog of another chaosd, which starts it by itself
    #[command(hide = true)]
    Watchdog(watchdog::Watchdog),
}

/// Parses the command line, does what it says, and tells how it ended.
pub fn main() -> ExitCode {
    // Whoever starts us may have signals blocked, which we would inherit: nothing would end us then.
    // It fails for a bad address alone (sigprocmask(2)).
    nix::sys::signal::SigSet::empty().thread_set_mask().ok();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to fail.
            error.print().ok();
            return Exit::of_usage(&error).into();
        }
    };
    // The watchdog does nothing that it need not.
    if let Verb::Watchdog(watchdog) = cli.verb {
        return watchdog.run();
    }
    logs::start(&cli.global, matches!(cli.verb, Verb::Serve(_)));
    match cli.verb.run(&cli.global) {
        Ok(exit) => exit.into(),
        Err(error) => {
            out::error(&error);
            error.exit().into()
        }
    }
}

/// The colour choice is read first, since clap's own messages are coloured too.
fn parse() -> Result<Cli, clap::Error> {
    let words: Vec<_> = std::env::args_os().collect();
    let color = colour_in(&words);
    color.write_global();
    let mut command = Cli::command().color(match color {
        anstream::ColorChoice::Never => clap::ColorChoice::Never,
        anstream::ColorChoice::Auto => clap::ColorChoice::Auto,
        _ => clap::ColorChoice::Always,
    });
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// What `--color` says, before the rest is parsed.
fn colour_in(words: &[std::ffi::OsString]) -> anstream::ColorChoice {
    let words: Vec<_> = words
        .iter()
        .take_while(|word| *word != "--")
        .map(|word| word.to_string_lossy())
        .collect();
    let value = words.iter().enumerate().find_map(|(n, word)| {
        word.strip_prefix("--color=")
            .or_else(|| (word == "--color").then(|| words.get(n + 1).map(AsRef::as_ref))?)
    });
    match value {
        Some("always") => anstream::ColorChoice::Always,
        Some("never") => anstream::ColorChoice::Never,
        _ => anstream::ColorChoice::Auto,
    }
}

impl Verb {
    fn run(self, global: &Global) -> Result<Exit, CliError> {
        match self {
            Self::Run(run) => run.run(global),
            Self::Inject(inject) => inject.run(global),
            Self::Plan(plan) => plan.run(global),
            Self::Serve(serve) => serve.run(global),
            Self::Status(status) => status.run(global),
            Self::Revert(revert) => revert.run(global),
            Self::Doctor(doctor) => doctor.run(global),
            Self::Report(report) => report.run(global),
            Self::Profiles(profiles) => profiles.run(),
            Self::Hook(hook) => hook.run(global),
            // Done before this is called, and harmless here.
            Self::Watchdog(watchdog) => {
                Ok(Exit::Command(u8::from(watchdog.run() != ExitCode::SUCCESS)))
            }
        }
    }
}

/// The runtime of a verb that speaks HTTP or waits for signals. What reverts does not live on it.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)
}
