//! What a fault of files is told, and what it counts. One set of programs and maps is one fault.

/// The operations, by the place of their counters and by their bit.
pub const OPEN: u32 = 0;
/// See [`OPEN`]; `read(2)` and what else reads through a descriptor, directories too.
pub const READ: u32 = 1;
/// See [`OPEN`]; `write(2)` and what else writes through a descriptor.
pub const WRITE: u32 = 2;
/// See [`OPEN`]; a new file, of any type that is no directory.
pub const CREATE: u32 = 3;
/// See [`OPEN`]
pub const MKDIR: u32 = 4;
/// See [`OPEN`]
pub const UNLINK: u32 = 5;
/// See [`OPEN`]
pub const RMDIR: u32 = 6;
/// See [`OPEN`]
pub const RENAME: u32 = 7;
/// See [`OPEN`]
pub const LINK: u32 = 8;
/// See [`OPEN`]
pub const SYMLINK: u32 = 9;
/// See [`OPEN`]; another length, by whatever call.
pub const TRUNCATE: u32 = 10;
/// See [`OPEN`]
pub const STAT: u32 = 11;
/// How many there are.
pub const OPERATIONS: u32 = 12;

/// A key of the spared: set, and it is a session's number.
pub const SESSION: u64 = 1 << 32;

/// What changes while a fault of files is in force. One entry, memory-mapped by the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FileControl {
    /// `CLOCK_MONOTONIC` ns until which the daemon vouches for it, at most its deadline; 0: disarmed.
    pub until_ns: u64,
    /// Share of the calls that fail, [`crate::ONE`] is all; 0: it rests.
    pub rate: u64,
    /// The kernel's address of the inode that is hit, with all below it; 0: not known.
    pub inode: u64,
    /// The kernel's address of its file system's superblock.
    pub superblock: u64,
    /// Calls decided so far.
    pub calls: u64,
}

/// What a fault of files counts, by operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FileCounters {
    /// Calls that it matched while it was in force.
    pub seen: u64,
    /// Of those, the ones that it let fail.
    pub failed: u64,
}

const _: () = {
    assert!(size_of::<FileControl>() == 40);
    assert!(size_of::<FileCounters>() == 16);
};
