//! Integration tests, one binary: a file for each theme.

mod held;
mod laboratory;
mod scene;

mod bandwidth;
mod bystander;
mod cgroup;
mod compose;
mod corrupt;
mod counters;
mod delay;
mod dns;
mod dns_malformed;
mod dns_names;
mod dns_refusals;
mod dns_reverted;
mod dns_scene;
mod dns_stub;
mod dns_tcp;
mod drop;
mod duplicate;
mod hold;
mod hold_pairs;
mod hooks;
mod interfaces;
mod loopback;
mod matching;
mod netem;
mod partition;
mod profiles;
mod profiles_dns;
mod protected;
mod reorder;
mod reset;
mod timeline;

mod api;
mod crash;
mod held_profiles;
mod hold_crash;
mod hold_revert;
mod idle;
mod leftovers;
mod refusals;
mod stopped;
mod two_at_once;
