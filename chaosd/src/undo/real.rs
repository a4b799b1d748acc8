//! The machine itself.

use std::{
    error::Error,
    fs, io,
    os::{
        fd::BorrowedFd,
        linux::net::SocketAddrExt as _,
        unix::{
            fs::MetadataExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::{Component, Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sched::{CloneFlags, setns},
    sys::{
        signal::Signal,
        stat::{Mode, fstat},
    },
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{FileOf, Filter, Held, Outcome, System};
use crate::{cgroup, clock::Standing, process::Identity, sys::time};

/// Deletes a device; see [`System::delete_link`].
pub type DeleteLink = fn(BorrowedFd<'_>, &str, &str) -> Result<bool, Box<dyn Error + Send + Sync>>;
/// Fences a map; see [`System::fence`].
pub type Fence = fn(u32, &str) -> Result<bool, Box<dyn Error + Send + Sync>>;
/// Takes filters off an interface; see [`System::remove_filters`].
pub type RemoveFilters =
    fn(BorrowedFd<'_>, u32, &[Filter], bool) -> Result<Outcome, Box<dyn Error + Send + Sync>>;

/// The machine itself. Netlink and BPF are the business of their modules, whose functions it is
/// made of.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    delete_link: DeleteLink,
    fence: Fence,
    remove_filters: RemoveFilters,
}

impl Real {
    /// The machine, by these means.
    pub fn new(delete_link: DeleteLink, fence: Fence, remove_filters: RemoveFilters) -> Self {
        Self {
            delete_link,
            fence,
            remove_filters,
        }
    }
}

impl System for Real {
    fn delete_link(
        &self,
        netns: BorrowedFd<'_>,
        name: &str,
        alias: &str,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        (self.delete_link)(netns, name, alias)
    }

    fn read_sysctl(&self, netns: BorrowedFd<'_>, key: &str) -> io::Result<Option<String>> {
        let path = path_of(key)?;
        within(netns, || match fs::read_to_string(path) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn write_sysctl(&self, netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
        let path = path_of(key)?;
        within(netns, || {
            use io::Write;
            // Never created, and in one write: the kernel parses each write by itself.
            fs::OpenOptions::new()
                .write(true)
                .open(path)?
                .write_all(value.as_bytes())
        })
    }

    fn fence(&self, id: u32, name: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        (self.fence)(id, name)
    }

    fn remove_filters(
        &self,
        netns: BorrowedFd<'_>,
        index: u32,
        filters: &[Filter],
        clsact: bool,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        (self.remove_filters)(netns, index, filters, clsact)
    }

    fn delete_file(&self, file: &FileOf) -> io::Result<bool> {
        // Only what bears our name: a line of a journal deletes nothing else.
        if !file.name.starts_with(FileOf::PREFIX) || file.name.contains('/') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = match open(&file.directory, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let stat = fstat(&directory)?;
        if (stat.st_dev, stat.st_ino) != (file.dev, file.ino) {
            return Ok(false);
        }
        match unlinkat(&directory, file.name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn empty_file(&self, file: &Held) -> io::Result<bool> {
        if file.holder.stat().is_none() {
            return Ok(false);
        }
        let gone = |error: &io::Error| {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
        };
        let open = match fs::OpenOptions::new().write(true).open(file.path()) {
            Ok(open) => open,
            Err(error) if gone(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let metadata = open.metadata()?;
        if (metadata.dev(), metadata.ino()) != (file.dev, file.ino) || metadata.len() == 0 {
            return Ok(false);
        }
        open.set_len(0)?;
        Ok(true)
    }

    fn go_on(&self, who: &Identity) -> io::Result<bool> {
        // Whether it stands still does not matter: it may be on its way there.
        who.signal(Signal::SIGCONT)
    }

    fn read_control(&self, cgroup: &Path, id: u64, file: &str) -> io::Result<Option<String>> {
        cgroup::read_control(cgroup, id, file)
    }

    fn write_control(&self, cgroup: &Path, id: u64, file: &str, text: &str) -> io::Result<()> {
        cgroup::write_control(cgroup, id, file, text)
    }

    fn uses_controller(
        &self,
        cgroup: &Path,
        id: u64,
        controller: &str,
    ) -> io::Result<Option<String>> {
        cgroup::uses_controller(cgroup, id, controller)
    }

    fn step_clock(&self, decide: &mut dyn FnMut(&Standing) -> Option<i64>) -> io::Result<()> {
        let _turn = ClockTurn::take();
        match decide(&Standing::read()?) {
            Some(0) | None => Ok(()),
            Some(by_us) => time::step(by_us),
        }
    }
}

/// Held between a look at the clock and the step that follows from it: two who undo one step at a
/// time, a watchdog and a daemon that wakes, would else both take it back. An abstract socket name
/// (unix(7)), which goes with its holder.
struct ClockTurn {
    /// None: somebody held it for too long, and we went on without.
    _name: Option<UnixDatagram>,
}

impl ClockTurn {
    const NAME: &str = "chaosd-clock-turn";
    /// A step takes microseconds; a holder that is stopped must not stop a revert.
    const PATIENCE: Duration = Duration::from_millis(500);
    const LOOK_EVERY: Duration = Duration::from_millis(2);

    fn take() -> Self {
        let since = Instant::now();
        let bind = || UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(Self::NAME)?);
        loop {
            match bind() {
                Ok(name) => return Self { _name: Some(name) },
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && since.elapsed() < Self::PATIENCE =>
                {
                    thread::sleep(Self::LOOK_EVERY);
                }
                Err(_) => return Self { _name: None },
            }
        }
    }
}

/// Only sysctls that belong to a network namespace: a key from a journal leads nowhere else.
fn path_of(key: &str) -> io::Result<PathBuf> {
    let relative = Path::new(key);
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || !relative.starts_with("net") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{key} is no sysctl of a network namespace"),
        ));
    }
    Ok(Path::new("/proc/sys").join(relative))
}

/// Runs `work` in a network namespace, on a thread of its own, which ends there: the caller's
/// thread never leaves home. /proc/sys/net shows the namespace of the thread that opens it.
fn within<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("chaosd-netns".into())
            .spawn_scoped(scope, move || {
                setns(netns, CloneFlags::CLONE_NEWNET)?;
                work()
            })?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::os::fd::AsFd;

    use super::super::{
        Sysctl, Undo,
        fake::{new_netns, real},
    };
    use super::*;
    use crate::undo::NetnsId;

    const KEY: &str = "net/ipv4/conf/lo/accept_local";

    #[test]
    fn a_file_without_a_name_is_emptied_once_and_no_other_is() {
        let open = || {
            let mut options = fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_TMPFILE);
            options.write(true).open("/dev/shm").unwrap()
        };
        let (file, other) = (open(), open());
        for file in [&file, &other] {
            file.set_len(4096).unwrap();
        }
        let metadata = file.metadata().unwrap();
        let held = Held {
            holder: crate::process::Stat::read(std::process::id()).unwrap().who,
            fd: std::os::fd::AsRawFd::as_raw_fd(&file),
            dev: metadata.dev(),
            ino: metadata.ino(),
        };
        let elsewhere = Held {
            fd: std::os::fd::AsRawFd::as_raw_fd(&other),
            ..held.clone()
        };
        let undo = |held: &Held| Undo::Held(held.clone()).revert(&real()).unwrap();
        assert_eq!(undo(&elsewhere), Outcome::AlreadyGone);
        assert_eq!(undo(&held), Outcome::Done);
        assert_eq!(undo(&held), Outcome::AlreadyGone);
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(other.metadata().unwrap().len(), 4096);
        drop(file);
        assert_eq!(undo(&held), Outcome::AlreadyGone);
    }

    #[test]
    fn a_sysctl_is_put_back_in_its_namespace_and_nowhere_else() {
        let netns = new_netns();
        let here = fs::read_to_string(Path::new("/proc/sys").join(KEY)).unwrap();
        let real = real();
        let prior = real.read_sysctl(netns.as_fd(), KEY).unwrap().unwrap();
        assert_eq!(prior, "0");
        real.write_sysctl(netns.as_fd(), KEY, "1").unwrap();
        let undo = Undo::Sysctl(Sysctl {
            netns: NetnsId::of("/proc/0/ns/net", &netns).unwrap(),
            key: KEY.into(),
            prior,
            ours: "1".into(),
        });
        assert_eq!(undo.revert(&real).unwrap(), Outcome::Done);
        let now = real.read_sysctl(netns.as_fd(), KEY).unwrap();
        assert_eq!(now.as_deref(), Some("0"));
        let still = fs::read_to_string(Path::new("/proc/sys").join(KEY)).unwrap();
        assert_eq!(here, still);
    }

    #[test]
    fn a_key_outside_the_network_is_refused() {
        let netns = new_netns();
        for key in [
            "kernel/core_pattern",
            "net/../kernel/core_pattern",
            "/etc/passwd",
        ] {
            let error = real().write_sysctl(netns.as_fd(), key, "x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{key}");
        }
    }

    #[test]
    fn a_key_without_its_interface_is_told_from_an_error() {
        let netns = new_netns();
        let key = "net/ipv4/conf/none0/accept_local";
        assert_eq!(real().read_sysctl(netns.as_fd(), key).unwrap(), None);
    }
}
