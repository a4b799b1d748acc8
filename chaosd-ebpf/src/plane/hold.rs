//! How long packets are kept: delay, reordering, and the queue of a slow link.
//!
//! A program cannot keep a packet: it writes down when the packet leaves, and the hold queue (`fq`)
//! keeps it until then.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, maps::lpm_trie::Key};
use chaosd_ebpf::{
    BY_PEER, Counters, FLOW_BUCKETS, Fault, KEEP_ORDER, Kind, NORMAL, ONE, PER_FLOW, PROBABILITY,
    TABLE_LEN, UNIFORM, UNIT,
};

use crate::{
    decide::Verdict,
    dice::{Dice, mix},
    maps,
    packet::{Packet, Scratch},
};

/// What all matched faults together want of the queue. Times are `CLOCK_MONOTONIC` ns.
#[repr(C)]
pub struct Hold {
    /// Now, by the fine clock: 0 until somebody asks.
    clock: u64,
    /// When the last slow link has sent it.
    sent: u64,
    /// Then the way is this much longer.
    delay: u64,
    /// Others may overtake it for this long.
    late: u64,
    /// The most that one fault adds to it.
    most: u64,
    /// Sets the flows of the first fault that holds it apart from those of other runs.
    salt: u64,
    /// It does not overtake its flow.
    keep_order: u32,
    /// It may.
    loose: u32,
    /// The first fault that holds it, and one more; 0: none does.
    pub holder: u32,
    /// The run of the fault that holds it longest: with its end, the packet leaves.
    pub run: u32,
}

/// A key of the tables of delays by peer (`linux/bpf.h`, `bpf_lpm_trie_key`), aligned.
#[repr(C)]
pub struct PeerKey {
    /// How many of those that follow count: 64 or 160.
    bits: u32,
    /// Big-endian.
    fault: u32,
    /// IPv4 addresses stand in the first four bytes.
    address: [u8; 16],
}

impl Hold {
    /// Nobody holds it. By whole fields: assigned at once, they become a loop over bytes.
    #[inline(always)]
    pub fn clear(&mut self) {
        for wide in [
            &raw mut self.clock,
            &raw mut self.sent,
            &raw mut self.delay,
            &raw mut self.late,
            &raw mut self.most,
            &raw mut self.salt,
        ] {
            // SAFETY: a field of ours.
            unsafe { wide.write_volatile(0) }
        }
        for narrow in [
            &raw mut self.keep_order,
            &raw mut self.loose,
            &raw mut self.holder,
            &raw mut self.run,
        ] {
            // SAFETY: as above.
            unsafe { narrow.write_volatile(0) }
        }
    }

    /// Now, by the fine clock: the coarse one moves in steps of a jiffy.
    #[inline(always)]
    fn clock(&mut self) -> u64 {
        if self.clock == 0 {
            // SAFETY: a helper without arguments.
            self.clock = unsafe { bpf_ktime_get_ns() };
        }
        self.clock
    }
}

/// All holds of a packet together: what its tag can count in chunks, and beyond fq's horizon with
/// none of them.
const LONGEST_NS: u64 = 1_200_000_000_000;

/// A departure.
#[derive(Clone, Copy)]
pub struct Departure {
    /// Now.
    pub now: u64,
    /// Then.
    pub at: u64,
    /// A packet of its flow that came later may leave sooner.
    pub loose: bool,
}

/// Writes down what a fault wants; false when that is nothing.
#[inline(always)]
pub fn hold(
    scratch: Scratch,
    f: &Fault,
    n: u32,
    intensity: u64,
    v: &mut Verdict,
    dice: &mut Dice,
    counters: *mut Counters,
) -> bool {
    // The cgroup program cannot send a packet anywhere.
    if let Scratch::Cgroup = scratch {
        return false;
    }
    let mut own = f.hold.time_ns;
    if f.kind == Kind::Bandwidth as u32 {
        match link(f, n, intensity, v) {
            None => return false,
            Some(true) => own = v.hold.sent.saturating_sub(v.hold.clock()),
            Some(false) => {
                // SAFETY: this CPU's own value.
                unsafe { (*counters).tail_dropped += u64::from(v.segments) }
                v.drop = 1;
                return true;
            }
        }
    } else if f.kind == Kind::Reorder as u32 {
        v.hold.late += f.hold.time_ns;
    } else {
        let mean = if f.flags & BY_PEER != 0 {
            match of_peer(scratch, n, &mut v.peer) {
                Some(mean) if mean | f.hold.jitter_ns != 0 => mean,
                _ => return false,
            }
        } else {
            f.hold.time_ns
        };
        let time = mean.cast_signed() + jitter(f, n, v.direction, dice);
        own = 0;
        if time > 0 {
            own = share(time.cast_unsigned(), intensity);
            v.hold.delay += own;
        }
    }
    if f.flags & KEEP_ORDER != 0 {
        v.hold.keep_order = 1;
    } else if f.hold.jitter_ns != 0 {
        v.hold.loose = 1;
    }
    if v.hold.holder == 0 {
        v.hold.holder = n + 1;
        v.hold.run = f.run;
        v.hold.salt = salt(f);
    }
    if own > v.hold.most {
        v.hold.most = own;
        v.hold.run = f.run;
    }
    true
}

/// A fault's delay for the peer of this CPU's packet, in ns; `None`: it names no such peer.
#[inline(always)]
fn of_peer(scratch: Scratch, n: u32, key: &mut PeerKey) -> Option<u64> {
    let packet = Packet::current(scratch)?;
    key.fault = n.to_be();
    let key = &raw mut *key;
    // By words: assigned at once, an address is moved byte by byte.
    // SAFETY: both are 16 bytes at an address that four divides.
    unsafe {
        let from: *const u32 = (&raw const packet.flow.remote).cast();
        let to: *mut u32 = (&raw mut (*key).address).cast();
        to.write_volatile(*from);
        to.add(1).write_volatile(*from.add(1));
        to.add(2).write_volatile(*from.add(2));
        to.add(3).write_volatile(*from.add(3));
    }
    // SAFETY: a `PeerKey` begins with what the keys of both tables are.
    unsafe {
        match packet.family {
            4 => {
                (*key).bits = 64;
                maps::DELAYS4.get(&*key.cast::<Key<[u8; 8]>>())
            }
            6 => {
                (*key).bits = 160;
                maps::DELAYS6.get(&*key.cast::<Key<[u8; 20]>>())
            }
            _ => None,
        }
    }
    .copied()
}

/// When the packet leaves; `None`: at once.
#[inline(always)]
pub fn departure(v: &mut Verdict) -> Option<Departure> {
    if v.hold.holder == 0 {
        return None;
    }
    let now = v.hold.clock();
    let mut at = v.hold.sent.max(now) + v.hold.delay;
    if v.hold.keep_order != 0
        && v.hold.late == 0
        && let Some(last) = flow_bucket(v.flow, v.hold.salt ^ u64::from(v.direction))
    {
        // SAFETY: a map value. A flow's packets come one after another, on one CPU at a time.
        unsafe {
            at = at.max(*last);
            *last = at;
        }
    }
    at = (at + v.hold.late).min(now + LONGEST_NS);
    let loose = v.hold.loose | u32::from(v.hold.late != 0) != 0;
    (at > now).then_some(Departure { now, at, loose })
}

/// Where it stands when the last packet of a flow leaves. Two flows that share a bucket wait for
/// each other: with a thousand flows, one in sixty-five does.
#[inline(always)]
fn flow_bucket(flow: u32, salt: u64) -> Option<*mut u64> {
    let hash = mix(u64::from(flow) ^ mix(salt)) as u32;
    maps::FLOWS.get_ptr_mut(hash & (FLOW_BUCKETS - 1))
}

/// What sets the flows of a fault apart from those of others, and of other runs with the same seed.
#[inline(always)]
fn salt(f: &Fault) -> u64 {
    f.seed ^ u64::from(f.run + 1) << 32
}

/// `part / ONE` of a time up to some days.
#[inline(always)]
fn share(time: u64, part: u64) -> u64 {
    if part >= ONE {
        time
    } else if time < ONE {
        (time * part) >> 32
    } else {
        ((time >> 16) * part) >> 16
    }
}

/// Puts the packet onto a link of some bytes per second: `Some(false)` when its queue is full,
/// `None` when there is no such link.
#[inline(always)]
fn link(f: &Fault, n: u32, intensity: u64, v: &mut Verdict) -> Option<bool> {
    let direction = v.direction & 1;
    let free = if f.flags & PER_FLOW != 0 {
        flow_bucket(v.flow, salt(f) ^ u64::from(direction | (n + 1) << 1))?
    } else {
        let state = maps::STATES.get_ptr_mut(n)?;
        // SAFETY: within a map value.
        unsafe { &raw mut (*state).free_ns[direction as usize] }
    };
    let cost = share((u64::from(v.len) * f.hold.ns_per_byte) >> 20, intensity);
    let now = v.hold.clock();
    let idle = now.saturating_sub(f.hold.burst_ns);
    // Several CPUs send over one link: whoever loses the race looks again. One that loses them all
    // is as late as the others are early.
    let mut tries = 0;
    loop {
        // SAFETY: a field of a map value, written by other CPUs while we look.
        let was = unsafe { core::ptr::read_volatile(free) };
        let starts = was.max(idle);
        if starts > now + f.hold.queue_ns {
            return Some(false);
        }
        let done = starts + cost;
        tries += 1;
        // SAFETY: an aligned u64 of a map value.
        let (_, won) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                free, was, done,
            )
        };
        if won || tries == 8 {
            v.hold.sent = v.hold.sent.max(done);
            return Some(true);
        }
    }
}

/// How far from the mean, in ns.
#[inline(always)]
fn jitter(f: &Fault, n: u32, direction: u32, dice: &mut Dice) -> i64 {
    let h = &f.hold;
    if h.jitter_ns == 0 {
        return 0;
    }
    let draw = (dice.next() >> 44) as u32; // 20 bits
    let width = h.jitter_ns.cast_signed();
    if h.correlation == 0 {
        if h.table == UNIFORM {
            return ((i64::from(draw) - (1 << 19)) * width) >> 19;
        }
        return (i64::from(quantile(h.table, draw >> 8)) * width) >> 16;
    }
    // A Gaussian walk with the correlation asked for, whose probability then picks the quantile: the
    // distribution stays what it is, where mixing draws (net/sched/sch_netem.c, `get_crandom`) narrows
    // it.
    let Some(state) = maps::STATES.get_ptr_mut(n) else {
        return 0;
    };
    // SAFETY: within a map value. Two CPUs at once may lose a step of the walk.
    let last = unsafe { &mut (*state).last[(direction & 1) as usize] };
    let step = i64::from(quantile(NORMAL, draw >> 8));
    let z = (i64::from(h.correlation) * i64::from(*last) + i64::from(h.independence) * step) >> 16;
    *last = z as i32;
    if h.table == NORMAL {
        return (z * width) >> 16;
    }
    let unit = i64::from(UNIT);
    // From -4 to 4 deviations over the table.
    let at = ((z + 4 * unit) >> 7)
        .clamp(0, TABLE_LEN as i64 - 1)
        .cast_unsigned() as u32;
    let probability = quantile(PROBABILITY, at);
    if h.table == UNIFORM {
        return ((i64::from(probability) - (1 << 15)) * width) >> 15;
    }
    (i64::from(quantile(h.table, probability.cast_unsigned() >> 4)) * width) >> 16
}

#[inline(always)]
fn quantile(table: u32, at: u32) -> i32 {
    maps::TABLES
        .get(table)
        .map_or(0, |t| t[at as usize & (TABLE_LEN - 1)])
}
