//! The unsafe corner: system calls that no crate here wraps, behind safe functions.

pub mod ioctl;
