//! The errors that a system call returns, by name (`errno(3)`).

use std::{fmt, str::FromStr};

use nix::errno::Errno;
use serde::{Serialize, Serializer};

use crate::profile::{
    problem::{Mistake, quote},
    words,
};

/// Numbers above are the kernel's own, which no program is to see (include/linux/errno.h).
const LAST: i32 = 511;

/// An error that the C library has a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorName(Errno);

impl ErrorName {
    /// What a disk that is broken returns.
    pub const EIO: Self = Self(Errno::EIO);

    /// As the kernel numbers it: 1 to 511.
    pub fn number(self) -> i32 {
        self.0 as i32
    }

    fn all() -> impl Iterator<Item = Errno> {
        (1..=LAST)
            .map(Errno::from_raw)
            .filter(|errno| *errno != Errno::UnknownErrno)
    }
}

impl FromStr for ErrorName {
    type Err = Mistake;

    /// `EIO`, in any case.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let word = text.trim().to_ascii_uppercase();
        let called = |name: &str| Self::all().find(|errno| format!("{errno:?}") == name);
        if let Some(errno) = called(&word) {
            return Ok(Self(errno));
        }
        let bad = Mistake::new(format!(
            "{} is not the name of an error, such as EIO, ENOSPC, EROFS, EDQUOT or EACCES",
            quote(text)
        ));
        // Signs and letters that people leave out: `5`, `-5`, `nospc`.
        let number = word.trim_start_matches('-').parse::<i32>().ok();
        let meant = number
            .and_then(|number| Self::all().find(|errno| *errno as i32 == number))
            .or_else(|| called(&format!("E{word}")));
        if let Some(errno) = meant {
            return Err(bad.instead(format!("{errno:?}")));
        }
        let names: Vec<String> = Self::all()
            .map(|errno| format!("{errno:?}").to_ascii_lowercase())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Err(match words::nearest(&word, &names) {
            Some(near) => bad.instead(near.to_uppercase()),
            None => bad,
        })
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for ErrorName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_by_name_in_any_case() {
        for (text, number) in [
            ("EIO", libc::EIO),
            ("enospc", libc::ENOSPC),
            (" Erofs ", libc::EROFS),
            ("EDQUOT", libc::EDQUOT),
            ("eacces", libc::EACCES),
        ] {
            assert_eq!(
                text.parse::<ErrorName>().unwrap().number(),
                number,
                "{text}"
            );
        }
        assert_eq!(ErrorName::EIO.to_string(), "EIO");
    }

    #[test]
    fn a_bad_error_says_what_to_type() {
        for (text, instead) in [
            ("5", Some("EIO")),
            ("-28", Some("ENOSPC")),
            ("nospc", Some("ENOSPC")),
            ("EACCESS", Some("EACCES")),
            ("0", None),
            ("4096", None),
            ("disk is full", None),
        ] {
            let mistake = text.parse::<ErrorName>().unwrap_err();
            assert_eq!(mistake.instead.as_deref(), instead, "{text}");
        }
    }
}
