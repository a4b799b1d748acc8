//! chaosd makes a host, a cgroup or a namespace suffer a chosen fault for a chosen time, and
//! leaves the machine exactly as it was, whatever happens to chaosd itself.
//!
//! The modules, in the order in which a newcomer should read them:

mod alike;
/// HTTP over the unix socket.
pub mod api;
/// The only code that knows aya: load, attach, rules into maps, lease, counters.
pub mod bpf;
/// Child processes that burn CPU time, memory or a disk's time.
pub mod burn;
/// The only code that knows cgroup files.
pub mod cgroup;
mod child;
/// One file per verb.
pub mod cli;
/// The clock that the programs compare with.
mod clock;
/// Finds the disks that the I/O of a path goes to.
pub mod device;
/// Runs plans: arm, tick, disarm, revert.
pub mod engine;
/// A hypothesis, stages of faults, probes, and the record of it.
pub mod experiment;
/// One file per fault kind, and the only list of them.
pub mod fault;
/// What container runtimes tell a hook, and what annotations ask for.
pub mod hook;
/// What this kernel can do.
pub mod host;
/// One request over HTTP.
mod http;
/// The state directory and its locks: who is alive on this machine.
pub mod instance;
/// The write-ahead log of undos.
pub mod journal;
/// A process that ends a command with all that it started.
pub mod keeper;
/// A process that lets others wait for files.
pub mod latency;
/// What is mounted where.
mod mounts;
/// The only code that speaks netlink: interfaces, the detour device.
pub mod netlink;
/// What would be done about it on this host. Plain data; printed by `chaosd plan`.
pub mod plan;
mod printable;
/// The processes of this machine, and whom no fault may hit.
pub mod process;
/// What the user asked for. Pure.
pub mod profile;
/// What is said of a run: to the terminal, the API and programs.
pub mod report;
/// Faults that act on a machine rather than on packets: one file per kind.
pub mod resource;
/// Who answers for names of containers, pods, units and processes.
pub mod runtime;
/// The unsafe corner.
pub mod sys;
/// Finds what a target names: its cgroup, its network namespace, its interfaces, its protected flows.
pub mod target;
/// Record, change, verify; undone in reverse unless committed.
pub mod txn;
/// One way to undo each change; works in another process, without memory, twice.
pub mod undo;
/// The second process, which reverts when the first cannot.
pub mod watchdog;
