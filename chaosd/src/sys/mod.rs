//! The unsafe corner: each submodule wraps one thing of the kernel that safe crates do not carry.
//!
//! Every other module of chaosd is safe Rust. A function here takes and returns owned or borrowed
//! descriptors, checks what the kernel answers, and says why its unsafe block is sound.

pub mod bpf;
pub mod handle;
pub mod ioctl;
pub mod map;
pub mod memory;
pub mod netkit;
pub mod power;
pub mod process;
pub mod shared;
pub mod test_run;
pub mod time;
