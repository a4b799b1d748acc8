//! Reports.
#[cfg(test)]
pub(crate) mod sample;
