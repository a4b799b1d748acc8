//! YAML (and so JSON) as a tree in which each word knows its place.
//!
//! Nothing here knows what a profile is. Whatever the text, the tree it becomes is bounded: by the
//! size of the text, by the depth of nesting, and by a budget for what aliases copy.

use std::{collections::HashMap, sync::Arc};

use serde_saphyr::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, Tag};

use super::problem::{Found, Mistake, Place, Problems, quote};

/// Longest profile, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting; a profile needs six.
const MAX_DEPTH: usize = 32;
/// Bytes that all nodes may come to, copies by aliases included.
const BUDGET: usize = 16 << 20;
/// What a node costs besides its text.
const NODE_COST: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing was written.
    Empty,
    /// Any scalar; its meaning depends on its place.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Already reported: checks pass over it.
    Broken,
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) at: Place,
    pub(super) name: String,
}

impl Node {
    pub(super) fn text(at: Place, text: impl Into<String>) -> Self {
        Self {
            at,
            value: Value::Text(text.into()),
        }
    }

    /// The value of a key, when this is a map that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(k, _)| k.name == name).map(|(_, v)| v)
    }

    /// What this is, for people.
    pub(super) fn shape(&self) -> &'static str {
        match self.value {
            Value::Empty | Value::Broken => "nothing",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    fn cost(&self) -> usize {
        NODE_COST
            + match &self.value {
                Value::Empty | Value::Broken => 0,
                Value::Text(text) => text.len(),
                Value::List(items) => items.iter().map(Node::cost).sum(),
                Value::Map(entries) => entries
                    .iter()
                    .map(|(k, v)| NODE_COST + k.name.len() + v.cost())
                    .sum(),
            }
    }

    /// As JSON: words become strings, except for true and false.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Empty | Value::Broken => serde_json::Value::Null,
            Value::Text(text) => match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                text => text.into(),
            },
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|(k, v)| (k.name.clone(), v.to_json()))
                    .collect(),
            ),
        }
    }
}

/// The tree of a text; problems that leave a tree to check go to `found`.
pub(super) fn parse(source: &str, text: &str, found: &mut Found) -> Result<Node, Problems> {
    let mut builder = Builder {
        origin: source.into(),
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        spent: 0,
        found,
    };
    builder.run(text).map_err(|(at, mistake)| {
        let mut fatal = std::mem::take(builder.found);
        fatal.add(&at, mistake);
        fatal.into_problems()
    })?;
    let Some(root) = builder.root else {
        let at = builder.place_at(1, 1);
        let mut fatal = std::mem::take(builder.found);
        fatal.say(&at, "the profile is empty");
        return Err(fatal.into_problems());
    };
    Ok(root)
}

type Fatal = (Place, Mistake);

struct Builder<'f> {
    origin: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    spent: usize,
    found: &'f mut Found,
}

/// A collection whose end is not reached yet.
struct Open {
    at: Place,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        lines: HashMap<String, Option<u32>>,
        key: Option<Key>,
    },
}

impl Builder<'_> {
    fn run(&mut self, text: &str) -> Result<(), Fatal> {
        if text.len() > MAX_BYTES {
            let what = format!(
                "a profile has at most {MAX_BYTES} bytes, this one {}",
                text.len()
            );
            return Err((self.place_at(1, 1), Mistake::new(what)));
        }
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = MAX_DEPTH;
        options.block_nesting_limit = MAX_DEPTH;
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| {
                let at = self.place(*error.marker());
                (at.clone(), syntax(text, &at, &error.info()))
            })?;
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.place(span.start);
                        return Err((
                            at,
                            Mistake::new("a second document: a file holds one profile"),
                        ));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let at = self.place(span.start);
                    let value = match tag.as_deref().and_then(|tag| strange_tag(tag, &text)) {
                        Some(mistake) => {
                            let at = self.tag_place(span);
                            self.found.add(&at, mistake);
                            Value::Broken
                        }
                        None => scalar(&text, style),
                    };
                    self.spend(&at, text.len())?;
                    self.complete(Node { at, value }, anchor)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.start(span, anchor, tag.as_deref(), OpenKind::List(Vec::new()))?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    let kind = OpenKind::Map {
                        entries: Vec::new(),
                        lines: HashMap::new(),
                        key: None,
                    };
                    self.start(span, anchor, tag.as_deref(), kind)?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(open) = self.open.pop() {
                        let value = match open.kind {
                            OpenKind::List(items) => Value::List(items),
                            OpenKind::Map { entries, .. } => Value::Map(entries),
                        };
                        self.complete(Node { at: open.at, value }, open.anchor)?;
                    }
                }
                Event::Alias(anchor) => {
                    let at = self.place(span.start);
                    let Some(node) = self.anchors.get(&anchor) else {
                        return Err((at, Mistake::new("an alias within what it stands for")));
                    };
                    self.spend(&at, node.cost())?;
                    let node = self.anchors[&anchor].clone();
                    self.complete(node, 0)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        span: Span,
        anchor: usize,
        tag: Option<&Tag>,
        kind: OpenKind,
    ) -> Result<(), Fatal> {
        if let Some(mistake) = tag.and_then(|tag| strange_tag(tag, "")) {
            let at = self.tag_place(span);
            self.found.add(&at, mistake);
        }
        let at = self.place(span.start);
        if self.open.len() == MAX_DEPTH {
            return Err((
                at,
                Mistake::new(format!("nested deeper than {MAX_DEPTH} levels")),
            ));
        }
        self.spend(&at, 0)?;
        self.open.push(Open { at, anchor, kind });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Fatal> {
        if anchor != 0 {
            self.spend(&node.at, node.cost())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map {
                entries,
                lines,
                key,
            } => match key.take() {
                None => *key = Some(self.found.key(node)),
                Some(key) => {
                    if let Some(first) = lines.insert(key.name.clone(), key.at.line) {
                        let first =
                            first.map_or(String::new(), |l| format!(" (before on line {l})"));
                        let what = format!("the key {} is given twice{first}", quote(&key.name));
                        self.found.say(&key.at, what);
                    } else {
                        entries.push((key, node));
                    }
                }
            },
        }
        Ok(())
    }

    fn spend(&mut self, at: &Place, bytes: usize) -> Result<(), Fatal> {
        self.spent += NODE_COST + bytes;
        if self.spent > BUDGET {
            return Err((
                at.clone(),
                Mistake::new("more than a profile can need, its aliases followed"),
            ));
        }
        Ok(())
    }

    fn place(&self, marker: Marker) -> Place {
        self.place_at(marker.line(), marker.col() + 1)
    }

    fn place_at(&self, line: usize, column: usize) -> Place {
        Place {
            origin: Arc::clone(&self.origin),
            line: u32::try_from(line).ok(),
            column: u32::try_from(column).ok(),
        }
    }

    fn tag_place(&self, span: Span) -> Place {
        self.place(span.tag_start().unwrap_or(span.start))
    }
}

impl Found {
    fn key(&mut self, node: Node) -> Key {
        let shape = node.shape();
        match node.value {
            Value::Text(name) => Key { at: node.at, name },
            value => {
                if !matches!(value, Value::Broken) {
                    self.say(&node.at, format!("a key is a word, not {shape}"));
                }
                Key {
                    at: node.at,
                    name: String::new(),
                }
            }
        }
    }
}

/// YAML 1.2's null (core schema, §10.3.2), and no other type: a word's place says what it means.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = matches!(style, ScalarStyle::Plain);
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        Value::Empty
    } else {
        Value::Text(text.to_owned())
    }
}

/// `!ack` without quotes is a tag to YAML, and would otherwise vanish.
fn strange_tag(tag: &Tag, text: &str) -> Option<Mistake> {
    if tag.is_yaml_core_schema() {
        return None;
    }
    let (tag, text) = (tag.original(), text.trim());
    if tag.starts_with("!!") {
        let what = format!("{} is a type that no profile has", quote(&tag));
        return Some(Mistake::new(what));
    }
    let written = if text.is_empty() {
        tag
    } else {
        format!("{tag} {text}")
    };
    Some(
        Mistake::new(format!(
            "{} is a tag to YAML: a word that begins with ! needs quotes",
            quote(&written)
        ))
        .instead(format!("\"{written}\"")),
    )
}

/// The word that begins with a star at this place.
fn starred<'l>(line: &'l str, at: &Place) -> Option<&'l str> {
    let before = usize::try_from(at.column?).ok()?.checked_sub(1)?;
    let (start, _) = line.char_indices().nth(before)?;
    let word = line
        .get(start..)?
        .split([' ', '\t', ',', ']', '}'])
        .next()?;
    (word.starts_with('*') && word.len() > 1).then_some(word)
}

fn syntax(text: &str, at: &Place, error: &str) -> Mistake {
    let line = at
        .line
        .and_then(|n| usize::try_from(n).ok())
        .and_then(|n| text.lines().nth(n - 1));
    if error.contains("unknown anchor")
        && let Some(word) = line.and_then(|line| starred(line, at))
    {
        let what = format!(
            "{} is an alias to YAML: a word that begins with * needs quotes",
            quote(word)
        );
        return Mistake::new(what).instead(format!("\"{word}\""));
    }
    let hint = match line {
        Some(line) if line.contains("${") => ": put quotes around \"${...}\" inside [ ] and { }",
        Some(line) if line.trim_start().starts_with('\t') => {
            ": YAML is indented by spaces, not by tabs"
        }
        _ => "",
    };
    Mistake::new(format!("not YAML: {error}{hint}"))
}
