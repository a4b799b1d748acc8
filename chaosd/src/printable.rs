//! Text that somebody else chose, on its way to a terminal or a log.

/// Whoever chose a name is not to write on root's terminal, or a line of the log: control characters become `?`.
pub fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_moves_the_cursor_is_shown_and_not_done() {
        assert_eq!(printable("shop-1 é"), "shop-1 é");
        assert_eq!(printable("a\x1b[2J\rb\n\u{9b}c\x7f\t"), "a?[2J?b??c??");
    }
}
