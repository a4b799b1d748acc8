//! The burner's own process: one thread, no runtime, nothing of the parent's but a socket and a
//! page.

use std::{ffi::OsString, fs, io, process::ExitCode};

use super::{COMM, Work, cpu, io::Stream, memory::Hoard, page::Page, weight::Weight};
use crate::child;

/// The burner. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Nobody reads what it says: its standard error is none.
    let Some((line, work)) = Line::begin(&args, Page::adopt, COMM, outlast_no_shortage) else {
        return ExitCode::from(2);
    };
    match work {
        Work::Cpu {
            slice,
            load,
            nice,
            insist,
            ..
        } => {
            line.ready();
            cpu::burn(&line, slice, load, insist.then(|| Weight::new(nice)));
        }
        Work::Memory {
            bytes,
            lock,
            guards,
        } => match Hoard::new(bytes, lock, &guards) {
            Ok(hoard) => {
                line.ready();
                hoard.keep(&line);
            }
            Err(what) => {
                line.unable(&what);
                return ExitCode::from(2);
            }
        },
        Work::Io {
            directory,
            write,
            direct,
            block,
            bytes_per_second,
        } => match Stream::new(&directory, write, direct, block, bytes_per_second) {
            Ok(stream) => {
                line.ready();
                if let Err(error) = stream.flow(&line) {
                    let verb = if write { "write" } else { "read" };
                    line.unable(&format!("{verb} in {}: {error}", directory.display()));
                    return ExitCode::FAILURE;
                }
            }
            Err(what) => {
                line.unable(&what);
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

/// Is the first that the OOM killer takes. Raising it takes no right (`proc_pid_oom_score_adj(5)`).
fn outlast_no_shortage() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "1000")
}

/// The burner's end of what joins it to its parent.
pub(super) type Line = child::Line<Page>;
