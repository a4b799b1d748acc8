//! How much was asked for up to a moment: the sum of the intensity over the time, of which every
//! change counts from when the parent made it and not from when the burner saw it.

use super::LEASE;

/// 16.4 us: 48 bits of it last for longer than a machine is up.
const TICK_BITS: u32 = 14;
const INTENSITY_BITS: u32 = 16;
const FULL: f64 = 65535.0;
#[expect(clippy::cast_possible_truncation, reason = "two seconds")]
const LEASE_NS: u64 = LEASE.as_nanos() as u64;

/// What the parent wants, and since when. One word, so that nobody ever reads half of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order(u64);

impl Order {
    /// `intensity` is kept to 1/65535; what is not a number from 0 to 1 becomes the nearer end.
    pub(super) fn new(now_ns: u64, intensity: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float saturates, and NaN is 0"
        )]
        let steps = (intensity.clamp(0.0, 1.0) * FULL).round() as u64;
        Self(now_ns >> TICK_BITS << INTENSITY_BITS | steps)
    }

    pub(super) fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(super) fn word(self) -> u64 {
        self.0
    }

    fn since_ns(self) -> u64 {
        self.0 >> INTENSITY_BITS << TICK_BITS
    }

    fn end_ns(self) -> u64 {
        self.since_ns() + LEASE_NS
    }

    fn intensity(self) -> f64 {
        f64::from(u16::try_from(self.0 & 0xffff).unwrap_or(u16::MAX)) / FULL
    }

    /// What is wanted now: 0 when nobody has vouched for a lease.
    pub(super) fn wants(self, now_ns: u64) -> f64 {
        if now_ns < self.end_ns() {
            self.intensity()
        } else {
            0.0
        }
    }

    /// When it is over unless another one comes. None: it asks for nothing as it is.
    pub(super) fn expires_ns(self, now_ns: u64) -> Option<u64> {
        (self.wants(now_ns) > 0.0).then(|| self.end_ns())
    }
}

/// The sum so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    order: Order,
    until_ns: u64,
    asked_ns: f64,
    at_work_ns: u64,
}

impl Demand {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            order: Order::default(),
            until_ns: now_ns,
            asked_ns: 0.0,
            at_work_ns: 0,
        }
    }

    /// Goes on to now, with the order that stands now.
    pub(super) fn advance(&mut self, now_ns: u64, order: Order) {
        if order != self.order {
            let changed = order.since_ns().min(now_ns);
            self.add(changed);
            self.order = order;
        }
        self.add(now_ns);
    }

    fn add(&mut self, to_ns: u64) {
        let ns = self.span_ns(to_ns);
        self.asked_ns += self.order.intensity() * float(ns);
        if self.order.intensity() > 0.0 {
            self.at_work_ns += ns;
        }
        self.until_ns = self.until_ns.max(to_ns);
    }

    /// How long of the time to come its order stands.
    fn span_ns(&self, to_ns: u64) -> u64 {
        to_ns.min(self.order.end_ns()).saturating_sub(self.until_ns)
    }

    /// The sum of the intensity so far, in ns at intensity 1.
    pub(super) fn asked_ns(&self) -> f64 {
        self.asked_ns
    }

    /// What the sum will be at `at_ns`, if no other order comes.
    pub(super) fn asked_ns_at(&self, at_ns: u64) -> f64 {
        self.asked_ns + self.order.intensity() * float(self.span_ns(at_ns))
    }

    /// How long anything was wanted.
    pub(super) fn at_work_ns(&self) -> u64 {
        self.at_work_ns
    }
}

/// Exact up to 2^53 ns, which are 104 days, and to a millionth of a percent beyond.
#[expect(clippy::cast_precision_loss, reason = "as the comment says")]
pub(super) fn float(ns: u64) -> f64 {
    ns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const START: u64 = 1_000_000 * MS;

    fn near(a: f64, b: f64) -> bool {
        // An order's time is kept to 16.4 us, its intensity to 1/65535.
        (a - b).abs() < 50_000.0
    }

    #[test]
    fn an_order_is_one_word_that_keeps_time_and_intensity() {
        for intensity in [0.0, 0.1, 0.5, 1.0] {
            let order = Order::from_word(Order::new(START, intensity).word());
            assert!((order.wants(START) - intensity).abs() < 1e-5);
            assert!(START - order.since_ns() < 1 << TICK_BITS);
        }
        assert!(Order::new(START, 7.0).wants(START) >= 1.0);
        assert!(Order::new(START, f64::NAN).wants(START) <= 0.0);
        assert!(Order::default().wants(START) <= 0.0);
    }

    #[test]
    fn a_change_counts_from_when_it_was_made() {
        let mut demand = Demand::new(START);
        demand.advance(START, Order::new(START, 1.0));
        // Seen 80 ms after it was made.
        demand.advance(START + 100 * MS, Order::new(START + 20 * MS, 0.5));
        assert!(near(demand.asked_ns(), float(60 * MS)));
        assert!(near(demand.asked_ns_at(START + 200 * MS), float(110 * MS)));
        assert_eq!(demand.at_work_ns(), 100 * MS);
    }

    #[test]
    fn nothing_is_asked_past_the_lease_and_the_next_vouch_asks_again() {
        let mut demand = Demand::new(START);
        let order = Order::new(START, 1.0);
        demand.advance(START, order);
        assert!(near(demand.asked_ns_at(START + 9000 * MS), float(LEASE_NS)));
        demand.advance(START + 5000 * MS, order);
        assert!(near(demand.asked_ns(), float(LEASE_NS)));
        assert!(order.wants(START + 1999 * MS) > 0.0);
        assert!(order.wants(START + 2000 * MS) <= 0.0);
        assert_eq!(order.expires_ns(START + 2000 * MS), None);
        demand.advance(START + 7000 * MS, Order::new(START + 6500 * MS, 1.0));
        assert!(near(demand.asked_ns(), float(LEASE_NS + 500 * MS)));
    }

    #[test]
    fn a_thousand_small_steps_ask_for_what_one_does() {
        let order = Order::new(START, 0.3);
        let mut demand = Demand::new(START);
        for step in 0..=1000 {
            demand.advance(START + step * MS, order);
        }
        assert!(near(demand.asked_ns(), float(300 * MS)));
    }
}
