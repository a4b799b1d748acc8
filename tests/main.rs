//! Integration tests, one binary: a file for each theme.

mod laboratory;
mod scene;

mod corrupt;
mod crash;
mod drop;
mod matching;
mod partition;
mod reset;
