//! The queue that lets each packet go at the time that stands in its `tstamp` (`sch_fq`).
//!
//! A packet that has no socket belongs to the flow that its hash names, and a flow waits as a
//! whole: once its first packet has been found to be early, nothing of that flow leaves before
//! that packet's time, not even one that came later and is due sooner (`net/sched/sch_fq.c`:
//! `fq_dequeue`, `fq_flow_set_throttled`). So two packets of which the later may leave first must
//! have different hashes, and the mask here keeps all 32 bits of them apart.

use super::attributes::{Attributes, TooLong, find, word};

/// Options of an fq (`TCA_FQ_*` of `linux/pkt_sched.h`; Linux 5.8 and later). What does not stand
/// here stays at the kernel's default; rate limits are switched off, and so are ECN marks, which
/// are off by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fq {
    /// Packets it holds; the next is refused. A super-packet is one.
    pub limit: u32,
    /// Packets it holds of one flow.
    pub flow_limit: u32,
    /// Bytes a flow sends when its turn comes, while others are due too.
    pub quantum: u32,
    /// The same for a flow that is new.
    pub initial_quantum: u32,
    /// log2 of the number of hash buckets, 0 to 18.
    pub buckets_log: u32,
    /// Bits of a packet's hash that tell its flow from others.
    pub orphan_mask: u32,
    /// How late the timer may be, in ns.
    pub timer_slack_ns: u32,
    /// How far ahead a departure may lie, in us, 1 to `u32::MAX` (71 minutes).
    pub horizon_us: u32,
    /// A packet beyond the horizon: true: it is refused; false: it leaves at the horizon.
    pub horizon_drop: bool,
}

impl Fq {
    /// Holds up to `limit` packets, of one flow or of many, for up to 1000 s.
    pub const fn holding(limit: u32) -> Self {
        /// The largest packet: nobody's turn ends in the middle of one.
        const LARGEST: u32 = 1 << 16;
        /// As a `u32`, which its value fits.
        #[expect(clippy::cast_possible_truncation, reason = "asserted at compile time")]
        const SLACK_NS: u32 = {
            assert!(
                chaosd_ebpf::SLACK_NS <= 1_000_000,
                "not a slack, but a delay"
            );
            chaosd_ebpf::SLACK_NS as u32
        };
        Self {
            limit,
            flow_limit: limit,
            quantum: LARGEST,
            initial_quantum: LARGEST,
            // 256 KiB of kernel memory: thousands of flows, each found at once.
            buckets_log: 15,
            orphan_mask: u32::MAX,
            timer_slack_ns: SLACK_NS,
            horizon_us: 1_000_000_000,
            // A departure that far ahead is not one of ours: a refusal is counted, while a packet
            // that leaves at another time than asked is not.
            horizon_drop: true,
        }
    }

    /// The value of `TCA_OPTIONS`.
    pub(super) fn options(&self) -> Result<Vec<u8>, TooLong> {
        let mut all = Attributes::default();
        for (kind, value) in [
            (BUCKETS_LOG, self.buckets_log),
            (PLIMIT, self.limit),
            (FLOW_PLIMIT, self.flow_limit),
            (QUANTUM, self.quantum),
            (INITIAL_QUANTUM, self.initial_quantum),
            (RATE_ENABLE, 0),
            (ORPHAN_MASK, self.orphan_mask),
            (TIMER_SLACK, self.timer_slack_ns),
            (HORIZON, self.horizon_us),
        ] {
            all.put_words(kind, &[value])?;
        }
        all.put(HORIZON_DROP, &[u8::from(self.horizon_drop)])?;
        all.finish()
    }

    /// What of it the kernel's own `options` do not say, in words; `None` when they say it all.
    pub(super) fn differs(&self, options: &[u8]) -> Option<String> {
        let read = |kind| find(options, kind).and_then(|value| word(value, 0));
        for (name, kind, asked) in [
            ("limit", PLIMIT, self.limit),
            ("flow limit", FLOW_PLIMIT, self.flow_limit),
            ("horizon", HORIZON, self.horizon_us),
            ("rate limit", RATE_ENABLE, 0),
            ("orphan mask", ORPHAN_MASK, self.orphan_mask),
        ] {
            let found = read(kind);
            if found != Some(asked) {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                return Some(format!("an fq with the {name} {found} instead of {asked}"));
            }
        }
        None
    }
}

/// A million packets: 17 minutes of a thousand a second, two seconds of the fastest sender.
impl Default for Fq {
    fn default() -> Self {
        Self::holding(1_000_000)
    }
}

const PLIMIT: u16 = 1;
const FLOW_PLIMIT: u16 = 2;
const QUANTUM: u16 = 3;
const INITIAL_QUANTUM: u16 = 4;
const RATE_ENABLE: u16 = 5;
const BUCKETS_LOG: u16 = 8;
const ORPHAN_MASK: u16 = 10;
const TIMER_SLACK: u16 = 13;
const HORIZON: u16 = 14;
const HORIZON_DROP: u16 = 15;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::netlink::qdisc::tests::bytes;

    #[test]
    fn the_options_are_what_tc_sends() {
        let fq = Fq {
            limit: 1_000_000,
            flow_limit: 1_000_000,
            quantum: 65_536,
            initial_quantum: 65_536,
            buckets_log: 10,
            orphan_mask: 1023,
            timer_slack_ns: 10_000,
            horizon_us: 1_000_000_000,
            horizon_drop: true,
        };
        // iproute2 6.1: fq limit 1000000 flow_limit 1000000 quantum 65536 initial_quantum 65536
        // nopacing orphan_mask 1023 buckets 1024 horizon 1000s horizon_drop timer_slack 10us
        let tc = bytes(
            "08 00 08 00 0a 00 00 00  08 00 01 00 40 42 0f 00 08 00 02 00 40 42 0f 00
             08 00 03 00 00 00 01 00  08 00 04 00 00 00 01 00 08 00 05 00 00 00 00 00
             08 00 0a 00 ff 03 00 00  08 00 0d 00 10 27 00 00 08 00 0e 00 00 ca 9a 3b
             05 00 0f 00 01 00 00 00",
        );
        assert_eq!(fq.options().unwrap(), tc);
        assert_eq!(fq.differs(&tc), None);
    }

    #[test]
    fn a_limit_that_the_kernel_did_not_take_is_seen() {
        let asked = Fq::holding(5000);
        let options = Fq::holding(1000).options().unwrap();
        let wrong = asked.differs(&options).unwrap();
        assert_eq!(wrong, "an fq with the limit 1000 instead of 5000");
        assert!(asked.differs(&[]).is_some());
    }
}
