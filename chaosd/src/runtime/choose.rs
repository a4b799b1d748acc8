//! Which of the containers that a runtime knows is meant by a name.

use super::{Member, RuntimeError, placing::is_drawn};

/// A prefix of an id that is shorter fits by chance.
pub(super) const MIN_PREFIX: usize = 2;

/// What a runtime answers when asked for a container.
#[derive(Debug)]
pub(super) enum Heard {
    /// That one.
    One(Box<Found>),
    /// Any of these.
    Several(Vec<Candidate>),
    /// Nobody; these are the names that it knows.
    Nobody(Vec<String>),
}

/// A container, or why it cannot be hit.
#[derive(Debug)]
pub(super) struct Found {
    /// The whole id, by which two runtimes are known to speak of the same container.
    pub(super) id: String,
    /// By its name or its whole id, rather than by a prefix of that.
    pub(super) named: bool,
    pub(super) member: Result<Member, RuntimeError>,
}

impl Found {
    fn pid(&self) -> Option<i32> {
        self.member.as_ref().ok()?.pid
    }
}

/// One of several that a name may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    id: String,
    /// In words that tell it apart.
    pub(super) label: String,
}

impl Candidate {
    pub(super) fn new(id: &str, label: String) -> Self {
        let id = id.to_owned();
        Self { id, label }
    }
}

/// Each container once, as the first says who knows that it runs, else the first who knows it: a name that
/// somebody gave may be two containers' that are nothing to each other, of two runtimes or of two of
/// containerd's namespaces.
pub(super) fn once(all: Vec<Found>) -> Vec<Found> {
    let mut known: Vec<Found> = Vec::new();
    for one in all {
        let same = |other: &&mut Found| {
            other.id == one.id && (is_drawn(&one.id) || other.pid() == one.pid())
        };
        match known.iter_mut().find(same) {
            Some(known) => {
                known.named |= one.named;
                if known.member.is_err() {
                    known.member = one.member;
                }
            }
            None => known.push(one),
        }
    }
    known
}

/// The same for those that a name may mean.
pub(super) fn once_each(all: Vec<Candidate>) -> Vec<Candidate> {
    let mut known: Vec<Candidate> = Vec::new();
    for one in all {
        let same = |other: &Candidate| *other == one || is_drawn(&one.id) && other.id == one.id;
        if !known.iter().any(same) {
            known.push(one);
        }
    }
    known
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

impl Listed {
    /// That is its whole id, or a name of its.
    pub(super) fn is_called(&self, typed: &str) -> bool {
        self.id == typed || self.names.iter().any(|name| name == typed)
    }
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

/// A name of its own, or the beginning of what is drawn by whoever manages many.
pub(super) fn shown(id: &str) -> &str {
    if is_drawn(id) { short(id) } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, runtime: &str, pid: i32) -> Found {
        Found {
            id: id.to_owned(),
            named: runtime == "docker",
            member: Ok(Member {
                runtime: runtime.to_owned(),
                pid: Some(pid),
                ..Member::default()
            }),
        }
    }

    #[test]
    fn a_container_that_two_know_is_one_and_two_of_one_name_are_two() {
        let id = "3f2a4b5c".repeat(8);
        let all = vec![
            found(&id, "cri-o", 7),
            found(&id, "docker", 7),
            found("web", "containerd", 8),
            found("web", "crun", 9),
            found("web", "runc", 8),
        ];
        let once = once(all);
        let left: Vec<_> = once
            .iter()
            .map(|one| {
                (
                    one.member.as_ref().map(|m| m.runtime.as_str()).ok(),
                    one.named,
                )
            })
            .collect();
        let expected = [("cri-o", true), ("containerd", false), ("crun", false)];
        assert_eq!(left, expected.map(|(name, named)| (Some(name), named)));
        // Whoever could not place it says nothing against one who could.
        let failed = Found {
            member: Err(RuntimeError::Ended {
                label: String::new(),
            }),
            ..found(&id, "cri-o", 7)
        };
        let left = super::once(vec![failed, found(&id, "docker", 7)]);
        let runs = |one: &Found| one.member.as_ref().is_ok_and(|m| m.runtime == "docker");
        assert!(left.len() == 1 && runs(&left[0]), "{left:?}");

        let candidate = |id: &str, label: &str| Candidate::new(id, label.to_owned());
        let all = vec![
            candidate(&id, "pod"),
            candidate("web", "a/web"),
            candidate(&id, "docker"),
            candidate("web", "b/web"),
        ];
        assert_eq!(once_each(all.clone()), [&all[..2], &all[3..]].concat());
    }

    #[test]
    fn a_name_is_shown_whole_and_what_is_drawn_is_not() {
        assert_eq!(shown("hook-one-crun-189"), "hook-one-crun-189");
        assert_eq!(shown(&"3f2a4b5c".repeat(8)), "3f2a4b5c3f2a");
    }

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
