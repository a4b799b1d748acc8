//! What the developer sees while a verb works: one line per step, with its time.
//!
//! On a terminal a quiet step spins; piped, it prints plain lines when it starts and when it
//! ends. Everything goes to standard error, so that standard output holds results alone.

use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

const FRAME: Duration = Duration::from_millis(100);
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Runs `work`, which prints nothing itself, under a spinner.
pub fn quiet<T>(label: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T>
where
    T: Send,
{
    let started = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    if !terminal {
        anstream::eprintln!("  {label} ...");
    }
    let (stop, stopped) = channel::<()>();
    let result = std::thread::scope(|scope| {
        if terminal {
            scope.spawn(move || {
                for frame in FRAMES.iter().cycle() {
                    anstream::eprint!("\r{frame} {label} {DIM}{}{DIM:#} ", seconds(started));
                    // A terminal that went away must not fail the build.
                    drop(std::io::stderr().flush());
                    if stopped.recv_timeout(FRAME) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                anstream::eprint!("\r\x1b[2K");
            });
        }
        let result = work();
        drop(stop);
        result
    });
    end(label, started, result.is_ok());
    result
}

/// Runs a command whose own output is worth seeing, and fails unless it succeeds.
pub fn loud(label: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    heading(label);
    let status = command
        .status()
        .with_context(|| format!("failed to start {}", command.get_program().display()))?;
    end(label, started, status.success());
    if !status.success() {
        bail!("{label}: {status}");
    }
    Ok(())
}

/// Runs a command and returns its standard output, or fails with what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {line}"))?;
    if !output.status.success() {
        bail!(
            "{line}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A step that had nothing to do.
pub fn nothing_to_do(label: &str, why: &str) {
    anstream::eprintln!("{GOOD}✓{GOOD:#} {label} {DIM}({why}){DIM:#}");
}

/// The start of a step that prints for itself.
pub fn heading(label: &str) {
    anstream::eprintln!("{BOLD}▸ {label}{BOLD:#}");
}

/// The end of a step, with its time.
pub fn end(label: &str, started: Instant, well: bool) {
    let time = seconds(started);
    if well {
        anstream::eprintln!("{GOOD}✓{GOOD:#} {label} {DIM}{time}{DIM:#}");
    } else {
        anstream::eprintln!("{BAD}✗ {label}{BAD:#} {DIM}{time}{DIM:#}");
    }
}

/// What the developer should know, and what did not end the verb.
pub fn note(message: &str) {
    anstream::eprintln!("{DIM}note{DIM:#}: {message}");
}

/// What ended the verb.
pub fn failure(message: &str) {
    anstream::eprintln!("{BAD}error{BAD:#}: {message}");
}

/// The command as it would be typed.
fn line_of(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn seconds(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f64())
}
