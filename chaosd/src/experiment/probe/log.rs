//! Lines that came to a file since the look before. A file that was cut or replaced is read from its
//! beginning, as tail(1) does with `-F`.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use nix::libc;

use super::{Look, Seen};
use crate::profile::Pattern;

/// At most this much is read at one look: the rest at the next.
const MOST_BYTES: u64 = 16 << 20;

/// How far the file has been read.
#[derive(Debug, Default)]
pub(super) struct Place {
    inode: u64,
    offset: u64,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

impl Place {
    pub(super) fn end_of(file: &Path) -> Self {
        fs::metadata(file).map_or_else(
            |_| Self::default(),
            |metadata| Self {
                inode: metadata.ino(),
                offset: metadata.len(),
                begun: Vec::new(),
            },
        )
    }

    pub(super) fn look(&mut self, path: &Path, matches: &Pattern) -> Look {
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        // A FIFO in its place would be waited for (open(2)).
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(told)?;
        let metadata = file.metadata().map_err(told)?;
        if !metadata.is_file() {
            return Err(format!("{} is no regular file", path.display()));
        }
        if metadata.ino() != self.inode || metadata.len() < self.offset {
            *self = Self {
                inode: metadata.ino(),
                ..Self::default()
            };
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(told)?;
        let mut text = std::mem::take(&mut self.begun);
        let before = text.len();
        file.take(MOST_BYTES).read_to_end(&mut text).map_err(told)?;
        self.offset += (text.len() - before) as u64;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        self.begun = text.split_off(whole.map_or(0, |end| end + 1));
        let anywhere = Pattern::new(&format!("*{matches}*"));
        let lines = text.split(|byte| *byte == b'\n');
        let count = lines
            .filter(|line| !line.is_empty() && anywhere.fits(&String::from_utf8_lossy(line)))
            .count();
        #[expect(clippy::cast_precision_loss, reason = "lines of 16 MiB")]
        let count = count as f64;
        Ok(Seen::Measured(count))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_new_and_whole_lines_count_also_of_a_new_file() {
        let path = std::env::temp_dir().join(format!("chaosd-log-{}", std::process::id()));
        fs::write(&path, "ERROR old\n").unwrap();
        let mut place = Place::end_of(&path);
        let pattern = Pattern::new("ERR*shop");
        let mut look = || place.look(&path, &pattern).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        assert_eq!(look(), Seen::Measured(0.0));
        write!(file, "an ERROR of shop 1\nfine\nERROR of sh").unwrap();
        assert_eq!(look(), Seen::Measured(1.0));
        writeln!(file, "op 2").unwrap();
        assert_eq!(look(), Seen::Measured(1.0));
        // Shorter than what was read.
        fs::write(&path, "ERROR of shop 3\n").unwrap();
        assert_eq!(look(), Seen::Measured(1.0));
        assert_eq!(look(), Seen::Measured(0.0));
        fs::remove_file(&path).unwrap();
        assert!(place.look(&path, &pattern).is_err());
    }
}
