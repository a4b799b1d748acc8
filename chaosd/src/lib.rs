//! chaosd makes a host, a cgroup or a namespace suffer a chosen fault for a chosen time, and
//! leaves the machine exactly as it was, whatever happens to chaosd itself.
//!
//! The modules, in the order in which a newcomer should read them:

/// What the user asked for. Pure.
pub mod profile;
/// What would be done about it on this host. Plain data; printed by `chaosd plan`.
pub mod plan;
/// What is said of a run: to the terminal, the API and programs.
pub mod report;
/// Finds what a target names: its cgroup, its network namespace, its interfaces, its protected flows.
pub mod target;
/// One file per fault kind, and the only list of them.
pub mod fault;
/// The only code that knows aya: load, attach, rules into maps, lease, counters.
pub mod bpf;
/// The only code that speaks netlink: interfaces, the detour device.
pub mod netlink;
/// The only code that knows cgroup files.
pub mod cgroup;
/// One way to undo each change; works in another process, without memory, twice.
pub mod undo;
/// The write-ahead log of undos.
pub mod journal;
/// Record, change, verify; undone in reverse unless committed.
pub mod txn;
/// The second process, which reverts when the first cannot.
pub mod watchdog;
/// Runs plans: arm, tick, disarm, revert.
pub mod engine;
/// The state directory and its locks: who is alive on this machine.
pub mod instance;
/// What this kernel can do.
pub mod host;
/// HTTP over the unix socket.
pub mod api;
/// One file per verb.
pub mod cli;
/// The unsafe corner.
pub mod sys;
