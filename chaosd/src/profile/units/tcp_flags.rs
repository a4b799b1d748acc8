//! TCP flags.

use serde::Serialize;

use crate::profile::{
    problem::{Mistake, quote},
    words,
};

/// The names, from bit 0 of the header's flag byte upwards (RFC 9293 §3.1).
const FLAG_NAMES: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// TCP flags that must be set, and those that must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TcpFlags {
    /// Mask over the header's flag byte (RFC 9293 §3.1: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128).
    pub set: u8,
    /// Likewise.
    pub clear: u8,
}

impl TcpFlags {
    /// True when a segment with this flag byte is meant.
    pub fn holds(self, flags: u8) -> bool {
        flags & self.set == self.set && flags & self.clear == 0
    }

    /// As profiles write them: `syn`, `!ack`.
    pub(in crate::profile) fn words(self) -> impl Iterator<Item = String> {
        let named = |mask: u8, mark: &'static str| {
            FLAG_NAMES
                .iter()
                .enumerate()
                .filter(move |(bit, _)| mask & (1 << bit) != 0)
                .map(move |(_, name)| format!("{mark}{name}"))
        };
        named(self.set, "").chain(named(self.clear, "!"))
    }
}

/// One flag: its bit, and whether it must be set. `!ack` must not.
pub(in crate::profile) fn parse_flag(text: &str) -> Result<(u8, bool), Mistake> {
    let text = text.trim();
    let (name, set) = match text.strip_prefix('!') {
        Some(name) => (name, false),
        None => (text, true),
    };
    if let Some(bit) = FLAG_NAMES.iter().position(|n| *n == name) {
        return Ok((1 << bit, set));
    }
    let mistake = Mistake::new(format!(
        "{} is not a TCP flag ({}; ! before one: not set)",
        quote(text),
        FLAG_NAMES.join(", ")
    ));
    Err(match words::nearest(name, &FLAG_NAMES) {
        Some(near) => mistake.instead(format!("{}{near}", if set { "" } else { "!" })),
        None => mistake,
    })
}
