//! The command that runs from the first stage to the last.

use std::time::Duration;

use crate::profile::{
    experiment::fill_in,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    words,
};

/// What may stand between double braces.
const NAMES: [&str; 2] = ["duration", "seconds"];

impl Found {
    /// `lasts`: the sum of all stages.
    pub(super) fn load_command(&mut self, node: &Node, lasts: Duration) -> Option<Vec<String>> {
        let words = self.command_words(node)?;
        let nodes: Vec<&Node> = match &node.value {
            Value::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        for node in nodes {
            self.braces(node);
        }
        Some(words.iter().map(|word| fill_in(word, lasts)).collect())
    }

    /// Reports what is nearly one of the names. Others are the command's own.
    fn braces(&mut self, node: &Node) {
        let Value::Text(text) = &node.value else {
            return;
        };
        for part in text.split("{{").skip(1) {
            let name = part.split("}}").next().unwrap_or_default();
            if NAMES.contains(&name) {
                continue;
            }
            if let Some(near) = words::nearest(name, &NAMES) {
                let what = format!("{} is not filled in", quote(&format!("{{{{{name}}}}}")));
                let near = format!("{{{{{near}}}}}");
                self.add(&node.at, Mistake::new(what).instead(near));
            }
        }
    }
}
