//! `cargo xtask vm`: a command in a machine of its own, under another kernel.
//!
//! The guest sees this machine's root read-only below a layer that is thrown away, so that what
//! is built here runs there at once, and whatever it does there is gone afterwards.
//!
//! In reading order: [`series`] (which kernels), [`package`] and `kernel` (where they come from),
//! `initramfs` and `script` (what they start), `share` (the root), `qemu` (the machine), `guest`
//! (one run of it), `interrupt` (its end when ours comes first).

mod accelerator;
mod emulator;
mod guest;
mod initramfs;
pub mod interrupt;
mod kernel;
mod package;
mod qemu;
mod script;
pub mod series;
mod share;
pub mod size;
mod work;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accelerator::Accelerator;
use anyhow::{Context as _, Result, ensure};
use emulator::Emulator;
pub use guest::{Ended, Sink};
pub use kernel::Kernel;
use series::{Choice, Series};
use size::Size;

use crate::tree::Tree;
use crate::{setup, step};

/// The exit status when the guest itself failed, as `env` and `timeout` have it for themselves.
const GUEST_FAILED: u8 = 125;
/// 128 and SIGINT, as a shell reports it.
const INTERRUPTED: u8 = 130;

#[derive(clap::Args)]
pub struct Args {
    /// The kernels to run it under, one after another: 6.1, 6.12, 7, several by commas, or all
    #[arg(long, value_name = "KERNEL", default_value = "6.12")]
    kernel: Choice,
    #[command(flatten)]
    size: Size,
    /// Look for a newer kernel of the series, also when one is cached
    #[arg(long)]
    update: bool,
    /// The command, run as root in this directory
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The exit status is the command's; of several, the first that is not 0.
pub fn run(tree: &Tree, args: &Args) -> ExitCode {
    let mut status = 0;
    for &series in &args.kernel.0 {
        let one = match run_under(tree, args, series) {
            Ok(status) => status,
            Err(_) if interrupt::is_interrupted() => return ExitCode::from(INTERRUPTED),
            Err(error) => {
                step::failure(&format!("{error:#}"));
                GUEST_FAILED
            }
        };
        if status == 0 {
            status = one;
        }
    }
    ExitCode::from(status)
}

fn run_under(tree: &Tree, args: &Args, series: Series) -> Result<u8> {
    let machine = Machine::new(tree, series, &args.size, args.update)?;
    if args.kernel.0.len() > 1 {
        step::heading(&format!("kernel {machine}"));
    }
    machine.show(&args.command, &[])
}

/// A kernel and what it takes to boot it.
pub struct Machine {
    lab: PathBuf,
    emulator: Emulator,
    kernel: Kernel,
    accelerator: Accelerator,
    size: Size,
}

impl Machine {
    /// Brings what is missing: packages, the kernel, and whether KVM works here.
    pub fn new(tree: &Tree, series: Series, size: &Size, update: bool) -> Result<Self> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the laboratory boots x86-64 kernels only"
        );
        setup::needs_root("the laboratory shares this machine's files with its guest")?;
        setup::for_laboratory()?;
        if size.systemd {
            setup::for_systemd()?;
        }
        let kernel = Kernel::get(tree, series, update)?;
        let lab = lab(tree);
        let accelerator = Accelerator::find(&lab, &kernel)?;
        let emulator = match accelerator {
            Accelerator::Kvm => Emulator::own()?,
            Accelerator::Tcg => Emulator::for_translation(&lab)?,
        };
        Ok(Self {
            lab,
            emulator,
            kernel,
            accelerator,
            size: size.clone(),
        })
    }

    /// Whether QEMU translates the guest's instructions: all takes 5 to 40 times as long.
    pub fn is_emulated(&self) -> bool {
        self.accelerator == Accelerator::Tcg
    }

    /// Runs a command, shows what it prints where we print, tells of what the kernel complained of, and
    /// returns the command's status.
    pub fn show(&self, command: &[OsString], env: &[(OsString, OsString)]) -> Result<u8> {
        let ended = self.run(
            command,
            env,
            &mut |bytes| {
                std::io::stdout()
                    .write_all(bytes)
                    .and_then(|()| std::io::stdout().flush())
            },
            &mut |bytes| std::io::stderr().write_all(bytes),
        )?;
        for line in &ended.complaints {
            step::note(&format!("the guest's kernel: {line}"));
        }
        Ok(ended.status)
    }

    /// Runs the command as root in the caller's directory, with the caller's variables that it
    /// may need and `env`.
    pub fn run(
        &self,
        command: &[OsString],
        env: &[(OsString, OsString)],
        out: &mut Sink,
        err: &mut Sink,
    ) -> Result<Ended> {
        let cwd = std::env::current_dir().context("failed to find the current directory")?;
        let mut variables = script::environment();
        variables.extend_from_slice(env);
        let script = script::script(command, &cwd, &variables);
        guest::run(
            &self.lab,
            &self.emulator,
            &self.kernel,
            self.accelerator,
            &self.size,
            &script,
            out,
            err,
        )
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let accelerator = self.accelerator.name();
        write!(f, "{} ({accelerator})", self.kernel.version)
    }
}

/// Brings all kernels of the laboratory.
pub fn fetch_all(tree: &Tree) -> Result<()> {
    Series::ALL
        .into_iter()
        .try_for_each(|series| Kernel::get(tree, series, false).map(drop))
}

/// Where kernels and runs lie.
fn lab(tree: &Tree) -> PathBuf {
    let lab: &Path = tree.target();
    lab.join("lab")
}
