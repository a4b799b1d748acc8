//! What an overlay makes of "files below a path".
//!
//! An overlay's files are its own, and it opens the one in the layer below for each: who opens through the
//! overlay asks the marks of both file systems, who opens in a layer only those of the layer's. Before Linux 6.7
//! the overlay opened the layer's file under its own path, and asked its own marks twice.

use std::path::{Path, PathBuf};

use crate::mounts::{Mount, parse};

/// An overlay's open of a layer's file has that file's path since then (`fs/file_table.c`, `struct backing_file`).
const REAL_PATH_SINCE: (u32, u32) = (6, 7);
/// A host of containers has hundreds.
const SHOWN: usize = 3;

/// What the user should know of overlays at a path or over it, as sentences without subject. `table` is
/// mountinfo, `kernel` a version such as (6, 12).
pub fn notes(table: &str, path: &Path, kernel: (u32, u32)) -> Vec<String> {
    let mounts: Vec<Mount> = parse(table).collect();
    let is_overlay = |mount: &&Mount| mount.kind == "overlay";
    // Of several at one point the last is on top.
    let of_path = (mounts.iter().enumerate())
        .filter(|(_, mount)| path.starts_with(&mount.point))
        .max_by_key(|(place, mount)| (mount.point.components().count(), *place));
    let through = of_path.map(|(_, mount)| mount).filter(is_overlay);
    let through = through.map(|mount| {
        format!(
            "delays who opens files through the overlay mounted at {}, not who opens them in its layers{}",
            mount.point.display(),
            upper(mount).map_or_else(String::new, |upper| format!(", such as {}", upper.display()))
        )
    });
    let over = (mounts.iter()).filter(is_overlay).filter(|mount| {
        let meets = |layer: &PathBuf| layer.starts_with(path) || path.starts_with(layer);
        layers(mount).iter().any(meets)
    });
    let points: Vec<String> = over
        .map(|mount| mount.point.display().to_string())
        .collect();
    let over = points.chunks(SHOWN).next().map(|shown| {
        let more = match points.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = shown.join(", ");
        if kernel < REAL_PATH_SINCE {
            return format!(
                "does not delay who opens these files through an overlay, on this kernel: {shown}{more}; for them name the overlay's path"
            );
        }
        format!("delays too who opens these files through an overlay: {shown}{more}")
    });
    through.into_iter().chain(over).collect()
}

fn upper(mount: &Mount) -> Option<PathBuf> {
    let options = mount.options.split(',');
    let upper = options.filter_map(|option| option.strip_prefix("upperdir="));
    upper.map(PathBuf::from).next()
}

/// By the names that they were mounted by (`Documentation/filesystems/overlayfs.rst`); one that is not
/// absolute is known to nobody else.
fn layers(mount: &Mount) -> Vec<PathBuf> {
    let lower = mount
        .options
        .split(',')
        .filter_map(|option| option.strip_prefix("lowerdir="))
        .flat_map(|lower| lower.split(':'))
        .map(PathBuf::from);
    let all = lower.chain(upper(mount));
    all.filter(|layer| layer.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
25 1 254:0 / / rw - ext4 /dev/root rw
40 25 0:38 / /var/merged rw - overlay overlay rw,lowerdir=/var/l1:/var/l2,upperdir=/var/up,workdir=/var/work
41 25 0:39 / /mnt rw - overlay overlay rw,lowerdir=low,upperdir=up,workdir=work
42 40 0:40 / /var/merged/tmp rw - tmpfs tmpfs rw";

    fn said(path: &str) -> Vec<String> {
        notes(TABLE, Path::new(path), (6, 12))
    }

    #[test]
    fn who_is_late_through_an_overlay_is_told() {
        let said = said("/var/merged/srv");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("at /var/merged, not who"), "{said:?}");
        assert!(said[0].contains("such as /var/up"), "{said:?}");
    }

    #[test]
    fn who_is_late_over_a_layer_is_told() {
        for path in ["/var/l2/srv", "/var/up", "/var"] {
            let said = said(path);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains("delays too"), "{said:?}");
            assert!(said[0].contains("an overlay: /var/merged"), "{said:?}");
            let before = notes(TABLE, Path::new(path), (6, 1));
            assert!(before[0].contains("does not delay"), "{before:?}");
        }
    }

    #[test]
    fn of_other_places_nothing_is_said() {
        for path in ["/srv", "/var/merged/tmp", "/var/l20"] {
            assert_eq!(said(path), Vec::<String>::new());
        }
    }
}
