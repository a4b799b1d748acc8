//! Integration tests, one binary: a file for each theme.

mod laboratory;
mod scene;

mod api;
mod crash;
mod idle;
mod leftovers;
mod refusals;
mod stopped;
mod two_at_once;

mod drop;
