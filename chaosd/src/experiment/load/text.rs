//! What a command printed, as somebody at a terminal would have read it: without colours, and of a
//! line that was written again and again what it was in the end.

use serde_json::Value;

/// Whoever keeps the end of an output keeps 64 KiB of it. One that is about as long begins in the
/// midst of a line, of which half may read as something else.
const MAY_BE_CUT: usize = 60 << 10;
/// A document begins at the begin of a line; more attempts than that are not worth their time.
const MOST_ATTEMPTS: usize = 32;

/// A cleaned output.
#[derive(Debug)]
pub(super) struct Text {
    lines: Vec<String>,
    documents: Vec<Value>,
}

impl Text {
    pub(super) fn of(output: &str) -> Self {
        Self::kept(output, output.len() >= MAY_BE_CUT)
    }

    /// The same of one that is known to have lost its front, or not.
    pub(super) fn kept(output: &str, cut: bool) -> Self {
        let mut whole = without_escapes(output);
        if cut {
            let rest = whole.split_once('\n').map_or("", |(_, rest)| rest);
            whole = rest.to_owned();
        }
        // A last line without an end is half a line, and a number in it may be half a number.
        let lines = whole
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(|line| in_the_end(line).to_owned())
            .collect();
        Self {
            lines,
            documents: documents(&whole),
        }
    }

    /// The lines that are whole.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Whether a line begins so, white space aside.
    pub(super) fn has_line(&self, begin: &str) -> bool {
        self.lines()
            .any(|line| line.trim_start().starts_with(begin))
    }

    /// The JSON documents that begin at the begin of a line, objects and arrays.
    pub(super) fn documents(&self) -> &[Value] {
        &self.documents
    }
}

fn documents(text: &str) -> Vec<Value> {
    let mut documents = Vec::new();
    let (mut at, mut attempts) = (0, 0);
    while let Some(rest) = text.get(at..)
        && attempts < MOST_ATTEMPTS
    {
        if rest.starts_with(['{', '[']) {
            attempts += 1;
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                at += values.byte_offset();
                documents.push(value);
                continue;
            }
        }
        match rest.find('\n') {
            Some(end) => at += end + 1,
            None => break,
        }
    }
    documents
}

/// The last thing that was written over a line (`\r` goes back to its begin).
fn in_the_end(line: &str) -> &str {
    line.rsplit('\r')
        .find(|part| !part.trim().is_empty())
        .unwrap_or("")
}

/// Without the escape sequences of ECMA-48 (colours, cursor movements, titles).
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            clean.push(c);
            continue;
        }
        match chars.next() {
            // A control sequence ends with its first byte from @ to ~.
            Some('[') => {
                while chars
                    .next_if(|c| !('@'..='~').contains(c) && *c != '\n')
                    .is_some()
                {}
            }
            // A string ends with BEL, or ESC \.
            Some(']') => {
                while chars
                    .next_if(|c| !matches!(c, '\x07' | '\x1b' | '\n'))
                    .is_some()
                {}
                if chars.next_if_eq(&'\x1b').is_some() {
                    chars.next_if_eq(&'\\');
                    continue;
                }
            }
            Some('\n') => {
                clean.push('\n');
                continue;
            }
            _ => continue,
        }
        // Its last byte; an end of line ends whatever was not finished.
        chars.next_if(|c| *c != '\n');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::Text;

    fn lines(output: &str) -> Vec<String> {
        Text::of(output).lines().map(str::to_owned).collect()
    }

    #[test]
    fn colours_and_overwritten_parts_vanish() {
        assert_eq!(
            lines("\x1b[32mok\x1b[0m 5\n\x1b]0;title\x07x\n\x1b]0;t\x1b\\y\n"),
            ["ok 5", "x", "y"]
        );
        assert_eq!(lines("1 %\r50 %\r99 %\r\n"), ["99 %"]);
        assert_eq!(lines("a\r\nb\r\n"), ["a", "b"]);
    }

    #[test]
    fn half_a_line_is_no_line() {
        assert_eq!(lines("whole\nha"), ["whole"]);
        assert!(lines("ha").is_empty());
        let long = format!("{}\nwhole\n", "x".repeat(64 << 10));
        assert_eq!(lines(&long), ["whole"]);
    }

    #[test]
    fn an_escape_that_does_not_end_takes_no_more_than_its_line() {
        assert_eq!(
            lines("a\x1b[12\nb\n\x1b\nc\x1b]x\nd\n"),
            ["a", "b", "", "c", "d"]
        );
    }

    #[test]
    fn documents_are_found_among_other_lines() {
        let text = Text::of("fio: note\n{\n \"a\": 1\n}\nrest {\n[1, 2]");
        assert_eq!(
            text.documents(),
            [serde_json::json!({"a": 1}), serde_json::json!([1, 2])]
        );
    }
}
