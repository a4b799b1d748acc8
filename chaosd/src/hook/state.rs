//! The state of a container, as its runtime tells a hook on standard input.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Bytes of a state or a bundle's configuration that are read: the largest have some hundred thousand.
const MOST_BYTES: u64 = 16 << 20;

/// What a runtime says of a container (OCI runtime specification, "State").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct State {
    /// Names it among those of its runtime.
    pub id: String,
    /// Its first process, as the host numbers it; 0 when there is none any more.
    #[serde(default)]
    pub pid: i32,
    /// `creating`, `created`, `running` or `stopped`.
    #[serde(default)]
    pub status: String,
    /// The directory with its config.json.
    #[serde(default)]
    pub bundle: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// When in a container's life a hook is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has a process (`prestart`, `createRuntime`).
    Begins,
    /// It has none any more (`poststop`).
    Ends,
}

/// Why a state cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Standard input broke off.
    #[error("failed to read the container's state from standard input")]
    Read(#[source] io::Error),
    /// What came is something else.
    #[error(
        "what came on standard input is not the state of a container: `chaosd hook` is started by \
         container runtimes (`chaosd hook install` tells them to)"
    )]
    NotAState(#[source] serde_json::Error),
    /// No id.
    #[error("the container's state has no id")]
    NoId,
    /// The configuration of the bundle.
    #[error("failed to read the annotations of {}", path.display())]
    Bundle {
        /// Its config.json.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl State {
    /// Reads it to its end.
    pub fn read(from: impl Read) -> Result<Self, StateError> {
        let mut text = Vec::new();
        from.take(MOST_BYTES)
            .read_to_end(&mut text)
            .map_err(StateError::Read)?;
        let state: Self = serde_json::from_slice(&text).map_err(StateError::NotAState)?;
        if state.id.is_empty() {
            return Err(StateError::NoId);
        }
        Ok(state)
    }

    /// Which hook this is.
    pub fn moment(&self) -> Moment {
        if self.status == "stopped" || self.pid <= 0 {
            Moment::Ends
        } else {
            Moment::Begins
        }
    }

    /// The container's annotations; those of its bundle where the runtime leaves them out. A bundle that is
    /// gone has none.
    pub fn annotations(&self) -> Result<BTreeMap<String, String>, StateError> {
        if let Some(own) = &self.annotations
            && !own.is_empty()
        {
            return Ok(own.clone());
        }
        let path = Path::new(&self.bundle).join("config.json");
        let fail = |source| StateError::Bundle {
            path: path.clone(),
            source,
        };
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(MOST_BYTES).read_to_end(&mut text).map_err(fail)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(fail(error)),
        };
        let config: Config =
            serde_json::from_slice(&text).map_err(|error| fail(io::Error::other(error)))?;
        Ok(config.annotations.unwrap_or_default())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// crun 1.8.1 at createRuntime.
    const CRUN: &str = r#"{"ociVersion":"1.0","id":"shop","pid":4711,"root":"/r","bundle":"/b",
        "status":"created","annotations":{"chaosd.profile":"packet-loss"}}"#;
    /// runc 1.1.5 at poststop.
    const RUNC: &str = r#"{"ociVersion":"1.0.2-dev","id":"shop","status":"stopped","bundle":"/b"}"#;

    #[test]
    fn a_container_that_begins_is_told_from_one_that_ends() {
        let crun = State::read(CRUN.as_bytes()).unwrap();
        assert_eq!((crun.id.as_str(), crun.pid), ("shop", 4711));
        assert_eq!(crun.moment(), Moment::Begins);
        assert_eq!(crun.annotations().unwrap()["chaosd.profile"], "packet-loss");
        let runc = State::read(RUNC.as_bytes()).unwrap();
        assert_eq!(runc.moment(), Moment::Ends);
        let stopped = CRUN.replace("created", "stopped");
        assert_eq!(
            State::read(stopped.as_bytes()).unwrap().moment(),
            Moment::Ends
        );
    }

    #[test]
    fn annotations_come_from_the_bundle_where_the_state_has_none() {
        let bundle = std::env::temp_dir().join(format!("chaosd-bundle-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        let state = RUNC.replace("\"/b\"", &serde_json::to_string(&bundle).unwrap());
        let state = State::read(state.as_bytes()).unwrap();
        let none = state.annotations();
        let config = r#"{"ociVersion":"1.0.0","annotations":{"chaosd.profile":"x"}}"#;
        std::fs::write(bundle.join("config.json"), config).unwrap();
        let some = state.annotations();
        std::fs::write(bundle.join("config.json"), "{").unwrap();
        let broken = state.annotations();
        std::fs::remove_dir_all(&bundle).unwrap();
        assert!(none.unwrap().is_empty());
        assert_eq!(some.unwrap()["chaosd.profile"], "x");
        assert!(broken.unwrap_err().to_string().contains("config.json"));
    }

    #[test]
    fn what_is_no_state_is_told_with_what_to_do_instead() {
        for text in ["", "{", "[]", r#"{"id":7}"#, "hello"] {
            let told = State::read(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains("chaosd hook install"), "{text}: {told}");
        }
        let nameless = State::read(r#"{"id":""}"#.as_bytes());
        assert!(matches!(nameless, Err(StateError::NoId)));
    }
}
