//! Every map of the plane, and the lookups that cannot be got wrong.
//!
//! Tables that the daemon rewrites while packets flow are memory-mapable arrays: it writes a fault
//! or all 65,536 ports without a system call.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::SkStorage,
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::{btf_map, map},
    maps::{Array, HashMap, LpmTrie, PerCpuArray, ProgramArray},
};
use chaosd_ebpf::{
    Bits, Control, Counters, DnsRule, FLOW_BUCKETS, Fault, FaultState, FlowKey, Iface, MAX_FAULTS,
    MAX_RUNS, MAX_SLOTS, MAX_TABLES, Run, SockTag, TABLE_LEN,
    dns::{DnsHit, MAX_HITS, MAX_NAMES, MAX_PLANE_TYPES, NameBits, NameKey},
};

const FAULTS_LEN: u32 = MAX_FAULTS as u32;

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The programs behind the gate. The kernel empties a program array when its last
/// descriptor closes (kernel/bpf/arraymap.c, `prog_array_map_clear`).
#[map]
pub static STAGES: ProgramArray = ProgramArray::with_max_entries(6, 0);
#[map]
pub static RUNS: Array<Run> = Array::with_max_entries(MAX_RUNS, BPF_F_MMAPABLE);
#[map]
pub static FAULTS: Array<Fault> = Array::with_max_entries(FAULTS_LEN, BPF_F_MMAPABLE);
#[map]
pub static STATES: Array<FaultState> = Array::with_max_entries(FAULTS_LEN, BPF_F_MMAPABLE);
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(FAULTS_LEN * 2, 0);
/// Packets that passed an interface while the plane was armed, by slot and direction.
#[map]
pub static SEEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(MAX_SLOTS * 2, 0);
/// Segments that went into the detour, and those that came out: a difference is loss nobody asked for.
#[map]
pub static DETOURED: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
/// Buffers that went into the hold queue, and those that left it.
#[map]
pub static HELD: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
/// When the last packet of a flow leaves (`CLOCK_MONOTONIC` ns), by a hash of the flow.
#[map]
pub static FLOWS: Array<u64> = Array::with_max_entries(FLOW_BUCKETS, BPF_F_MMAPABLE);
/// Quantiles of the distributions of jitter.
#[map]
pub static TABLES: Array<[i32; TABLE_LEN]> = Array::with_max_entries(MAX_TABLES, 0);
/// By fault: ifindex of the sending end of its netem; 0: none.
#[map]
pub static NETEMS: Array<u32> = Array::with_max_entries(FAULTS_LEN, 0);
/// ifindex of the receiving end of a netem -> its fault.
#[map]
pub static NETEM_ENDS: HashMap<u32, u32> = HashMap::with_max_entries(FAULTS_LEN, 0);

/// The names that DNS faults hit; see [`chaosd_ebpf::dns::NameKey`]. Filled as needed.
#[map]
pub static DNS_NAMES: HashMap<NameKey, NameBits> = HashMap::with_max_entries(MAX_NAMES, 1);
/// Query type -> the DNS faults that name it.
#[map]
pub static DNS_TYPES: HashMap<u32, Bits> = HashMap::with_max_entries(MAX_PLANE_TYPES, 1);
/// By fault.
#[map]
pub static DNS_RULES: Array<DnsRule> = Array::with_max_entries(FAULTS_LEN, BPF_F_MMAPABLE);
/// The queries that DNS faults acted on last, by [`DNS_HIT`] modulo their number.
#[map]
pub static DNS_HITS: Array<DnsHit> = Array::with_max_entries(MAX_HITS, BPF_F_MMAPABLE);
/// How many queries DNS faults acted on.
#[map]
pub static DNS_HIT: Array<u64> = Array::with_max_entries(1, 0);
/// By fault: TCP segments with a query that were lost or reset.
#[map]
pub static DNS_COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(FAULTS_LEN, 0);

#[map]
static IFACES: Array<Iface> = Array::with_max_entries(MAX_SLOTS, BPF_F_MMAPABLE);
/// ifindex -> slot, for interfaces whose own slot was taken.
#[map]
static MOVED: HashMap<u32, u32> = HashMap::with_max_entries(MAX_SLOTS, 0);

/// Dimensions: key -> the faults that hold for it.
#[map]
pub static PROTOCOLS: Array<Bits> = Array::with_max_entries(256, BPF_F_MMAPABLE);
#[map]
pub static FLAGS: Array<Bits> = Array::with_max_entries(256, BPF_F_MMAPABLE);
#[map]
pub static PORTS: Array<Bits> = Array::with_max_entries(65536, BPF_F_MMAPABLE);
#[map]
pub static LOCAL_PORTS: Array<Bits> = Array::with_max_entries(65536, BPF_F_MMAPABLE);
#[map]
pub static PEERS4: LpmTrie<[u8; 4], Bits> = LpmTrie::with_max_entries(1 << 20, 0);
#[map]
pub static PEERS6: LpmTrie<[u8; 16], Bits> = LpmTrie::with_max_entries(1 << 20, 0);
/// Delays by peer, in ns: a fault's number (32 bits, big-endian) and an address of its own.
#[map]
pub static DELAYS4: LpmTrie<[u8; 8], u64> = LpmTrie::with_max_entries(1 << 20, 0);
#[map]
pub static DELAYS6: LpmTrie<[u8; 20], u64> = LpmTrie::with_max_entries(1 << 20, 0);
#[map]
pub static CGROUPS: HashMap<u64, Bits> = HashMap::with_max_entries(4096, 1);

#[map]
pub static PROTECTED: HashMap<FlowKey, u32> = HashMap::with_max_entries(4096, 1);

#[btf_map]
pub static SOCKETS: SkStorage<SockTag> = SkStorage::new();

/// The control entry, while something is armed. Whether the daemon still vouches for it is asked
/// when a fault is about to act ([`vouched`]): most packets need not read the clock.
#[inline(always)]
pub fn armed() -> Option<&'static Control> {
    CONTROL.get(0).filter(|ctl| is_armed(ctl))
}

/// True while something is armed and nobody took the plane away.
#[inline(always)]
pub fn is_armed(ctl: &Control) -> bool {
    // SAFETY: a valid aligned field of a map value, which user space writes while we look.
    let fence = unsafe { core::ptr::read_volatile(&raw const ctl.fence) };
    lease(ctl) != 0 && fence == 0
}

/// The time, while the daemon vouches for the plane.
#[inline(always)]
pub fn vouched(ctl: &Control) -> Option<u64> {
    let now = now();
    (now <= lease(ctl)).then_some(now)
}

/// Until when the daemon vouches for the plane; 0: it let go of it.
#[inline(always)]
pub fn lease(ctl: &Control) -> u64 {
    // SAFETY: a valid aligned field of a map value, which user space writes while we look.
    unsafe { core::ptr::read_volatile(&raw const ctl.lease_ns) }
}

/// The control entry, armed or not.
#[inline(always)]
pub fn control() -> Option<&'static Control> {
    CONTROL.get(0)
}

/// `CLOCK_MONOTONIC`, in steps of a jiffy: 5 ns instead of 32.
#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The interface with this index, if it belongs to the plane.
#[inline(always)]
pub fn iface(index: u32) -> Option<&'static Iface> {
    let own = IFACES.get(index & (MAX_SLOTS - 1))?;
    if own.index == index {
        return Some(own);
    }
    // SAFETY: a number, replaced as a whole by user space.
    let slot = unsafe { MOVED.get(index) }?;
    IFACES.get(*slot).filter(|i| i.index == index)
}

/// ifindex of a slot.
#[inline(always)]
pub fn slot(slot: u32) -> Option<u32> {
    let index = IFACES.get(slot)?.index;
    (index != 0).then_some(index)
}

/// Adds to a per-CPU number.
#[inline(always)]
pub fn add(map: &PerCpuArray<u64>, index: u32, n: u64) {
    if let Some(p) = map.get_ptr_mut(index) {
        // SAFETY: this CPU's own value; preemption by a softirq may lose an update, not corrupt it.
        unsafe { *p += n }
    }
}
