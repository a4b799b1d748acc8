//! (to come)

pub mod probe;
