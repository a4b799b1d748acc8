//! Guesses which cgroup a wrong path meant.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

use crate::alike::likeness;

/// Directories looked into before giving up; a large host has a few thousand cgroups.
const MAX_LOOKED_INTO: usize = 4096;

/// The cgroup that was probably meant, as a path from the root of the tree: one of the same name
/// elsewhere, else the most alike beside it.
pub(super) fn nearest(tree: &Path, typed: &Path) -> Option<PathBuf> {
    let name = typed.file_name()?;
    let found = elsewhere(tree, name).or_else(|| beside(tree, typed))?;
    let below = found.strip_prefix(tree).ok()?;
    Some(Path::new("/").join(below))
}

fn elsewhere(tree: &Path, name: &std::ffi::OsStr) -> Option<PathBuf> {
    let mut queue = VecDeque::from([tree.to_owned()]);
    for _ in 0..MAX_LOOKED_INTO {
        for child in children(&queue.pop_front()?) {
            if child.file_name() == Some(name) {
                return Some(child);
            }
            queue.push_back(child);
        }
    }
    None
}

/// Follows the path as far as it exists, and there takes the child most like the next part.
fn beside(tree: &Path, typed: &Path) -> Option<PathBuf> {
    let mut at = tree.to_owned();
    for part in typed {
        let next = at.join(part);
        if next.is_dir() {
            at = next;
            continue;
        }
        let part = part.to_string_lossy();
        return children(&at)
            .into_iter()
            .filter_map(|child| {
                let name = child.file_name()?.to_string_lossy().into_owned();
                Some((likeness(&name, &part)?, child))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, child)| child);
    }
    None
}

fn children(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
