//! The command that runs under the faults, with all that it starts. Its output passes through, and the end
//! of it is kept.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, IsTerminal},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::Signal,
    unistd::{getpgrp, tcgetpgrp},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use crate::keeper::Handle;

/// So much of the output's end is kept: a summary stands there.
const KEPT_BYTES: usize = 64 << 10;
/// What a command has left in its pipes is there by then. One that it has started may keep them open.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);
/// This long to act on an interruption.
const GRACE: Duration = Duration::from_secs(2);
/// And this long to act on SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// Who was killed is gone by then, unless the kernel holds it, and nobody waits for that.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// True when its summary is one that is read.
fn is_tool(words: &[OsString]) -> bool {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    super::load::is_tool(&words)
}

/// A command that runs. Dropped, it is ended, with all that it started.
#[derive(Debug)]
pub struct LoadCommand {
    kept_by: Handle,
    passing: Vec<JoinHandle<()>>,
    kept: Arc<Mutex<VecDeque<u8>>>,
    code: Option<u8>,
    /// When it did.
    ended_at: Option<Instant>,
    /// It was there when we saw to its end.
    ended_by_us: bool,
    /// Nobody of them is left.
    gone: bool,
}

impl LoadCommand {
    /// Starts it. Its input is ours; what it writes goes where ours does, or, `beside` our own output, all of it
    /// to our standard error. What goes to a terminal by its standard error does so directly, so that progress
    /// bars work, and so does the output of what is no load tool, so that shells and editors do.
    pub async fn start(words: &[OsString], beside: bool) -> io::Result<Self> {
        let errors = if io::stderr().is_terminal() {
            Stdio::inherit()
        } else {
            Stdio::piped()
        };
        let direct = !beside && io::stdout().is_terminal() && !is_tool(words);
        let output = if direct {
            Stdio::inherit()
        } else {
            Stdio::piped()
        };
        let mut kept_by = Handle::start(words, output, errors).await?;
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let mut passing = Vec::new();
        let (output, errors) = kept_by.take_pipes();
        if let Some(pipe) = output {
            let kept = Arc::clone(&kept);
            passing.push(if beside {
                tokio::spawn(pass(pipe, tokio::io::stderr(), kept))
            } else {
                tokio::spawn(pass(pipe, tokio::io::stdout(), kept))
            });
        }
        if let Some(pipe) = errors {
            let to = tokio::io::stderr();
            passing.push(tokio::spawn(pass(pipe, to, Arc::clone(&kept))));
        }
        Ok(Self {
            kept_by,
            passing,
            kept,
            code: None,
            ended_at: None,
            ended_by_us: false,
            gone: false,
        })
    }

    /// Resolves when it has ended and all that it wrote has passed, to what a shell would say. Others that it
    /// started may go on.
    pub async fn ended(&mut self) -> u8 {
        if let Some(code) = self.code {
            return code;
        }
        let code = self.kept_by.ended().await;
        // Whoever waits may give up and come again.
        let ended = *self.ended_at.get_or_insert_with(Instant::now);
        self.drain(ended + DRAINED_WITHIN).await;
        self.code = Some(code);
        code
    }

    /// When it ended, if it has.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// It did not end by itself.
    pub fn is_ended_by_us(&self) -> bool {
        self.ended_by_us
    }

    /// How it ended, if it has.
    pub fn code(&self) -> Option<u8> {
        self.code
    }

    /// It has ended with all that it started.
    pub fn is_gone(&mut self) -> bool {
        self.code.is_some() && (self.gone || self.kept_by.is_gone())
    }

    /// Resolves when it has ended with all that it started.
    async fn gone(&mut self) -> u8 {
        let code = self.ended().await;
        if !self.gone {
            self.kept_by.gone().await;
            self.drain(Instant::now() + DRAINED_WITHIN).await;
            self.gone = true;
        }
        code
    }

    /// What is in the pipes passes, as long as that takes no longer than it should.
    async fn drain(&mut self, until: Instant) {
        for passing in self.passing.iter_mut().filter(|one| !one.is_finished()) {
            timeout_at(until, passing).await.ok();
        }
    }

    /// Sees to it that all of them end, after somebody has interrupted us. From our terminal they have had
    /// the same SIGINT, and a second one means more than the first to some.
    pub async fn end(&mut self) -> u8 {
        self.ended_by_us = self.ended_at.is_none();
        let first: &[_] = if is_in_front() {
            &[]
        } else {
            &[(Signal::SIGINT, Duration::ZERO)]
        };
        let rest = [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, TERM_GRACE)];
        self.end_by(&[first, &rest].concat()).await
    }

    /// Sees to it that all of them end within `grace`, and then by an interruption, at which tools print
    /// what they have measured.
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
            if let Ok(code) = timeout(*grace, self.gone()).await {
                return code;
            }
            self.ended_by_us |= self.ended_at.is_none();
            self.kept_by.signal(*signal);
        }
        let killed = timeout(KILLED_WITHIN, self.gone()).await;
        killed.unwrap_or_else(|_| self.code.unwrap_or(128 + Signal::SIGKILL as u8))
    }

    /// It has ended by itself: those whom it has left behind go on.
    pub fn leave(&self) {
        self.kept_by.leave();
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

/// We are the foreground of a terminal, whose Ctrl-C we have in common with the command (tcgetpgrp(3)).
fn is_in_front() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
