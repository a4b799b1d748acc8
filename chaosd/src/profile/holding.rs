//! The checked form of the kinds that hold packets or copy them.
//!
//! Serialized they read as a profile writes them, so that the canonical document needs no code of
//! its own.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::units::{Percent, Rate, Size};

/// The longest that any kind may be asked to hold a packet.
pub const LONGEST_HOLD: Duration = Duration::from_mins(10);
/// Most copies of one packet.
pub const MOST_COPIES: u32 = 16;
/// Most peers that one delay has times for.
pub const MOST_BY_PEER: usize = 65536;

/// `delay`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Delay {
    /// How long.
    #[serde(flatten)]
    pub mean: Mean,
    /// How it varies.
    #[serde(flatten)]
    pub jitter: Option<Jitter>,
    /// A flow's packets leave in the order they came (default); off: jitter reorders them.
    pub keep_order: bool,
}

/// The mean of a delay, each up to [`LONGEST_HOLD`]; not 0 (for all peers) unless there is jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mean {
    /// The same for all matched packets.
    #[serde(serialize_with = "super::units::serialize_duration")]
    Time(Duration),
    /// Each peer's own, that of the longest prefix; packets of no entry are not matched. 1 to
    /// [`MOST_BY_PEER`] entries, without host bits.
    #[serde(serialize_with = "serialize_by_peer")]
    ByPeer(BTreeMap<IpNet, Duration>),
}

impl Mean {
    /// Of the farthest peer.
    pub fn longest(&self) -> Duration {
        match self {
            Self::Time(time) => *time,
            Self::ByPeer(times) => times.values().max().copied().unwrap_or_default(),
        }
    }

    /// Of the nearest peer.
    pub fn shortest(&self) -> Duration {
        match self {
            Self::Time(time) => *time,
            Self::ByPeer(times) => times.values().min().copied().unwrap_or_default(),
        }
    }
}

fn serialize_by_peer<S: Serializer>(
    times: &BTreeMap<IpNet, Duration>,
    s: S,
) -> Result<S::Ok, S::Error> {
    s.collect_map(times.iter().map(|(net, time)| {
        let peer = super::Peer::Net(*net).to_string();
        (peer, humantime::format_duration(*time).to_string())
    }))
}

/// How a delay varies from packet to packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Jitter {
    /// Half the range of a uniform distribution, else one standard deviation; not 0, up to
    /// [`LONGEST_HOLD`].
    #[serde(rename = "jitter", serialize_with = "super::units::serialize_duration")]
    pub width: Duration,
    /// By which law (default: normal).
    pub distribution: Distribution,
    /// Of a packet's jitter with that of the packet before (default: 0 %).
    pub correlation: Percent,
}

/// The law of a jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Every value of the range is as likely.
    Uniform,
    /// Gauss.
    Normal,
    /// Pareto with exponent 3: a long tail of late packets.
    Pareto,
    /// A quarter normal, three quarters Pareto: what wide-area networks look like.
    ParetoNormal,
    /// A file in the format of iproute2's `.dist` files: its absolute path.
    Table(String),
}

/// `reorder`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reorder {
    /// Share of packets that are held back while others pass.
    pub rate: Percent,
    /// For how long: not 0, up to [`LONGEST_HOLD`] (default 10 ms).
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub by: Duration,
}

/// `duplicate`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Duplicate {
    /// Share of packets that are sent more than once.
    pub rate: Percent,
    /// How many more times: 1 to [`MOST_COPIES`] (default 1).
    pub copies: u32,
}

/// `bandwidth`: in each direction a link of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bandwidth {
    /// Of Ethernet frames without their checksums, as tc(8) counts.
    pub rate: Rate,
    /// What an idle link may send at once (default 0: it is a wire).
    pub burst: Size,
    /// What waits for the link at most; a packet that finds it full is dropped.
    pub queue: Queue,
    /// Who shares the link.
    pub per: Share,
}

/// The room before a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Queue {
    /// In bytes of frames.
    Size(Size),
    /// As the time that the last packet waits, up to [`LONGEST_HOLD`].
    Time(#[serde(serialize_with = "super::units::serialize_duration")] Duration),
}

/// Who shares a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// All packets that the fault matches (default).
    Fault,
    /// Nobody: each flow has it for itself.
    Flow,
}

/// Bytes of the largest frame of an Ethernet of MTU 1500, without its checksum.
const FRAME: u64 = 1514;
/// Frames that the shortest default queue has room for.
const FRAMES: u64 = 16;
/// Time that the default queue stands for, on links that are not too slow.
const QUEUE: Duration = Duration::from_millis(100);

impl Bandwidth {
    /// The queue when none is given: 100 ms or 16 frames of 1514 bytes, whichever is more.
    pub(super) fn default_queue(rate: Rate) -> Queue {
        let frames = Size::new(FRAMES * FRAME).unwrap_or_default();
        if Self::time(rate, frames) > QUEUE {
            Queue::Size(frames)
        } else {
            Queue::Time(QUEUE)
        }
    }

    /// How long so many bytes take at a rate.
    pub(crate) fn time(rate: Rate, size: Size) -> Duration {
        let ns = u128::from(size.bytes()) * 8_000_000_000 / u128::from(rate.bits());
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// The longest that a packet waits for its turn.
    pub fn longest_wait(&self) -> Duration {
        match self.queue {
            Queue::Size(size) => Self::time(self.rate, size),
            Queue::Time(time) => time,
        }
    }
}
