//! The unix socket: who may connect is its mode, so that the kernel decides.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, chown};
use tokio::net::UnixListener;

/// The socket's file; removed on drop.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    group: Option<Gid>,
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("another chaosd answers on {0}: use that one, or name another by --socket")]
    InUse(PathBuf),
    /// A file that is no socket is in the way; it is not ours to remove.
    #[error("{0} is in the way and is not a socket: name another by --socket")]
    NotASocket(PathBuf),
    /// `--group` names no group.
    #[error("there is no group {0}: see /etc/group, or leave out --group")]
    NoSuchGroup(String),
    /// A system call failed.
    #[error("failed to {verb} {path}")]
    Io {
        /// What we were doing.
        verb: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Socket {
    /// Listens on `path`: mode 0600, or 0660 with `group`. A socket on which nobody answers is
    /// replaced. Must be called within a runtime.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<(Self, UnixListener), SocketError> {
        let group = group.map(find_group).transpose()?;
        clear(path)?;
        let fail = |verb| {
            move |source| SocketError::Io {
                verb,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(fail("make the directory of"))?;
        }
        // The mode is right from the first moment: it is set under another name, then renamed.
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let listener = UnixListener::bind(&fresh).map_err(fail("listen on"))?;
        let socket = Self {
            path: path.to_owned(),
            group,
        };
        let opened = socket
            .give(&fresh)
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(fail("set the permissions of"));
        if let Err(error) = opened {
            fs::remove_file(&fresh).ok();
            return Err(error);
        }
        Ok((socket, listener))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when a group may connect too.
    pub fn has_group(&self) -> bool {
        self.group.is_some()
    }

    fn give(&self, fresh: &Path) -> io::Result<()> {
        let Some(group) = self.group else {
            return fs::set_permissions(fresh, Permissions::from_mode(0o600));
        };
        chown(fresh, None::<Uid>, Some(group))?;
        fs::set_permissions(fresh, Permissions::from_mode(0o660))?;
        // The state directory is closed to all but root (no bit of group and others is set): the
        // group may pass, not list.
        if let Some(directory) = self.path.parent() {
            let mode = fs::metadata(directory)?.permissions().mode();
            if mode.trailing_zeros() >= 6 {
                chown(directory, None::<Uid>, Some(group))?;
                fs::set_permissions(directory, Permissions::from_mode(mode & 0o7777 | 0o010))?;
            }
        }
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

fn find_group(name: &str) -> Result<Gid, SocketError> {
    if let Ok(Some(group)) = Group::from_name(name) {
        return Ok(group.gid);
    }
    name.parse()
        .map(Gid::from_raw)
        .map_err(|_| SocketError::NoSuchGroup(name.to_owned()))
}

/// Refuses what is alive or foreign; what is stale is replaced by the rename.
fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(_) => Ok(()),
    }
}
