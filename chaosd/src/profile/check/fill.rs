//! What `disk-fill` takes.

use std::path::PathBuf;

use crate::profile::{
    DiskFill, Fill,
    problem::{Found, quote},
    tree::{Key, Node},
    units::Size,
};

use super::DISK_FILL_KEYS;

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
