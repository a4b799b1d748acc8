//! Undoes what a journal says, in a process that knows nothing else.

use std::path::Path;

use super::{Journal, read};
use crate::undo::{Failure, Outcome, RevertReport, System};

/// Undoes everything that the journal at `path` announces and does not say is undone, newest
/// first, to the end whatever fails. Then deletes it; with a failure it is kept, for another try.
pub fn replay(path: &Path, system: &dyn System) -> RevertReport {
    let mut report = RevertReport::default();
    let (mut journal, contents) = match Journal::reopen(path) {
        Ok(opened) => opened,
        Err(error) => {
            report.fail(
                format!("replay journal {}", path.display()),
                &error,
                format!("cat {}", path.display()),
            );
            return report;
        }
    };
    for (seq, undo) in contents.pending() {
        if let Ok(outcome) = report.revert(undo, system) {
            // Saves a second replay the work; on a full disk it does the work again.
            let _noted = journal.undone(seq, outcome);
        }
    }
    if contents.torn() {
        report.left_alone.push(format!(
            "the last record of {} is half written: what it announces was never done",
            path.display()
        ));
    }
    for damage in contents.lost() {
        report.failed.push(Failure {
            what: "undo what a damaged part of the journal told of".to_owned(),
            why: format!(
                "{} at byte {} of {}, {} bytes",
                damage.why,
                damage.offset,
                path.display(),
                damage.len
            ),
            by_hand: format!("cat {0}; rm {0}", path.display()),
        });
    }
    if report.is_clean()
        && let Err(error) = journal.end()
    {
        report.fail(
            format!("delete journal {}", path.display()),
            &error,
            format!("rm {}", path.display()),
        );
    }
    report
}

/// Disarms every plane that the journal at `path` names, undoes what acts by itself ([`crate::undo::Undo::acts`]),
/// and nothing else.
///
/// Nothing is written: the planes' owner may still live and write.
pub fn fence(path: &Path, system: &dyn System) -> RevertReport {
    let mut report = RevertReport::default();
    // A journal that vanished meanwhile was ended by its owner.
    let Ok(contents) = read(path) else {
        return report;
    };
    for (_, undo) in contents.pending() {
        if undo.acts() {
            let _told_by_the_report: Result<Outcome, _> = report.revert(undo, system);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use super::super::testing::{TempDir, begin};
    use super::*;
    use crate::undo::{Map, Undo, fake::Fake};

    const KEYS: [&str; 3] = ["net/a", "net/b", "net/c"];

    /// Three sysctls and a plane, changed and recorded.
    fn three(path: &Path, fake: &Fake) -> Journal {
        let mut journal = Journal::create(path, begin()).unwrap();
        for key in KEYS {
            fake.set(key, "ours");
            let undo = Undo::Sysctl(fake.sysctl(key, "prior", "ours"));
            let seq = journal.will(&undo).unwrap();
            journal.did(seq).unwrap();
        }
        fake.add_map(5);
        let name = "CONTROL".into();
        journal.will(&Undo::Map(Map { id: 5, name })).unwrap();
        journal
    }

    #[test]
    fn a_replay_undoes_all_newest_first_and_deletes_the_journal() {
        let (dir, fake) = (TempDir::new(), Fake::default());
        let path = dir.path().join("a.journal");
        let _writer = three(&path, &fake);
        let report = replay(&path, &fake);
        assert!(report.is_clean());
        assert!(report.undone[0].contains("CONTROL"), "{report:?}");
        assert!(report.undone[1].contains("net/c"), "{report:?}");
        for key in KEYS {
            assert_eq!(fake.get(key).unwrap(), "prior");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_torn_record_is_cut_off_and_the_rest_is_replayed() {
        let (dir, fake) = (TempDir::new(), Fake::default());
        let path = dir.path().join("a.journal");
        let _writer = three(&path, &fake);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(replay(&path, &fake).is_clean());
        assert_eq!(fake.get("net/a").unwrap(), "prior");
        assert!(fake.fenced().is_empty(), "its record was torn: never armed");
        assert!(!path.exists());
    }

    #[test]
    fn damage_in_the_middle_is_reported_and_the_rest_is_replayed() {
        let (dir, fake) = (TempDir::new(), Fake::default());
        let path = dir.path().join("a.journal");
        let _writer = three(&path, &fake);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(5).position(|w| w == b"net/b").unwrap();
        bytes[at] = b'!';
        fs::write(&path, &bytes).unwrap();
        let report = replay(&path, &fake);
        assert_eq!(report.failed.len(), 1, "{report:?}");
        assert_eq!(fake.get("net/a").unwrap(), "prior");
        assert_eq!(fake.get("net/b").unwrap(), "ours", "nobody knows of it");
        assert_eq!(fake.get("net/c").unwrap(), "prior");
        assert!(path.exists(), "kept for whoever looks into it");
    }

    #[test]
    fn a_failure_stops_nothing_and_the_next_replay_does_the_rest() {
        let (dir, fake) = (TempDir::new(), Fake::default());
        let path = dir.path().join("a.journal");
        let _writer = three(&path, &fake);
        fake.refuse_writes();
        let report = replay(&path, &fake);
        assert_eq!(report.failed.len(), 4, "{report:?}");
        assert!(path.exists());
        fake.mend();
        let report = replay(&path, &fake);
        assert_eq!((report.undone.len(), report.failed.len()), (4, 0));
        assert!(!path.exists());
    }

    #[test]
    fn a_fence_disarms_planes_and_writes_nothing() {
        let (dir, fake) = (TempDir::new(), Fake::default());
        let path = dir.path().join("a.journal");
        let _writer = three(&path, &fake);
        let before = fs::read(&path).unwrap();
        assert_eq!(fence(&path, &fake).undone.len(), 1);
        assert_eq!(fake.fenced(), [5]);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fake.get("net/a").unwrap(), "ours");
    }
}
