//! A distribution of the user's own: a file in the format of iproute2's `.dist` files.
//!
//! Whitespace-separated whole numbers, 8192 is one standard deviation, `#` begins a comment (tc
//! reads them so, `tc/q_netem.c`, `get_distribution`).

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    sync::Arc,
};

use chaosd_ebpf::{NORMAL, PARETO, PARETO_NORMAL, TABLE_LEN};

use crate::profile::Distribution;

use super::distribution;

/// One standard deviation in such a file (`NETEM_DIST_SCALE` of `linux/pkt_sched.h`).
const SCALE: i32 = 8192;
/// Most entries (`NETEM_DIST_MAX`).
const MOST_ENTRIES: usize = 16384;
/// Fewer make no distribution.
const LEAST_ENTRIES: usize = 2;
/// Largest file, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Why a file is no table. What it contains is not told: the daemon reads what its user may not.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Cannot be read.
    #[error("failed to read the distribution {path}: {source}")]
    Read {
        /// As given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("the distribution {path} is not a regular file")]
    NotAFile {
        /// As given.
        path: String,
    },
    /// Larger than any table.
    #[error("the distribution {path} has more than {MOST_BYTES} bytes")]
    TooLarge {
        /// As given.
        path: String,
    },
    /// Something else than numbers.
    #[error(
        "the distribution {path}, line {line}: word {word} is not a whole number from -32768 to 32767"
    )]
    NotANumber {
        /// As given.
        path: String,
        /// From 1.
        line: usize,
        /// From 1, within the line.
        word: usize,
    },
    /// Too few or too many numbers.
    #[error(
        "the distribution {path} has {count} numbers: {LEAST_ENTRIES} to {MOST_ENTRIES} make a table"
    )]
    Count {
        /// As given.
        path: String,
        /// Numbers in it.
        count: usize,
    },
}

/// The quantiles of a law that the programs do not know by a number.
pub(super) fn quantiles(law: &Distribution) -> Result<Option<Arc<[i32; TABLE_LEN]>>, TableError> {
    let Distribution::Table(path) = law else {
        return Ok(None);
    };
    Ok(Some(Arc::new(distribution::resample(&read(path)?, SCALE))))
}

/// The table that netem is given; `None` for the uniform law, which it has of itself.
pub(super) fn of_netem(law: &Distribution) -> Result<Option<Arc<[i16]>>, TableError> {
    let number = match law {
        Distribution::Uniform => return Ok(None),
        Distribution::Table(path) => return read(path).map(|values| Some(values.into())),
        Distribution::Normal => NORMAL,
        Distribution::Pareto => PARETO,
        Distribution::ParetoNormal => PARETO_NORMAL,
    };
    Ok(distribution::built_in(number).map(|table| distribution::scaled(&table, SCALE).into()))
}

fn read(path: &str) -> Result<Vec<i16>, TableError> {
    let path = || path.to_owned();
    let wrong = |source| TableError::Read {
        path: path(),
        source,
    };
    // A pipe without a writer would keep us waiting.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path())
        .map_err(wrong)?;
    if !file.metadata().map_err(wrong)?.is_file() {
        return Err(TableError::NotAFile { path: path() });
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(wrong)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(TableError::TooLarge { path: path() });
    }
    let mut values = Vec::new();
    for (line, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        for (word, number) in text.split_ascii_whitespace().enumerate() {
            let Ok(number) = number.parse() else {
                return Err(TableError::NotANumber {
                    path: path(),
                    line: line + 1,
                    word: word + 1,
                });
            };
            values.push(number);
        }
    }
    if !(LEAST_ENTRIES..=MOST_ENTRIES).contains(&values.len()) {
        return Err(TableError::Count {
            path: path(),
            count: values.len(),
        });
    }
    Ok(values)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Written(PathBuf);

    impl Drop for Written {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    fn write(name: &str, text: &str) -> Written {
        let path = std::env::temp_dir().join(format!("chaosd-{}-{name}.dist", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Written(path)
    }

    fn law(file: &Written) -> Distribution {
        Distribution::Table(file.0.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_table_is_read_as_tc_reads_it_and_sorted_into_quantiles() {
        let file = write("good", "# two deviations\n8192 -8192 # and\n\n 0\t16384\n");
        let table = quantiles(&law(&file)).unwrap().unwrap();
        assert_eq!((table[0], table[TABLE_LEN - 1]), (-65536, 131_072));
        assert_eq!((table[TABLE_LEN / 4], table[TABLE_LEN / 2]), (0, 65536));
        let netem = of_netem(&law(&file)).unwrap().unwrap();
        assert_eq!(netem.as_ref(), [8192, -8192, 0, 16384]);
    }

    #[test]
    fn a_file_that_is_no_table_says_where() {
        for (name, text, said) in [
            (
                "word",
                "1 2\n3 secret\n",
                "line 2: word 2 is not a whole number",
            ),
            (
                "large",
                "1 2\n40000\n",
                "line 2: word 1 is not a whole number",
            ),
            (
                "empty",
                "# nothing\n",
                "has 0 numbers: 2 to 16384 make a table",
            ),
        ] {
            let file = write(name, text);
            let error = quantiles(&law(&file)).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for (path, said) in [
            ("/dev/null", "not a regular file"),
            ("/none.dist", "failed to read"),
        ] {
            let error = quantiles(&Distribution::Table(path.into())).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
