//! Files of a test's own, and processes in a cgroup that use them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use support::{Cgroup, Daemon, Run};

static SCENES: AtomicU32 = AtomicU32::new(0);

/// `place/deep/file`, `beside/file`, and a cgroup. Dropped, all of it is removed.
pub struct Scene {
    directory: PathBuf,
    pub cgroup: Cgroup,
}

/// What a shell command came to.
#[derive(Debug)]
pub struct Done {
    pub ok: bool,
    pub said: String,
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            ok: output.status.success(),
            said: text(output.stdout) + &text(output.stderr),
        }
    }

    /// Fails unless the command failed, with this error.
    pub fn failed_with(&self, error: &str) -> Result<()> {
        ensure!(
            !self.ok && self.said.contains(error),
            "no {error}: {self:?}"
        );
        Ok(())
    }

    /// Fails unless the command did not.
    pub fn passed(&self) -> Result<()> {
        ensure!(self.ok, "{self:?}");
        Ok(())
    }
}

impl Scene {
    pub fn new() -> Result<Option<Self>> {
        let Some(cgroup) = Cgroup::new()? else {
            return Ok(None);
        };
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-files-{}-{number}", std::process::id());
        let scene = Self {
            directory: std::env::temp_dir().join(name),
            cgroup,
        };
        for directory in ["place/deep", "beside"] {
            std::fs::create_dir_all(scene.path(directory))?;
            std::fs::write(scene.path(directory).join("file"), "content\n")?;
        }
        Ok(Some(scene))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A shell command in its directory, to be started in the cgroup.
    pub fn command(&self, script: &str) -> Command {
        let mut command = self.cgroup.command("sh");
        command
            .args(["-c", script])
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Runs a shell command in the cgroup.
    pub fn inside(&self, script: &str) -> Result<Done> {
        Ok(Done::of(self.command(script).output()?))
    }

    /// Runs a shell command outside of it.
    pub fn outside(&self, script: &str) -> Result<Done> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.directory);
        Ok(Done::of(command.stdin(Stdio::null()).output()?))
    }

    /// `disk-error` with these flags on a path of it, for the cgroup.
    pub fn start<'a>(&self, daemon: &'a Daemon, path: &str, flags: &str) -> Result<Run<'a>> {
        self.aimed(daemon, path, flags, &["--cgroup", self.cgroup.path()])
    }

    /// The same for another target.
    pub fn aimed<'a>(
        &self,
        daemon: &'a Daemon,
        path: &str,
        flags: &str,
        target: &[&str],
    ) -> Result<Run<'a>> {
        let path = self.path(path);
        let path = path.to_str().context("a path without letters")?;
        let words = ["inject", "disk-error", "--path", path].into_iter();
        let words = words.chain(flags.split_whitespace());
        Run::start(daemon, words.chain(target.iter().copied()))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!(
                "files are left over in {}: {error}",
                self.directory.display()
            );
        }
    }
}

/// Why this kernel lets no call on files fail; none: it does.
pub fn unable() -> Option<String> {
    match std::fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if list.trim().split(',').any(|module| module == "bpf") => None,
        Ok(list) => Some(format!("this kernel has no BPF LSM: {}", list.trim())),
        Err(error) => Some(format!("this kernel tells of no security modules: {error}")),
    }
}

/// A scene, or the test ends where it cannot be.
macro_rules! scene {
    () => {{
        if let Some(why) = $crate::file_scene::unable() {
            support::skip!(Ok(()), "{why}");
        }
        match $crate::file_scene::Scene::new()? {
            Some(scene) => scene,
            None => support::skip!(Ok(()), "this machine has no unified cgroup tree"),
        }
    }};
}

pub(crate) use scene;

/// A file system in memory, mounted on a directory. Dropped, it is taken off.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn on(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let point = directory.to_str().context("a path without letters")?;
        support::run("mount", &["-t", "tmpfs", "chaosd-test", point])?;
        Ok(Self(directory.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let point = self.0.display().to_string();
        if let Err(error) = support::run("umount", &[&point]) {
            eprintln!("a mount is left over: {error:#}");
        }
    }
}

/// What dd says that it read and could not: `(bytes read, errors)`.
pub fn counted(said: &str) -> Result<(u64, u64)> {
    let mut errors = 0;
    let mut bytes = None;
    for line in said.lines() {
        if line.contains("error reading") {
            errors += 1;
        }
        // Said after each error, and at the end.
        if let Some((number, _)) = line.split_once(" byte") {
            bytes = number.trim().parse().ok();
        }
    }
    match bytes {
        Some(bytes) => Ok((bytes, errors)),
        None => bail!("dd does not say what it read: {said}"),
    }
}
