//! A machine for tests: values in memory, and a switch that breaks it.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use nix::sched::{CloneFlags, unshare};

use super::{FileOf, Filter, Held, NetnsId, Outcome, Real, Sysctl, System};
use crate::{cgroup::line, clock::Standing, process::Identity};

/// See the module.
#[derive(Default)]
pub(crate) struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sysctls: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    maps: Vec<u32>,
    fenced: Vec<u32>,
    filtered: Vec<u32>,
    controls: BTreeMap<PathBuf, String>,
    controllers_in_use: BTreeMap<String, String>,
    /// Its clock, and the time since it booted.
    boot: String,
    apart_us: i64,
    up_us: i64,
    writes: usize,
    broken: bool,
}

impl Fake {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn set(&self, key: &str, value: &str) {
        self.state().sysctls.insert(key.into(), value.into());
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.state().sysctls.get(key).cloned()
    }

    pub fn writes(&self) -> usize {
        self.state().writes
    }

    pub fn add_link(&self, name: &str, alias: &str) {
        self.state().links.insert(name.into(), alias.into());
    }

    pub fn links(&self) -> Vec<String> {
        self.state().links.keys().cloned().collect()
    }

    pub fn add_map(&self, id: u32) {
        self.state().maps.push(id);
    }

    /// An interface with filters of ours.
    pub fn add_filters(&self, index: u32) {
        self.state().filtered.push(index);
    }

    /// A control file, by its path.
    pub fn set_control(&self, path: impl Into<PathBuf>, text: &str) {
        self.state().controls.insert(path.into(), text.into());
    }

    pub fn control(&self, path: impl AsRef<Path>) -> Option<String> {
        self.state().controls.get(path.as_ref()).cloned()
    }

    /// Somebody has come to use a controller.
    pub fn use_controller(&self, controller: &str, how: &str) {
        let mut state = self.state();
        state
            .controllers_in_use
            .insert(controller.into(), how.into());
    }

    /// How far its clock is from the time since it booted, in microseconds.
    pub fn clock(&self) -> i64 {
        self.state().apart_us
    }

    /// So many microseconds pass.
    pub fn wait(&self, us: i64) {
        self.state().up_us += us;
    }

    /// It boots anew.
    pub fn boot(&self, id: &str) {
        self.state().boot = id.into();
    }

    pub fn fenced(&self) -> Vec<u32> {
        self.state().fenced.clone()
    }

    /// From now on every write, deletion and fence fails.
    pub fn break_everything(&self) {
        self.state().broken = true;
        self.state().sysctls.clear();
    }

    /// From now on everything works again.
    pub fn mend(&self) {
        self.state().broken = false;
    }

    /// From now on every write, deletion and fence fails; values stay readable.
    pub fn refuse_writes(&self) {
        self.state().broken = true;
    }

    #[expect(clippy::unused_self, reason = "it reads as a sysctl of this machine")]
    pub fn sysctl(&self, key: &str, prior: &str, ours: &str) -> Sysctl {
        Sysctl {
            netns: NetnsId::current().unwrap_or_else(|e| panic!("{e}")),
            key: key.into(),
            prior: prior.into(),
            ours: ours.into(),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.state().broken {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}

impl System for Fake {
    fn delete_link(
        &self,
        _netns: BorrowedFd<'_>,
        name: &str,
        alias: &str,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.check()?;
        let mut state = self.state();
        let ours = state.links.get(name).is_some_and(|a| a == alias);
        if ours {
            state.links.remove(name);
        }
        Ok(ours)
    }

    fn read_sysctl(&self, _netns: BorrowedFd<'_>, key: &str) -> io::Result<Option<String>> {
        let state = self.state();
        if state.broken && state.sysctls.is_empty() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(state.sysctls.get(key).cloned())
    }

    fn write_sysctl(&self, _netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
        self.check()?;
        let mut state = self.state();
        state.sysctls.insert(key.into(), value.into());
        state.writes += 1;
        Ok(())
    }

    fn fence(&self, id: u32, _name: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.check()?;
        let mut state = self.state();
        let known = state.maps.contains(&id);
        if known {
            state.fenced.push(id);
        }
        Ok(known)
    }

    fn remove_filters(
        &self,
        _netns: BorrowedFd<'_>,
        index: u32,
        _filters: &[Filter],
        _clsact: bool,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        self.check()?;
        let mut state = self.state();
        let before = state.filtered.len();
        state.filtered.retain(|filtered| *filtered != index);
        Ok(if state.filtered.len() < before {
            Outcome::Done
        } else {
            Outcome::AlreadyGone
        })
    }

    fn delete_file(&self, _file: &FileOf) -> io::Result<bool> {
        self.check()?;
        Ok(false)
    }

    fn empty_file(&self, _file: &Held) -> io::Result<bool> {
        self.check()?;
        Ok(false)
    }

    fn go_on(&self, who: &Identity) -> io::Result<bool> {
        self.check()?;
        Ok(who.stat().is_some())
    }

    fn read_control(&self, cgroup: &Path, _id: u64, file: &str) -> io::Result<Option<String>> {
        let state = self.state();
        Ok(state.controls.get(&cgroup.join(file)).cloned())
    }

    fn write_control(&self, cgroup: &Path, _id: u64, file: &str, text: &str) -> io::Result<()> {
        self.check()?;
        let mut state = self.state();
        state.writes += 1;
        let path = cgroup.join(file);
        let found = state
            .controls
            .get_mut(&path)
            .ok_or(io::ErrorKind::NotFound)?;
        *found = written(file, found, text);
        Ok(())
    }

    fn uses_controller(
        &self,
        _cgroup: &Path,
        _id: u64,
        controller: &str,
    ) -> io::Result<Option<String>> {
        Ok(self.state().controllers_in_use.get(controller).cloned())
    }

    fn step_clock(&self, decide: &mut dyn FnMut(&Standing) -> Option<i64>) -> io::Result<()> {
        let state = self.state();
        let standing = Standing {
            boot: state.boot.clone(),
            apart_us: state.apart_us,
            up_us: state.up_us,
        };
        drop(state);
        if let Some(by_us) = decide(&standing) {
            self.check()?;
            self.state().apart_us += by_us;
        }
        Ok(())
    }
}

/// What a control file reads after a write, as the kernel does it.
fn written(file: &str, found: &str, text: &str) -> String {
    let (key, fields) = text.split_once(' ').unwrap_or((text, ""));
    match file {
        "io.max" => {
            let set: BTreeMap<&str, &str> = fields
                .split(' ')
                .filter_map(|f| f.split_once('='))
                .collect();
            let value = |name| {
                let stands = || line::field(found, key, name).unwrap_or(line::NO_LIMIT);
                set.get(name).copied().unwrap_or_else(stands)
            };
            let names = ["rbps", "wbps", "riops", "wiops"];
            others(found, key) + &line::of(key, names.map(|name| (name, value(name))))
        }
        _ if file.starts_with("blkio.") => {
            let line = if fields == "0" { "" } else { text };
            (others(found, key) + line).trim().to_owned()
        }
        "cgroup.subtree_control" => {
            let (sign, name) = text.split_at(1);
            let words = found.split(' ').filter(|word| *word != name);
            let stand = words.chain((sign == "+").then_some(name));
            stand.collect::<Vec<_>>().join(" ").trim().to_owned()
        }
        _ => text.to_owned(),
    }
}

/// The lines of other devices.
fn others(found: &str, device: &str) -> String {
    let others = found
        .lines()
        .filter(|line| line.split(' ').next() != Some(device));
    others.fold(String::new(), |text, line| text + line + "\n")
}

/// The real machine, without links, maps and filters.
pub(crate) fn real() -> Real {
    Real::new(
        |_, _, _| Ok(false),
        |_, _| Ok(false),
        |_, _, _, _| Ok(Outcome::AlreadyGone),
    )
}

/// A network namespace which lives as long as the descriptor.
pub(crate) fn new_netns() -> OwnedFd {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    })
    .join()
    .unwrap_or_else(|_| panic!("the thread panicked"))
    .unwrap_or_else(|e: io::Error| panic!("no network namespace: {e}"))
    .into()
}
