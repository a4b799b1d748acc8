//! Kept runs: plain files that outlive chaosd and need none to be read.
//!
//! ```text
//! /var/lib/chaosd/runs/
//!   x-0123abcd/record.json   all that is known; the rest is made of it
//!              report.html  report.md  junit.xml
//!   in-force/r-0123abcd.json   a run that is not over yet
//! ```
//!
//! Invariant: a file is whole or not there: it is written beside its place, flushed, and moved there
//! (rename(2)). What goes by age or number is a directory with files of ours alone, or it stays.

mod error;
mod in_force;
mod retention;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    record::{Record, SCHEMA},
    report,
};
use crate::undo::chain;

pub use error::StoreError;
pub use retention::Retention;

/// Where runs are kept, unless somebody says otherwise.
pub const DEFAULT_RUNS_DIR: &str = "/var/lib/chaosd/runs";
/// The record; without it a directory is no run.
const RECORD: &str = "record.json";
const PAGE: &str = "report.html";
const TICKET: &str = "report.md";
const RESULTS: &str = "junit.xml";
/// All that we write.
const FILES: [&str; 4] = [RECORD, PAGE, TICKET, RESULTS];
/// Bytes that a short run's record takes.
const ROOM: usize = 64 << 10;
/// Ends the name of what is being written.
const FRESH: &str = ".fresh";
/// A larger file is no record: a week at ten samples a second is a tenth of it.
const MAX_BYTES: u64 = 1 << 30;

/// A directory of kept runs.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    retention: Retention,
}

/// A run that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its directory.
    pub path: PathBuf,
    /// What else went wrong, in one line each; the run is kept all the same.
    pub problems: Vec<String>,
}

impl Kept {
    /// Its page, or the record where there was no room for one.
    pub fn page(&self) -> PathBuf {
        let page = self.path.join(PAGE);
        if page.exists() {
            page
        } else {
            self.path.join(RECORD)
        }
    }
}

impl Store {
    /// Runs in `dir`, of which so many stay. Neither read nor made yet.
    pub fn new(dir: impl Into<PathBuf>, retention: Retention) -> Self {
        Self {
            dir: dir.into(),
            retention,
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fails when no run could be kept now: makes the directory, and writes and removes a file there.
    pub fn try_out(&self) -> Result<(), StoreError> {
        make(&self.dir)?;
        let name = format!(".room.{}{FRESH}", std::process::id());
        let path = self.dir.join(name);
        let tried = fs::write(&path, vec![0; ROOM]);
        fs::remove_file(&path).ok();
        tried.map_err(|source| StoreError::io("write", &path, source))
    }

    /// Writes a run, with its analysis, and lets old ones go. A run that is there already is replaced. It is
    /// kept when its record is: what cannot be made of that now can be made later, and is told as a problem.
    pub fn keep(&self, record: &Record) -> Result<Kept, StoreError> {
        let mut kept = self.rewrite(record)?;
        kept.problems
            .extend(self.retention.apply(&self.dir, &record.id));
        Ok(kept)
    }

    /// The same, and lets nothing go.
    pub fn rewrite(&self, record: &Record) -> Result<Kept, StoreError> {
        if !is_id(&record.id) {
            return Err(StoreError::NotAnId(record.id.clone()));
        }
        let mut record = record.clone().analysed();
        if let Some(load) = &mut record.load {
            // JSON has no word for what is no number, and the record could not be read again.
            load.figures.retain(|figure| figure.value.is_finite());
        }
        let path = self.dir.join(&record.id);
        make(&self.dir).and_then(|()| make(&path))?;
        let written = write_record(&path, &record);
        if written.is_err() {
            // Only when nothing came to be in it.
            fs::remove_dir(&path).ok();
        }
        written?;
        let unmade = write_forms(&path, &record).err();
        let problems = unmade.iter().map(|error| chain(error)).collect();
        Ok(Kept { path, problems })
    }

    /// The runs that are kept, newest first, and what could not be read.
    pub fn list(&self) -> Result<(Vec<Record>, Vec<StoreError>), StoreError> {
        let (mut records, mut problems) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            match read(&self.dir.join(&id).join(RECORD)) {
                Ok(record) => records.push(record),
                // It went meanwhile, or was never whole.
                Err(error) if error.is_missing() => {}
                Err(error) => problems.push(error),
            }
        }
        records.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.id.cmp(&a.id)));
        Ok((records, problems))
    }

    /// The run that `word` means: its id, a beginning that no other has, or `latest`.
    pub fn find(&self, word: &str) -> Result<Record, StoreError> {
        if word == "latest" {
            let (records, _) = self.list()?;
            let latest = records.into_iter().next();
            return latest.ok_or_else(|| StoreError::Empty(self.dir.clone()));
        }
        let ids = self.ids()?;
        let typed = word.trim_end_matches('/').to_lowercase();
        // Most people leave the first letter out.
        let means = |id: &&String| {
            id.starts_with(&typed) || id.get(2..).is_some_and(|id| id.starts_with(&typed))
        };
        let found: Vec<&String> = ids
            .iter()
            .filter(means)
            .filter(|_| !typed.is_empty())
            .collect();
        match found.as_slice() {
            [only] => read(&self.dir.join(only).join(RECORD)),
            [] if ids.is_empty() => Err(StoreError::Empty(self.dir.clone())),
            [] => Err(StoreError::Unknown {
                word: word.to_owned(),
                near: nearest(&typed, &ids),
                dir: self.dir.clone(),
            }),
            many => Err(StoreError::Ambiguous {
                word: word.to_owned(),
                candidates: many.iter().map(|id| (*id).clone()).collect(),
            }),
        }
    }

    fn ids(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::io("read", &self.dir, source)),
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names
            .filter(|name| is_id(name) && self.dir.join(name).join(RECORD).exists())
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// A record in a file of anybody's: `record.json`, or the directory with one.
pub fn read(path: &Path) -> Result<Record, StoreError> {
    let inside = path.join(RECORD);
    let path = if path.is_dir() {
        inside.as_path()
    } else {
        path
    };
    let failed = |source| StoreError::io("read", path, source);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(failed(io::Error::other("it is larger than any record")));
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let version = serde_json::from_str::<Version>(&text);
    if let Ok(Version { schema }) = version
        && schema > SCHEMA
    {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            schema,
        });
    }
    serde_json::from_str(&text).map_err(|source| StoreError::NotARecord {
        path: path.to_owned(),
        source,
    })
}

/// What every version of a record has.
#[derive(serde::Deserialize)]
struct Version {
    schema: u32,
}

/// `r-` or `x-` and eight hexadecimal digits.
fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix("r-").or_else(|| name.strip_prefix("x-"));
    let hexadecimal = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    digits.is_some_and(|digits| digits.len() == 8 && digits.chars().all(hexadecimal))
}

fn nearest(word: &str, ids: &[String]) -> Option<String> {
    let far = |id: &&String| strsim::osa_distance(word, id);
    let near = ids.iter().min_by_key(far)?;
    (far(&near) <= 4).then(|| near.clone())
}

/// It comes first: when the disk is full, it is what the rest can be made of.
fn write_record(dir: &Path, record: &Record) -> Result<(), StoreError> {
    let json = serde_json::to_string(record).map_err(|source| StoreError::NotARecord {
        path: dir.join(RECORD),
        source,
    })?;
    write(dir, RECORD, &json)?;
    flush(dir)
}

fn write_forms(dir: &Path, record: &Record) -> Result<(), StoreError> {
    write(dir, PAGE, &report::html(record))?;
    write(dir, TICKET, &report::markdown(record))?;
    write(dir, RESULTS, &report::junit(record))?;
    flush(dir)
}

fn flush(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| StoreError::io("flush", dir, source))
}

/// Two writers of one file never share what they write to.
fn write(dir: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let path = dir.join(name);
    let placed = place(&path, |file| {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    placed.map_err(|source| StoreError::io("write", &path, source))
}

/// A file with what `write` writes, whole or not there.
fn place(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().display();
    let fresh = path.with_file_name(format!(".{name}.{}{FRESH}", std::process::id()));
    let placed = File::create(&fresh)
        .and_then(|mut file| write(&mut file))
        .and_then(|()| fs::rename(&fresh, path));
    if placed.is_err() {
        fs::remove_file(&fresh).ok();
    }
    placed
}

/// Makes a directory with what leads to it. What runs did is nobody else's business where we choose the
/// place.
fn make(dir: &Path) -> Result<(), StoreError> {
    let ours = dir.starts_with(DEFAULT_RUNS_DIR);
    let mode = if ours { 0o750 } else { 0o777 };
    let created = fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    created.map_err(|source| StoreError::io("make", dir, source))
}

#[cfg(test)]
mod tests;
