//! Burning CPU time: so much in each slice that the sum since the beginning is what was asked.
//!
//! What one slice missed or had too much of the next makes good, by the burner's own CPU clock, so
//! that errors do not add up, whoever else runs on the CPU. What is missed for long, because the
//! share is not to be had or the burner stood still, is given up past [`CATCH_UP_NS`]: a burner
//! that comes back from that does not take the whole CPU for minutes.

use std::{hint::black_box, time::Duration};

use super::{
    Progress, Spread,
    clock::{cpu_ns, now_ns, sleep_until},
    demand::{Demand, Order, float},
    process::Line,
    weight::Weight,
};

/// The most CPU time that is made good later. A busy CPU's scheduler owes a task some tens of ms at
/// times; a stop, a freeze or a used-up quota may owe any time.
const CATCH_UP_NS: f64 = 250e6;
/// How long the burner goes without a look at its clocks and its order.
const STEP_NS: u64 = 50_000;

/// Burns until the parent is gone; `weight` is what it may take more of.
pub(super) fn burn(line: &Line, slice: Duration, load: f64, mut weight: Option<Weight>) {
    let slice_ns = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    let mut account = Account::new(load, slice_ns, now_ns());
    let mut idle = Idle::default();
    loop {
        let since = cpu_ns();
        line.page.publish(account.progress());
        if !rest(line, &mut account) {
            return;
        }
        idle.0 += cpu_ns().saturating_sub(since);
        if !work(line, &mut account, &idle, weight.as_mut()) {
            return;
        }
    }
}

/// The CPU time that waiting for an order took: it counts for nothing.
#[derive(Default)]
struct Idle(u64);

impl Idle {
    fn used_ns(&self) -> u64 {
        cpu_ns().saturating_sub(self.0)
    }
}

/// Waits until something is wanted. False: the parent is gone.
fn rest(line: &Line, account: &mut Account) -> bool {
    while line.hear() {
        let (order, now) = (line.page.ordered(), now_ns());
        account.demand.advance(now, order);
        if order.wants(now) > 0.0 {
            return true;
        }
        line.wait(None);
    }
    false
}

/// Burns slice by slice while anything is wanted. False: the parent is gone.
fn work(line: &Line, account: &mut Account, idle: &Idle, mut weight: Option<&mut Weight>) -> bool {
    let first = now_ns();
    let (mut then, mut used) = (first, idle.used_ns());
    if account.is_new() {
        // What came before its first slice is no burning: loading the program, say.
        account.base_ns = used;
    }
    loop {
        let end = edge_after(first, account.slice_ns, then);
        let steady = burn_to(line, account, idle, end);
        sleep_until(end);
        if !line.hear() {
            return false;
        }
        let (order, now, used_now) = (line.page.ordered(), now_ns(), idle.used_ns());
        account.demand.advance(now, order);
        let owed = account.settle(used_now);
        if let Some(weight) = &mut weight {
            weight.follow(now, owed);
        }
        if steady && now > then {
            let share = float(used_now.saturating_sub(used)) / float(now - then);
            account.spread.add(share);
        }
        (then, used) = (now, used_now);
        if order.wants(now) <= 0.0 {
            return true;
        }
        line.page.publish(account.progress());
    }
}

/// The end of the slice in which `now` lies, of slices that began at `first`.
fn edge_after(first: u64, slice_ns: u64, now: u64) -> u64 {
    first + (now.saturating_sub(first) / slice_ns + 1) * slice_ns
}

/// Burns what the slice that ends then still owes, and no longer than to its end. True: what is
/// wanted did not change meanwhile.
fn burn_to(line: &Line, account: &mut Account, idle: &Idle, end: u64) -> bool {
    let mut wanted = None;
    loop {
        let (order, now) = (line.page.ordered(), now_ns());
        account.demand.advance(now, order);
        let wants = order.wants(now);
        let steady = wanted.is_none_or(|w: f64| w.total_cmp(&wants).is_eq());
        wanted = Some(wants);
        let Some(expires) = order.expires_ns(now) else {
            return false;
        };
        let goal = account.goal_ns(end);
        if spin_to(line, order, idle, goal, end.min(expires)) {
            return steady;
        }
        if !steady {
            // Whatever comes now, this slice is a mixed one.
            wanted = Some(f64::NAN);
        }
    }
}

/// Spins until so much is used, or until then. False: another order has come.
fn spin_to(line: &Line, order: Order, idle: &Idle, goal_ns: f64, end: u64) -> bool {
    loop {
        let left = goal_ns - float(idle.used_ns());
        let now = now_ns();
        if left <= 0.0 || now >= end {
            return true;
        }
        if line.page.ordered() != order {
            return false;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to a slice"
        )]
        let left = left as u64;
        // No more of the CPU can be used in that time: it never burns too much.
        spin(now + left.min(STEP_NS).min(end - now));
    }
}

/// Keeps the CPU busy until the monotonic clock, which is read without a system call, shows `end`.
fn spin(end: u64) {
    let mut x = 1.0_f64;
    while now_ns() < end {
        for _ in 0..64 {
            x = black_box(x).mul_add(1.000_001, 1e-9);
        }
    }
    black_box(x);
}

/// What was asked, what was used, and what is not to be made good.
#[derive(Debug)]
struct Account {
    load: f64,
    slice_ns: u64,
    demand: Demand,
    /// Used before the first slice.
    base_ns: u64,
    used_ns: u64,
    given_up_ns: f64,
    /// Used too much, and not to be paid back: what was wanted ended while a slice was burnt.
    waived_ns: f64,
    spread: Spread,
}

impl Account {
    fn new(load: f64, slice_ns: u64, now_ns: u64) -> Self {
        Self {
            load,
            slice_ns,
            demand: Demand::new(now_ns),
            base_ns: 0,
            used_ns: 0,
            given_up_ns: 0.0,
            waived_ns: 0.0,
            spread: Spread::default(),
        }
    }

    fn is_new(&self) -> bool {
        self.base_ns == 0
    }

    /// What the CPU clock is to show at `at_ns`.
    fn goal_ns(&self, at_ns: u64) -> f64 {
        self.goal_of(self.demand.asked_ns_at(at_ns))
    }

    fn goal_of(&self, asked_ns: f64) -> f64 {
        self.load * asked_ns - self.given_up_ns + self.waived_ns + float(self.base_ns)
    }

    /// Closes a slice at whose end the CPU clock shows this; what it is owed, in ns, is less than 0 when
    /// it has had too much.
    fn settle(&mut self, used_ns: u64) -> f64 {
        self.used_ns = used_ns;
        let debt = self.goal_of(self.demand.asked_ns()) - float(used_ns);
        self.given_up_ns += (debt - CATCH_UP_NS).max(0.0);
        self.waived_ns += (-debt - float(self.slice_ns)).max(0.0);
        debt
    }

    fn progress(&self) -> Progress {
        let time = |ns: f64| Duration::from_secs_f64(ns.max(0.0) / 1e9);
        Progress {
            at_work: Duration::from_nanos(self.demand.at_work_ns()),
            cpu_asked: time(self.load * self.demand.asked_ns()),
            cpu_used: Duration::from_nanos(self.used_ns.saturating_sub(self.base_ns)),
            cpu_given_up: time(self.given_up_ns),
            slices: self.spread,
            ..Progress::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const START: u64 = 1_000_000 * MS;

    /// A machine of one CPU, of which the burner gets `share` at most; `stall` takes one slice of
    /// it whole and makes it so long.
    fn simulate(
        load: f64,
        slice_ms: u64,
        share: f64,
        slices: u64,
        stall: Option<(u64, u64)>,
    ) -> Account {
        let slice = slice_ms * MS;
        let mut account = Account::new(load, slice, START);
        let (mut now, mut used) = (START, 0_u64);
        for n in 0..slices {
            let length = match stall {
                Some((at, ms)) if at == n => ms * MS,
                _ => slice,
            };
            account.demand.advance(now, Order::new(now, 1.0));
            let end = now + length;
            let got = if length == slice { share } else { 0.0 };
            let left = (account.goal_ns(end) - float(used)).max(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a slice"
            )]
            let burnt = left.min(got * float(length)) as u64;
            used += burnt;
            // Vouched for all along.
            let mut at = now;
            while at < end {
                at = (at + 250 * MS).min(end);
                account.demand.advance(at, Order::new(at, 1.0));
            }
            now = end;
            account.settle(used);
        }
        account
    }

    fn error_of(account: &Account) -> f64 {
        let progress = account.progress();
        (progress.load_reached() - progress.load_asked()).abs() * 100.0
    }

    #[test]
    fn what_is_asked_is_reached_up_to_the_share_that_is_to_be_had() {
        for load in [0.1, 0.3, 0.48] {
            for slice in [1, 10, 100, 1000] {
                let account = simulate(load, slice, 0.5, 10_000 / slice, None);
                assert!(error_of(&account) < 0.01, "{load} {slice}: {account:?}");
            }
        }
    }

    #[test]
    fn what_is_not_to_be_had_is_reported_and_given_up() {
        let progress = simulate(0.8, 10, 0.5, 1000, None).progress();
        assert!((progress.load_asked() - 0.8).abs() < 1e-3);
        assert!((progress.load_reached() - 0.5).abs() < 1e-3);
        let missed = progress.cpu_asked.as_secs_f64() - progress.cpu_used.as_secs_f64();
        let kept = missed - progress.cpu_given_up.as_secs_f64();
        assert!(
            (kept - 0.25).abs() < 0.01,
            "{kept} s are still to be made good"
        );
    }

    #[test]
    fn a_short_stall_is_made_good_and_a_minute_is_not() {
        let short = simulate(0.5, 10, 1.0, 1000, Some((300, 100)));
        assert!(error_of(&short) < 0.01);
        assert!(short.given_up_ns <= 0.0);
        let long = simulate(0.5, 10, 1.0, 1000, Some((300, 60_000)));
        let given_up = long.progress().cpu_given_up.as_secs_f64();
        assert!((given_up - 29.75).abs() < 0.01, "{given_up}");
    }

    #[test]
    fn slices_lie_on_a_grid_and_missed_ones_are_left_out() {
        assert_eq!(edge_after(100, 10, 100), 110);
        assert_eq!(edge_after(100, 10, 109), 110);
        assert_eq!(edge_after(100, 10, 110), 120);
        assert_eq!(edge_after(100, 10, 187), 190);
    }
}
