//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // A burner is to be as small as can be: it does not even parse a command line.
    if words.next().is_some_and(|word| word == chaosd::burn::VERB) {
        return chaosd::burn::main(words);
    }
    chaosd::cli::main()
}
