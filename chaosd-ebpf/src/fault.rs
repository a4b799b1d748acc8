//! One fault, and the run it belongs to.

/// A probability of 1: rates are 32-bit fixed point.
pub const ONE: u64 = 1 << 32;

/// [`Fault::flags`]: one decision per wire segment.
pub const PER_SEGMENT: u32 = 1;
/// [`Fault::flags`]: decisions follow from `seed` and the packet's number alone.
pub const SEEDED: u32 = 2;
/// [`Fault::flags`]: corruption keeps the checksum right.
pub const UNDETECTED: u32 = 4;
/// [`Fault::flags`]: the reset goes to the target's own end.
pub const RESET_LOCAL: u32 = 8;
/// [`Fault::flags`]: the reset goes to the peer.
pub const RESET_REMOTE: u32 = 16;

/// [`Fault::flags`]: the packet is held: it goes through the hold queue.
pub const HOLDS: u32 = 32;
/// [`Fault::flags`]: a held flow's packets leave in the order they came.
pub const KEEP_ORDER: u32 = 64;
/// [`Fault::flags`]: `Bandwidth`: each flow has the rate for itself.
pub const PER_FLOW: u32 = 128;
/// [`Fault::flags`]: `Delay`: the mean is that of the packet's peer, in the tables of delays.
pub const BY_PEER: u32 = 256;

/// [`Fault::kind`]
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Lose packets at `rate`.
    Drop = 1,
    /// Lose every `every`th packet.
    DropEvery = 2,
    /// Lose packets by a two-state Markov chain.
    DropGilbert = 3,
    /// Flip `flips` bits of the payload at `rate`.
    Corrupt = 4,
    /// End TCP connections at `rate`.
    Reset = 5,
    /// Hold packets for `hold.time_ns`, give or take.
    Delay = 6,
    /// Hold packets at `rate` for `hold.time_ns`, and let others overtake them.
    Reorder = 7,
    /// Send `count` copies more of packets at `rate`.
    Duplicate = 8,
    /// Let packets out no faster than `hold.ns_per_byte`.
    Bandwidth = 9,
    /// Send packets through a netem of the fault's own.
    Netem = 10,
    /// Answer queries for names at `rate` by `count`, a [`crate::dns::ANSWER_NONE`] or one of its kind,
    /// hold them, or both.
    Dns = 11,
}

/// How long a packet is held.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold {
    /// `Delay`: the mean, unless it is [`BY_PEER`]. `Reorder`: by how much.
    pub time_ns: u64,
    /// `Delay`: half the range when `table` is [`UNIFORM`], else one standard deviation; 0: none.
    pub jitter_ns: u64,
    /// `Bandwidth`: time that a byte of the frame takes, in units of 2^-20 ns.
    pub ns_per_byte: u64,
    /// `Bandwidth`: time that an idle link may have saved up.
    pub burst_ns: u64,
    /// `Bandwidth`: a packet that would wait longer is dropped: the queue, as time.
    pub queue_ns: u64,
    /// `Delay`: the distribution, a number of the table of quantiles.
    pub table: u32,
    /// `Delay`: correlation of a packet's jitter with the one before, [`UNIT`] is 1.
    pub correlation: u32,
    /// `Delay`: sqrt(1 - correlation^2), [`UNIT`] is 1.
    pub independence: u32,
    /// Keeps the next field aligned.
    pub pad: u32,
}

/// 1, where a number is 16-bit fixed point: correlations and quantiles, in standard deviations.
pub const UNIT: u32 = 1 << 16;
/// [`Hold::table`]: every value of the range is as likely; needs no table.
pub const UNIFORM: u32 = 0;
/// [`Hold::table`]: Gauss.
pub const NORMAL: u32 = 1;
/// [`Hold::table`]: Pareto with exponent 3, moved and scaled to mean 0 and deviation 1.
pub const PARETO: u32 = 2;
/// [`Hold::table`]: a quarter normal, three quarters Pareto.
pub const PARETO_NORMAL: u32 = 3;
/// The table of the normal distribution function: probability (16 bits) by standard deviations,
/// from -4 to 4.
pub const PROBABILITY: u32 = 4;
/// [`Hold::table`]: the first that a user gives.
pub const FIRST_CUSTOM: u32 = 5;
/// Tables of one plane.
pub const MAX_TABLES: u32 = 32;
/// Entries of a table: quantiles at (i + 1/2) / `TABLE_LEN`, in standard deviations ([`UNIT`] is 1).
pub const TABLE_LEN: usize = 4096;
/// Buckets that remember when the last packet of a flow leaves.
pub const FLOW_BUCKETS: u32 = 1 << 16;

/// A run: all its faults are armed by writing `deadline_ns`, and disarmed by writing 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// `CLOCK_MONOTONIC` ns; 0: disarmed.
    pub deadline_ns: u64,
    /// When it was disarmed before its deadline, `CLOCK_MONOTONIC` ns.
    pub ended_ns: u64,
}

/// One fault of a plane. Times are ns since the run's start.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault {
    /// A [`Kind`]; 0: a free entry.
    pub kind: u32,
    /// Index of its [`Run`].
    pub run: u32,
    /// `PER_SEGMENT` and friends.
    pub flags: u32,
    /// `DropEvery`: the period. `Corrupt`: how many bits. `Dns`: the answer.
    pub count: u32,
    /// Acts from here.
    pub after_ns: u64,
    /// Acts until here; `u64::MAX`: the run's end.
    pub until_ns: u64,
    /// Intensity grows linearly over this time, from `after_ns`.
    pub ramp_ns: u64,
    /// On for this long in each period; 0: always on.
    pub pulse_on_ns: u64,
    /// Length of a period.
    pub pulse_period_ns: u64,
    /// Probability per packet, [`ONE`] is always. `DropGilbert`: loss in the good state.
    pub rate: u64,
    /// `DropGilbert`: loss in the bad state.
    pub bad_rate: u64,
    /// `DropGilbert`: good to bad.
    pub to_bad: u64,
    /// `DropGilbert`: bad to good.
    pub to_good: u64,
    /// Share of flows that can be hit.
    pub flows: u64,
    /// Salt of the flows' choice, and of the decisions when `SEEDED`.
    pub seed: u64,
    /// What the kinds that hold packets know.
    pub hold: Hold,
}

/// What a fault remembers between packets, per direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultState {
    /// Packets decided so far.
    pub packets: [u64; 2],
    /// `DropGilbert`: 1 in the bad state.
    pub bad: [u32; 2],
    /// `Delay`: the last draw in standard deviations, [`UNIT`] is 1.
    pub last: [i32; 2],
    /// `Bandwidth`: `CLOCK_MONOTONIC` ns at which the link is free again.
    pub free_ns: [u64; 2],
}

const _: () = {
    assert!(size_of::<Run>() == 24);
    assert!(size_of::<Hold>() == 56);
    assert!(size_of::<Fault>() == 16 + 11 * 8 + 56);
    assert!(size_of::<FaultState>() == 48);
};
