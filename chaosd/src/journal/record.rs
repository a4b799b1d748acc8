//! One record, and the line that proves it.

use std::{io, process};

use serde::{Deserialize, Serialize};

use crate::undo::{Outcome, Undo};

/// What a journal tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Whose journal it is; the first record.
    Begin(Begin),
    /// The change that this undoes is about to be made. Written before it.
    Will(Undo),
    /// The change of a `Will` was made and verified.
    Did {
        /// Number of the `Will`.
        of: u64,
    },
    /// The change of a `Will` is undone.
    Undone {
        /// Number of the `Will`.
        of: u64,
        /// What was found.
        outcome: Outcome,
    },
    /// Every change of the transaction was made.
    Commit,
    /// Everything is undone, and the file about to be deleted.
    End,
}

/// Whose journal it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Begin {
    /// `run-ID` or `plane-K`.
    pub owner: String,
    /// Counts the journals of an instance: the higher, the newer.
    pub generation: u64,
    /// The process that wrote it.
    pub pid: u32,
    /// When, RFC 3339.
    pub started: String,
}

impl Begin {
    /// The journal of `owner`, begun by this process at this time.
    pub fn now(owner: impl Into<String>, generation: u64) -> Self {
        Self {
            owner: owner.into(),
            generation,
            pid: process::id(),
            started: jiff::Timestamp::now().to_string(),
        }
    }
}

/// How every line begins, and nothing else in a journal: JSON escapes quotes inside strings, and no
/// record has an object whose first field is `seq`, which `encode` makes sure of.
pub(super) const START: &str = r#"{"seq":"#;
const CRC: &str = r#","crc32":"#;
const BODY: &str = r#","record":"#;

/// `{"seq":1,"crc32":2774551,"record":...}` and a newline.
pub(super) fn encode(seq: u64, record: &Record) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string(record)?;
    if body.contains(START) {
        return Err(io::Error::other("a record looks like two"));
    }
    let crc = crc(seq, &body);
    Ok(format!("{START}{seq}{CRC}{crc}{BODY}{body}}}\n").into_bytes())
}

/// The record of a line (without its newline), if the line proves itself.
///
/// The form is parsed by hand and strictly, and the CRC is over the very bytes of the record, so
/// that another version of chaosd can prove a record even if it cannot read it.
pub(super) fn decode(line: &[u8]) -> Option<(u64, Record)> {
    let line = std::str::from_utf8(line).ok()?;
    let (seq, rest) = line.strip_prefix(START)?.split_once(CRC)?;
    let (claimed, rest) = rest.split_once(BODY)?;
    let body = rest.strip_suffix('}')?;
    let seq = number(seq)?;
    if number(claimed)? != u64::from(crc(seq, body)) {
        return None;
    }
    Some((seq, serde_json::from_str(body).ok()?))
}

fn crc(seq: u64, body: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.to_be_bytes());
    hasher.update(body.as_bytes());
    hasher.finalize()
}

/// Digits alone: `u64::from_str` takes a sign and leading zeros too.
fn number(text: &str) -> Option<u64> {
    let n: u64 = text.parse().ok()?;
    (n.to_string() == text).then_some(n)
}
