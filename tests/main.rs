//! Integration tests, one binary: a file for each theme.

mod laboratory;
mod scene;

mod crash;
mod leftovers;
mod stopped;

mod drop;
