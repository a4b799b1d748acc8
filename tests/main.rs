//! Integration tests, one binary: a file for each theme.

mod laboratory;
mod scene;

mod bystander;
mod cgroup;
mod corrupt;
mod counters;
mod drop;
mod hooks;
mod interfaces;
mod loopback;
mod matching;
mod partition;
mod profiles;
mod protected;
mod reset;
mod timeline;

mod api;
mod crash;
mod held_profiles;
mod idle;
mod leftovers;
mod refusals;
mod stopped;
mod two_at_once;
