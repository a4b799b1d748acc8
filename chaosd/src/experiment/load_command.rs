//! The command that runs under the faults. Its output passes through, and the end of it is kept.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process,
    task::JoinHandle,
    time::timeout,
};

/// So much of the output's end is kept: a summary stands there.
const KEPT_BYTES: usize = 64 << 10;
/// What a command has left in its pipes is there by then. One that it has started may keep them open.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);
/// An interrupted command has had the terminal's SIGINT itself; this long to act on it.
const GRACE: Duration = Duration::from_secs(2);
/// And this long to act on SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// True when its summary is one that is read.
fn is_tool(words: &[OsString]) -> bool {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    super::load::is_tool(&words)
}

/// A command that runs.
#[derive(Debug)]
pub struct LoadCommand {
    child: process::Child,
    passing: Vec<JoinHandle<()>>,
    kept: Arc<Mutex<VecDeque<u8>>>,
    code: Option<u8>,
}

impl LoadCommand {
    /// Starts it. Its input is ours; what it writes goes where ours does, or, `beside` our own output, all of it
    /// to our standard error. What goes to a terminal by its standard error does so directly, so that progress
    /// bars work, and so does the output of what is no load tool, so that shells and editors do.
    pub fn start(words: &[OsString], beside: bool) -> io::Result<Self> {
        let (command, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let errors = if io::stderr().is_terminal() {
            Stdio::inherit()
        } else {
            Stdio::piped()
        };
        let direct = !beside && io::stdout().is_terminal() && !is_tool(words);
        let mut child = process::Command::new(command)
            .args(arguments)
            .stdout(if direct {
                Stdio::inherit()
            } else {
                Stdio::piped()
            })
            .stderr(errors)
            .spawn()?;
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let mut passing = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            let kept = Arc::clone(&kept);
            passing.push(if beside {
                tokio::spawn(pass(pipe, tokio::io::stderr(), kept))
            } else {
                tokio::spawn(pass(pipe, tokio::io::stdout(), kept))
            });
        }
        if let Some(pipe) = child.stderr.take() {
            let to = tokio::io::stderr();
            passing.push(tokio::spawn(pass(pipe, to, Arc::clone(&kept))));
        }
        Ok(Self {
            child,
            passing,
            kept,
            code: None,
        })
    }

    /// Resolves when it has ended and all that it wrote has passed, to what a shell would say.
    pub async fn ended(&mut self) -> u8 {
        if let Some(code) = self.code {
            return code;
        }
        let code = match self.child.wait().await {
            Ok(status) => code(status),
            Err(error) => {
                tracing::warn!("failed to learn how the command ended: {error}");
                u8::MAX
            }
        };
        for passing in &mut self.passing {
            timeout(DRAINED_WITHIN, passing).await.ok();
        }
        self.passing.clear();
        self.code = Some(code);
        code
    }

    /// How it ended, if it has.
    pub fn code(&self) -> Option<u8> {
        self.code
    }

    /// Sees to it that it ends, after an interruption that it has had too.
    pub async fn end(&mut self) -> u8 {
        self.end_by(&[(Signal::SIGTERM, GRACE), (Signal::SIGKILL, TERM_GRACE)])
            .await
    }

    /// Sees to it that it ends within `grace`, and then by an interruption, at which tools print what
    /// they have measured.
    pub async fn end_within(&mut self, grace: Duration) -> u8 {
        self.end_by(&[
            (Signal::SIGINT, grace),
            (Signal::SIGTERM, TERM_GRACE),
            (Signal::SIGKILL, GRACE),
        ])
        .await
    }

    /// Each signal after so long.
    async fn end_by(&mut self, signals: &[(Signal, Duration)]) -> u8 {
        for (signal, grace) in signals {
            if let Ok(code) = timeout(*grace, self.ended()).await {
                return code;
            }
            // Not yet waited for, so that the number is still its own.
            if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
                kill(Pid::from_raw(pid), *signal).ok();
            }
        }
        self.ended().await
    }

    /// The end of what it wrote.
    pub fn output(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Arc<Mutex<VecDeque<u8>>>,
) {
    let mut buffer = vec![0; 16 << 10];
    let mut heard = true;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..length];
        {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(chunk);
            let over = kept.len().saturating_sub(KEPT_BYTES);
            kept.drain(..over);
        }
        // A reader that has gone (`| head`) does not end the command, nor what is kept of it.
        if heard {
            heard = to.write_all(chunk).await.is_ok() && to.flush().await.is_ok();
        }
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

    #[tokio::test]
    async fn the_end_of_long_output_is_kept() {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let long: Vec<u8> = (0..200_000_u32)
            .map(|n| b'a' + u8::try_from(n % 26).unwrap_or(0))
            .collect();
        let mut passed = Vec::new();
        pass(long.as_slice(), &mut passed, Arc::clone(&kept)).await;
        assert_eq!(passed, long);
        let kept: Vec<u8> = kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect();
        assert_eq!(kept, long[long.len() - KEPT_BYTES..]);
    }
}
