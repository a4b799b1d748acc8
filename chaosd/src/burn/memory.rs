//! Burning memory: so many pages are touched and stay resident, page by page, in small steps that
//! follow the intensity and stop before a limit.

use std::{fs, io, time::Duration};

use super::{
    Guard, Progress,
    clock::{cpu_ns, now_ns, sleep_until},
    demand::Demand,
    guard::Guards,
    process::Line,
};
use crate::sys::memory::Region;

/// How much is touched between two looks at orders and limits.
const STEP_BYTES: usize = 1 << 20;
/// Of growing, at least, a second: a machine keeps answering.
const RATE: f64 = 1_073_741_824.0;
/// In which the largest hoard is there, as far as the machine can.
const FULL_TIME: f64 = 10.0;
/// How often a limit that left no room is looked at again, and residence reported.
const TICK: Duration = Duration::from_millis(100);

/// Memory that is taken and given back.
pub(super) struct Hoard {
    region: Region,
    /// Of the region, so many from its beginning are touched.
    held: usize,
    bytes: u64,
    guards: Guards,
    held_back: bool,
    /// What we are without it.
    anon_before: u64,
}

impl Hoard {
    /// Fails with what could not be done.
    pub(super) fn new(bytes: u64, lock: bool, guards: &[Guard]) -> Result<Self, String> {
        let guards = Guards::open(guards)
            .map_err(|(path, error)| format!("open {}: {error}", path.display()))?;
        let region = Region::reserve(bytes, lock)
            .map_err(|error| format!("reserve {bytes} bytes of memory: {error}"))?;
        Ok(Self {
            anon_before: anonymous(region.page_size())
                .map_err(|error| format!("read /proc/self/statm: {error}"))?,
            region,
            held: 0,
            bytes,
            guards,
            held_back: false,
        })
    }

    /// Holds what is wanted until the parent is gone.
    pub(super) fn keep(mut self, line: &Line) {
        let mut demand = Demand::new(now_ns());
        let cpu_before = cpu_ns();
        let mut next_step = 0;
        while line.hear() {
            let (order, now) = (line.page.ordered(), now_ns());
            demand.advance(now, order);
            let asked = self.share(order.wants(now));
            let took = self.step_to(asked);
            line.page.publish(Progress {
                at_work: Duration::from_nanos(demand.at_work_ns()),
                cpu_used: Duration::from_nanos(cpu_ns().saturating_sub(cpu_before)),
                bytes_asked: asked,
                bytes_held: self.bytes_of(self.held),
                bytes_resident: self.resident(),
                held_back: self.held_back,
                ..Progress::default()
            });
            if took > 0 {
                next_step = next_step.max(now) + self.time_of(took);
                sleep_until(next_step);
            } else if self.held != self.pages_of(asked) {
                // No room, or the kernel did not take it back.
                line.wait(Some(TICK));
            } else if let Some(expires) = order.expires_ns(now) {
                let left = Duration::from_nanos(expires.saturating_sub(now_ns()));
                line.wait(Some(left.clamp(Duration::from_millis(1), TICK)));
            } else {
                line.wait(None);
            }
        }
    }

    /// One step towards so many bytes. Returns how many it took: giving back takes no time to speak
    /// of and counts for nothing.
    fn step_to(&mut self, asked: u64) -> usize {
        let goal = self.pages_of(asked);
        self.held_back = false;
        if goal <= self.held {
            // If the kernel refuses, we hold it still, and say so.
            if self.region.release(goal..self.held).is_ok() {
                self.held = goal;
            }
            return 0;
        }
        let page = self.region.page_size();
        let wanted = (goal - self.held).min((STEP_BYTES / page).max(1));
        let room = self.guards.room(self.bytes_of(wanted));
        let pages = usize::try_from(room).unwrap_or(usize::MAX) / page;
        self.held_back = pages < wanted;
        self.region.touch(self.held..self.held + pages);
        self.held += pages;
        pages * page
    }

    fn share(&self, intensity: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a number of bytes, which is rounded"
        )]
        let share = (self.bytes as f64 * intensity).round() as u64;
        share.min(self.bytes)
    }

    fn pages_of(&self, bytes: u64) -> usize {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        bytes
            .div_ceil(self.region.page_size())
            .min(self.region.pages())
    }

    fn bytes_of(&self, pages: usize) -> u64 {
        u64::try_from(pages * self.region.page_size()).unwrap_or(u64::MAX)
    }

    /// How long that many bytes take to grow, in ns.
    fn time_of(&self, bytes: usize) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let (bytes, all) = (bytes as f64, self.bytes as f64);
        let seconds = bytes / RATE.max(all / FULL_TIME);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most a step's"
        )]
        let ns = (seconds * 1e9) as u64;
        ns
    }

    fn resident(&self) -> u64 {
        anonymous(self.region.page_size())
            .unwrap_or(0)
            .saturating_sub(self.anon_before)
    }
}

/// `RssAnon` of this process, in bytes: resident without what is shared with a file
/// (`proc_pid_statm(5)`). Since Linux 6.2 the kernel's counter may be some pages behind
/// (include/linux/mm.h, `get_mm_counter`).
fn anonymous(page: usize) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let mut words = text.split_whitespace().skip(1).map(str::parse::<u64>);
    let (Some(Ok(resident)), Some(Ok(shared))) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let page = u64::try_from(page).map_err(io::Error::other)?;
    Ok(resident.saturating_sub(shared) * page)
}
