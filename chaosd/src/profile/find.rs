//! Finds the profile that a command line names: a file, or one that ships. The one place in
//! `profile` that reads from the machine.

use std::{
    io::{self, Read},
    path::Path,
};

use super::{shipped, tree::MAX_BYTES, words};
use crate::fault::KINDS;

/// Why no profile was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The file is there and cannot be read.
    #[error("failed to read the profile {path}")]
    Read {
        /// As named.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not text.
    #[error("the profile {path} is not UTF-8 text (byte {at})")]
    NotText {
        /// As named.
        path: String,
        /// Offset of the first bad byte.
        at: usize,
    },
    /// Larger than any profile.
    #[error("the profile {path} has more than {MAX_BYTES} bytes")]
    TooLarge {
        /// As named.
        path: String,
    },
    /// What `inject` takes.
    #[error("{0} is a fault, no profile: `chaosd inject {0} ...`, `chaosd plan inject {0} ...`")]
    Fault(String),
    /// Neither a file nor a shipped profile.
    #[error("no profile {name}: neither a file nor one that ships ({}){}", valid.join(", "), suggestion(*near))]
    Unknown {
        /// As named.
        name: String,
        /// The shipped ones.
        valid: Vec<&'static str>,
        /// The nearest of them.
        near: Option<&'static str>,
    },
}

fn suggestion(near: Option<&str>) -> String {
    near.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// The name and text of a profile: the file of that path, or else the shipped profile of that
/// name. The name of a file is its path.
pub fn find(name_or_path: &str) -> Result<(String, String), FindError> {
    let path = Path::new(name_or_path);
    let shipped = shipped();
    let ships = || shipped.iter().find(|s| s.name == name_or_path);
    let found = |s: &super::Shipped| (s.name.to_owned(), s.text.to_owned());
    // A directory of the same name is no profile.
    if path.is_dir()
        && let Some(s) = ships()
    {
        return Ok(found(s));
    }
    let read_error = |source| FindError::Read {
        path: name_or_path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            if let Some(s) = ships() {
                return Ok(found(s));
            }
            if name_or_path.contains('/') {
                return Err(read_error(error));
            }
            if KINDS.contains(&name_or_path) {
                return Err(FindError::Fault(name_or_path.to_owned()));
            }
            let valid: Vec<_> = shipped.iter().map(|s| s.name).collect();
            return Err(FindError::Unknown {
                name: name_or_path.to_owned(),
                near: words::nearest(name_or_path, &valid),
                valid,
            });
        }
        Err(error) => return Err(read_error(error)),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    if bytes.len() > MAX_BYTES {
        return Err(FindError::TooLarge {
            path: name_or_path.to_owned(),
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| FindError::NotText {
        path: name_or_path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    Ok((name_or_path.to_owned(), text))
}
