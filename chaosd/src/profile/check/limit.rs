//! What the limits of a cgroup take: `cpu-quota`, `disk`, `freeze`, `pids`.

use std::path::PathBuf;

use crate::profile::{
    CpuQuota, Disk, Freeze, Pids,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::{Cores, Size},
};

use super::{CPU_QUOTA_KEYS, DISK_KEYS, PIDS_KEYS, read::Fields};

/// The block layer knows no slower disk (block/blk-throttle.c).
const LEAST_BPS: u64 = 2;
const LEAST_IOPS: u64 = 2;

impl Found {
    pub(super) fn cpu_quota(&mut self, key: &Key, node: &Node) -> Option<CpuQuota> {
        if let Value::Text(_) = node.value {
            return self.parse::<Cores>(node).map(|limit| CpuQuota { limit });
        }
        let fields = self.settings(key, node, CPU_QUOTA_KEYS, "50%")?;
        if fields.lacks("limit") {
            self.say(&key.at, "cpu-quota needs a limit, such as 50%");
        }
        let limit = self.parse::<Cores>(fields.get("limit")?)?;
        Some(CpuQuota { limit })
    }

    pub(super) fn freeze(&mut self, node: &Node) -> Option<Freeze> {
        match &node.value {
            Value::Empty => Some(Freeze {}),
            Value::Text(text) if text == "true" => Some(Freeze {}),
            Value::Text(text) => {
                self.say(
                    &node.at,
                    format!("freeze takes no settings, found {}", quote(text)),
                );
                None
            }
            _ => self.fields(node, "freeze", &[]).map(|_| Freeze {}),
        }
    }

    pub(super) fn pids(&mut self, node: &Node) -> Option<Pids> {
        let leave = match &node.value {
            Value::Empty => None,
            Value::Text(_) => Some(node),
            _ => self.fields(node, "pids", PIDS_KEYS)?.get("leave"),
        };
        let leave = match leave {
            Some(node) => self.integer(node, "a number of process slots", 0),
            None => Some(0),
        };
        Some(Pids { leave: leave? })
    }

    pub(super) fn disk(&mut self, key: &Key, node: &Node) -> Option<Disk> {
        let fields = self.settings(key, node, DISK_KEYS, "{path: /srv, write-bps: 5MB/s}")?;
        let path = self.disk_path(key, &fields);
        let limits = ["read-bps", "write-bps", "read-iops", "write-iops"];
        if limits.iter().all(|name| fields.lacks(name)) {
            let what = format!("disk needs at least one of {}", limits.join(", "));
            self.say(&key.at, what);
        }
        let [read_bps, write_bps] = ["read-bps", "write-bps"].map(|name| match fields.get(name) {
            Some(node) => self.bytes_per_second(node).map(Some),
            None => Some(None),
        });
        let [read_iops, write_iops] =
            ["read-iops", "write-iops"].map(|name| match fields.get(name) {
                Some(node) => self
                    .integer(node, "operations per second, 2 to 4294967294", LEAST_IOPS)
                    .map(Some),
                None => Some(None),
            });
        Some(Disk {
            path: path?,
            read_bps: read_bps?,
            write_bps: write_bps?,
            read_iops: read_iops?,
            write_iops: write_iops?,
        })
    }

    fn disk_path(&mut self, key: &Key, fields: &Fields<'_>) -> Option<PathBuf> {
        if let Some(node) = fields.get("device")
            && let Value::Text(name) = &node.value
            && !name.contains('/')
        {
            let what = format!("{} is not the path of a device", quote(name));
            // Numbers, as lsblk(8) writes them, have names only where udev runs.
            let directory = if name.contains(':') {
                "/dev/block"
            } else {
                "/dev"
            };
            self.add(
                &node.at,
                Mistake::new(what).instead(format!("{directory}/{name}")),
            );
            return None;
        }
        let given = [fields.get("path"), fields.get("device")];
        let node = match given {
            [Some(node), None] | [None, Some(node)] => node,
            [Some(_), Some(node)] => {
                self.say(&node.at, "device beside path: one of them says which disk");
                return None;
            }
            [None, None] => {
                if fields.lacks("path") && fields.lacks("device") {
                    self.say(&key.at, "disk needs a path that is on it, such as /srv");
                }
                return None;
            }
        };
        self.absolute(node)
    }

    /// `5MB/s`, or `5MB` under a key that says per second.
    pub(super) fn bytes_per_second(&mut self, node: &Node) -> Option<Size> {
        let text = self.text(node)?.to_owned();
        let text = text.trim();
        let size = text.strip_suffix("/s").unwrap_or(text).parse::<Size>();
        let size = self.keep(&node.at, size)?;
        if size.bytes() < LEAST_BPS {
            let what = format!(
                "{} is too slow: a disk takes 2 bytes per second or more",
                quote(text)
            );
            self.add(&node.at, Mistake::new(what).instead("1KB/s"));
            return None;
        }
        Some(size)
    }
}
