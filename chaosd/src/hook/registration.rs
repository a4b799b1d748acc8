//! The file by which podman and CRI-O find the hook (oci-hooks(5), schema 1.0.0).
//!
//! Invariant: a file that is not ours is neither replaced nor removed, and nobody ever reads half of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

/// How the file is called.
const FILE: &str = "chaosd.json";
/// What the hook is called in its own arguments, and how our file is told from others.
const ARGUMENTS: [&str; 2] = ["chaosd", "hook"];
/// When it is started: before the container's first process runs, and when the container is gone.
const STAGES: [&str; 2] = ["createRuntime", "poststop"];
/// The runtime is to give up later than the hook does, or a container is refused that was to start
/// without the fault.
const LATER: Duration = Duration::from_millis(500);

/// What the file says.
#[derive(Clone, Debug)]
pub struct Registration {
    /// This binary.
    pub program: PathBuf,
    /// The daemon's socket; `None`: where it is by default.
    pub socket: Option<PathBuf>,
    /// How long the hook takes at most; `None`: what it takes by default.
    pub within: Option<Duration>,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The file was written, or removed.
    Changed(PathBuf),
    /// It was like that before.
    Unchanged(PathBuf),
}

/// Why the file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Somebody else's.
    #[error("{} is not a file of chaosd's: move it away, or name another directory by --dir", .0.display())]
    Foreign(PathBuf),
    /// The runtimes' directories are made by them.
    #[error("failed to {verb} {}{}", path.display(), elsewhere(source))]
    Io {
        /// What we were doing.
        verb: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A copy of this binary.
    #[error(
        "{} does not start there, and was not installed: it must be static (`cargo xtask dist`), in a file \
         system that is not mounted noexec (--program names another place)",
        path.display()
    )]
    DoesNotStart {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn elsewhere(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; name a place that can be written by --dir or --program"
        }
        _ => "",
    }
}

impl Registration {
    /// `default_within`: how long the hook takes when nothing is said.
    pub fn document(&self, default_within: Duration) -> Value {
        let mut args: Vec<String> = ARGUMENTS.map(str::to_owned).into();
        if let Some(socket) = &self.socket {
            args.extend(["--socket".to_owned(), socket.display().to_string()]);
        }
        if let Some(within) = self.within {
            let within = humantime::format_duration(within).to_string();
            args.extend(["--within".to_owned(), within.replace(' ', "")]);
        }
        let timeout = (self.within.unwrap_or(default_within) + LATER).as_secs_f64();
        json!({
            "version": "1.0.0",
            "hook": {
                "path": self.program,
                "args": args,
                "timeout": whole(timeout),
            },
            // All of ours, so that a mistyped one is told of too.
            "when": { "annotations": { "^chaosd\\.": ".*" } },
            "stages": STAGES,
        })
    }

    /// Writes the file, whole or not at all.
    pub fn install(
        &self,
        directory: &Path,
        default_within: Duration,
    ) -> Result<Settled, RegistrationError> {
        let path = directory.join(FILE);
        let text = format!("{:#}\n", self.document(default_within));
        match read(&path)? {
            Found::Ours(old) if old == text => return Ok(Settled::Unchanged(path)),
            Found::Foreign => return Err(RegistrationError::Foreign(path)),
            Found::Ours(_) | Found::Nothing => {}
        }
        let fail = |verb, path: &Path| {
            let path = path.to_owned();
            move |source| RegistrationError::Io { verb, path, source }
        };
        fs::create_dir_all(directory).map_err(fail("make", directory))?;
        // Runtimes read what ends in .json.
        let fresh = directory.join(format!("{FILE}.{}.new", std::process::id()));
        let written = write(&fresh, &text)
            .map_err(fail("write", &fresh))
            .and_then(|()| fs::rename(&fresh, &path).map_err(fail("replace", &path)));
        if let Err(error) = written {
            fs::remove_file(&fresh).ok();
            return Err(error);
        }
        Ok(Settled::Changed(path))
    }

    /// Removes the file, if it is ours.
    pub fn uninstall(directory: &Path) -> Result<Settled, RegistrationError> {
        let path = directory.join(FILE);
        match read(&path)? {
            Found::Nothing => Ok(Settled::Unchanged(path)),
            Found::Foreign => Err(RegistrationError::Foreign(path)),
            Found::Ours(_) => match fs::remove_file(&path) {
                Ok(()) => Ok(Settled::Changed(path)),
                Err(source) => Err(RegistrationError::Io {
                    verb: "remove",
                    path,
                    source,
                }),
            },
        }
    }
}

enum Found {
    Nothing,
    Ours(String),
    Foreign,
}

fn read(path: &Path) -> Result<Found, RegistrationError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Foreign),
        Err(source) => {
            return Err(RegistrationError::Io {
                verb: "read",
                path: path.to_owned(),
                source,
            });
        }
    };
    let ours = serde_json::from_str::<Value>(&text).is_ok_and(|document| {
        let argument = |n: usize| document["hook"]["args"][n].as_str();
        [argument(0), argument(1)] == ARGUMENTS.map(Some)
    });
    Ok(if ours {
        Found::Ours(text)
    } else {
        Found::Foreign
    })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Seconds, rounded up: the schema takes whole ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few seconds; the cast saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_millis(1500);

    /// A directory that goes with the guard.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("chaosd-hooks-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            entries
                .map(|entry| name(entry).to_string_lossy().into_owned())
                .collect()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn registration() -> Registration {
        Registration {
            program: "/usr/bin/chaosd".into(),
            socket: None,
            within: None,
        }
    }

    #[test]
    fn the_file_is_what_the_schema_asks_for() {
        let document = registration().document(WITHIN);
        assert_eq!(document["version"], "1.0.0");
        assert_eq!(document["hook"]["path"], "/usr/bin/chaosd");
        assert_eq!(document["hook"]["args"], json!(["chaosd", "hook"]));
        assert_eq!(document["hook"]["timeout"], 2);
        assert_eq!(document["when"]["annotations"]["^chaosd\\."], ".*");
        assert_eq!(document["stages"], json!(["createRuntime", "poststop"]));
        let elsewhere = Registration {
            socket: Some("/run/x/s".into()),
            within: Some(Duration::from_secs(20)),
            ..registration()
        };
        let document = elsewhere.document(WITHIN);
        let args = ["chaosd", "hook", "--socket", "/run/x/s", "--within", "20s"];
        assert_eq!(document["hook"]["args"], json!(args));
        assert_eq!(document["hook"]["timeout"], 21);
    }

    #[test]
    fn it_is_written_once_changed_when_it_changes_and_removed_once() {
        let dir = Dir::new("once");
        let path = dir.0.join("below/chaosd.json");
        let below = dir.0.join("below");
        let install = |what: &Registration| what.install(&below, WITHIN).unwrap();
        assert_eq!(install(&registration()), Settled::Changed(path.clone()));
        assert_eq!(install(&registration()), Settled::Unchanged(path.clone()));
        let another = Registration {
            program: "/opt/chaosd".into(),
            ..registration()
        };
        assert_eq!(install(&another), Settled::Changed(path.clone()));
        assert!(fs::read_to_string(&path).unwrap().contains("/opt/chaosd"));
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
        let uninstall = || Registration::uninstall(&below).unwrap();
        assert_eq!(uninstall(), Settled::Changed(path.clone()));
        assert_eq!(uninstall(), Settled::Unchanged(path));
    }

    #[test]
    fn a_file_of_somebody_else_s_is_left_alone() {
        let dir = Dir::new("foreign");
        let theirs = r#"{"version":"1.0.0","hook":{"path":"/usr/bin/nvidia","args":["nvidia"]}}"#;
        for text in [theirs.as_bytes(), b"{", b"\xff\xfe"] {
            fs::write(dir.0.join(FILE), text).unwrap();
            let install = registration().install(&dir.0, WITHIN);
            let told = install.unwrap_err().to_string();
            assert!(told.contains("is not a file of chaosd's"), "{told}");
            let uninstall = Registration::uninstall(&dir.0);
            assert!(matches!(uninstall, Err(RegistrationError::Foreign(_))));
            assert_eq!(fs::read(dir.0.join(FILE)).unwrap(), text);
        }
        assert_eq!(dir.files(), [FILE]);
    }

    #[test]
    fn a_failure_leaves_nothing_half_written() {
        let dir = Dir::new("failure");
        fs::write(dir.0.join("file"), "").unwrap();
        let install = registration().install(&dir.0.join("file"), WITHIN);
        assert!(matches!(install, Err(RegistrationError::Io { .. })));
        assert_eq!(dir.files(), ["file"]);
    }
}
