//! Notes of runs that are in force: what is left to tell of one whose daemon dies.
//!
//! ```text
//! /var/lib/chaosd/runs/in-force/r-0123abcd.json
//! ```
//!
//! A note has the process that sees to its run, and goes when that is over. One whose process has died becomes
//! a record.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Kept, RECORD, Store, StoreError, is_id, make, place};
use crate::{
    experiment::record::Record,
    instance::{Kind, Owner},
    report::{Ended, Phase, RunReport},
};

/// Where notes are: no name of a run.
const DIRECTORY: &str = "in-force";
const UNKNOWN: &str =
    "its daemon died while it was in force: what it did is told as it was known shortly before";

/// What is known of a run.
#[derive(Serialize, Deserialize)]
struct Note {
    owner: Owner,
    report: RunReport,
}

impl Store {
    /// Notes how a run of this daemon stands.
    pub fn note(&self, report: &RunReport) -> Result<(), StoreError> {
        let path = self.place_of_note(&report.id)?;
        let failed = |source| StoreError::io("write", &path, source);
        let owner = Owner::this(Some(Kind::Daemon)).map_err(failed)?;
        let note = Note {
            owner,
            report: report.clone(),
        };
        let json = serde_json::to_string(&note).map_err(|e| failed(e.into()))?;
        make(&self.dir.join(DIRECTORY))?;
        // Not flushed: what a loss of power takes away it takes from the machine too.
        place(&path, |file| io::Write::write_all(file, json.as_bytes())).map_err(failed)
    }

    /// It is over.
    pub fn forget(&self, id: &str) {
        if let Ok(path) = self.place_of_note(id) {
            // One that could not be written is not there.
            fs::remove_file(path).ok();
        }
    }

    /// Keeps the runs whose daemon has died, and returns them. `problems`: what of theirs could not be put
    /// back.
    pub fn keep_lost(&self, problems: &[String]) -> Result<Vec<Kept>, StoreError> {
        let place = self.dir.join(DIRECTORY);
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::io("read", &place, source)),
        };
        let mut kept = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let text = fs::read_to_string(&path);
            let Ok(note) = serde_json::from_str::<Note>(&text.unwrap_or_default()) else {
                continue;
            };
            if note.owner.is_alive() {
                continue;
            }
            // Whoever followed it may have kept it.
            if !self.dir.join(&note.report.id).join(RECORD).exists() {
                kept.push(self.keep(&Record::from(&lost(note.report, problems)))?);
            }
            fs::remove_file(&path).map_err(|source| StoreError::io("remove", &path, source))?;
        }
        Ok(kept)
    }

    fn place_of_note(&self, id: &str) -> Result<PathBuf, StoreError> {
        if is_id(id) {
            return Ok(self.dir.join(DIRECTORY).join(format!("{id}.json")));
        }
        Err(StoreError::NotAnId(id.to_owned()))
    }
}

fn lost(mut report: RunReport, problems: &[String]) -> RunReport {
    report.phase = if problems.is_empty() {
        Phase::Reverted
    } else {
        Phase::Failed
    };
    report.ended = Some(Ended::DaemonLost);
    report.problems.extend_from_slice(problems);
    report.notes.push(UNKNOWN.to_owned());
    report
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        experiment::{report::sample, store::Retention},
        report::Verdict,
    };

    #[test]
    fn a_note_becomes_a_record_when_its_process_is_dead_and_not_before() {
        let name = format!("chaosd-notes-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let store = Store::new(&dir, Retention::default());
        let report = sample::run("r-0000000a", &[("lossy", 1, 2, Verdict::Effective)]);
        assert!(store.keep_lost(&[]).unwrap().is_empty());
        store.note(&report).unwrap();
        let place = store.place_of_note(&report.id).unwrap();
        // It is ours, and we live.
        assert!(store.keep_lost(&[]).unwrap().is_empty() && place.is_file());
        let mut note: Note = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        note.owner.started += 1;
        fs::write(&place, serde_json::to_vec(&note).unwrap()).unwrap();
        let kept = store.keep_lost(&["a limit".to_owned()]).unwrap();
        assert!(kept.len() == 1 && !place.exists());
        let record = store.find("latest").unwrap();
        let run = record.stages[0].run.as_ref().unwrap();
        assert_eq!(
            (run.phase, run.ended),
            (Phase::Failed, Some(Ended::DaemonLost))
        );
        assert_eq!(record.problems, ["a limit"]);
        // What somebody has kept is not kept again, and what is over has no note.
        fs::write(&place, serde_json::to_vec(&note).unwrap()).unwrap();
        assert!(store.keep_lost(&[]).unwrap().is_empty() && !place.exists());
        store.note(&report).unwrap();
        store.forget(&report.id);
        assert!(!place.exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
