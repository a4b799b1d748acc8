//! Integration tests, one binary: a file for each theme.

mod laboratory;

mod bystander;
mod cgroup;
mod corrupt;
mod counters;
mod drop;
mod interfaces;
mod loopback;
mod matching;
mod partition;
mod profiles;
mod protected;
mod reset;
mod timeline;
