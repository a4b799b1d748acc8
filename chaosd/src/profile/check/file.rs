//! What faults of files take: `disk-error`.

use crate::profile::{
    DiskError, Operation,
    problem::{Found, Mistake, quote},
    tree::{Key, Node},
    units::{ErrorName, Percent},
    words,
};

use super::DISK_ERROR_KEYS;

/// What the kernel does without asking its security modules.
const UNASKED: [&str; 8] = [
    "fsync",
    "fdatasync",
    "sync",
    "close",
    "mmap",
    "msync",
    "seek",
    "lseek",
];

impl Found {
    pub(super) fn disk_error(&mut self, key: &Key, node: &Node) -> Option<DiskError> {
        let fields = self.settings(key, node, DISK_ERROR_KEYS, "{path: /srv, rate: 1%}")?;
        if fields.lacks("path") {
            self.say(
                &key.at,
                "disk-error needs a path, such as /srv: a file, or a directory with all below it",
            );
        }
        let path = fields.get("path").and_then(|node| self.absolute(node));
        let errno = match fields.get("errno") {
            Some(node) => self.parse::<ErrorName>(node),
            None => Some(ErrorName::EIO),
        };
        let operations = match fields.get("operations") {
            Some(node) => self.list(node, operation).map(in_order),
            None => Some(vec![Operation::Read, Operation::Write]),
        };
        let rate = match fields.get("rate") {
            Some(node) => self.some_share(node),
            None => Some(Percent::ALL),
        };
        Some(DiskError {
            path: path?,
            errno: errno?,
            operations: operations?,
            rate: rate?,
        })
    }
}

fn operation(text: &str) -> Result<Operation, Mistake> {
    let word = text.trim().to_ascii_lowercase();
    if let Some(operation) = Operation::ALL.into_iter().find(|o| o.name() == word) {
        return Ok(operation);
    }
    if UNASKED.contains(&word.as_str()) {
        return Err(Mistake::new(format!(
            "{} cannot be let fail: the kernel asks no security module about it; take another of {}",
            quote(text),
            names().join(", ")
        )));
    }
    let mistake = Mistake::new(format!(
        "{} is not one of {}",
        quote(text),
        names().join(", ")
    ));
    Err(match words::nearest(&word, &names()) {
        Some(near) => mistake.instead(near),
        None => mistake,
    })
}

fn names() -> [&'static str; Operation::ALL.len()] {
    Operation::ALL.map(Operation::name)
}

/// Each once.
fn in_order(mut operations: Vec<Operation>) -> Vec<Operation> {
    operations.sort_unstable();
    operations.dedup();
    operations
}
