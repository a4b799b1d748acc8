//! What the runner says between the lines of the tests: which binary runs, how it ended, and what
//! was skipped. Under another kernel standard output is all that comes back from it.

use serde::{Deserialize, Serialize};

/// Begins each of the runner's own lines; no test prints it.
const MARK: char = '\u{1e}';

/// A line of the runner.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Say {
    /// The binary's tests follow.
    Begin { binary: String },
    /// It ended; `trouble` says how if it was neither success nor failed tests.
    End {
        binary: String,
        seconds: u64,
        trouble: Option<String>,
    },
    /// A test said that it cannot run here.
    Skip {
        binary: String,
        test: String,
        reason: String,
    },
}

impl Say {
    /// The line, without its end.
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{json}")
    }

    /// Reads a line back; none for what a test printed.
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(MARK)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Say;

    #[test]
    fn what_is_said_is_read_back_and_a_tests_line_is_not() {
        let say = Say::Skip {
            binary: "tests".to_owned(),
            test: "a::b".to_owned(),
            reason: "no \"cgroup\"\tv2".to_owned(),
        };
        assert_eq!(Say::read(&say.line()), Some(say));
        assert_eq!(Say::read("test a::b ... ok"), None);
    }
}
