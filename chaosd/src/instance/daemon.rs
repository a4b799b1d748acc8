//! The lock of the one daemon.

use std::{fs, fs::File, path::PathBuf, thread, time::Duration};

use super::{
    InstanceError, Kind, Owner, StateDir, failed,
    state::{is_at, lock},
};

/// Held by the one daemon of a state directory, from before its socket exists.
#[derive(Debug)]
pub struct DaemonLock {
    path: PathBuf,
    file: File,
}

impl DaemonLock {
    /// Takes it; refused when another daemon has it.
    pub fn take(state: &StateDir) -> Result<Self, InstanceError> {
        state.prepare()?;
        let path = state.path().join("daemon.lock");
        // Somebody who only clears up after a dead daemon has it for an instant.
        for _ in 0..10 {
            if let Some(file) = lock(&path).map_err(failed("lock", &path))? {
                let signed = Owner::this(Some(Kind::Daemon)).and_then(|owner| owner.write(&file));
                signed.map_err(failed("sign", &path))?;
                return Ok(Self { path, file });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(InstanceError::DaemonRunning {
            pid: Owner::read(&path).map(|owner| owner.pid),
        })
    }

    /// Removes the lock and the socket of a daemon that died.
    pub(super) fn clear(state: &StateDir) {
        let path = state.path().join("daemon.lock");
        if path.exists()
            && let Ok(Some(file)) = lock(&path)
        {
            let _gone = fs::remove_file(state.socket());
            drop(Self { path, file });
        }
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}
