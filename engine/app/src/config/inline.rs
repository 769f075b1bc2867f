//! Files that plugins' blocks name: `{ file: plans/web.yaml }` stands for what is in that file.
//!
//! YAML and JSON become values, with their places, everything else one text. What is in a file is data: it has no placeholders, and names no
//! further file. A relative path begins at the workspace, and none leads to secrets or to the engine's own folders.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::limits;
use super::settle::Ground;
use super::source::{Report, Sources, Span, join};
use super::tree::{self, Budget, Entry, Node, Origin, Text, Value};

/// What files were read, by the paths that lead to them.
pub(super) type Inlined = BTreeMap<PathBuf, Vec<u8>>;

/// Puts what is in the files that a block names in their places. `base` is where the block stands, `kept` what is read instead of the disk.
pub(super) fn fill(
    block: &mut Node,
    base: &str,
    ground: &Ground<'_>,
    kept: Option<&Inlined>,
    sources: &mut Sources,
    report: &mut Report,
) -> Inlined {
    let mut filling = Filling { ground, kept, sources, report, budget: Budget::default(), inlined: Inlined::new() };
    filling.node(block, base);
    filling.inlined
}

struct Filling<'a> {
    ground: &'a Ground<'a>,
    kept: Option<&'a Inlined>,
    sources: &'a mut Sources,
    report: &'a mut Report,
    budget: Budget,
    inlined: Inlined,
}

impl Filling<'_> {
    fn node(&mut self, node: &mut Node, path: &str) {
        if let Some((name, span)) = named(node) {
            match self.read(&name, span) {
                Ok(value) => *node = value,
                Err(Some(problem)) => self.report.add(span.at(join(path, "file")), *problem),
                // What is wrong in the file has been said.
                Err(None) => self.report.add(
                    span.at(join(path, "file")),
                    Problem::error(Code::CONFIG_FILE, format!("`{}` cannot be used", Excerpt(&name))),
                ),
            }
            return;
        }
        match &mut node.value {
            Value::Map(entries) => entries.iter_mut().for_each(|entry| self.node(&mut entry.node, &join(path, &entry.key))),
            Value::List(items) => {
                items.iter_mut().enumerate().for_each(|(place, item)| self.node(item, &join(path, &place.to_string())));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => (),
        }
    }

    fn read(&mut self, name: &str, span: Span) -> Result<Node, Option<Box<Problem>>> {
        let wrong = |message: String| Some(Box::new(Problem::error(Code::CONFIG_FILE, message)));
        let path = self.ground.workspace.join(name);
        if let Some(what) = self.ground.closed_to(&path) {
            return Err(wrong(format!("the file `{}` is inside of the folder of {what}", Excerpt(name))));
        }
        let bytes = match self.kept {
            Some(kept) => kept.get(&path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into()),
            None => read(&path),
        };
        let bytes = bytes.map_err(|error| wrong(format!("the file `{}` cannot be read: {}", Excerpt(name), error.kind())))?;
        if bytes.len() as u64 > limits::INLINED_BYTES_MAX {
            let max = limits::INLINED_BYTES_MAX >> 20;
            return Err(wrong(format!("the file `{}` has more than {max} MiB", Excerpt(name))));
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|_| wrong(format!("the file `{}` is not UTF-8", Excerpt(name))))?.to_owned();
        self.inlined.insert(path.clone(), bytes);
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
        match &*kind {
            "yaml" | "yml" => {
                let file = self.sources.add(path, text);
                tree::parse(file, self.sources.text(file), &mut self.budget, self.report).ok_or(None)
            }
            "json" => {
                let value: serde_json::Value = serde_json::from_str(&text)
                    .map_err(|error| wrong(format!("the file `{}` is not JSON: {error}", Excerpt(name))))?;
                Ok(from_json(value, span))
            }
            _ => Ok(Node { span, value: Value::Text(Text { text, origin: Origin::Written }) }),
        }
    }
}

/// The names of the files that a block names.
pub(super) fn names(block: &Node) -> Vec<String> {
    let below: Box<dyn Iterator<Item = &Node>> = match (named(block), &block.value) {
        (Some((name, _)), _) => return vec![name],
        (None, Value::Map(entries)) => Box::new(entries.iter().map(|entry| &entry.node)),
        (None, _) => Box::new(block.items().iter()),
    };
    below.flat_map(names).collect()
}

/// The name of a file, where a node is nothing but that.
fn named(node: &Node) -> Option<(String, Span)> {
    let Value::Map(entries) = &node.value else { return None };
    let [Entry { key, span, node }] = &entries[..] else { return None };
    (key == "file").then(|| node.text()).flatten().map(|name| (name.to_owned(), *span))
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limits::INLINED_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn from_json(value: serde_json::Value, span: Span) -> Node {
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(bool),
        serde_json::Value::Number(number) => Value::Number(number.to_string()),
        serde_json::Value::String(text) => Value::Text(Text { text, origin: Origin::Written }),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(|item| from_json(item, span)).collect()),
        serde_json::Value::Object(entries) => {
            let entry = |(key, value)| Entry { key, span, node: from_json(value, span) };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { span, value }
}
