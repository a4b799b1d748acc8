//! A command of the user's, in a process group of its own: what it has started goes with it.

use std::{os::unix::process::ExitStatusExt, process::Stdio};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::Command;

use super::{Look, Seen};

/// Ends a group that is still there when the look is given up.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

pub(super) async fn look(words: &[String], expected: u8) -> Look {
    let (program, arguments) = words.split_first().ok_or("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("failed to start {program}: {error}"))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let mut group = Group(pid.map(Pid::from_raw));
    let status = child.wait().await.map_err(|error| error.to_string())?;
    // Its number may be used again from here on.
    group.0 = None;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(expected) => Ok(Seen::Answered),
        (Some(code), _) => Err(format!("ended with {code}")),
        (None, Some(signal)) => Err(format!("ended by signal {signal}")),
        (None, None) => Err("ended".to_owned()),
    }
}
