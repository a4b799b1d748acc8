//! What is wrong with a profile, where, and what to type instead.
//!
//! Every check reports here and goes on, so that the user sees all problems at once.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More problems than this are counted, not listed: the first ones explain the rest.
const MOST: usize = 100;
/// A quoted word is cut after this many characters.
const LONGEST_QUOTE: usize = 60;

/// One thing wrong with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where it was typed: the profile's name or a flag (`--rate`).
    pub origin: String,
    /// Line of the profile, from 1.
    pub line: Option<u32>,
    /// Column in characters, from 1.
    pub column: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// The words to type instead, when they are known.
    pub instead: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        for n in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{n}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.instead {
            Some(instead) => write!(f, "; did you mean `{instead}`?"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with what was asked, by position; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What is wrong with one word, before it is known where the word stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub what: String,
    /// The words to type instead, when they are known.
    pub instead: Option<String>,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            instead: None,
        }
    }

    pub(super) fn instead(self, instead: impl Into<String>) -> Self {
        Self {
            instead: Some(instead.into()),
            ..self
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.instead {
            Some(instead) => write!(f, "; did you mean `{instead}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mistake {}

/// Where a word was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) origin: Arc<str>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
}

impl Place {
    /// A flag: it has no line.
    pub(super) fn flag(name: &str) -> Self {
        Self {
            origin: name.into(),
            line: None,
            column: None,
        }
    }
}

/// Collects problems.
#[derive(Debug, Default)]
pub(super) struct Found {
    list: Vec<Problem>,
    more: usize,
}

impl Found {
    pub(super) fn add(&mut self, at: &Place, mistake: Mistake) {
        if self.list.len() == MOST {
            self.more += 1;
            return;
        }
        self.list.push(Problem {
            origin: at.origin.to_string(),
            line: at.line,
            column: at.column,
            what: mistake.what,
            instead: mistake.instead,
        });
    }

    pub(super) fn say(&mut self, at: &Place, what: impl Into<String>) {
        self.add(at, Mistake::new(what));
    }

    /// The value of a good word; a bad one is reported.
    pub(super) fn keep<T>(&mut self, at: &Place, result: Result<T, Mistake>) -> Option<T> {
        result.map_err(|mistake| self.add(at, mistake)).ok()
    }

    /// The problems of a part that was checked for itself, but for those that are known. `when`: in
    /// which case they are problems.
    pub(super) fn adopt(&mut self, when: &str, other: Self) {
        self.more += other.more;
        for problem in other.list {
            if self.list.contains(&problem) {
                continue;
            }
            if self.list.len() == MOST {
                self.more += 1;
                continue;
            }
            let what = format!("{when}{}", problem.what);
            self.list.push(Problem { what, ..problem });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorted by position; flags first.
    pub(super) fn into_problems(mut self) -> Problems {
        self.list.sort_by_key(|p| (p.line, p.column));
        if let (1.., Some(last)) = (self.more, self.list.last()) {
            let origin = last.origin.clone();
            self.list.push(Problem {
                origin,
                line: None,
                column: None,
                what: format!("{} more problems", self.more),
                instead: None,
            });
        }
        Problems(self.list)
    }
}

/// A word of the user's in backticks: cut when long, control characters escaped, because it may
/// come from anywhere and goes to a terminal.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST_QUOTE {
            quoted.push('…');
            break;
        }
        if c.is_control() {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}
