//! The mount that an open file is on, the mounts below a directory, and the layers of an overlay.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use crate::mounts::{self, Mount};

use super::DeviceError;

const TABLE: &str = "/proc/thread-self/mountinfo";

/// The mount of an open file. The kernel tells it by id, so that mounts over mounts, bind mounts
/// and symbolic links are no riddle. None: it is not in this namespace.
pub(super) fn of(file: &File) -> Result<Option<Mount>, DeviceError> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|source| DeviceError::read(Path::new(path), source))
    };
    let about = read(&format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let table =
        mounts::read(TABLE).map_err(|source| DeviceError::read(Path::new(TABLE), source))?;
    Ok(id.and_then(|id| find(&table, id.trim())))
}

/// Where something is mounted below a directory, as this namespace names it.
pub(super) fn below(directory: &Path) -> Vec<PathBuf> {
    let table = mounts::read(TABLE).unwrap_or_default();
    points_below(&table, directory)
}

fn points_below(table: &str, directory: &Path) -> Vec<PathBuf> {
    let points = mounts::parse(table).map(|mount| mount.point);
    let mut below: Vec<PathBuf> = points
        .filter(|point| point != directory && point.starts_with(directory))
        .collect();
    below.sort();
    below.dedup();
    below
}

fn find(table: &str, id: &str) -> Option<Mount> {
    mounts::parse(table).find(|mount| mount.id == id)
}

impl Mount {
    /// The directories of an overlay, the one that is written to first
    /// (Documentation/filesystems/overlayfs.rst). Colons in their names are escaped.
    pub(super) fn layers(&self) -> Vec<PathBuf> {
        let options = split(&self.options, ',');
        let value = |name: &'static str| {
            let options = options.iter().filter_map(|option| option.split_once('='));
            options
                .filter(move |(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let mut layers: Vec<String> = value("upperdir").collect();
        for lower in value("lowerdir") {
            layers.extend(split(&lower, ':').into_iter().filter(|l| !l.is_empty()));
        }
        layers.extend(value("lowerdir+"));
        layers.extend(value("datadir+"));
        let plain = |layer: &String| PathBuf::from(layer.replace("\\:", ":").replace("\\,", ","));
        layers.iter().map(plain).collect()
    }
}

/// Splits at a character that is not behind a backslash.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == at && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const MOUNTS: &str = "\
25 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
40 25 0:38 / /merged rw shared:9 master:2 - overlay over\\040lay rw,lowerdir=/l\\134:1:/l2,upperdir=/u,workdir=/w
41 25 0:39 / /data\\040two rw - btrfs /dev/sdb rw,subvol=/
42 25 0:40 / /new rw - overlay none rw,lowerdir+=/a,lowerdir+=/b,datadir+=/c";

    #[test]
    fn a_mount_is_found_by_its_id() {
        assert_eq!(find(MOUNTS, "41").unwrap().point, Path::new("/data two"));
        assert_eq!(find(MOUNTS, "4"), None);
    }

    #[test]
    fn what_is_mounted_below_a_directory_is_found() {
        let below = |directory| points_below(MOUNTS, Path::new(directory));
        assert_eq!(below("/new"), [] as [PathBuf; 0]);
        assert_eq!(below("/ne"), [] as [PathBuf; 0]);
        assert_eq!(
            below("/"),
            ["/data two", "/merged", "/new"].map(PathBuf::from)
        );
    }

    #[test]
    fn the_layers_of_an_overlay_begin_with_the_one_that_is_written() {
        let layers = |id| find(MOUNTS, id).unwrap().layers();
        assert_eq!(layers("40"), ["/u", "/l:1", "/l2"].map(PathBuf::from));
        assert_eq!(layers("42"), ["/a", "/b", "/c"].map(PathBuf::from));
    }
}
