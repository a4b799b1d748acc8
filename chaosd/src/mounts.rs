//! The mounts of a mount namespace, as mountinfo tells of them (`proc_pid_mountinfo(5)`). Which process's
//! view it takes is for the caller to say.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What `mnt_id` of `proc_pid_fdinfo(5)` names.
    pub id: String,
    /// What of its file system is mounted; `net:[4026531840]` of a namespace.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// `ext4`
    pub kind: String,
    /// `/dev/sda1`, `server:/export`, or a word.
    pub source: String,
    /// The options of the file system itself, unescaped.
    pub options: String,
}

/// The table of one view. A name may be any bytes (of a file system from elsewhere): what is no text of
/// it is replaced, so that it is nothing of ours, and hides nobody else.
pub fn read(mountinfo: impl AsRef<Path>) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(mountinfo)?).into_owned())
}

/// The mounts of a table. A line that is none is passed over.
pub fn parse(table: &str) -> impl Iterator<Item = Mount> + '_ {
    table.lines().filter_map(line)
}

fn line(line: &str) -> Option<Mount> {
    // Optional fields, in any number, end with the dash.
    let (place, source) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let mut source = source.splitn(3, ' ');
    Some(Mount {
        id: place.next()?.to_owned(),
        root: unescape(place.nth(2)?).into(),
        point: unescape(place.next()?).into(),
        kind: source.next()?.to_owned(),
        source: unescape(source.next()?),
        options: unescape(source.next().unwrap_or_default()),
    })
}

impl Mount {
    /// True when all of its file system is mounted there, and not a part.
    pub fn is_whole(&self) -> bool {
        self.root == Path::new("/")
    }
}

/// Undoes the octal escapes of the kernel (`mangle_path` and `seq_escape` of `fs/seq_file.c`).
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_text_hides_no_other_mount() {
        let directory = crate::journal::testing::TempDir::new();
        let file = directory.path().join("mountinfo");
        let table =
            b"25 1 254:0 / /media/\xff rw - vfat /dev/sdb rw\n26 1 0:5 / /b rw - tmpfs t rw\n";
        fs::write(&file, table).unwrap();
        let table = read(&file).unwrap();
        let kinds: Vec<String> = parse(&table).map(|mount| mount.kind).collect();
        assert_eq!(kinds, ["vfat", "tmpfs"]);
    }

    #[test]
    fn a_mount_is_read_whatever_optional_fields_it_has() {
        let table = "\
25 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
40 25 0:38 /sub /a\\040b\\134 rw shared:9 master:2 - overlay over\\040lay rw,upperdir=/u
nothing";
        let mounts: Vec<Mount> = parse(table).collect();
        let [root, part] = &mounts[..] else {
            panic!("{mounts:?}")
        };
        assert!(root.is_whole() && !part.is_whole());
        assert_eq!((&*root.id, &*root.options), ("25", "rw,discard"));
        assert_eq!(part.point, Path::new("/a b\\"));
        assert_eq!((&*part.kind, &*part.source), ("overlay", "over lay"));
        assert_eq!(part.root.to_str().unwrap(), "/sub");
    }
}
