//! One way to undo each change that chaosd makes to a machine.
//!
//! An `Undo` is plain data, written to the journal before the change it undoes. It works in
//! another process, with no memory of the first, with the change made or not, and twice. It puts
//! back the exact prior value, and leaves alone what somebody else has changed meanwhile.
//!
//! A new kind of change is one file here, one variant, and one line in each `match` below.

mod clock;
mod control;
mod file;
mod filters;
mod held;
mod link;
mod map;
mod netns;
mod real;
mod report;
mod stopped;
mod sysctl;
mod system;

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

pub use self::{
    clock::{Added, Clock},
    control::{Control, Field, Part},
    file::FileOf,
    filters::{Filter, Filters, Hook},
    held::Held,
    link::Link,
    map::Map,
    netns::NetnsId,
    real::{DeleteLink, Fence, Real, RemoveFilters},
    report::{Failure, RevertReport},
    stopped::Stopped,
    sysctl::Sysctl,
    system::System,
};

pub(crate) use self::{clock::told, report::chain};

#[cfg(test)]
pub(crate) mod fake;

/// How to undo one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// Delete a network device that we made.
    Link(Link),
    /// Put a sysctl of a network namespace back.
    Sysctl(Sysctl),
    /// Disarm a plane by its control map.
    Map(Map),
    /// Take our filters off an interface.
    Filters(Filters),
    /// Let a process go on.
    Stopped(Stopped),
    /// Delete a file that we made.
    File(FileOf),
    /// Empty a file that one of our processes holds.
    Held(Held),
    /// Put a control file of a cgroup back.
    Control(Control),
    /// Step the host's clock back.
    Clock(Clock),
}

/// What an undo found to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was as we had made it; now it is as before.
    Done,
    /// It was as before already, or is gone together with what held it.
    AlreadyGone,
    /// Somebody else has changed it since: it was left alone.
    LeftAlone {
        /// What stands there now.
        found: String,
    },
}

/// An undo that failed; the thing is perhaps still as we made it.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what}")]
pub struct UndoError {
    /// The undo in words: `delete link chaosd0 ...`.
    pub what: String,
    /// A line for the shell that does the same.
    pub by_hand: String,
    /// What stood in the way.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl Undo {
    /// Undoes the change if it is still there and still ours.
    pub fn revert(&self, system: &dyn System) -> Result<Outcome, UndoError> {
        let outcome = match self {
            Self::Link(undo) => undo.revert(system),
            Self::Sysctl(undo) => undo.revert(system),
            Self::Map(undo) => undo.revert(system),
            Self::Filters(undo) => undo.revert(system),
            Self::Stopped(undo) => undo.revert(system),
            Self::File(undo) => undo.revert(system),
            Self::Held(undo) => undo.revert(system),
            Self::Control(undo) => undo.revert(system),
            Self::Clock(undo) => undo.revert(system),
        };
        outcome.map_err(|source| UndoError {
            what: self.to_string(),
            by_hand: self.by_hand(),
            source,
        })
    }

    /// True when what it undoes makes somebody suffer by itself, rather than being there for what
    /// does: a late owner must not have it in force.
    pub fn acts(&self) -> bool {
        match self {
            Self::Map(_)
            | Self::Stopped(_)
            | Self::Control(_)
            | Self::File(_)
            | Self::Held(_)
            | Self::Clock(_) => true,
            Self::Link(_) | Self::Sysctl(_) | Self::Filters(_) => false,
        }
    }

    /// A line for the shell that does what [`Undo::revert`] does.
    pub fn by_hand(&self) -> String {
        match self {
            Self::Link(undo) => undo.by_hand(),
            Self::Sysctl(undo) => undo.by_hand(),
            Self::Map(undo) => undo.by_hand(),
            Self::Filters(undo) => undo.by_hand(),
            Self::Stopped(undo) => undo.by_hand(),
            Self::File(undo) => undo.by_hand(),
            Self::Held(undo) => undo.by_hand(),
            Self::Control(undo) => undo.by_hand(),
            Self::Clock(undo) => undo.by_hand(),
        }
    }
}

/// What will be done, as an imperative: "delete link chaosd0 in /run/netns/a".
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(undo) => undo.fmt(f),
            Self::Sysctl(undo) => undo.fmt(f),
            Self::Map(undo) => undo.fmt(f),
            Self::Filters(undo) => undo.fmt(f),
            Self::Stopped(undo) => undo.fmt(f),
            Self::File(undo) => undo.fmt(f),
            Self::Held(undo) => undo.fmt(f),
            Self::Control(undo) => undo.fmt(f),
            Self::Clock(undo) => undo.fmt(f),
        }
    }
}

/// What each kind of undo answers; [`Undo::revert`] adds the words.
type Reverted = Result<Outcome, Box<dyn Error + Send + Sync>>;

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::{fake::Fake, *};

    #[test]
    fn every_kind_survives_the_journal_s_encoding() {
        let netns = NetnsId::current().unwrap();
        let all = [
            Undo::Link(Link {
                netns: netns.clone(),
                name: "chaosd0".into(),
                alias: "chaosd:1".into(),
            }),
            Undo::Filters(Filters {
                netns: netns.clone(),
                interface: "eth0".into(),
                index: 2,
                clsact: true,
                filters: vec![Filter {
                    hook: Hook::Egress,
                    priority: 1,
                    handle: 3,
                    program: 4,
                }],
            }),
            Undo::Sysctl(Sysctl {
                netns,
                key: "net/ipv4/conf/lo/accept_local".into(),
                prior: "0".into(),
                ours: "1".into(),
            }),
            Undo::Map(Map {
                id: 7,
                name: "CONTROL".into(),
            }),
            Undo::File(FileOf {
                directory: "/srv".into(),
                dev: 7,
                ino: u64::MAX,
                name: ".chaosd-fill-run-r-1-0".into(),
            }),
            Undo::Held(Held {
                holder: crate::process::Identity {
                    pid: 7,
                    started: 4711,
                    name: "chaosd".into(),
                },
                fd: 12,
                dev: 7,
                ino: u64::MAX,
            }),
            Undo::Stopped(Stopped(crate::process::Identity {
                pid: 7,
                started: 4711,
                name: "a (b".into(),
            })),
            Undo::Clock(Clock {
                boot: "ab-cd".into(),
                apart_us: i64::MAX,
                up_us: 7,
                offset_us: -1,
                drift_ppb: i64::MIN,
            }),
            Undo::Control(Control {
                cgroup: "/sys/fs/cgroup/a".into(),
                id: u64::MAX,
                file: "io.max".into(),
                part: Part::Fields {
                    device: "8:0".into(),
                    fields: vec![Field {
                        name: "rbps".into(),
                        prior: "max".into(),
                        ours: "4096".into(),
                    }],
                },
            }),
            Undo::Control(Control {
                cgroup: "/sys/fs/cgroup".into(),
                id: 1,
                file: "cgroup.subtree_control".into(),
                part: Part::Enabled {
                    controller: "cpu".into(),
                },
            }),
        ];
        for undo in all {
            let text = serde_json::to_string(&undo).unwrap();
            assert_eq!(serde_json::from_str::<Undo>(&text).unwrap(), undo, "{text}");
        }
    }

    #[test]
    fn a_failed_undo_says_what_it_was_and_how_to_do_it_by_hand() {
        let fake = Fake::default();
        fake.break_everything();
        let undo = Undo::Sysctl(fake.sysctl("net/ipv4/conf/lo/accept_local", "0", "1"));
        let error = undo.revert(&fake).unwrap_err();
        assert!(
            error.to_string().starts_with("failed to set sysctl"),
            "{error}"
        );
        assert!(error.by_hand.contains("nsenter --net="), "{error:?}");
        assert!(error.source().is_some());
    }

    #[test]
    fn shell_words_are_quoted_only_when_they_must_be() {
        assert_eq!(quoted("/run/netns/a-b"), "/run/netns/a-b");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
