//! What the benches that print a table beside something else are asked for in the same words.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table
    Human,
    /// For programs
    Json,
}

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub quick: bool,
}

impl Effort {
    pub fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// The parts of a table that were asked for, in the table's order; none named: all.
pub fn chosen<P: ValueEnum + PartialEq>(only: &[P]) -> impl Iterator<Item = &P> {
    let all = P::value_variants().iter();
    all.filter(|part| only.is_empty() || only.contains(part))
}
