//! The unsafe corner: system calls that no crate wraps, each behind a safe function.
//!
//! Every other module of chaosd is safe Rust. A function here takes and returns owned or borrowed
//! descriptors, checks what the kernel answers, and says why its unsafe block is sound.

pub mod ioctl;
pub mod process;
