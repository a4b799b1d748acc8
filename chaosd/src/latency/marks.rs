//! Where the kernel asks: as little of the machine as is needed.
//!
//! - For a file, its inode: nobody pays who opens another.
//! - For a directory, its file system, on whichever mount: a container that has it mounted elsewhere is
//!   meant too. Each open of any file there costs a turn through the listener. Marks on each directory
//!   below would cost the others nothing, and would miss what is made or moved in later.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
};

use nix::{
    errno::Errno,
    sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
    sys::memfd::{MFdFlags, memfd_create},
};

use super::{LatencyError, Work};

/// Content-class events come with a descriptor, after which a decision is waited for. The queue is
/// bounded on purpose: what does not fit in is let through (`fanotify_handle_event`,
/// fs/notify/fanotify/fanotify.c).
pub(super) fn group() -> Result<Fanotify, LatencyError> {
    let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
    let each = EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC;
    Fanotify::init(flags, each).map_err(|errno| match errno {
        Errno::ENOSYS | Errno::EINVAL => LatencyError::NoPermissionEvents,
        errno => refused("listen to opens (fanotify_init)", errno),
    })
}

fn refused(what: &str, errno: Errno) -> LatencyError {
    LatencyError::Refused {
        what: what.to_owned(),
        source: errno.into(),
    }
}

impl Work {
    fn events(&self) -> MaskFlags {
        let mut events = MaskFlags::empty();
        events.set(MaskFlags::FAN_OPEN_PERM, self.open.is_some());
        events.set(MaskFlags::FAN_ACCESS_PERM, self.read.is_some());
        events
    }
}

/// From here on everybody waits for who reads `group`. `place` is the work's path, open.
pub(super) fn set(group: &Fanotify, work: &Work, place: &File) -> Result<(), LatencyError> {
    let directory = is_directory(&work.path)?;
    let what = if directory {
        MarkFlags::FAN_MARK_FILESYSTEM
    } else {
        MarkFlags::FAN_MARK_INODE
    };
    group
        .mark(
            MarkFlags::FAN_MARK_ADD | what,
            work.events(),
            place.as_fd(),
            None::<&Path>,
        )
        .map_err(|errno| refused("mark the path (fanotify_mark)", errno))
}

/// True for a directory, false for a file.
pub(super) fn is_directory(path: &Path) -> Result<bool, LatencyError> {
    let metadata = fs::metadata(path).map_err(|source| look(path, source))?;
    match (metadata.is_dir(), metadata.is_file()) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(LatencyError::NoFile(path.to_owned())),
    }
}

fn look(path: &Path, source: io::Error) -> LatencyError {
    LatencyError::Look {
        path: path.to_owned(),
        source,
    }
}

/// Asks whether a listener could listen there. Nobody waits for that: a mark on a directory that asks
/// for no events of directories nor of what is in them has none.
///
/// Returns true for a directory, false for a file.
pub fn probe(path: &Path) -> Result<bool, LatencyError> {
    let directory = is_directory(path)?;
    let group = group()?;
    let mark = |at: &dyn AsFd| {
        group.mark(
            MarkFlags::FAN_MARK_ADD,
            MaskFlags::FAN_OPEN_PERM,
            at.as_fd(),
            None::<&Path>,
        )
    };
    // A file that nobody else can open tells what the kernel can.
    let ours = memfd_create(c"chaosd", MFdFlags::MFD_CLOEXEC)
        .map_err(|errno| refused("make a file in memory", errno))?;
    mark(&ours).map_err(|errno| match errno {
        Errno::EINVAL => LatencyError::NoPermissionEvents,
        errno => refused("mark a file of our own (fanotify_mark)", errno),
    })?;
    let place = if directory {
        path
    } else {
        path.parent().unwrap_or(Path::new("/"))
    };
    let open = File::open(place).map_err(|source| look(place, source))?;
    match mark(&open) {
        // `FS_DISALLOW_NOTIFY_PERM`: /proc, /sys and the like.
        Err(Errno::EINVAL) => Err(LatencyError::NoDisk(path.to_owned())),
        Err(errno) => Err(refused("mark its directory (fanotify_mark)", errno)),
        Ok(()) => Ok(directory),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_place_is_refused_where_the_kernel_does_not_ask() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let told = |path: &str| probe(Path::new(path)).unwrap_err().to_string();
        assert!(told("/no/such").starts_with("failed to look at /no/such"));
        assert!(told("/dev/null").contains("neither a file nor a directory"));
        assert!(told("/proc/self/status").contains("none of a disk"));
        let exe = std::env::current_exe().unwrap();
        assert!(!probe(&exe).unwrap());
        assert!(probe(exe.parent().unwrap()).unwrap());
    }
}
