//! What a container's annotations ask for. Pure.
//!
//! `chaosd.profile` alone is enough; a key that begins like ours and is none is a mistake, so that nobody
//! believes in a setting that nobody reads.

use std::collections::BTreeMap;

use crate::alike::likeness;

/// Names the profile.
pub const PROFILE: &str = "chaosd.profile";
/// Whether the container may start without the fault.
pub const REQUIRED: &str = "chaosd.required";
const FOR: &str = "chaosd.for";
const SEED: &str = "chaosd.seed";
const CONTAINER: &str = "chaosd.container";
/// Before the name of a parameter.
const SET: &str = "chaosd.set.";
/// What every key of ours begins with.
const PREFIX: &str = "chaosd.";
const KEYS: [&str; 5] = [PROFILE, REQUIRED, FOR, SEED, CONTAINER];

/// How containerd and CRI-O tell a pod's sandbox from its containers.
const KINDS: [&str; 2] = [
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri-o.ContainerType",
];
/// How they call a container.
const NAMES: [&str; 2] = [
    "io.kubernetes.cri.container-name",
    "io.kubernetes.container.name",
];

/// What a container asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The name of a profile that ships, or an absolute path.
    pub profile: String,
    /// Values of its parameters.
    pub set: BTreeMap<String, String>,
    /// How long, as people write it.
    pub run_for: Option<String>,
    /// Makes decisions repeatable.
    pub seed: Option<u64>,
}

/// What the annotations come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The container is not to start without the fault.
    pub required: bool,
    /// What it asks for.
    pub wish: Wish,
    /// Of all containers with these annotations, whether this one is meant.
    pub part: Part,
    /// It is one of a pod, in whose network others are, or will be.
    pub in_pod: bool,
    /// All that is wrong.
    pub mistakes: Vec<Mistake>,
}

/// Whether a container is one of those that its annotations mean: all containers of a pod have those of
/// the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It is meant.
    #[default]
    Meant,
    /// It only holds the namespaces of a pod, whose containers are hit each for itself.
    Sandbox,
    /// `chaosd.container` names another, or nobody: what the pod's other containers are called no hook knows.
    Other {
        /// What this one is called.
        name: String,
        /// What is written there.
        meant: String,
    },
}

/// What is wrong with an annotation, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// A key that begins like ours.
    #[error("annotation {key}: there is none of this name{}", hint(*nearest))]
    Unknown {
        /// As written.
        key: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// Others, and no profile.
    #[error("annotation {0}: it says nothing without chaosd.profile: name a profile by that")]
    NoProfile(String),
    /// A profile by a name that is none.
    #[error(
        "annotation chaosd.profile: `{written}` is neither a profile that ships{} nor an absolute path: \
         `chaosd profiles` lists those that ship", named(nearest.as_deref())
    )]
    Profile {
        /// As written.
        written: String,
        /// The nearest that ships.
        nearest: Option<String>,
    },
    /// `chaosd.required` with something else.
    #[error("annotation chaosd.required: `{0}` is neither: write true or false")]
    Required(String),
    /// `chaosd.seed` with something else.
    #[error("annotation chaosd.seed: `{0}` is no whole number (0 to 18446744073709551615)")]
    Seed(String),
    /// `chaosd.set.` without a name.
    #[error("annotation chaosd.set.: write the parameter's name after it, as in chaosd.set.rate")]
    Nameless,
    /// `chaosd.container` where nobody knows names.
    #[error(
        "annotation chaosd.container: this runtime does not tell hooks what the container is called: leave it out"
    )]
    NoNames,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || format!("; there are {}, {SET}PARAMETER", KEYS.join(", ")),
        |near| format!("; did you mean {near}?"),
    )
}

fn named(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}

/// Reads annotations; `None`: none of them is ours.
pub fn wishes(annotations: &BTreeMap<String, String>) -> Option<Wishes> {
    let ours: Vec<(&str, &str)> = annotations
        .range(PREFIX.to_owned()..)
        .take_while(|(key, _)| key.starts_with(PREFIX))
        .map(|(key, value)| (key.as_str(), value.trim()))
        .collect();
    let (first, _) = *ours.first()?;
    let mut wishes = Wishes {
        part: part(annotations),
        in_pod: is(annotations, "container"),
        ..Wishes::default()
    };
    for (key, value) in &ours {
        wishes.take(key, value);
    }
    if annotations.contains_key(CONTAINER) && name(annotations).is_none() {
        wishes.mistakes.push(Mistake::NoNames);
    }
    if !annotations.contains_key(PROFILE) {
        wishes.mistakes.push(Mistake::NoProfile(first.to_owned()));
    }
    Some(wishes)
}

impl Wishes {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            PROFILE => match profile(value) {
                Ok(()) => value.clone_into(&mut self.wish.profile),
                Err(mistake) => self.mistakes.push(mistake),
            },
            REQUIRED => match value {
                "true" => self.required = true,
                "false" => {}
                other => {
                    // Whoever wrote something there wanted a say: a mistake is not to be missed.
                    self.required = true;
                    self.mistakes.push(Mistake::Required(other.to_owned()));
                }
            },
            FOR => self.wish.run_for = Some(value.to_owned()),
            SEED => match value.parse() {
                Ok(seed) => self.wish.seed = Some(seed),
                Err(_) => self.mistakes.push(Mistake::Seed(value.to_owned())),
            },
            CONTAINER => {}
            SET => self.mistakes.push(Mistake::Nameless),
            other => match other.strip_prefix(SET) {
                Some(parameter) => {
                    let parameter = parameter.to_owned();
                    self.wish.set.insert(parameter, value.to_owned());
                }
                None => self.mistakes.push(Mistake::Unknown {
                    key: other.to_owned(),
                    nearest: nearest(other, KEYS.into_iter()),
                }),
            },
        }
    }
}

/// A name that ships, or a path that means the same wherever the hook is started.
fn profile(value: &str) -> Result<(), Mistake> {
    let ships = || crate::profile::shipped().iter().map(|shipped| shipped.name);
    if value.starts_with('/') || ships().any(|name| name == value) {
        return Ok(());
    }
    Err(Mistake::Profile {
        written: value.to_owned(),
        nearest: nearest(value, ships()).map(str::to_owned),
    })
}

fn nearest<'a>(written: &str, of: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // What all begin with tells nothing.
    let own = |text: &'_ str| text.strip_prefix(PREFIX).unwrap_or(text).to_owned();
    let written = own(written);
    of.filter_map(|known| Some((likeness(&own(known), &written)?, known)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

fn name(annotations: &BTreeMap<String, String>) -> Option<&str> {
    let mut names = NAMES.iter().filter_map(|key| annotations.get(*key));
    names.next().map(String::as_str)
}

/// Of this kind in a pod.
fn is(annotations: &BTreeMap<String, String>, wanted: &str) -> bool {
    let mut kinds = KINDS.iter().filter_map(|key| annotations.get(*key));
    kinds.any(|kind| kind == wanted)
}

fn part(annotations: &BTreeMap<String, String>) -> Part {
    if is(annotations, "sandbox") {
        return Part::Sandbox;
    }
    match (annotations.get(CONTAINER), name(annotations)) {
        (Some(meant), Some(name)) if meant.trim() != name => Part::Other {
            name: name.to_owned(),
            meant: meant.trim().to_owned(),
        },
        _ => Part::Meant,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Wishes> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        wishes(&pairs.iter().map(own).collect())
    }

    #[test]
    fn a_container_without_our_annotations_asks_for_nothing() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("app", "shop"), ("chaosdish", "x")]), None);
    }

    #[test]
    fn a_wish_is_read_whole() {
        let wishes = of(&[
            ("app", "shop"),
            (PROFILE, " packet-loss "),
            ("chaosd.set.rate", "30%"),
            ("chaosd.set.peer", "10.0.0.7"),
            (FOR, "5m"),
            (SEED, "7"),
            (REQUIRED, "true"),
            ("zone", "b"),
        ]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let wish = Wish {
            profile: "packet-loss".into(),
            set: [pair("rate", "30%"), pair("peer", "10.0.0.7")].into(),
            run_for: Some("5m".into()),
            seed: Some(7),
        };
        let expected = Wishes {
            required: true,
            wish,
            ..Wishes::default()
        };
        assert_eq!(wishes.unwrap(), expected);
        let path = of(&[(PROFILE, "/etc/chaosd/x.yaml")]).unwrap();
        assert_eq!((path.required, path.mistakes), (false, Vec::new()));
    }

    #[test]
    fn every_mistake_is_told_with_what_to_write_instead() {
        for (pairs, told) in [
            (
                &[(FOR, "5m")][..],
                &["chaosd.for: it says nothing without chaosd.profile"][..],
            ),
            (
                &[(PROFILE, "packet-los"), ("chaosd.requierd", "true")],
                &[
                    "did you mean `packet-loss`?",
                    "did you mean chaosd.required?",
                ],
            ),
            (
                &[(PROFILE, "profiles/x.yaml"), (SEED, "-1"), (SET, "x")],
                &[
                    "nor an absolute path",
                    "`-1` is no whole number",
                    "parameter's name",
                ],
            ),
            (
                &[
                    (PROFILE, "packet-loss"),
                    (REQUIRED, "yes"),
                    ("chaosd.x", ""),
                ],
                &[
                    "`yes` is neither: write true or false",
                    "there are chaosd.profile, ",
                ],
            ),
            (
                &[(PROFILE, "packet-loss"), (CONTAINER, "web")],
                &["does not tell hooks what the container is called"],
            ),
        ] {
            let wishes = of(pairs).unwrap();
            let all: Vec<String> = wishes.mistakes.iter().map(ToString::to_string).collect();
            assert_eq!(all.len(), told.len(), "{all:?}");
            for part in told {
                assert!(all.iter().any(|one| one.contains(part)), "{part}: {all:?}");
            }
        }
        let unsure = of(&[(PROFILE, "packet-loss"), (REQUIRED, "True")]).unwrap();
        assert!(unsure.required, "a mistake there is not to be missed");
    }

    #[test]
    fn of_a_pod_its_containers_are_meant_and_one_of_them_by_its_name() {
        for (kind, name) in KINDS.into_iter().zip(NAMES) {
            let part = |pairs: &[(&str, &str)]| {
                let all = [&[(PROFILE, "packet-loss")], pairs].concat();
                let wishes = of(&all).unwrap();
                assert_eq!(wishes.mistakes, []);
                (wishes.part, wishes.in_pod)
            };
            let in_pod = (kind, "container");
            assert_eq!(part(&[(kind, "sandbox")]), (Part::Sandbox, false));
            assert_eq!(part(&[in_pod, (name, "web")]), (Part::Meant, true));
            assert_eq!(
                part(&[in_pod, (CONTAINER, "web"), (name, "web")]),
                (Part::Meant, true)
            );
            let other = Part::Other {
                name: "web".to_owned(),
                meant: "db".to_owned(),
            };
            assert_eq!(part(&[(CONTAINER, "db"), (name, "web")]), (other, false));
        }
    }
}
