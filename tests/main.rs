//! Integration tests, one binary: a file for each theme.

mod laboratory;

mod corrupt;
mod drop;
mod matching;
mod partition;
mod reset;
