//! The starter's handle.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use tokio::{net::UnixStream, process};

use super::{
    VERB,
    words::{LENGTH, Order, Said},
};
use crate::sys::process::inherit;

/// The code of a command whose keeper was killed, and which was killed with it.
const KILLED: u8 = 137;

/// A command that is kept. Dropped, it is ended with all that it started, and nobody waits for that.
#[derive(Debug)]
pub(crate) struct Handle {
    keeper: process::Child,
    line: UnixStream,
    code: Option<u8>,
}

impl Handle {
    /// Starts a command. Its input is ours.
    ///
    /// # Errors
    /// As if it were started without a keeper.
    pub(crate) async fn start(
        words: &[OsString],
        output: Stdio,
        errors: Stdio,
    ) -> io::Result<Self> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let line = UnixStream::from_std(ours)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).stdout(output).stderr(errors);
        for fd in inherit(&mut command, vec![OwnedFd::from(theirs)]) {
            command.arg(fd.to_string());
        }
        command.args(words);
        let mut command = process::Command::from(command);
        let keeper = command.spawn()?;
        // Its end of the socket: while we have it too, we cannot see it close.
        drop(command);
        let handle = Self {
            keeper,
            line,
            code: None,
        };
        match handle.hear().await {
            Some(Said::Started) => Ok(handle),
            Some(Said::Unable(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Said::Over(_)) | None => Err(io::Error::other("its keeper is gone")),
        }
    }

    /// What it writes, where that is a pipe.
    pub(crate) fn take_pipes(
        &mut self,
    ) -> (Option<process::ChildStdout>, Option<process::ChildStderr>) {
        (self.keeper.stdout.take(), self.keeper.stderr.take())
    }

    /// Resolves when the command itself has ended, to what a shell would say. Others that it started may
    /// go on.
    pub(crate) async fn ended(&mut self) -> u8 {
        if let Some(code) = self.code {
            return code;
        }
        let code = if let Some(Said::Over(code)) = self.hear().await {
            code
        } else {
            tracing::warn!("the keeper of the command is gone, and the command with it");
            KILLED
        };
        self.code = Some(code);
        code
    }

    /// Resolves when nobody of them is left.
    pub(crate) async fn gone(&mut self) {
        // It has no other reason to end, and fails for a child that is not ours alone.
        self.keeper.wait().await.ok();
    }

    /// Nobody of them is left.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Sends all of them a signal. After SIGKILL, also those that are born meanwhile.
    pub(crate) fn signal(&self, signal: Signal) {
        self.tell(Order::Signal(signal));
    }

    /// Lets those be whom the command has left behind.
    pub(crate) fn leave(&self) {
        self.tell(Order::Leave);
    }

    fn tell(&self, order: Order) {
        // One that is gone needs no order, and a few bytes find room.
        self.line.try_write(&order.encode()).ok();
    }

    /// `None`: it is gone.
    async fn hear(&self) -> Option<Said> {
        loop {
            self.line.readable().await.ok()?;
            let mut bytes = [0; LENGTH];
            match self.line.try_read(&mut bytes) {
                Ok(length) => return Said::decode(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}
