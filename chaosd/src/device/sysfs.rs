//! What /sys says of block devices: Documentation/ABI/stable/sysfs-block, /sys/fs/btrfs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{DeviceError, Disk, Number};

const DEVICES: &str = "/sys/dev/block";
const BTRFS: &str = "/sys/fs/btrfs";
/// Disks may lie on disks; a cycle cannot be, and is not followed for ever.
const DEPTH_MAX: u32 = 16;

/// The whole disk of a device, and what lies below.
pub(super) fn disk(number: Number) -> Result<Disk, DeviceError> {
    let directory = Path::new(DEVICES).join(number.to_string());
    match fs::canonicalize(&directory) {
        Ok(directory) => disk_at(&directory, DEPTH_MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DeviceError::Unknown {
            path: directory,
            number,
        }),
        Err(source) => Err(DeviceError::read(directory, source)),
    }
}

/// All disks of the btrfs that is on `source`.
pub(super) fn btrfs(source: &str) -> Result<Vec<Disk>, DeviceError> {
    let unknown = || DeviceError::NoBtrfs {
        path: BTRFS.into(),
        device: source.to_owned(),
    };
    // `/dev/mapper/vg-data` is a symbolic link to the node, which is named as in /sys.
    let node = fs::canonicalize(source).map_err(|e| DeviceError::read(source, e))?;
    let name = node.file_name().ok_or_else(unknown)?;
    let devices = entries(Path::new(BTRFS))
        .into_iter()
        .map(|file_system| file_system.join("devices"))
        .find(|devices| devices.join(name).exists())
        .ok_or_else(unknown)?;
    let devices = entries(&devices);
    let disks = devices.iter().map(|link| {
        let directory = fs::canonicalize(link).map_err(|e| DeviceError::read(link, e))?;
        disk_at(&directory, DEPTH_MAX)
    });
    disks.collect()
}

/// The disk of a device's directory in /sys.
fn disk_at(directory: &Path, depth: u32) -> Result<Disk, DeviceError> {
    let is_partition = directory.join("partition").exists();
    // A partition's directory lies in its disk's.
    let whole = match directory.parent() {
        Some(parent) if is_partition => parent,
        _ => directory,
    };
    let dev = whole.join("dev");
    let text = fs::read_to_string(&dev).map_err(|source| DeviceError::read(&dev, source))?;
    let number = text.parse::<Number>().map_err(|source| {
        let source = io::Error::new(io::ErrorKind::InvalidData, source);
        DeviceError::read(&dev, source)
    })?;
    let slaves = if depth > 0 {
        entries(&whole.join("slaves"))
    } else {
        Vec::new()
    };
    let mut below = Vec::new();
    for link in slaves {
        let directory = fs::canonicalize(&link).map_err(|e| DeviceError::read(&link, e))?;
        below.push(disk_at(&directory, depth - 1)?);
    }
    Ok(Disk {
        number,
        name: name(whole),
        label: label(whole),
        partition: is_partition.then(|| name(directory)),
        below,
    })
}

/// What a device is called by those who made it.
fn label(directory: &Path) -> Option<String> {
    ["dm/name", "loop/backing_file"]
        .iter()
        .find_map(|file| fs::read_to_string(directory.join(file)).ok())
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

fn name(directory: &Path) -> String {
    // The kernel writes `!` for a slash (`cciss!c0d0`).
    let name = directory.file_name().unwrap_or_default();
    name.to_string_lossy().replace('!', "/")
}

/// What is in a directory, by name. Nothing, if it is not there.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<_> = listing.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::journal::testing::TempDir;

    /// A tree like that of /sys.
    struct Tree(TempDir);

    impl Tree {
        fn device(&self, path: &str, number: &str) -> PathBuf {
            let directory = self.0.path().join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
            fs::canonicalize(directory).unwrap()
        }

        fn slave(upper: &Path, lower: &Path) {
            let slaves = upper.join("slaves");
            fs::create_dir_all(&slaves).unwrap();
            std::os::unix::fs::symlink(lower, slaves.join(lower.file_name().unwrap())).unwrap();
        }
    }

    #[test]
    fn a_partition_is_its_whole_disk() {
        let tree = Tree(TempDir::new());
        tree.device("nvme0n1", "259:0");
        let partition = tree.device("nvme0n1/nvme0n1p3", "259:3");
        fs::write(partition.join("partition"), "3\n").unwrap();
        let disk = disk_at(&partition, DEPTH_MAX).unwrap();
        assert_eq!(disk.number.to_string(), "259:0");
        assert_eq!(disk.to_string(), "nvme0n1p3 -> nvme0n1");
    }

    #[test]
    fn a_volume_is_a_disk_of_its_own_and_tells_what_it_lies_on() {
        let tree = Tree(TempDir::new());
        let sda = tree.device("sda", "8:0");
        tree.device("sdb", "8:16");
        let sdb1 = tree.device("sdb/sdb1", "8:17");
        fs::write(sdb1.join("partition"), "1\n").unwrap();
        let md = tree.device("md0", "9:0");
        Tree::slave(&md, &sda);
        Tree::slave(&md, &sdb1);
        let dm = tree.device("dm-0", "252:0");
        fs::create_dir(dm.join("dm")).unwrap();
        fs::write(dm.join("dm/name"), "vg-data\n").unwrap();
        Tree::slave(&dm, &md);
        let disk = disk_at(&dm, DEPTH_MAX).unwrap();
        assert_eq!(disk.number.to_string(), "252:0");
        assert_eq!(
            disk.to_string(),
            "dm-0 (vg-data) -> md0 -> (sda, sdb1 -> sdb)"
        );
    }
}
