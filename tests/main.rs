//! Integration tests, one binary: a file for each theme.

mod laboratory;
mod scene;

mod corrupt;
mod drop;
mod matching;
mod partition;
mod reset;

mod api;
mod crash;
mod idle;
mod leftovers;
mod refusals;
mod stopped;
mod two_at_once;
