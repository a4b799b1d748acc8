//! What a profile says of itself, for lists of profiles: no check, no problem.

use super::{
    Parameter, parameters as declared,
    problem::Found,
    tree::{self, Node, Value},
};

/// Its sentence; `None` when it has none, or is no profile (`load` says why).
pub fn about(text: &str) -> Option<String> {
    match &tree(text)?.get("about")?.value {
        Value::Text(text) => Some(text.trim().to_owned()),
        _ => None,
    }
}

/// What it leaves open; empty when it is no profile (`load` says why).
pub fn parameters(text: &str) -> Vec<Parameter> {
    tree(text)
        .map(|root| declared::list(&root))
        .unwrap_or_default()
}

fn tree(text: &str) -> Option<Node> {
    tree::parse("", text, &mut Found::default()).ok()
}
