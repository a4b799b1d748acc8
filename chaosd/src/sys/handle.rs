//! File handles: the same file, seen from another mount (`open_by_handle_at(2)`).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// `MAX_HANDLE_SZ` (include/linux/exportfs.h).
const LONGEST: usize = 128;

/// `struct file_handle` with the most room that a file system may want.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; LONGEST],
}

/// The file behind `file`, on the mount that `mount` is an open file or directory of, as a path
/// (`O_PATH`: nothing is opened that anybody would have to permit). It takes `CAP_DAC_READ_SEARCH`.
///
/// # Errors
/// `EOPNOTSUPP` on a file system without handles, `ESTALE` when it is none of that mount's.
pub fn reopen(mount: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        data: [0; LONGEST],
    };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: the path is an empty C string, the handle has the room that it says, and both pointers
    // are to locals that outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            file.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is as the kernel has just written it, and outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw mut handle,
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::{fs::File, os::fd::AsFd, os::unix::fs::MetadataExt};

    use super::*;

    #[test]
    fn a_file_is_found_again_by_its_handle() {
        let exe = std::env::current_exe().unwrap();
        let file = File::open(&exe).unwrap();
        let mount = File::open(exe.parent().unwrap()).unwrap();
        let Ok(same) = reopen(mount.as_fd(), file.as_fd()) else {
            // A file system without handles, or no right.
            return;
        };
        let same = File::from(same).metadata().unwrap();
        assert_eq!(same.ino(), file.metadata().unwrap().ino());
    }
}
