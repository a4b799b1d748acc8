//! What an undo asks of the machine, so that its logic can be tested without one.

use std::{error::Error, io, os::fd::BorrowedFd, path::Path};

use super::{FileOf, Filter, Held, Outcome};
use crate::{clock::Standing, process::Identity};

/// The machine, as undos see it. [`super::Real`] is the true one.
///
/// Nothing here needs the tokio runtime. Every call may be repeated.
pub trait System: Send + Sync {
    /// Deletes the network device `name` of a namespace if its alias is `alias`. False: there is
    /// no such device, or it is not ours.
    fn delete_link(
        &self,
        netns: BorrowedFd<'_>,
        name: &str,
        alias: &str,
    ) -> Result<bool, Box<dyn Error + Send + Sync>>;

    /// The value of `/proc/sys/{key}` in a network namespace, without surrounding blanks. None:
    /// there is no such key (its interface is gone).
    fn read_sysctl(&self, netns: BorrowedFd<'_>, key: &str) -> io::Result<Option<String>>;

    /// Writes `/proc/sys/{key}` in a network namespace.
    fn write_sysctl(&self, netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()>;

    /// Raises the fence of the control map `id`, if it exists and bears that name: its plane
    /// passes every packet from now on. False: there is no such map.
    fn fence(&self, id: u32, name: &str) -> Result<bool, Box<dyn Error + Send + Sync>>;

    /// Takes those of `filters` off the interface `index` of a namespace which still run their
    /// program. `clsact`: then deletes the clsact qdisc too, unless somebody else has a filter there.
    fn remove_filters(
        &self,
        netns: BorrowedFd<'_>,
        index: u32,
        filters: &[Filter],
        clsact: bool,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>>;

    /// Deletes the file from its directory. False: there is no such file, or the directory is another
    /// one.
    fn delete_file(&self, file: &FileOf) -> io::Result<bool>;

    /// Empties a file through the descriptor of its holder. False: the holder is gone, or has another
    /// file there, or it was empty.
    fn empty_file(&self, file: &Held) -> io::Result<bool>;

    /// Sends SIGCONT to that very process. False: it is gone.
    fn go_on(&self, who: &Identity) -> io::Result<bool>;

    /// A control file of the cgroup at this path with this inode, without surrounding blanks.
    /// None: that cgroup is gone, or it has no such file.
    fn read_control(&self, cgroup: &Path, id: u64, file: &str) -> io::Result<Option<String>>;

    /// Writes a control file of the cgroup at this path with this inode.
    fn write_control(&self, cgroup: &Path, id: u64, file: &str, text: &str) -> io::Result<()>;

    /// What would be lost if `controller` were disabled for the cgroups below this one. None:
    /// nothing.
    fn uses_controller(
        &self,
        cgroup: &Path,
        id: u64,
        controller: &str,
    ) -> io::Result<Option<String>>;

    /// Reads how the host's clock stands, and steps it by what `decide` makes of that, in microseconds;
    /// `None`: not at all. One chaosd at a time does.
    fn step_clock(&self, decide: &mut dyn FnMut(&Standing) -> Option<i64>) -> io::Result<()>;
}
