//! The ABI between the programs and the daemon: what lies in the maps, byte for byte.
//!
//! `no_std`, `repr(C)`, no padding, no `bool`; sizes are asserted below, so a change that moves a
//! field fails to compile on both sides. One *plane* is one network namespace: its own copy of
//! the programs and of every map named here.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows calls, but a program's stack is shared by all its frames"
)]

mod bits;
mod chance;
pub mod dns;
mod fault;
pub mod file_error;
mod flow;
mod mark;

pub use bits::{Bits, MAX_FAULTS, WORDS};
pub use chance::{STEP, hits, mix};
pub use dns::DnsRule;
pub use fault::{
    BY_PEER, FIRST_CUSTOM, FLOW_BUCKETS, Fault, FaultState, HOLDS, Hold, KEEP_ORDER, Kind,
    MAX_TABLES, NORMAL, ONE, PARETO, PARETO_NORMAL, PER_FLOW, PER_SEGMENT, PROBABILITY,
    RESET_LOCAL, RESET_REMOTE, Run, SEEDED, TABLE_LEN, UNDETECTED, UNIFORM, UNIT,
};
pub use flow::FlowKey;
pub use mark::Mark;

/// The direction of a packet, seen from the target: index of per-direction arrays.
pub const EGRESS: u32 = 0;
/// See [`EGRESS`].
pub const INGRESS: u32 = 1;

/// The place of the program behind the gate: which faults a packet belongs to. The first one, so that
/// it is the first to go when the programs do.
pub const FAULTS: u32 = 0;
/// The place of the program that decides whether those act, and does it.
pub const DECIDE: u32 = 1;
/// The place of the program that sends packets elsewhere.
pub const SEND: u32 = 2;
/// The place of the program that reads what a packet asks of a name server.
pub const DNS: u32 = 3;
/// The place of the program that answers it.
pub const ANSWER: u32 = 4;
/// The place of the program that finds the netem a packet goes through next.
pub const NETEM: u32 = 5;

/// Interfaces of one plane; the slot number travels in [`Mark`].
pub const MAX_SLOTS: u32 = 1024;
/// Runs alive at once in one plane.
pub const MAX_RUNS: u32 = 256;
/// Depth of the cgroup tree that a socket's tag remembers.
pub const CGROUP_LEVELS: usize = 16;

/// A packet that is held longer than [`LONG_NS`] goes round in the hold queue in chunks of one of
/// these lengths, and leaves at the end of a chunk once its run is over: what a revert waits for.
/// The first entry stands for none.
pub const CHUNKS_NS: [u64; 4] = [0, 500_000_000, 1_000_000_000, 5_000_000_000];
/// What such a packet had to go yet, shortened by so many bits, is what it still waits after the last
/// chunk of a run that is over: packets leave within 157 ms then, in the order they would have.
pub const HURRY: [u32; 4] = [0, 5, 7, 13];
/// Departures are multiples of this, rounded down: what is due within it leaves together, and sends
/// in between find nothing due. A power of two.
pub const GRID_NS: u64 = 1 << 16;
/// The hold queue's timer may be this late, so that it can wait for another one; the departures that
/// programs write are as much earlier.
pub const SLACK_NS: u64 = 34_000;
/// The most that a packet leaves before its time.
pub const EARLY_NS: u64 = GRID_NS + SLACK_NS;
/// The longest hold in one go.
pub const LONG_NS: u64 = CHUNKS_NS[1];
/// A packet that is to be held longer than so many chunks takes the next longer ones.
pub const FEW_CHUNKS: u64 = 10;

/// [`Control::uses`]: some fault names an IPv4 peer.
pub const USES_PEER4: u32 = 1;
/// [`Control::uses`]: some fault names an IPv6 peer.
pub const USES_PEER6: u32 = 2;
/// [`Control::uses`]: some fault names a cgroup.
pub const USES_CGROUP: u32 = 4;
/// [`Iface::flags`]: the device carries an Ethernet header, so its packets can take the detour.
pub const HAS_L2: u32 = 1;
/// [`Iface::flags`]: the loopback device, whose packets arrive by themselves.
pub const LOOPBACK: u32 = 2;

/// What every program reads first. One entry, memory-mapped by the daemon and the watchdog.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Control {
    /// `CLOCK_MONOTONIC` ns until which the daemon vouches for the plane; 0: nothing is armed.
    pub lease_ns: u64,
    /// Not 0: the watchdog took the plane away from a daemon that is late. Never cleared.
    pub fence: u64,
    /// Faults which name no peer.
    pub any_peer: Bits,
    /// Faults which name no remote port.
    pub any_port: Bits,
    /// Faults which name no local port.
    pub any_local_port: Bits,
    /// Faults which name no cgroup.
    pub any_cgroup: Bits,
    /// Faults which hit the protected set too.
    pub unprotected: Bits,
    /// Faults whose work needs real checksums or a lone segment: always through the detour.
    pub detour_always: Bits,
    /// Faults that decide per wire segment: super-packets, and all of TCP so that order holds.
    pub detour_segments: Bits,
    /// Faults that hold packets: no work for the cgroup program.
    pub holds: Bits,
    /// Faults that a netem does.
    pub netem: Bits,
    /// Faults of the Domain Name System.
    pub dns: Bits,
    /// Of those, the ones that hit every name.
    pub dns_any_name: Bits,
    /// Of those, the ones that hit queries of every type.
    pub dns_any_type: Bits,
    /// What the hashes of names begin with.
    pub dns_seed: [u64; 2],
    /// Bit n: names of n labels are known.
    pub dns_levels: [u64; 2],
    /// `USES_*`
    pub uses: u32,
    /// Bit n: some target cgroup sits at depth n of the tree (the root is 0).
    pub cgroup_levels: u32,
    /// ifindex of the detour's sending end; 0: there is none.
    pub detour: u32,
    /// This plane's number, see [`Mark`].
    pub plane: u32,
    /// ifindex of the hold queue's device; 0: there is none.
    pub hold: u32,
    /// The most labels that a known name has.
    pub dns_deepest: u32,
}

/// An interface of the plane, by slot: `ifindex % MAX_SLOTS` while that is free, else another one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Iface {
    /// ifindex; 0: a free slot.
    pub index: u32,
    /// Its place in the table.
    pub slot: u32,
    /// [`HAS_L2`]
    pub flags: u32,
    /// Keeps the next field aligned.
    pub pad: u32,
    /// Faults armed on it, per direction.
    pub bits: [Bits; 2],
}

/// Counters of one fault in one direction, per CPU. Packets are wire segments.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Counters {
    /// Matched while the fault was active.
    pub matched: u64,
    /// Of those, the ones it acted on.
    pub affected: u64,
    /// Of those, the ones that a bandwidth's full queue dropped, as a bottleneck does.
    pub tail_dropped: u64,
    /// Held packets that our own queue refused: loss that nobody asked for.
    pub overflow: u64,
}

/// The cgroup a socket was born in, and its ancestors by depth; 0 below it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SockTag {
    /// cgroup ids, root first.
    pub ancestors: [u64; CGROUP_LEVELS],
}

const _: () = {
    assert!(size_of::<Bits>() == 32);
    assert!(size_of::<Control>() == 16 + 12 * 32 + 32 + 24);
    assert!(size_of::<Iface>() == 80);
    assert!(size_of::<Counters>() == 32);
    assert!(size_of::<SockTag>() == 128);
};
