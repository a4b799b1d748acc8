//! What `disk-latency` takes.

use std::time::Duration;

use crate::{
    latency::LONGEST,
    profile::{
        DiskLatency,
        problem::{Found, Mistake},
        tree::{Key, Node},
    },
};

use super::DISK_LATENCY_KEYS;

impl Found {
    pub(super) fn disk_latency(&mut self, key: &Key, node: &Node) -> Option<DiskLatency> {
        let fields = self.settings(key, node, DISK_LATENCY_KEYS, "{path: /srv, open: 50ms}")?;
        if fields.lacks("path") {
            let what = "disk-latency needs a path: a file, or a directory such as /srv";
            self.say(&key.at, what);
        }
        if fields.lacks("open") && fields.lacks("read") {
            self.say(
                &key.at,
                "disk-latency needs open or read, such as open: 50ms",
            );
        }
        let path = fields.get("path").and_then(|node| self.absolute(node));
        let [open, read] = ["open", "read"].map(|name| match fields.get(name) {
            Some(node) => self.wait(node).map(Some),
            None => Some(None),
        });
        let (path, open, read) = (path?, open?, read?);
        (open.is_some() || read.is_some()).then_some(DiskLatency { path, open, read })
    }

    fn wait(&mut self, node: &Node) -> Option<Duration> {
        let time = self.some_time(node)?;
        if time > LONGEST {
            let what = format!(
                "a wait of {}: it is at most a minute",
                humantime::format_duration(time)
            );
            self.add(&node.at, Mistake::new(what).instead("1m"));
            return None;
        }
        Some(time)
    }
}
