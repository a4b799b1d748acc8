//! Integration tests, one binary: a file for each theme.

mod crash;
mod laboratory;
mod leftovers;
mod scene;
mod stopped;
