//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // These are to be as small as can be: they do not even parse a command line.
    match words.next() {
        Some(word) if word == chaosd::burn::VERB => chaosd::burn::main(words),
        Some(word) if word == chaosd::keeper::VERB => chaosd::keeper::main(words),
        Some(word) if word == chaosd::latency::VERB => chaosd::latency::main(words),
        _ => chaosd::cli::main(),
    }
}
