//! What a machine looks like, to be compared before and after.
//!
//! It is read with other programs than ours, as far as there are any: qdiscs and filters by `tc`,
//! interfaces, addresses, routes and rules by `ip`, packet filters by `nft` and `iptables-save`;
//! programs on interfaces by bpf(2), and the sysctls of `lo` and `all` from `/proc/sys`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nameindex;

use crate::node::Node;
use crate::run::run;
use crate::sys::{Tcx, tcx_programs};
use crate::wait_until;

/// A guest whose processor is computed takes a while.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

/// The state of one network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Of a node.
    pub fn take(node: &Node) -> Result<Self> {
        node.enter(Self::here)?
    }

    /// Of a node that has just been made, once it has come to rest: the kernel looks for duplicates of its
    /// link-local addresses for a second or two.
    ///
    /// # Errors
    /// When it does not.
    pub fn settled(node: &Node) -> Result<Self> {
        let mut last = Self::take(node)?;
        let settled = wait_until(SETTLES_WITHIN, || {
            Self::take(node).is_ok_and(|now| {
                let same = now == last;
                last = now;
                same && !last.0.values().any(|part| part.contains("tentative"))
            })
        });
        ensure!(settled, "the laboratory does not come to rest");
        Ok(last)
    }

    /// Of the namespace that the calling thread is in.
    pub fn here() -> Result<Self> {
        let mut parts = BTreeMap::new();
        for line in [
            "tc qdisc show",
            "ip -d link show",
            "ip addr show",
            "ip route show table all",
            "ip -6 route show table all",
            "ip rule show",
        ] {
            let words: Vec<_> = line.split(' ').collect();
            parts.insert(line.to_owned(), without_ages(&run(words[0], &words[1..])?));
        }
        for line in ["nft -s list ruleset", "iptables-save", "ip6tables-save"] {
            let mut words = line.split(' ');
            // Not every machine has them, and then there is nothing of theirs to change.
            if let Ok(output) = Command::new(words.next().unwrap_or_default())
                .args(words)
                .output()
            {
                parts.insert(
                    line.to_owned(),
                    without_ages(&String::from_utf8_lossy(&output.stdout)),
                );
            }
        }
        for interface in &if_nameindex().context("failed to list the interfaces")? {
            let name = interface.name().to_string_lossy();
            for place in [Tcx::Ingress, Tcx::Egress] {
                let programs = match tcx_programs(interface.index(), place) {
                    Ok(ids) => format!("{ids:?}"),
                    Err(error) => error.to_string(),
                };
                parts.insert(format!("programs at tcx {place:?} of {name}"), programs);
            }
            for place in ["ingress", "egress"] {
                let line = ["filter", "show", "dev", &name, place];
                parts.insert(format!("tc {}", line.join(" ")), run("tc", &line)?);
            }
        }
        for family in ["ipv4", "ipv6"] {
            for interface in ["lo", "all"] {
                let dir = format!("/proc/sys/net/{family}/conf/{interface}");
                parts.insert(dir.clone(), sysctls(Path::new(&dir)));
            }
        }
        Ok(Self(parts))
    }

    /// Fails unless nothing has changed from `before` to now.
    ///
    /// # Panics
    /// With each changed line.
    #[track_caller]
    pub fn assert_same(&self, before: &Self) {
        let changes = self.changes_since(before);
        assert!(changes.is_empty(), "the machine has changed:\n{changes}");
    }

    /// The lines that went (`-`) and came (`+`), under the name of what they are of.
    pub fn changes_since(&self, before: &Self) -> String {
        let mut changes = String::new();
        let empty = String::new();
        let names: std::collections::BTreeSet<_> = before.0.keys().chain(self.0.keys()).collect();
        for name in names {
            let old = before.0.get(name).unwrap_or(&empty);
            let new = self.0.get(name).unwrap_or(&empty);
            let gone = old
                .lines()
                .filter(|line| !new.lines().any(|other| other == *line));
            let come = new
                .lines()
                .filter(|line| !old.lines().any(|other| other == *line));
            let lines: Vec<_> = gone
                .map(|line| format!("- {line}"))
                .chain(come.map(|line| format!("+ {line}")))
                .collect();
            if old != new {
                changes.extend([name.as_str(), "\n", &lines.join("\n"), "\n"]);
            }
        }
        changes
    }
}

/// Leaves out what changes by itself: the seconds an address or a route still has, comments with
/// the time of day, and packet counts in brackets.
fn without_ages(text: &str) -> String {
    let is_age = |word: &&str| {
        word.strip_suffix("sec")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            || word.starts_with('[') && word.ends_with(']')
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            line.split(' ')
                .filter(|word| !is_age(word))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn sysctls(dir: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return String::new();
    };
    let mut lines: Vec<_> = entries
        .flatten()
        .map(|entry| {
            let value = std::fs::read_to_string(entry.path()).unwrap_or_default();
            format!("{} = {}", entry.file_name().to_string_lossy(), value.trim())
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, without_ages};

    #[test]
    fn what_changes_by_itself_is_left_out() {
        let at_one_time =
            "# Generated on Monday\n:INPUT ACCEPT [1:2]\nvalid_lft 86sec preferred_lft forever";
        let at_another =
            "# Generated on Friday\n:INPUT ACCEPT [9:9]\nvalid_lft 85sec preferred_lft forever";
        assert_eq!(without_ages(at_one_time), without_ages(at_another));
    }

    #[test]
    fn each_changed_line_is_named() {
        let of = |text: &str| Snapshot([("tc qdisc show".to_owned(), text.to_owned())].into());
        assert_eq!(
            of("a\nc").changes_since(&of("a\nb")),
            "tc qdisc show\n- b\n+ c\n"
        );
        assert_eq!(of("a").changes_since(&of("a")), "");
    }
}
