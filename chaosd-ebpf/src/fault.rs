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
}

/// A run: all its faults are armed by writing `deadline_ns`, and disarmed by writing 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// `CLOCK_MONOTONIC` ns; 0: disarmed.
    pub deadline_ns: u64,
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
    /// `DropEvery`: the period. `Corrupt`: how many bits.
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
}

/// What a fault remembers between packets, per direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultState {
    /// Packets decided so far.
    pub packets: [u64; 2],
    /// `DropGilbert`: 1 in the bad state.
    pub bad: [u32; 2],
}

const _: () = {
    assert!(size_of::<Run>() == 16);
    assert!(size_of::<Fault>() == 16 + 11 * 8);
    assert!(size_of::<FaultState>() == 24);
};
