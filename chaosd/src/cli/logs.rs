//! Logs, to stderr: for people or as JSON, kernel lines (aya-log, through `log`) included.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{Global, LogFormat};

/// Chooses what is logged by module, as `RUST_LOG` does for others.
const FILTER: &str = "CHAOSD_LOG";

/// Starts logging: `serve` tells what it does, other verbs only what is wrong.
pub(super) fn start(global: &Global, serves: bool) {
    let level = match global.verbose + u8::from(serves) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // Libraries are as quiet as may be until -vvv.
    let fallback = if level == "trace" {
        level.to_owned()
    } else {
        format!("warn,chaosd={level}")
    };
    let filter = match std::env::var(FILTER) {
        Ok(asked) => EnvFilter::builder().parse_lossy(asked),
        Err(_) => EnvFilter::new(fallback),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error means that somebody has started logging already: a test, say.
    match global.log_format {
        LogFormat::Human => {
            let colours = anstream::AutoStream::choice(&std::io::stderr());
            let under_journal = std::env::var_os("JOURNAL_STREAM").is_some();
            let logs = logs
                .compact()
                .with_ansi(colours != anstream::ColorChoice::Never)
                .with_target(global.verbose > 0);
            // journald has its own clock.
            if under_journal && !std::io::stderr().is_terminal() {
                logs.without_time().try_init().ok();
            } else {
                logs.try_init().ok();
            }
        }
        LogFormat::Json => {
            logs.json().try_init().ok();
        }
    }
}
