//! Why a run cannot be kept or found.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::experiment::record::SCHEMA;

/// Why a run cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("failed to {verb} {}: there is no space left; free some, or keep runs elsewhere by --runs-dir", path.display())]
    Full {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// As the system says it.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("failed to {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says something else.
    #[error("{} is not a record of a run", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// A later chaosd wrote it.
    #[error("{} is a record of form {schema}, and this chaosd reads forms up to {SCHEMA}: read it with the chaosd that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        schema: u32,
    },
    /// Its name would be no directory of ours.
    #[error("{0:?} is no id of a run: r- or x- and eight hexadecimal digits")]
    NotAnId(String),
    /// Nothing is kept.
    #[error("no run is kept in {} yet: a run is kept when it ends; look elsewhere by --runs-dir", .0.display())]
    Empty(PathBuf),
    /// No run begins so.
    #[error("no run {word} is kept in {}{}; `chaosd report --list` shows those that are", dir.display(), suggestion(near.as_deref()))]
    Unknown {
        /// As typed.
        word: String,
        /// The run that is nearest.
        near: Option<String>,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Several do.
    #[error("{word} may be {}: say more of its id", candidates.join(", "))]
    Ambiguous {
        /// As typed.
        word: String,
        /// Those it may be.
        candidates: Vec<String>,
    },
}

fn suggestion(near: Option<&str>) -> String {
    near.map_or(String::new(), |near| format!(", did you mean `{near}`?"))
}

impl StoreError {
    pub(super) fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if full.contains(&source.kind()) {
            return Self::Full { verb, path, source };
        }
        Self::Io { verb, path, source }
    }

    /// There is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// It was typed wrong, rather than that the host refused.
    pub fn is_usage(&self) -> bool {
        self.is_missing()
            || matches!(
                self,
                Self::NotARecord { .. }
                    | Self::Newer { .. }
                    | Self::NotAnId(_)
                    | Self::Empty(_)
                    | Self::Unknown { .. }
                    | Self::Ambiguous { .. }
            )
    }
}
