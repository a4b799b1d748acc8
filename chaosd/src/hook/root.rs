//! The root directory in which the hook is installed. Runtimes look in the machine's, which a container does
//! not see as its own; there they find no binary of ours either, so a copy goes along.
//!
//! Invariant: a copy that does not start there is not left there.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{chdir, chroot};

use super::{RegistrationError, Settled};

/// The root of the machine's first process, as whoever sees the machine's processes has it
/// (`proc_pid_root(5)`).
pub const MACHINES: &str = "/proc/1/root";
/// This program, wherever its file is.
const OWN: &str = "/proc/self/exe";

/// Whether our root directory is the machine's, as far as can be told: of a process that we may not look at,
/// it is not.
pub fn is_the_machines() -> bool {
    let inode = |path| fs::metadata(path).map(|dir| (dir.dev(), dir.ino()));
    match (inode("/"), inode(MACHINES)) {
        (Ok(own), Ok(first)) => own == first,
        _ => true,
    }
}

/// Another root directory that has become ours, for good: links in it lead where they lead there.
#[derive(Debug)]
pub struct Entered {
    own: File,
}

impl Entered {
    /// Goes there.
    pub fn new(root: &Path) -> Result<Self, RegistrationError> {
        let own = File::open(OWN).map_err(failed("open", Path::new(OWN)))?;
        let entered = chroot(root).and_then(|()| chdir("/"));
        entered.map_err(|error| failed("enter", root)(error.into()))?;
        Ok(Self { own })
    }

    /// Puts a copy of this binary there, which has been started once.
    pub fn copy(&mut self, to: &Path) -> Result<Settled, RegistrationError> {
        if self.is_at(to) {
            return Ok(Settled::Unchanged(to.to_owned()));
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).map_err(failed("make", directory))?;
        }
        let mut fresh = to.to_owned().into_os_string();
        fresh.push(format!(".{}.new", std::process::id()));
        let fresh = PathBuf::from(fresh);
        let copied = self
            .write(&fresh)
            .map_err(failed("write", &fresh))
            .and_then(|()| starts(&fresh))
            .and_then(|()| fs::rename(&fresh, to).map_err(failed("replace", to)));
        if let Err(error) = copied {
            fs::remove_file(&fresh).ok();
            return Err(error);
        }
        Ok(Settled::Changed(to.to_owned()))
    }

    fn is_at(&mut self, path: &Path) -> bool {
        let mut bytes = Vec::new();
        let read = self.own.rewind();
        let read = read.and_then(|()| self.own.read_to_end(&mut bytes));
        read.is_ok() && fs::read(path).is_ok_and(|there| there == bytes)
    }

    fn write(&mut self, path: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)?;
        self.own.rewind()?;
        io::copy(&mut self.own, &mut file)?;
        file.sync_all()
    }
}

/// Removes the copy, and what was made for it.
pub fn remove_copy(at: &Path) -> Result<Settled, RegistrationError> {
    match fs::remove_file(at) {
        Ok(()) => {
            // Those that others use stay.
            at.ancestors()
                .skip(1)
                .take(2)
                .take_while(|directory| fs::remove_dir(directory).is_ok())
                .for_each(drop);
            Ok(Settled::Changed(at.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Settled::Unchanged(at.to_owned()))
        }
        Err(error) => Err(failed("remove", at)(error)),
    }
}

fn starts(program: &Path) -> Result<(), RegistrationError> {
    let mut command = Command::new(program);
    // There need be no /dev/null in that root.
    let started = command.arg("--version").stdin(Stdio::inherit()).output();
    let why = match started {
        Ok(said) if said.status.success() => return Ok(()),
        Ok(said) => io::Error::other(String::from_utf8_lossy(&said.stderr).trim().to_owned()),
        Err(error) => error,
    };
    Err(RegistrationError::DoesNotStart {
        path: program.to_owned(),
        source: why,
    })
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistrationError {
    let path = path.to_owned();
    move |source| RegistrationError::Io { verb, path, source }
}
