//! Units as people write them, in types that cannot hold a bad value.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// A share from 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100.0);

    /// `None` unless within 0 to 100.
    pub fn new(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then_some(Self(percent))
    }

    /// From 0 to 100.
    pub fn get(self) -> f64 {
        self.0
    }

    /// As a 32-bit fixed-point probability, the form that the programs compare with.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 2^32 is exact in f64 and fits"
    )]
    pub fn fixed_point(self) -> u64 {
        (self.0 / 100.0 * chaosd_ebpf::ONE as f64).round() as u64
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}%", self.0))
    }
}

/// A set of ports: inclusive ranges, sorted, not touching each other, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// The ranges.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(a, b)| {
            if a == b {
                a.to_string()
            } else {
                format!("{a}-{b}")
            }
        }))
    }
}

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
}

pub(crate) fn serialize_duration<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_duration(*d))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn serialize_optional_duration<S: Serializer>(
    d: &Option<Duration>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match d {
        Some(d) => serialize_duration(d, s),
        None => s.serialize_none(),
    }
}
