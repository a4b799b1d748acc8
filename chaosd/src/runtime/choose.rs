//! Which of the containers that a runtime knows is meant by a name.

use super::{Member, RuntimeError};

/// A prefix of an id that is shorter fits by chance.
const MIN_PREFIX: usize = 2;

/// What a runtime answers when asked for a container.
#[derive(Debug)]
pub(super) enum Heard {
    /// That one.
    One(Box<Found>),
    /// Any of these, in words that tell them apart.
    Several(Vec<String>),
    /// Nobody; these are the names that it knows.
    Nobody(Vec<String>),
}

/// A container, or why it cannot be hit.
#[derive(Debug)]
pub(super) struct Found {
    /// The whole id, by which two runtimes are known to speak of the same container.
    pub(super) id: String,
    /// By its name, rather than by a prefix of its id.
    pub(super) named: bool,
    pub(super) member: Result<Member, RuntimeError>,
}

/// What a runtime lists of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The whole id.
    pub(super) id: String,
    /// Its names, the most telling first.
    pub(super) names: Vec<String>,
    /// It runs.
    pub(super) runs: bool,
}

/// What a name means among those listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// That one.
    One(&'a Listed),
    /// Any of these.
    Several(Vec<&'a Listed>),
    /// Nobody.
    None,
}

/// A name beats a prefix of an id, as with Docker; one that runs beats those that ended.
pub(super) fn choose<'a>(typed: &str, listed: &'a [Listed]) -> Choice<'a> {
    let named = |one: &&Listed| one.names.iter().any(|name| name == typed);
    let by_name: Vec<_> = listed.iter().filter(named).collect();
    if !by_name.is_empty() {
        return narrow(by_name);
    }
    if typed.len() < MIN_PREFIX {
        return Choice::None;
    }
    narrow(
        listed
            .iter()
            .filter(|one| one.id.starts_with(typed))
            .collect(),
    )
}

fn narrow(fit: Vec<&Listed>) -> Choice<'_> {
    let running: Vec<_> = fit.iter().copied().filter(|one| one.runs).collect();
    match (&fit[..], &running[..]) {
        ([], _) => Choice::None,
        ([one], _) | (_, [one]) => Choice::One(one),
        (_, []) => Choice::Several(fit),
        _ => Choice::Several(running),
    }
}

/// An id as people are shown it.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, name: &str, runs: bool) -> Listed {
        Listed {
            id: id.to_owned(),
            names: vec![name.to_owned()],
            runs,
        }
    }

    #[test]
    fn a_name_beats_a_prefix_and_one_that_runs_those_that_ended() {
        let all = [
            listed("abc1", "web", true),
            listed("abd2", "abc1", true),
            listed("ffff", "old", false),
            listed("ffee", "new", true),
        ];
        assert_eq!(choose("web", &all), Choice::One(&all[0]));
        assert_eq!(choose("abc1", &all), Choice::One(&all[1]));
        assert_eq!(choose("abd", &all), Choice::One(&all[1]));
        assert_eq!(choose("ab", &all), Choice::Several(vec![&all[0], &all[1]]));
        assert_eq!(choose("ff", &all), Choice::One(&all[3]));
        assert_eq!(choose("a", &all), Choice::None);
        assert_eq!(choose("", &all), Choice::None);
    }
}
