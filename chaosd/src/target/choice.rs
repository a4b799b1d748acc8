//! Whom of those that answer to a name a run hits: the blast radius.
//!
//! Invariant: the same seed draws the same ones, whoever else has come or gone meanwhile.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use chaosd_ebpf::{STEP, mix};

use crate::{
    profile::{Choice, Named, Part, Pattern, units::Percent},
    runtime::Member,
};

use super::TargetError;

/// Those that answer, parted.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// Who is hit.
    pub hit: Vec<Member>,
    /// Who is not, and why.
    pub spared: Vec<Spared>,
}

/// One that answers and is not hit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spared {
    /// Who.
    pub label: String,
    /// As it was found.
    #[serde(skip)]
    pub member: Member,
    /// Why.
    pub why: Why,
}

/// Why one is spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// `exclude` names it.
    Excluded,
    /// `count` or `percent` is less than all, and others were drawn.
    NotDrawn,
    /// It shares its cgroup with one that is hit, so that both are.
    HitWithAnother,
    /// No fault hits it, and why.
    #[serde(untagged)]
    Vital(&'static str),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Excluded => "excluded",
            Self::NotDrawn => "not drawn",
            Self::HitWithAnother => "hit with another of its cgroup",
            Self::Vital(why) => why,
        })
    }
}

impl Chosen {
    /// Adds one that is spared.
    pub fn spare(&mut self, member: Member, why: Why) {
        self.spared.push(Spared {
            label: member.label.clone(),
            member,
            why,
        });
    }
}

/// Draws, by the seed. Of all that answer, at least one is hit, unless all are excluded.
pub(super) fn choose(all: Vec<Member>, choice: &Choice, seed: u64) -> Chosen {
    let mut chosen = Chosen::default();
    let mut drawn = Vec::new();
    let idle = choice.exclude.iter();
    let idle: Vec<String> = idle
        .filter(|pattern| !all.iter().any(|member| excludes(pattern, member)))
        .map(|pattern| {
            format!("`exclude: {pattern}` (--target-exclude) spares none of those that answer")
        })
        .collect();
    for member in all {
        if is_excluded(&member, choice) {
            chosen.spare(member, Why::Excluded);
        } else {
            drawn.push(member);
        }
    }
    let wanted = match choice.some {
        None => drawn.len(),
        Some(Part::Count(count)) => usize::try_from(count.get()).unwrap_or(usize::MAX),
        Some(Part::Percent(percent)) => share(percent, drawn.len()),
    };
    drawn.sort_by_cached_key(|member| (lot(&member.id, seed), member.id.clone()));
    let mut rest = drawn.split_off(wanted.min(drawn.len()));
    drawn.sort_by(|a, b| a.label.cmp(&b.label));
    rest.sort_by(|a, b| a.label.cmp(&b.label));
    for member in &mut drawn {
        member.notes.extend(idle.iter().cloned());
    }
    chosen.hit = drawn;
    for member in rest {
        chosen.spare(member, Why::NotDrawn);
    }
    chosen
}

/// Who was told apart before, by the ids of members, and how many may be hit.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    /// Those that are hit, or were.
    pub drawn: HashSet<String>,
    /// Those that are never to be.
    pub spared: HashSet<String>,
    /// Those that are hit with another, and the cgroups by which they are.
    pub covered: HashMap<String, Vec<PathBuf>>,
    /// How many were hit at first: where only some are to be, never more.
    pub many: usize,
}

/// Who is there when it is looked again. Whoever was spared is nowhere in it.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Those that were drawn, each as it is now.
    pub seated: Vec<Member>,
    /// Those that may take a seat, the first who can.
    pub new: Vec<Member>,
    /// How many seats are free.
    pub vacant: usize,
    /// How many more may be hit of those that answer.
    pub room: usize,
    /// Those that are hit with another as they were before.
    pub covered: HashSet<String>,
    /// Those that `exclude` names.
    pub excluded: Vec<Member>,
}

/// Who takes the seats when it is looked again: those that were drawn; of those that are new any, where
/// all are hit, else as many as answer no more of those that were hit before. A name that means one means
/// that one for good: whoever answers to it in its absence is somebody else.
/// `most`: the largest share of those that answer.
pub(super) fn again(all: Vec<Member>, named: &Named, seats: &Seats, most: Percent) -> Now {
    let allowed = share(most, all.len());
    let mut now = Now::default();
    for member in all {
        let id = &member.id;
        if is_excluded(&member, &named.choice) {
            now.excluded.push(member);
        } else if seats.covered.get(id) == Some(&member.cgroups) {
            now.covered.insert(member.id);
        } else if seats.drawn.contains(id) {
            now.seated.push(member);
        } else if !seats.spared.contains(id) {
            now.new.push(member);
        }
    }
    now.vacant = match named.choice.some {
        _ if !named.asked.is_open() => 0,
        None => now.new.len(),
        Some(_) => seats.many.saturating_sub(now.seated.len()),
    };
    let hit = now.seated.len() + now.covered.len();
    now.room = allowed.saturating_sub(hit);
    now
}

/// Refuses to hit a larger share of those that answer than the host's configuration allows.
pub(super) fn check_share(
    asked: &impl std::fmt::Display,
    hit: usize,
    of: usize,
    most: Percent,
) -> Result<(), TargetError> {
    if is_allowed(hit, of, most) {
        return Ok(());
    }
    let allowed = share(most, of);
    Err(TargetError::TooMany {
        asked: asked.to_string(),
        hit,
        of,
        most: most.get(),
        allowed,
    })
}

/// Whether so many of those that answer may be hit.
pub fn is_allowed(hit: usize, of: usize, most: Percent) -> bool {
    hit <= share(most, of)
}

/// Rounded down, but at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few thousand, from 0 to all of them"
)]
fn share(percent: Percent, of: usize) -> usize {
    ((percent.get() / 100.0 * of as f64 + 1e-9) as usize).clamp(1, of.max(1))
}

/// By any of its names.
fn is_excluded(member: &Member, choice: &Choice) -> bool {
    let mut patterns = choice.exclude.iter();
    patterns.any(|pattern| excludes(pattern, member))
}

fn excludes(pattern: &Pattern, member: &Member) -> bool {
    let called = member.label.split(' ').nth(1).unwrap_or_default();
    let mut names = parts(&member.id).chain(parts(called));
    names.any(|name| pattern.fits(name))
}

/// What people may call one of a full name, such as `shop/web-0/app`: that, and any parts of it that follow each
/// other, for its pod's name and its namespace's are parts of it.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let begins = std::iter::once(0).chain(name.match_indices('/').map(|(at, _)| at + 1));
    begins.flat_map(|begin| {
        let rest = &name[begin..];
        let ends = rest.match_indices('/').map(|(at, _)| at);
        ends.chain([rest.len()]).map(|end| &rest[..end])
    })
}

/// A number that a seed gives to an id, alike for ever.
fn lot(id: &str, seed: u64) -> u64 {
    id.bytes().fold(mix(seed.wrapping_add(STEP)), |lot, byte| {
        mix((lot ^ u64::from(byte)).wrapping_add(STEP))
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::profile::Asked;

    fn members(count: usize) -> Vec<Member> {
        (0..count)
            .map(|n| Member {
                id: format!("web-{n}"),
                label: format!("process web-{n}"),
                ..Member::default()
            })
            .collect()
    }

    fn named(text: &str) -> Named {
        let profile =
            format!("version: 1\nfaults: [drop: 1%]\ntarget: {{process: {{name: web}}, {text}}}");
        let profile =
            crate::profile::load("a", &profile, &crate::profile::Overrides::default()).unwrap();
        let crate::profile::Whom::Named(named) = profile.target else {
            panic!("not named");
        };
        named
    }

    fn choice(text: &str) -> Choice {
        named(text).choice
    }

    fn hit(count: usize, text: &str, seed: u64) -> Vec<String> {
        let chosen = choose(members(count), &choice(text), seed);
        assert_eq!(chosen.hit.len() + chosen.spared.len(), count);
        chosen.hit.into_iter().map(|member| member.id).collect()
    }

    #[test]
    fn so_many_are_hit_and_at_least_one() {
        let asked = [
            ("count: 3", 3),
            ("count: 99", 10),
            ("percent: 25%", 2),
            ("percent: 1%", 1),
        ];
        for (text, wanted) in asked {
            assert_eq!(hit(10, text, 7).len(), wanted, "{text}");
        }
    }

    #[test]
    fn a_seed_draws_alike_though_others_come_and_go() {
        let first = hit(10, "count: 3", 7);
        assert_eq!(first, hit(10, "count: 3", 7));
        assert_ne!(first, hit(10, "count: 3", 8));
        let more = hit(11, "count: 3", 7);
        assert!(first.iter().filter(|id| more.contains(id)).count() >= 2);
    }

    #[test]
    fn every_one_is_drawn_by_some_seed_alike_often() {
        let mut times = [0_u32; 5];
        for seed in 0..5000 {
            let id = hit(5, "count: 1", seed).remove(0);
            let n: usize = id.trim_start_matches("web-").parse().unwrap();
            times[n] += 1;
        }
        // 1,000 each, and four standard deviations of 28.
        assert!(times.iter().all(|n| n.abs_diff(1000) < 113), "{times:?}");
    }

    #[test]
    fn the_excluded_are_never_drawn() {
        let ids = hit(3, "exclude: ['web-1', 'x*']", 7);
        assert_eq!(ids, ["web-0", "web-2"]);
        assert!(hit(3, "exclude: 'web-*'", 7).is_empty());
    }

    #[test]
    fn one_is_excluded_by_every_name_that_a_target_takes_for_it() {
        let excludes = |pattern: &str| {
            let pod = |name: &str| Member {
                id: format!("shop/{name}/app"),
                label: format!("container shop/{name}/app (containerd 3f2a4b5c6d7e)"),
                ..Member::default()
            };
            let pods = vec![pod("web-canary"), pod("web-0")];
            let chosen = choose(pods, &choice(&format!("exclude: '{pattern}'")), 7);
            chosen.spared.len()
        };
        for pattern in [
            "*-canary",
            "web-canary",
            "web-canary/app",
            "shop/web-canary",
            "shop/web-canary/app",
        ] {
            assert_eq!(excludes(pattern), 1, "{pattern}");
        }
        for pattern in ["app", "shop", "*"] {
            assert_eq!(excludes(pattern), 2, "{pattern}");
        }
        for pattern in ["canary", "web", "hop/web-0"] {
            assert_eq!(excludes(pattern), 0, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_spares_nobody_is_told_of() {
        let chosen = choose(members(2), &choice("exclude: ['web-1', 'wbe-0']"), 7);
        let told = "`exclude: wbe-0` (--target-exclude) spares none of those that answer";
        assert_eq!(chosen.hit[0].notes, [told]);
    }

    #[test]
    fn who_was_drawn_keeps_its_seat_and_who_was_spared_never_gets_one() {
        let ids = |ids: &[&str]| -> HashSet<String> { ids.iter().map(|id| (*id).into()).collect() };
        let seated = |text: &str, drawn: &[&str], spared: &[&str]| -> Vec<String> {
            let seats = Seats {
                drawn: ids(drawn),
                spared: ids(spared),
                many: 1,
                ..Seats::default()
            };
            sit(again(members(4), &named(text), &seats, Percent::ALL))
        };
        let (one, others) = (["web-1"], ["web-0", "web-2"]);
        assert_eq!(seated("count: 1", &one, &others), ["web-1"]);
        assert_eq!(seated("count: 1", &["web-9"], &others), ["web-1"], "gone");
        assert_eq!(
            seated("exclude: x", &one, &others),
            ["web-1", "web-3"],
            "all"
        );
        assert_eq!(seated("exclude: web-3", &one, &others), ["web-1"]);
        // Of two that came for one that is gone, one is hit.
        let (gone, first) = (["web-9"], ["web-9", "web-1"]);
        assert_eq!(seated("count: 1", &gone, &["web-0"]), ["web-1"]);
        assert_eq!(seated("count: 1", &first, &["web-0"]), ["web-1"]);
    }

    /// Those that have a seat then.
    fn sit(now: Now) -> Vec<String> {
        let free = now.vacant.min(now.room);
        let sit = now.seated.into_iter().chain(now.new.into_iter().take(free));
        sit.map(|member| member.id).collect()
    }

    #[test]
    fn a_name_that_means_one_seats_nobody_else() {
        let closed = Named {
            asked: Asked::Container("web".into()),
            ..named("exclude: x")
        };
        let look = |drawn: &str| {
            let seats = Seats {
                drawn: HashSet::from([drawn.to_owned()]),
                many: 1,
                ..Seats::default()
            };
            sit(again(members(4), &closed, &seats, Percent::ALL))
        };
        assert!(look("gone").is_empty());
        assert_eq!(look("web-2"), ["web-2"]);
    }

    #[test]
    fn who_is_hit_with_another_takes_no_seat_while_it_stays_there() {
        let all = named("exclude: x");
        let look = |at: &str| {
            let seats = Seats {
                drawn: HashSet::from(["web-0".to_owned()]),
                covered: HashMap::from([("web-1".to_owned(), vec![at.into()])]),
                ..Seats::default()
            };
            let mut members = members(2);
            members[1].cgroups = vec!["/a".into()];
            sit(again(members, &all, &seats, Percent::ALL))
        };
        assert_eq!(look("/a"), ["web-0"]);
        assert_eq!(look("/b"), ["web-0", "web-1"]);
    }

    #[test]
    fn those_that_join_are_no_larger_a_share_than_the_host_allows() {
        let half: Percent = "50%".parse().unwrap();
        let seats = Seats {
            drawn: HashSet::from(["web-0".to_owned()]),
            ..Seats::default()
        };
        for (answer, hit) in [(1, 1), (2, 1), (4, 2), (10, 5)] {
            let now = again(members(answer), &named("exclude: x"), &seats, half);
            assert_eq!(sit(now).len(), hit, "of {answer}");
        }
    }

    #[test]
    fn more_than_the_host_allows_is_refused_with_what_is_allowed() {
        let half: Percent = "50%".parse().unwrap();
        let check = |hit, of| check_share(&"pods with app=web", hit, of, half);
        assert!(check(2, 4).is_ok() && check(1, 1).is_ok() && check(1, 3).is_ok());
        let told = check(3, 4).unwrap_err().to_string();
        assert!(
            told.contains("3 of 4") && told.contains("count: 2"),
            "{told}"
        );
    }
}
