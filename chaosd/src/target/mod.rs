//! Finds what a target names: its network namespace, interfaces, cgroup and protected flows.

pub mod protected;
