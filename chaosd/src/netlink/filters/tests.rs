//! Filters that come and go, on the loopback device of a namespace of its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    os::fd::{AsFd, OwnedFd},
    process::Command,
};

use aya::programs::SchedClassifier;

use super::*;
use crate::netlink::{in_netns, tests::scratch_netns};

const LO: u32 = 1;

/// Two loaded programs and somewhere to hang them.
struct Bench {
    netns: OwnedFd,
    plane: crate::bpf::Spare,
}
