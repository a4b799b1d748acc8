//! The figures of a load tool's summary: the one place that asks for them.

use super::record::Figure;

/// The tool, and its figures in its order; none of a command that is no known tool.
pub(super) fn figures(_command: &[String], _output: &str) -> (Option<String>, Vec<Figure>) {
    (None, Vec::new())
}
