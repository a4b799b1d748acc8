//! The unsafe corner: each submodule wraps one thing of the kernel that safe crates do not carry.

pub mod bpf;
pub mod ioctl;
pub mod map;
