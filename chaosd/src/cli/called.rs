//! Runs by their names: a script that begins a run need not carry its id to the step that ends it.

use crate::report::{Phase, RunReport};

const LONGEST: usize = 64;

/// A name that somebody gives a run. It cannot be taken for an id or for a process id.
pub(super) fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(good) {
        return Err(format!("write up to {LONGEST} letters, digits, -, _ and ."));
    }
    if is_id(text) {
        return Err("this would be taken for an id: begin with another letter".to_owned());
    }
    Ok(text.to_owned())
}

/// True of what names one run or process for good (`r-0123abcd`, `x-0123abcd`, `812`), whether there
/// is one or not.
pub(super) fn is_id(text: &str) -> bool {
    text.starts_with("r-") || text.starts_with("x-") || text.bytes().all(|b| b.is_ascii_digit())
}

/// The runs that an id or a name means: of a name those that are not over, else the last of them.
/// `runs`: those alive, then those over, newest first.
pub(super) fn find<'r>(runs: &'r [RunReport], wanted: &str) -> Vec<&'r RunReport> {
    if is_id(wanted) {
        return runs.iter().filter(|run| run.id == wanted).collect();
    }
    let named = || runs.iter().filter(|run| run.profile == wanted);
    let alive: Vec<_> = named().filter(|run| is_alive(run)).collect();
    if alive.is_empty() {
        return named().take(1).collect();
    }
    alive
}

/// True until everything is as before, or never will be.
pub(super) fn is_alive(run: &RunReport) -> bool {
    matches!(run.phase, Phase::Armed | Phase::Draining)
}

/// What there is instead of what was not found.
pub(super) fn known(runs: &[RunReport]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.profile.as_str()) {
            names.push(&run.profile);
        }
    }
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::report::sample;

    fn run(id: &str, name: &str, phase: Phase) -> RunReport {
        RunReport {
            profile: name.to_owned(),
            phase,
            ..sample::run(id, &[])
        }
    }

    #[test]
    fn a_name_means_the_runs_that_are_not_over_or_else_the_last() {
        let runs = [
            run("r-00000005", "shop", Phase::Armed),
            run("r-00000004", "shop", Phase::Draining),
            run("r-00000003", "shop", Phase::Reverted),
            run("r-00000002", "db", Phase::Reverted),
            run("r-00000001", "db", Phase::Failed),
        ];
        let ids = |wanted| -> Vec<&str> {
            find(&runs, wanted)
                .iter()
                .map(|run| run.id.as_str())
                .collect()
        };
        assert_eq!(ids("shop"), ["r-00000005", "r-00000004"]);
        assert_eq!(ids("db"), ["r-00000002"]);
        assert_eq!(ids("r-00000001"), ["r-00000001"]);
        assert!(ids("nobody").is_empty());
        assert_eq!(known(&runs), "shop, db");
    }

    #[test]
    fn a_name_is_never_taken_for_an_id() {
        for good in ["shop", "lossy-db.1", "r", "R-1", "812a"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", "r-shop", "x-1", "812", "a b", "a/b", "é"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name(&"a".repeat(65)).is_err());
    }
}
