//! What is left of a limit, so that a burner of memory stops before the OOM killer comes.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::sys::memory::page_size;

/// What the kernel may charge a cgroup beyond the pages of a step: it does so 64 pages ahead
/// (`MEMCG_CHARGE_BATCH`, mm/memcontrol.c), on a second CPU again if we are moved, and there are
/// page tables.
const CHARGED_PAGES: u64 = 3 * 64;

/// A limit that is not to be reached. Without any, a burner takes what it is asked to: it is the
/// first that the OOM killer finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Guard {
    /// A cgroup's, of either version: `memory.max` and `memory.current`, or
    /// `memory.limit_in_bytes` and `memory.usage_in_bytes`. Those of its ancestors are guards of
    /// their own.
    Cgroup {
        /// The file of the limit: bytes, or `max`.
        limit: PathBuf,
        /// The file of what is used.
        current: PathBuf,
        /// `memory.stat`: the page cache in it counts as free, for the kernel takes that before
        /// it kills. None: what is used is used.
        stat: Option<PathBuf>,
        /// How much of the limit stays free, in percent.
        keep_percent: f64,
    },
    /// The machine's: `MemAvailable` of `MemTotal` in `/proc/meminfo`.
    Host {
        /// How much of the machine's memory stays free, in percent.
        keep_percent: f64,
    },
}

impl Guard {
    pub(super) fn keep_percent(&self) -> f64 {
        match self {
            Self::Cgroup { keep_percent, .. } | Self::Host { keep_percent } => *keep_percent,
        }
    }
}

/// Guards whose files are open.
pub(super) struct Guards(Vec<Open>);

enum Open {
    Cgroup {
        limit: File,
        current: File,
        stat: Option<File>,
        keep: f64,
        /// What the kernel may take beyond what is asked of it.
        batch: u64,
    },
    Host {
        meminfo: File,
        keep: f64,
    },
}

impl Guards {
    /// Fails with the file that cannot be opened.
    pub(super) fn open(guards: &[Guard]) -> Result<Self, (PathBuf, io::Error)> {
        let open = |path: &Path| File::open(path).map_err(|error| (path.to_owned(), error));
        let keep = |guard: &Guard| guard.keep_percent() / 100.0;
        let page = page_size().map_err(|error| (PathBuf::from("the size of a page"), error))?;
        let batch = u64::try_from(page)
            .unwrap_or(u64::MAX)
            .saturating_mul(CHARGED_PAGES);
        let opened = guards.iter().map(|guard| match guard {
            Guard::Cgroup {
                limit,
                current,
                stat,
                ..
            } => Ok(Open::Cgroup {
                limit: open(limit)?,
                current: open(current)?,
                stat: stat.as_deref().map(open).transpose()?,
                keep: keep(guard),
                batch,
            }),
            Guard::Host { .. } => Ok(Open::Host {
                meminfo: open(Path::new("/proc/meminfo"))?,
                keep: keep(guard),
            }),
        });
        opened.collect::<Result<_, _>>().map(Self)
    }

    /// How many bytes more may be taken, if so many are `wanted`: all of them, or what there is
    /// room for. A limit that cannot be read any more has none.
    pub(super) fn room(&self, wanted: u64) -> u64 {
        let rooms = self.0.iter().map(|guard| guard.room(wanted).unwrap_or(0));
        rooms.min().unwrap_or(wanted).min(wanted)
    }
}

impl Open {
    fn room(&self, wanted: u64) -> Option<u64> {
        match self {
            Self::Cgroup {
                limit,
                current,
                stat,
                keep,
                batch,
            } => {
                let text = read(limit)?;
                if text.trim() == "max" {
                    return Some(wanted);
                }
                let most = kept(text.trim().parse().ok()?, *keep).saturating_sub(*batch);
                let used: u64 = read(current)?.trim().parse().ok()?;
                let room = most.saturating_sub(used);
                match stat {
                    // It is dear to read (kernel/cgroup/rstat.c), and room is the rule.
                    Some(stat) if room < wanted => {
                        Some(most.saturating_sub(used.saturating_sub(cache(&read(stat)?))))
                    }
                    _ => Some(room),
                }
            }
            Self::Host { meminfo, keep } => {
                let text = read(meminfo)?;
                let bytes = |name| Some(field(&text, name)? * 1024);
                let total: u64 = bytes("MemTotal:")?;
                let stays = total - kept(total, *keep);
                Some(bytes("MemAvailable:")?.saturating_sub(stays))
            }
        }
    }
}

/// What may be used of it.
fn kept(limit: u64, keep: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a number of bytes, which saturates"
    )]
    let most = (limit as f64 * (1.0 - keep)) as u64;
    most.min(limit)
}

/// The page cache of a cgroup and of those below it. In version 1 `inactive_file` is the cgroup's
/// own, and the sum has another name.
fn cache(stat: &str) -> u64 {
    ["active_file", "inactive_file"]
        .map(|name| {
            field(stat, &format!("total_{name}"))
                .or_else(|| field(stat, name))
                .unwrap_or(0)
        })
        .iter()
        .sum()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

/// From the beginning: these files are made anew each time.
fn read(file: &File) -> Option<String> {
    let mut bytes = [0; 8192];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], u64::try_from(length).ok()?) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use super::*;
    use crate::journal::testing::TempDir;

    const ALL: u64 = 1 << 40;

    fn room(limit: &str, current: &str, stat: Option<&str>) -> u64 {
        let dir = TempDir::new();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let guard = Guard::Cgroup {
            limit: file("limit", limit),
            current: file("current", current),
            stat: stat.map(|text| file("stat", text)),
            keep_percent: 5.0,
        };
        Guards::open(&[guard]).ok().unwrap().room(ALL)
    }

    #[test]
    fn five_percent_of_the_limit_stay_free() {
        let batch = u64::try_from(page_size().unwrap()).unwrap() * CHARGED_PAGES;
        assert_eq!(
            room("1000000000\n", "200000000\n", None),
            750_000_000 - batch
        );
        assert_eq!(room("1000000000\n", "950000000\n", None), 0);
        assert_eq!(room("max\n", "960000\n", None), ALL);
        assert_eq!(room("9223372036854771712\n", "0\n", None), ALL);
    }

    #[test]
    fn page_cache_is_free_where_it_is_told() {
        let without = room("1000000000\n", "900000000\n", None);
        let v2 = "anon 7\nfile 300000\ninactive_file 100000\nactive_file 50000\n";
        let told = room("1000000000\n", "900000000\n", Some(v2));
        assert_eq!(told, without + 150_000);
        let v1 =
            "inactive_file 5\nactive_file 5\ntotal_inactive_file 100000\ntotal_active_file 1\n";
        let told = room("1000000000\n", "900000000\n", Some(v1));
        assert_eq!(told, without + 100_001);
    }

    #[test]
    fn what_cannot_be_read_has_no_room() {
        assert_eq!(room("", "5\n", None), 0);
        assert_eq!(room("1000000000\n", "many\n", None), 0);
        let missing = Guard::Cgroup {
            limit: "/no/such/limit".into(),
            current: "/no/such/current".into(),
            stat: None,
            keep_percent: 5.0,
        };
        let error = Guards::open(&[missing]).err().unwrap();
        assert_eq!(error.0, Path::new("/no/such/limit"));
    }

    #[test]
    fn the_machine_keeps_what_it_is_to_keep() {
        let room = |keep_percent| {
            let guards = Guards::open(&[Guard::Host { keep_percent }]).ok().unwrap();
            guards.room(ALL)
        };
        assert_eq!(room(100.0), 0);
        assert!(room(0.0) > 0);
    }

    #[test]
    fn the_narrowest_of_several_guards_holds_and_none_holds_nothing() {
        let guards = [0.0, 100.0].map(|keep_percent| Guard::Host { keep_percent });
        assert_eq!(Guards::open(&guards).ok().unwrap().room(ALL), 0);
        assert_eq!(Guards::open(&[]).ok().unwrap().room(ALL), ALL);
    }
}
