//! The constants that the programs of files are given.

use super::types::{Types, TypesError};

/// `PIDTYPE_SID` (`include/linux/pid_types.h`).
const SESSION: u64 = 3;

/// Offsets in the kernel's structures, by the names of the programs' constants, and what its hooks
/// look like.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub offsets: Vec<(&'static str, u32)>,
    /// The hook of attributes begins with a mapping of ids (Linux 6.9).
    pub mapped: bool,
}

impl Layout {
    /// Of the running kernel.
    pub fn read() -> Result<Self, TypesError> {
        let types = Types::read()?;
        let of = |structure, field| types.offset(structure, field);
        let in_path = of("path", "dentry")?;
        Ok(Self {
            offsets: vec![
                ("FILE_INODE", of("file", "f_inode")?),
                ("FILE_DENTRY", of("file", "f_path")? + in_path),
                ("PATH_DENTRY", in_path),
                ("DENTRY_PARENT", of("dentry", "d_parent")?),
                ("DENTRY_INODE", of("dentry", "d_inode")?),
                ("DENTRY_SUPERBLOCK", of("dentry", "d_sb")?),
                ("ATTR_VALID", of("iattr", "ia_valid")?),
                ("TASK_FLAGS", of("task_struct", "flags")?),
                ("TASK_SIGNAL", of("task_struct", "signal")?),
                (
                    "SIGNAL_SESSION",
                    types.element("signal_struct", "pids", SESSION)?,
                ),
                ("PID_NUMBER", of("pid", "numbers")? + of("upid", "nr")?),
            ],
            mapped: types.arguments("bpf_lsm_inode_setattr")? > 2,
        })
    }
}
