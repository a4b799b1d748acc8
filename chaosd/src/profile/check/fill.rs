//! What `disk-fill` and `disk-burn` take.

use std::path::PathBuf;

use crate::profile::{
    DiskBurn, DiskFill, Fill,
    problem::{Found, Mistake, quote},
    tree::{Key, Node},
    units::Size,
};

use super::{DISK_BURN_KEYS, DISK_FILL_KEYS};

/// What a disk that is busy is read and written by, unless another block is asked for.
const BLOCK: u64 = 64 << 10;
/// Any disk's block, which `O_DIRECT` wants multiples of.
const LEAST_BLOCK: u64 = 4 << 10;
const MOST_BLOCK: u64 = 4 << 20;

impl Found {
    pub(super) fn disk_fill(&mut self, key: &Key, node: &Node) -> Option<DiskFill> {
        let fields = self.settings(key, node, DISK_FILL_KEYS, "{path: /srv, leave: 100MB}")?;
        if fields.lacks("path") {
            self.say(&key.at, "disk-fill needs a path: a directory, such as /srv");
        }
        let path = fields.get("path").and_then(|node| self.absolute(node));
        let fill = match (fields.entry("size"), fields.entry("leave")) {
            (Some((_, node)), None) => self.some_size(node).map(Fill::Size),
            (None, Some((_, node))) => self.parse::<Size>(node).map(Fill::Leave),
            (Some(_), Some((key, _))) => {
                self.say(&key.at, "leave beside size: one of them decides");
                None
            }
            (None, None) => {
                if fields.lacks("size") && fields.lacks("leave") {
                    self.say(
                        &key.at,
                        "disk-fill needs size or leave, such as leave: 100MB",
                    );
                }
                None
            }
        };
        let force = match fields.get("force") {
            Some(node) => self.boolean(node),
            None => Some(false),
        };
        Some(DiskFill {
            path: path?,
            fill: fill?,
            force: force?,
        })
    }

    pub(super) fn disk_burn(&mut self, key: &Key, node: &Node) -> Option<DiskBurn> {
        let fields = self.settings(key, node, DISK_BURN_KEYS, "{path: /srv, write: 20MB/s}")?;
        if fields.lacks("path") {
            let what = "disk-burn needs a path: a directory on the disk, such as /srv";
            self.say(&key.at, what);
        }
        if fields.lacks("read") && fields.lacks("write") {
            self.say(
                &key.at,
                "disk-burn needs read or write, such as write: 20MB/s",
            );
            return None;
        }
        let path = fields.get("path").and_then(|node| self.absolute(node));
        let [read, write] = ["read", "write"].map(|name| match fields.get(name) {
            Some(node) => self.bytes_per_second(node).map(Some),
            None => Some(None),
        });
        let block = match fields.get("block") {
            Some(node) => self.block(node),
            None => Size::new(BLOCK),
        };
        let direct = match fields.get("direct") {
            Some(node) => self.boolean(node),
            None => Some(true),
        };
        Some(DiskBurn {
            path: path?,
            read: read?,
            write: write?,
            block: block?,
            direct: direct?,
        })
    }

    fn block(&mut self, node: &Node) -> Option<Size> {
        let size = self.parse::<Size>(node)?;
        let good = (LEAST_BLOCK..=MOST_BLOCK).contains(&size.bytes())
            && size.bytes().is_multiple_of(LEAST_BLOCK);
        if !good {
            let what = format!("a block of {size}: it takes multiples of 4KiB, up to 4MiB");
            self.add(&node.at, Mistake::new(what).instead("64KiB"));
            return None;
        }
        Some(size)
    }

    /// A path that means the same to the daemon as to who typed it.
    pub(super) fn absolute(&mut self, node: &Node) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(node)?);
        if !path.is_absolute() {
            let what = format!(
                "{} is not an absolute path: the daemon has another directory than you",
                quote(&path.to_string_lossy())
            );
            self.say(&node.at, what);
            return None;
        }
        Some(path)
    }
}
