//! The signals that end a run in order.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::CliError;

/// SIGINT, SIGTERM and SIGHUP (the terminal has gone): caught from here on.
#[derive(Debug)]
pub(super) struct Signals {
    int: Signal,
    term: Signal,
    hup: Signal,
}

impl Signals {
    /// Catches them. Must be done before anything is armed.
    pub(super) fn catch() -> Result<Self, CliError> {
        let catch = |kind| signal(kind).map_err(CliError::Runtime);
        Ok(Self {
            int: catch(SignalKind::interrupt())?,
            term: catch(SignalKind::terminate())?,
            hup: catch(SignalKind::hangup())?,
        })
    }

    /// The next one, by name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.int.recv() => "SIGINT",
            _ = self.term.recv() => "SIGTERM",
            _ = self.hup.recv() => "SIGHUP",
        }
    }
}
