//! The line that a skipped test leaves behind.

use std::io::Write as _;

/// Says that the current test cannot run here, on standard output and in the file that
/// `CHAOSD_SKIPS` names. One short append is atomic, so that tests may skip side by side.
///
/// # Panics
/// When the file cannot be written: a skip that nobody sees would look like a pass.
pub fn record(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    println!("SKIPPED: {name}: {reason}");
    let Some(path) = std::env::var_os("CHAOSD_SKIPS") else {
        return;
    };
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{name}: {reason}\n").as_bytes()));
    if let Err(error) = written {
        panic!("failed to record a skipped test: {error}");
    }
}

/// True where `cargo xtask test --kernel` says that the processor is computed: what repeats itself does
/// so less often there.
pub fn is_emulated() -> bool {
    std::env::var_os("CHAOSD_EMULATED").is_some()
}

/// True in a guest of the laboratory, whose clock and power are its own.
pub fn is_laboratory() -> bool {
    std::fs::read_to_string("/proc/cmdline").is_ok_and(|words| words.contains("lab.kernel="))
}

/// The size of a sample that a rate is measured on: a tenth of it where a processor is computed, which
/// the allowed deviation follows.
pub fn sample(full: u32) -> u32 {
    if is_emulated() { full / 10 } else { full }
}
