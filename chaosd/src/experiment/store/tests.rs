//! Runs that are kept, found, and let go.

use super::*;
use crate::experiment::{
    record::{Figure, Load},
    report::sample::record,
};
use std::time::{Duration, SystemTime};

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaosd-store-{}-{name}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }

    fn store(&self, most: usize) -> Store {
        let oldest = Duration::from_hours(1);
        Store::new(&self.0, Retention { most, oldest })
    }

    /// Makes a run look as if it was written so long ago.
    fn age(&self, id: &str, seconds: u64) {
        let file = File::open(self.0.join(id).join(RECORD)).expect("it was kept");
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).expect("it is ours");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn named(id: &str, started: &str) -> Record {
    Record {
        id: id.into(),
        started: started.into(),
        ..record()
    }
}

fn ids(store: &Store) -> Vec<String> {
    let (records, problems) = store.list().expect("it can be read");
    assert!(problems.is_empty(), "{problems:?}");
    records.into_iter().map(|record| record.id).collect()
}

#[test]
fn a_run_is_kept_as_four_files_and_found_again() {
    let place = Place::new("four");
    let store = place.store(10);
    let kept = store.keep(&record()).expect("there is room");
    assert_eq!(
        (kept.path.clone(), kept.problems.as_slice()),
        (place.0.join("x-0000000a"), &[][..])
    );
    let mut names: Vec<_> = fs::read_dir(&kept.path)
        .expect("it is there")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    names.sort();
    assert_eq!(names, [RESULTS, RECORD, PAGE, TICKET]);
    for word in ["x-0000000a", "x-0000000A", "x-0", "0000000a", "latest"] {
        let found = store
            .find(word)
            .unwrap_or_else(|error| panic!("{word}: {error}"));
        assert!(found.analysis.is_some(), "{word}");
    }
    let page = fs::read_to_string(kept.page()).expect("it was written");
    assert!(page.contains("The shop answers within 300 ms."));
}

#[test]
fn what_is_typed_wrong_is_answered_with_what_to_type() {
    let place = Place::new("typed");
    let store = place.store(10);
    let told = |word: &str| store.find(word).expect_err("nothing is meant").to_string();
    assert!(
        told("latest").contains("no run is kept"),
        "{}",
        told("latest")
    );
    assert!(told("x-1").contains("no run is kept"), "{}", told("x-1"));
    for id in ["x-12340000", "r-12345678"] {
        store
            .keep(&named(id, "2026-11-22T01:02:03Z"))
            .expect("there is room");
    }
    let both = told("1234");
    assert!(both.contains("r-12345678, x-12340000"), "{both}");
    let near = told("x-12340001");
    assert!(near.contains("did you mean `x-12340000`?"), "{near}");
    assert!(!told("nothing-like-it").contains("did you mean"));
    assert!(told("../x-12340000").contains("no run"));
    assert!(told("").contains("no run"));
}

#[test]
fn of_two_that_began_in_one_second_the_later_is_the_latest() {
    let place = Place::new("latest");
    let store = place.store(9);
    for (id, began) in [("r-00000002", "03.100Z"), ("r-00000001", "03.900Z")] {
        let record = named(id, &format!("2026-11-22T01:02:{began}"));
        store.keep(&record).expect("there is room");
    }
    assert_eq!(store.find("latest").expect("two are kept").id, "r-00000001");
}

#[test]
fn only_the_newest_stay() {
    let place = Place::new("newest");
    let store = place.store(2);
    for (n, id) in ["r-00000001", "r-00000002", "r-00000003"]
        .into_iter()
        .enumerate()
    {
        store
            .keep(&named(id, &format!("2026-11-22T01:02:0{n}Z")))
            .expect("there is room");
        place.age(id, 100 - 10 * n as u64);
    }
    assert_eq!(ids(&store), ["r-00000003", "r-00000002"]);
    // The new one stays though all others are newer by the clock.
    place.age("r-00000003", 4000);
    store
        .keep(&named("r-00000004", "2026-11-22T01:02:09Z"))
        .expect("there is room");
    assert_eq!(ids(&store), ["r-00000004", "r-00000002"]);
    let none = Store::new(
        &place.0,
        Retention {
            most: 0,
            oldest: Duration::ZERO,
        },
    );
    none.keep(&named("r-00000005", "2026-11-22T01:03:00Z"))
        .expect("there is room");
    assert_eq!(ids(&none), ["r-00000005"]);
}

#[test]
fn what_is_not_ours_stays() {
    let place = Place::new("ours");
    let store = place.store(1);
    store
        .keep(&named("r-00000001", "2026-11-22T01:02:03Z"))
        .expect("there is room");
    fs::write(place.0.join("r-00000001/notes.txt"), "mine").expect("it is ours");
    fs::create_dir(place.0.join("r-00000002")).expect("it is ours");
    fs::write(place.0.join("r-00000003"), "a file").expect("it is ours");
    fs::create_dir(place.0.join("holiday")).expect("it is ours");
    fs::write(place.0.join("holiday").join(RECORD), "{}").expect("it is ours");
    let elsewhere = Place::new("elsewhere");
    elsewhere
        .store(9)
        .keep(&named("r-00000004", "2026-11-22T01:02:03Z"))
        .expect("there is room");
    let target = elsewhere.0.join("r-00000004");
    std::os::unix::fs::symlink(&target, place.0.join("r-00000004")).expect("it is ours");
    // What a chaosd left that died in mid-write is ours.
    store
        .keep(&named("r-00000005", "2026-11-22T01:02:04Z"))
        .expect("there is room");
    fs::write(place.0.join("r-00000005/.report.md.123.fresh"), "half").expect("it is ours");
    let kept = store
        .keep(&named("r-00000006", "2026-11-22T01:02:05Z"))
        .expect("there is room");
    assert!(kept.problems.is_empty(), "{kept:?}");
    let there = |name: &str| place.0.join(name).exists();
    for name in [
        "r-00000001/record.json",
        "r-00000002",
        "r-00000003",
        "r-00000004",
        "holiday",
        "r-00000006",
    ] {
        assert!(there(name), "{name}");
    }
    assert!(target.join(RECORD).exists());
    assert!(!there("r-00000005"));
}

#[test]
fn what_a_dead_chaosd_left_goes_after_an_hour() {
    let place = Place::new("dead");
    let store = place.store(9);
    for id in ["r-00000001", "r-00000002"] {
        fs::create_dir_all(place.0.join(id)).expect("it is ours");
        fs::write(place.0.join(id).join(".record.json.123.fresh"), "half").expect("it is ours");
    }
    let old = File::open(place.0.join("r-00000001")).expect("it is ours");
    let then = SystemTime::now() - Duration::from_secs(4000);
    old.set_modified(then).expect("it is ours");
    store
        .keep(&named("r-00000003", "2026-11-22T01:02:03Z"))
        .expect("there is room");
    assert!(!place.0.join("r-00000001").exists());
    assert!(place.0.join("r-00000002").exists());
    assert_eq!(ids(&store), ["r-00000003"]);
}

#[test]
fn a_kept_record_can_be_read_again_whatever_a_load_tool_said() {
    let place = Place::new("again");
    let figure = |value| Figure {
        name: "latency".into(),
        value,
        unit: "ms".into(),
    };
    let load = Load {
        command: vec!["wrk".into()],
        begin: 0.0,
        end: 1.0,
        exit: Some(0),
        ended_by_us: None,
        tool: None,
        figures: vec![figure(f64::NAN), figure(f64::INFINITY), figure(3.0)],
        output: String::new(),
    };
    let record = Record {
        load: Some(load),
        ..record()
    };
    place.store(9).keep(&record).expect("there is room");
    let again = place.store(9).find("latest").expect("it was kept");
    assert_eq!(again.load.map(|load| load.figures), Some(vec![figure(3.0)]));
}

#[test]
fn what_cannot_be_written_leaves_nothing_and_says_why() {
    let place = Place::new("refused");
    fs::create_dir_all(&place.0).expect("it is ours");
    fs::write(place.0.join("x-0000000a"), "in the way").expect("it is ours");
    let told = place
        .store(9)
        .keep(&record())
        .expect_err("a file is in the way");
    assert!(told.to_string().contains("x-0000000a"), "{told}");
    for id in ["", "../up", "x-0000000g", "x-0000000a0", "inject"] {
        let refused = place.store(9).keep(&named(id, ""));
        assert!(matches!(refused, Err(StoreError::NotAnId(_))), "{id}");
    }
}

#[test]
fn a_place_is_tried_out_and_left_as_it_is() {
    let place = Place::new("tried");
    place.store(9).try_out().expect("it can be made");
    let left = fs::read_dir(&place.0).expect("it was made").count();
    assert_eq!(left, 0);
    fs::write(place.0.join("file"), "in the way").expect("it is ours");
    let refused = Store::new(place.0.join("file"), Retention::default()).try_out();
    let told = refused.expect_err("it is a file").to_string();
    assert!(told.contains("/file"), "{told}");
}

#[test]
fn a_record_that_is_none_is_told_from_a_later_one() {
    let place = Place::new("later");
    fs::create_dir_all(&place.0).expect("it is ours");
    let told = |text: &str| {
        let path = place.0.join("record.json");
        fs::write(&path, text).expect("it is ours");
        read(&path).expect_err("it is no record").to_string()
    };
    assert!(told("{}").contains("not a record"));
    assert!(told("nonsense").contains("not a record"));
    assert!(told(r#"{"schema": 99}"#).contains("form 99"));
}
