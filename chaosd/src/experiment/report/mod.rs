//! What is made of a record for those who read it: a page, text for a ticket, test results for CI, and the
//! record's own schema.
//!
//! Invariant: a form is made of the record alone, and whatever a record says is text in it: it neither
//! ends a tag nor commands a terminal.

mod distribution;
mod html;
mod junit;
mod markdown;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
mod svg;
#[cfg(test)]
mod tests;
mod timeline;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use schema::schema;
