//! What became of each test, read from the lines that libtest prints.

use std::collections::BTreeMap;

use super::protocol::Say;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// It cannot run there, and why.
    Skipped(String),
}

/// A test's binary and name.
pub type Key = (String, String);

/// The results under one kernel, gathered line by line.
#[derive(Debug, Default)]
pub struct Results {
    pub outcomes: BTreeMap<Key, Outcome>,
    /// What went wrong besides tests.
    pub troubles: Vec<String>,
    /// Tests that passed only when they ran again, alone.
    pub again: Vec<Key>,
    /// The binaries that ended, and after how many seconds.
    pub times: Vec<(String, u64)>,
    binary: String,
    /// A test whose result comes on a later line: one at a time, libtest names it first.
    pending: Option<String>,
}

impl Results {
    /// Takes a line; returns whether a person should see it.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(say) = Say::read(line) {
            self.hear(say);
            return false;
        }
        let line = anstream::adapter::strip_str(line).to_string();
        let line = line.trim_end();
        if let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        {
            let name = name.trim_end_matches(" - should panic").to_owned();
            match outcome(result) {
                Some(outcome) => self.set(name, outcome),
                None => self.pending = Some(name),
            }
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ..."))
        {
            self.pending = Some(name.to_owned());
        } else if let Some(outcome) = outcome(line)
            && let Some(name) = self.pending.take()
        {
            self.set(name, outcome);
        }
        true
    }

    /// How many passed, failed and were skipped.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for outcome in self.outcomes.values() {
            match outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }

    /// The tests that failed, by their binaries.
    pub fn failed(&self) -> Vec<Key> {
        let failed = |(_, outcome): &(&Key, &Outcome)| **outcome == Outcome::Failed;
        let keys = self.outcomes.iter().filter(failed);
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Whether nothing failed and nothing else went wrong.
    pub fn are_good(&self) -> bool {
        self.troubles.is_empty() && self.counts().failed == 0
    }

    fn hear(&mut self, say: Say) {
        match say {
            Say::Begin { binary } => self.binary = binary,
            Say::Skip {
                binary,
                test,
                reason,
            } => {
                let outcome = self
                    .outcomes
                    .entry((binary, test))
                    .or_insert(Outcome::Passed);
                // A test may find out too late that it cannot run, and have failed.
                if *outcome != Outcome::Failed {
                    *outcome = Outcome::Skipped(reason);
                }
            }
            Say::End {
                binary,
                seconds,
                trouble,
            } => {
                if let Some(trouble) = trouble {
                    self.troubles.push(match self.pending.take() {
                        Some(test) => format!("{binary}: {trouble}, during {test}"),
                        None => format!("{binary}: {trouble}"),
                    });
                }
                self.times.push((binary, seconds));
            }
        }
    }

    fn set(&mut self, name: String, outcome: Outcome) {
        self.outcomes.insert((self.binary.clone(), name), outcome);
    }
}

/// The counts under one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

fn outcome(result: &str) -> Option<Outcome> {
    match result {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed),
        "ignored" => Some(Outcome::Skipped("ignored".to_owned())),
        _ => result
            .strip_prefix("ignored, ")
            .map(|why| Outcome::Skipped(why.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Outcome, Results};
    use crate::test::protocol::Say;

    fn read(lines: &[&str]) -> Results {
        let mut results = Results::default();
        let begin = Say::Begin {
            binary: "b".to_owned(),
        };
        results.read(&begin.line());
        for line in lines {
            results.read(line);
        }
        results
    }

    fn of<'a>(results: &'a Results, test: &str) -> Option<&'a Outcome> {
        results.outcomes.get(&("b".to_owned(), test.to_owned()))
    }

    #[test]
    fn each_tests_result_is_read() {
        let results = read(&[
            "running 3 tests",
            "test a::one ... ok",
            "test a::two ... \u{1b}[31mFAILED\u{1b}[0m",
            "test three - should panic ... ok",
            "test four ... ignored, too slow",
            "test a::one has been running for over 60 seconds",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
        ]);
        let counts = Counts {
            passed: 2,
            failed: 1,
            skipped: 1,
        };
        assert_eq!(results.counts(), counts);
        assert_eq!(of(&results, "three"), Some(&Outcome::Passed));
        assert!(!results.are_good());
    }

    #[test]
    fn a_result_after_what_the_test_printed_belongs_to_it() {
        let results = read(&[
            "test one ... printed by it",
            "more",
            "ok",
            "test two ... ",
            "FAILED",
        ]);
        assert_eq!(of(&results, "one"), Some(&Outcome::Passed));
        assert_eq!(of(&results, "two"), Some(&Outcome::Failed));
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let skip = Say::Skip {
            binary: "b".to_owned(),
            test: "one".to_owned(),
            reason: "no cgroups".to_owned(),
        };
        let results = read(&["test one ... ok", &skip.line()]);
        assert_eq!(
            results.counts().to_string(),
            "0 passed, 0 failed, 1 skipped"
        );
        assert!(results.are_good());
    }

    #[test]
    fn a_binary_that_dies_is_no_success() {
        let end = Say::End {
            binary: "b".to_owned(),
            seconds: 1,
            trouble: Some("signal: 11".to_owned()),
        };
        let results = read(&["test one ... ok", &end.line()]);
        assert_eq!(results.troubles, ["b: signal: 11"]);
        assert!(!results.are_good());
    }
}
