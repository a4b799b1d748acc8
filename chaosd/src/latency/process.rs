//! The listener's own process: one thread, no runtime, nothing of the parent's but a socket and a page.

use std::{ffi::OsString, fs, process::ExitCode};

use super::{COMM, answers::Listening, page::Page};
use crate::{child, sys::process::renice};

/// Before everybody else: they wait for us.
const NICE: i8 = -20;

/// The listener. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Nobody reads what it says: its standard error is none.
    let Some((line, work)) = Line::begin(&args, Page::adopt, COMM, || {
        come_first();
        Ok(())
    }) else {
        return ExitCode::from(2);
    };
    match Listening::begin(&line, work) {
        Ok(mut listening) => {
            line.ready();
            // Whoever waits goes on when our descriptors close.
            listening.run();
            ExitCode::SUCCESS
        }
        Err(what) => {
            line.unable(&what);
            ExitCode::from(2)
        }
    }
}

/// Keeps nobody waiting for its turn. Both take rights that whoever may listen usually has.
fn come_first() {
    let _before_others = renice(std::process::id(), NICE);
    let _session_too = fs::write("/proc/self/autogroup", NICE.to_string());
}

/// The listener's end of what joins it to its parent.
pub(super) type Line = child::Line<Page>;
