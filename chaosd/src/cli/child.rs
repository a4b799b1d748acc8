//! The command that runs under the fault.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{process, time::timeout};

use super::failure::CliError;

/// An interrupted command has had the terminal's SIGINT itself; this long to act on it.
const GRACE: Duration = Duration::from_secs(2);
/// And this long to act on SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Child(process::Child);

impl Child {
    /// Starts it with our terminal. `None` when there is none to start.
    pub(super) fn start(words: &[OsString]) -> Result<Option<Self>, CliError> {
        let Some((command, arguments)) = words.split_first() else {
            return Ok(None);
        };
        let child = process::Command::new(command).args(arguments).spawn();
        let child = child.map_err(|source| CliError::Command {
            command: command.clone(),
            source,
        })?;
        Ok(Some(Self(child)))
    }

    /// Resolves when it has ended, to what a shell would say.
    pub(super) async fn ended(&mut self) -> u8 {
        match self.0.wait().await {
            Ok(status) => code(status),
            Err(error) => {
                tracing::warn!("failed to learn how the command ended: {error}");
                u8::MAX
            }
        }
    }

    /// Sees to it that it ends.
    pub(super) async fn end(&mut self) -> u8 {
        for (signal, grace) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, TERM_GRACE)] {
            if let Ok(code) = timeout(grace, self.ended()).await {
                return code;
            }
            // Not yet waited for, so that the number is still its own.
            if let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) {
                kill(Pid::from_raw(pid), signal).ok();
            }
        }
        self.ended().await
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_as_a_shell_does() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
