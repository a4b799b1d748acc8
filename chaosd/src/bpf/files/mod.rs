//! Errors of calls on files, by BPF LSM: one set of programs for each fault.
//!
//! Nothing is pinned: the links die with the process. Programs let every call pass unless the time
//! that [`FileErrors::vouch`] has written last is still to come.

mod layout;
mod types;

use std::{
    fs, io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicUsize, Ordering},
};

use aya::{
    Btf, BtfError, Ebpf, EbpfLoader,
    maps::{HashMap, Map, MapData, MapError, PerCpuArray},
    programs::{Lsm, ProgramError},
};
use chaosd_ebpf::file_error::{FileControl, FileCounters, OPERATIONS, SESSION};
use nix::{
    sys::stat::fstat,
    unistd::{Pid, gettid},
};

use crate::sys::{bpf as pod, map::Mapped};

use self::layout::Layout;
pub use self::types::TypesError;

/// The object file, built by `cargo xtask build`.
static FILES: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/files.o"));

/// The kernel's security modules that are asked (Documentation/admin-guide/LSM).
const MODULES: &str = "/sys/kernel/security/lsm";
/// The first namespace of processes (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const FIRST_PIDS: &str = "pid:[4026531836]";
/// Faults of files at once, each with programs of its own: a hook takes 38
/// (`BPF_MAX_TRAMP_LINKS`, include/linux/bpf.h), and others use it too.
pub const MOST: usize = 16;

/// Faults of files of this process.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// By operation: the programs, and the hooks that they are for.
const PROGRAMS: [&[(&str, &str)]; OPERATIONS as usize] = [
    &[("file_open", "file_open")],
    &[("file_permission", "file_permission")],
    &[("file_permission", "file_permission")],
    &[
        ("inode_create", "inode_create"),
        ("inode_mknod", "inode_mknod"),
    ],
    &[("inode_mkdir", "inode_mkdir")],
    &[("inode_unlink", "inode_unlink")],
    &[("inode_rmdir", "inode_rmdir")],
    &[("inode_rename", "inode_rename")],
    &[("inode_link", "inode_link")],
    &[("inode_symlink", "inode_symlink")],
    &[("inode_setattr", "inode_setattr")],
    &[("inode_getattr", "inode_getattr")],
];
/// Where the hook of attributes has one more argument.
const MAPPED: (&str, &str) = ("inode_setattr_mapped", "inode_setattr");
/// Finds the place.
const LEARN: (&str, &str) = ("learn", "inode_getattr");

/// What failed on the way to the kernel, or what it lacks.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The kernel does not ask BPF programs: attaching them would succeed and do nothing.
    #[error(
        "this kernel does not ask BPF programs about files: {MODULES} lists {0}; it takes a kernel with CONFIG_BPF_LSM=y, booted with lsm={0},bpf"
    )]
    NotAsked(String),
    /// It cannot be told.
    #[error(
        "failed to read {MODULES}, which tells whether the kernel asks BPF programs about files; it takes a kernel with CONFIG_BPF_LSM=y, booted with bpf in its list lsm=..., and securityfs (mount -t securityfs securityfs /sys/kernel/security)"
    )]
    Modules(#[source] io::Error),
    /// Programs know processes by other numbers.
    #[error(
        "chaosd is in a namespace of processes, where their numbers are others than the kernel's: run it on the host itself"
    )]
    Namespace,
    /// Fields are not where they are looked for.
    #[error(transparent)]
    Types(#[from] TypesError),
    /// The kernel's types are not there.
    #[error("failed to read the kernel's types")]
    Btf(#[from] BtfError),
    /// The object was refused.
    #[error("failed to load the programs")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks a part.
    #[error("the object file has no {0}")]
    Missing(&'static str),
    /// A program was refused.
    #[error("failed to attach program {name}")]
    Program {
        /// Which.
        name: &'static str,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// A map was refused.
    #[error("failed to use map {0}")]
    Map(&'static str, #[source] io::Error),
    /// The place cannot be looked at.
    #[error("failed to ask for the attributes of the path")]
    Place(#[source] io::Error),
    /// The kernel lists BPF and does not call.
    #[error("the kernel did not call an attached program: no error would come of this fault")]
    NotCalled,
    /// Too many.
    #[error("at most {MOST} faults of files are in force at once: end one first")]
    Full,
}

/// What a fault of files is, from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub struct FileRule<'a> {
    /// The file or directory, held open (`O_PATH` will do) as long as the fault lives.
    pub place: BorrowedFd<'a>,
    /// All of its file system is hit.
    pub whole: bool,
    /// What calls return: 1 to 4095.
    pub errno: i32,
    /// Bit n: operation n of [`chaosd_ebpf::file_error`].
    pub operations: u32,
    /// What chance is drawn from.
    pub seed: u64,
    /// Only processes of this cgroup (id, depth) and its subtree.
    pub cgroup: Option<(u64, u32)>,
    /// Only this process.
    pub process: Option<u32>,
}

/// A kernel that can let calls on files fail, and what it takes to know of it.
#[derive(Clone, Debug)]
pub struct Kernel(Layout);

impl Kernel {
    /// Whether this machine can let calls on files fail. Reads; changes nothing.
    pub fn look() -> Result<Self, FilesError> {
        let modules = fs::read_to_string(MODULES).map_err(FilesError::Modules)?;
        asks_bpf(&modules)?;
        let ours = fs::read_link("/proc/self/ns/pid");
        if ours.is_ok_and(|ns| ns.as_os_str() != FIRST_PIDS) {
            return Err(FilesError::Namespace);
        }
        Layout::read().map(Self).map_err(FilesError::Types)
    }
}

fn asks_bpf(modules: &str) -> Result<(), FilesError> {
    let modules = modules.trim();
    if modules.split(',').any(|module| module == "bpf") {
        Ok(())
    } else {
        Err(FilesError::NotAsked(modules.to_owned()))
    }
}

/// One of [`MOST`].
#[derive(Debug)]
struct Seat;

impl Seat {
    fn take() -> Result<Self, FilesError> {
        let one_more = |count| (count < MOST).then_some(count + 1);
        COUNT
            .try_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map(|_| Self)
            .map_err(|_| FilesError::Full)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A fault of files, in force while [`FileErrors::vouch`] says so.
pub struct FileErrors {
    // Declared, and so dropped, first: its programs hold the links.
    ebpf: Ebpf,
    control: Mapped<FileControl>,
    counters: PerCpuArray<MapData, pod::FileCounters>,
    spared: HashMap<MapData, u64, u32>,
    _seat: Seat,
}

impl std::fmt::Debug for FileErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileErrors")
    }
}

impl FileErrors {
    /// Loads and attaches what the rule takes, which may take a second. No call fails yet.
    pub fn attach(kernel: &Kernel, rule: &FileRule<'_>) -> Result<Self, FilesError> {
        let Kernel(layout) = kernel;
        let seat = Seat::take()?;
        let btf = Btf::from_sys_fs()?;
        let mut ebpf = load(layout, rule)?;
        let mut object = Self {
            control: control(&ebpf)?,
            counters: typed(&mut ebpf, "COUNTERS")?,
            spared: typed(&mut ebpf, "SPARED")?,
            ebpf,
            _seat: seat,
        };
        object.learn(rule, &btf)?;
        let mut attached = Vec::new();
        for operation in (0..OPERATIONS).filter(|n| rule.operations & 1 << n != 0) {
            for program in PROGRAMS[operation as usize] {
                let program = if layout.mapped && program.1 == MAPPED.1 {
                    MAPPED
                } else {
                    *program
                };
                // Reads and writes are asked for at one place.
                if !attached.contains(&program) {
                    object.hang(program, &btf)?;
                    attached.push(program);
                }
            }
        }
        Ok(object)
    }

    /// Lets the kernel tell where the place is. Proves that the kernel calls what is attached.
    fn learn(&mut self, rule: &FileRule<'_>, btf: &Btf) -> Result<(), FilesError> {
        let link = self.hang(LEARN, btf)?;
        let asked = fstat(rule.place);
        let program = lsm(&mut self.ebpf, LEARN.0)?;
        program.detach(link).map_err(refused(LEARN.0))?;
        asked.map_err(|e| FilesError::Place(e.into()))?;
        let known = self.control.get(0);
        if known.inode == 0 || known.superblock == 0 {
            return Err(FilesError::NotCalled);
        }
        Ok(())
    }

    fn hang(
        &mut self,
        (name, hook): (&'static str, &'static str),
        btf: &Btf,
    ) -> Result<aya::programs::lsm::LsmLinkId, FilesError> {
        let program = lsm(&mut self.ebpf, name)?;
        program.load(hook, btf).map_err(refused(name))?;
        program.attach().map_err(refused(name))
    }

    /// Lets a share of `rate` of [`chaosd_ebpf::ONE`] of the calls fail until then
    /// (`CLOCK_MONOTONIC` ns).
    pub fn vouch(&mut self, rate: u64, until_ns: u64) {
        self.control.set_field(0, |c| &mut c.rate, rate);
        self.control.set_field(0, |c| &mut c.until_ns, until_ns);
    }

    /// Whom it leaves alone: processes, and sessions. Replaces the list.
    pub fn spare(
        &mut self,
        processes: impl IntoIterator<Item = u32>,
        sessions: impl IntoIterator<Item = u32>,
    ) -> Result<(), FilesError> {
        let wrong = |e: MapError| FilesError::Map("SPARED", io::Error::other(e));
        let processes = processes.into_iter().map(u64::from);
        let sessions = sessions.into_iter().map(|id| u64::from(id) | SESSION);
        let new: Vec<u64> = processes.chain(sessions).collect();
        let old: Vec<u64> = self.spared.keys().filter_map(Result::ok).collect();
        for key in new.iter().filter(|key| !old.contains(key)) {
            self.spared.insert(key, 1, 0).map_err(wrong)?;
        }
        for key in old.iter().filter(|key| !new.contains(key)) {
            self.spared.remove(key).map_err(wrong)?;
        }
        Ok(())
    }

    /// What was counted so far, by operation.
    pub fn counts(&self) -> Result<[FileCounters; OPERATIONS as usize], FilesError> {
        let mut counts = [FileCounters::default(); OPERATIONS as usize];
        for (operation, count) in (0..).zip(&mut counts) {
            let by_cpu = self
                .counters
                .get(&operation, 0)
                .map_err(|e| FilesError::Map("COUNTERS", io::Error::other(e)))?;
            for one in by_cpu.iter() {
                count.seen += one.0.seen;
                count.failed += one.0.failed;
            }
        }
        Ok(counts)
    }
}

fn load(layout: &Layout, rule: &FileRule<'_>) -> Result<Ebpf, FilesError> {
    let errno = -rule.errno.clamp(1, 4095);
    let (cgroup, level) = rule.cgroup.unwrap_or_default();
    let process = rule.process.unwrap_or_default();
    let whole = u32::from(rule.whole);
    let learner = Pid::as_raw(gettid()).cast_unsigned();
    let mut loader = EbpfLoader::new();
    // Hooks are found by name; no program is relocated against the kernel's types.
    loader
        .btf(None)
        .override_global("ERRNO", &errno, true)
        .override_global("OPERATIONS", &rule.operations, true)
        .override_global("SEED", &rule.seed, true)
        .override_global("CGROUP", &cgroup, true)
        .override_global("CGROUP_LEVEL", &level, true)
        .override_global("PROCESS", &process, true)
        .override_global("WHOLE", &whole, true)
        .override_global("LEARNER", &learner, true);
    for (name, offset) in &layout.offsets {
        loader.override_global(name, offset, true);
    }
    loader
        .load(FILES)
        .map_err(|e| FilesError::Load(Box::new(e)))
}

fn refused(name: &'static str) -> impl FnOnce(ProgramError) -> FilesError {
    move |source| FilesError::Program { name, source }
}

fn lsm<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Lsm, FilesError> {
    ebpf.program_mut(name)
        .ok_or(FilesError::Missing(name))?
        .try_into()
        .map_err(refused(name))
}

fn control(ebpf: &Ebpf) -> Result<Mapped<FileControl>, FilesError> {
    let name = "CONTROL";
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(FilesError::Missing(name));
    };
    Mapped::new(data.fd(), 1).map_err(|e| FilesError::Map(name, e))
}

fn typed<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, FilesError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(FilesError::Missing(name))?;
    T::try_from(map).map_err(|e| FilesError::Map(name, io::Error::other(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_ask_says_what_to_boot_with() {
        assert!(asks_bpf("lockdown,capability,bpf,ima\n").is_ok());
        let error = asks_bpf("lockdown,capability,bpfilter\n").err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            said.ends_with("booted with lsm=lockdown,capability,bpfilter,bpf"),
            "{said}"
        );
    }

    #[test]
    fn seats_are_given_back() {
        let all: Vec<_> = (0..MOST).map(|_| Seat::take()).collect();
        assert!(all.iter().all(Result::is_ok));
        assert!(Seat::take().is_err());
        drop(all);
        assert!(Seat::take().is_ok());
    }
}
