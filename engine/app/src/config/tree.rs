//! YAML as a tree in which every value knows where it stands.
//!
//! Scalars follow the core schema of YAML 1.2.2 (section 10.3): `yes`, `on` and `12:30` are texts, and so is everything in
//! quotes. Keys are always texts. What people write by mistake is refused here, each with its own problem: duplicate keys,
//! tabs, folded lines, merge keys, tags, several documents. Nothing here knows what a configuration is.
//!
//! [`parse`] reads a file; `tree/scalar.rs` resolves scalars, `tree/syntax.rs` explains what the parser refuses.

mod scalar;
mod syntax;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::limits;
use super::secret::Secret;
use super::source::{At, Position, Report, Span, join};

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands. Of a mapping or a list: where it begins.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing was written, or `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as JSON text, with every digit that was written.
    Number(String),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order in which it was written.
    Map(Vec<Entry>),
}

/// A text, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text. Of a secret: the handle that stands for it.
    pub text: String,
    /// Where the text comes from.
    pub origin: Origin,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the file.
    Written,
    /// Some of it came from the environment: it may stand for a number or a truth value.
    Environment,
    /// Some of it is a secret, and with that all of it.
    Secret(Secret),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// The value.
    pub node: Node,
}

impl Node {
    /// An empty mapping.
    #[must_use]
    pub fn empty_map(span: Span) -> Self {
        Node { span, value: Value::Map(Vec::new()) }
    }

    /// The entries of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The entry of this key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The text, where it is one and no secret.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(Text { origin: Origin::Secret(_), .. }) => None,
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// Whether nothing was written for a mapping, not even `{}`.
    #[must_use]
    pub fn was_left_empty(&self) -> bool {
        self.span.start == self.span.end && matches!(&self.value, Value::Map(entries) if entries.is_empty())
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// What a JSON pointer names, and the span to show for it: of a mapping or list in a mapping, that of its key.
    #[must_use]
    pub fn find(&self, pointer: &str) -> Option<(&Node, Span)> {
        let (mut node, mut span) = (self, self.span);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::Map(entries) => {
                    let entry = entries.iter().find(|entry| entry.key == step)?;
                    (node, span) = (&entry.node, entry.node.shown(entry.span));
                }
                Value::List(items) => {
                    node = items.get(step.parse::<usize>().ok()?)?;
                    span = node.span;
                }
                _ => return None,
            }
        }
        Some((node, span))
    }

    /// As [`Node::find`], to change it.
    pub fn find_mut(&mut self, pointer: &str) -> Option<&mut Node> {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            node = match &mut node.value {
                Value::Map(entries) => &mut entries.iter_mut().find(|entry| entry.key == step)?.node,
                Value::List(items) => items.get_mut(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The span to show for a value: its own if it is a scalar that was written, else that of its key.
    #[must_use]
    pub fn shown(&self, key: Span) -> Span {
        match self.value {
            Value::Null | Value::List(_) | Value::Map(_) => key,
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => self.span,
        }
    }

    /// Calls `visit` with every text and its JSON pointer.
    pub fn texts_mut(&mut self, path: &str, visit: &mut impl FnMut(&str, Span, &mut Text)) {
        match &mut self.value {
            Value::Text(text) => visit(path, self.span, text),
            Value::List(items) => {
                items.iter_mut().enumerate().for_each(|(place, item)| item.texts_mut(&join(path, &place.to_string()), visit));
            }
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.node.texts_mut(&join(path, &entry.key), visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) => (),
        }
    }

    /// Calls `visit` with every scalar and its JSON pointer.
    pub fn scalars(&self, path: &str, visit: &mut impl FnMut(&str, &Node)) {
        match &self.value {
            Value::List(items) => {
                items.iter().enumerate().for_each(|(place, item)| item.scalars(&join(path, &place.to_string()), visit));
            }
            Value::Map(entries) => entries.iter().for_each(|entry| entry.node.scalars(&join(path, &entry.key), visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => visit(path, self),
        }
    }

    /// As JSON text: keys in their order, numbers with their digits, secrets as their handles.
    #[must_use]
    pub fn to_json_text(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// As a JSON value, for a schema to look at.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.to_json_text()).expect("the depth is bounded, and numbers were read as JSON before")
    }

    fn write_json(&self, out: &mut String) {
        let separated = |out: &mut String, place: usize| {
            if place > 0 {
                out.push(',');
            }
        };
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => write!(out, "{value}").expect("a string takes everything"),
            Value::Number(text) => out.push_str(text),
            Value::Text(text) => out.push_str(&json_string(&text.text)),
            Value::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    separated(out, place);
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (place, entry) in entries.iter().enumerate() {
                    separated(out, place);
                    out.push_str(&json_string(&entry.key));
                    out.push(':');
                    entry.node.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

impl Value {
    /// What it is, as a noun with its article.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Value::Null => "empty",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// What a text would be if it had been written without quotes; none for a text.
#[must_use]
pub fn scalar_value(text: &str) -> Option<Value> {
    scalar::resolve(text).ok().flatten()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How much may still be read, over all files of a workspace.
#[derive(Debug)]
pub struct Budget {
    nodes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { nodes: limits::NODES_MAX }
    }
}

impl Budget {
    fn spend(&mut self, nodes: usize) -> Result<(), ()> {
        self.nodes = self.nodes.checked_sub(nodes).ok_or(())?;
        Ok(())
    }
}

/// Reads a file. None where it is no YAML at all; what is merely wrong in it is reported and left out. A file without
/// content is an empty mapping.
pub fn parse(file: u16, text: &str, budget: &mut Budget, report: &mut Report) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        file,
        text,
        letters: text.chars().collect(),
        budget,
        report,
        open: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
        documents: 0,
        folded: None,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                builder.say_folded();
                let span = if let Event::Scalar(..) = event { builder.trimmed(span) } else { builder.span(span) };
                builder.take(event, span)?;
            }
            Err(error) => {
                builder.refuse(error.info(), *error.marker());
                return None;
            }
        }
    }
    builder.say_folded();
    Some(builder.root.unwrap_or_else(|| Node::empty_map(Span::top(file))))
}

struct Builder<'a> {
    file: u16,
    text: &'a str,
    letters: Vec<char>,
    budget: &'a mut Budget,
    report: &'a mut Report,
    open: Vec<Open>,
    /// What each anchor stands for, and how many values that is.
    anchors: BTreeMap<usize, (Node, usize)>,
    root: Option<Node>,
    documents: usize,
    /// Kept back, since the parser may yet name a better cause of the same mess.
    folded: Option<(At, Problem, At)>,
}

/// A mapping or list whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    nodes: usize,
    within: Within,
}

enum Within {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, places: BTreeMap<String, usize>, key: Option<Key> },
}

struct Key {
    text: String,
    span: Span,
    /// False where the entry was already refused: its value is read and dropped.
    kept: bool,
}

impl Builder<'_> {
    fn position(&self, marker: saphyr_parser::Marker) -> Position {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Position { line: small(marker.line()).max(1), column: small(marker.col() + 1) }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        Span { file: self.file, start: self.position(span.start), end: self.position(span.end) }
    }

    /// A span without the white space at its end, which the parser counts in.
    fn trimmed(&self, span: saphyr_parser::Span) -> Span {
        let (mut end, from) = (span.end.index().min(self.letters.len()), span.start.index());
        let (mut line, mut column) = (span.end.line(), span.end.col());
        while end > from && self.letters[end - 1].is_whitespace() {
            end -= 1;
            if self.letters[end] == '\n' {
                line -= 1;
                let before = self.letters[..end].iter().rev();
                column = before.take_while(|letter| **letter != '\n').count();
            } else {
                column = column.saturating_sub(1);
            }
        }
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let end = Position { line: small(line).max(1), column: small(column + 1) };
        let span = self.span(span);
        Span { end: end.max(span.start), ..span }
    }

    /// Where the reader is, as a JSON pointer.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.within {
                Within::List(items) => path = join(&path, &items.len().to_string()),
                Within::Map { key: Some(key), .. } => path = join(&path, &key.text),
                Within::Map { key: None, .. } => (),
            }
        }
        path
    }

    fn at(&self, span: Span) -> At {
        span.at(self.path())
    }

    /// Takes one event; none where the file is not worth reading on.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let problem = Problem::error(Code::YAML_SEVERAL_DOCUMENTS, "a second document begins here")
                        .hint("move it into a file of its own, or take the `---` away");
                    self.report.add(self.at(span), problem);
                    return None;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let expects_key = matches!(self.open.last(), Some(Open { within: Within::Map { key: None, .. }, .. }));
                if expects_key {
                    self.take_key(&text, style, span);
                } else {
                    self.look_for_folded_lines(&text, style, span);
                    let value = self.scalar(&text, style, tag.as_deref(), span);
                    self.close(Node { span, value }, anchor, 1, 1)?;
                }
            }
            Event::SequenceStart(anchor, tag) => self.enter(Within::List(Vec::new()), anchor, tag.as_deref(), span)?,
            Event::MappingStart(anchor, tag) => {
                let within = Within::Map { entries: Vec::new(), places: BTreeMap::new(), key: None };
                self.enter(within, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser ends only what it began");
                let value = match open.within {
                    Within::List(items) => Value::List(items),
                    Within::Map { entries, .. } => Value::Map(entries),
                };
                // What is in it was counted as it was read.
                self.close(Node { span: open.span, value }, open.anchor, open.nodes, 1)?;
            }
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
                    let problem = Problem::error(Code::YAML_ALIAS, "this alias stands inside of what it names");
                    self.report.add(self.at(span), problem);
                    return None;
                };
                self.close(node, 0, nodes, nodes)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => (),
        }
        Some(())
    }

    /// Begins a mapping or list.
    fn enter(&mut self, within: Within, anchor: usize, tag: Option<&Tag>, span: Span) -> Option<()> {
        self.look_at_tag(tag, &["map", "seq"], span);
        if self.open.len() >= limits::DEPTH_MAX {
            let message = format!("mappings and lists are nested more than {} deep", limits::DEPTH_MAX);
            self.report.add(self.at(span), Problem::error(Code::YAML_TOO_LARGE, message));
            return None;
        }
        self.open.push(Open { span, anchor, nodes: 1, within });
        Some(())
    }

    fn take_key(&mut self, text: &str, style: ScalarStyle, span: Span) {
        let at = self.at(span).path;
        let plain = style == ScalarStyle::Plain;
        let Some(Open { within: Within::Map { entries, places, key }, .. }) = self.open.last_mut() else {
            unreachable!("the caller saw a mapping");
        };
        let at = |span: Span| span.at(join(&at, text));
        let refused = if text == "<<" && plain {
            let problem = Problem::error(Code::YAML_MERGE_KEY, "merge keys are not supported")
                .hint("write the keys out, or give the whole value a name with `&name` and repeat it with `*name`");
            Some((at(span), problem, None))
        } else if text.is_empty() && plain {
            Some((at(span), Problem::error(Code::YAML_KEY, "there is no key before this colon"), None))
        } else if let Some(first) = places.get(text) {
            let problem =
                Problem::error(Code::YAML_DUPLICATE_KEY, format!("the key `{}` stands here a second time", Excerpt(text)))
                    .hint("keep one of them, and put what is under the other there too; or give them different names");
            Some((at(span), problem, Some(at(entries[*first].span))))
        } else {
            None
        };
        *key = Some(Key { text: text.to_owned(), span, kept: refused.is_none() });
        match refused {
            Some((at, problem, Some(first))) => self.report.add_with(at, problem, "it stands here first", first),
            Some((at, problem, None)) => self.report.add(at, problem),
            None => (),
        }
    }

    /// Puts a finished value of so many values where it belongs; `fresh` of them were not counted yet.
    fn close(&mut self, node: Node, anchor: usize, nodes: usize, fresh: usize) -> Option<()> {
        if self.budget.spend(fresh).is_err() {
            let message = format!("the configuration has more than {} values", limits::NODES_MAX);
            let problem = Problem::error(Code::YAML_TOO_LARGE, message).hint("an alias counts as everything that it stands for");
            self.report.add(self.at(node.span), problem);
            return None;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), nodes));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        open.nodes += nodes;
        match &mut open.within {
            Within::List(items) => items.push(node),
            Within::Map { entries, places, key } => match key.take() {
                Some(key) if key.kept => {
                    places.insert(key.text.clone(), entries.len());
                    entries.push(Entry { key: key.text, span: key.span, node });
                }
                Some(_) => (),
                None => {
                    // The parser gives a key first: this is one, and not a scalar. Its value comes next, and is dropped.
                    *key = Some(Key { text: String::new(), span: node.span, kept: false });
                    self.refuse_key(&node);
                }
            },
        }
        Some(())
    }

    fn refuse_key(&mut self, key: &Node) {
        let start = key.span.start;
        let braces = line(self.text, start.line).chars().skip(start.column as usize - 1).take(1).eq("{".chars());
        let problem = Problem::error(Code::YAML_KEY, "this key is not a text");
        let problem =
            if braces { problem.hint("put a text that begins with `{{` in quotes") } else { problem.expected("a text") };
        self.report.add(self.at(key.span), problem);
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| &*tag.suffix);
        self.look_at_tag(tag, &["str", "int", "float", "bool", "null"], span);
        let written = || Value::Text(Text { text: text.to_owned(), origin: Origin::Written });
        if style != ScalarStyle::Plain && core.is_none_or(|core| core == "str")
            || core == Some("str")
            || tag.is_some() && core.is_none()
        {
            return written();
        }
        match scalar::resolve(text) {
            Ok(value) => {
                let digits = text.trim_start_matches(['-', '+']);
                if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    let message = format!("`{}` is read as a number, without its leading zeros", Excerpt(text));
                    let problem = Problem::warning(Code::YAML_NUMBER, message)
                        .hint(format!("to keep them, put it in quotes: \"{}\"", Excerpt(text)));
                    self.report.add(self.at(span), problem);
                }
                value.unwrap_or_else(written)
            }
            Err(message) => {
                self.report.add(
                    self.at(span),
                    Problem::error(Code::YAML_NUMBER, message).hint("put it in quotes if it is meant as a text"),
                );
                written()
            }
        }
    }

    /// Refuses tags other than those of the core schema.
    fn look_at_tag(&mut self, tag: Option<&Tag>, known: &[&str], span: Span) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && known.contains(&&*tag.suffix) || tag.handle.is_empty() && tag.suffix == "!" {
            return;
        }
        let name = if tag.handle == "!" { format!("!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) };
        let problem = Problem::error(Code::YAML_TAG, format!("the tag `{}` means nothing here", Excerpt(&name)));
        let problem = match tag.suffix.to_ascii_lowercase().as_str() {
            "secret" => problem.hint("a secret is written \"${secret:NAME}\""),
            "env" | "env_var" => problem.hint("a variable of the environment is written \"${env:NAME}\""),
            _ => problem.hint("put a text that begins with `!` in quotes"),
        };
        self.report.add(self.at(span), problem);
    }

    /// A plain text over several lines that looks as if its later lines were meant as keys or items: a slip of indentation,
    /// which YAML accepts and which otherwise shows up far from its cause.
    fn look_for_folded_lines(&mut self, text: &str, style: ScalarStyle, span: Span) {
        if style != ScalarStyle::Plain || span.end.line <= span.start.line || text.is_empty() {
            return;
        }
        for number in span.start.line + 1..=span.end.line {
            let line = line(self.text, number);
            let content = line.trim();
            if !syntax::looks_like_structure(content) {
                continue;
            }
            let indent = u32::try_from(line.chars().take_while(|letter| letter.is_whitespace()).count()).unwrap_or(0);
            let length = u32::try_from(content.chars().count()).unwrap_or(1);
            let start = Position { line: number, column: indent + 1 };
            let end = Position { line: number, column: indent + 1 + length };
            let problem = Problem::error(Code::YAML_FOLDED_LINES, "this line became part of the text on the line above it")
                .hint("indent it like its neighbours; put a text of several lines in quotes, or after `|` or `>`");
            let first = self.at(span);
            self.folded = Some((Span { start, end, ..span }.at(first.path.clone()), problem, first));
            return;
        }
    }

    fn say_folded(&mut self) {
        if let Some((at, problem, first)) = self.folded.take() {
            self.report.add_with(at, problem, "the text begins here", first);
        }
    }

    /// Reports what the parser refuses, once.
    fn refuse(&mut self, info: &str, marker: saphyr_parser::Marker) {
        let at = self.position(marker);
        let last = u32::try_from(self.text.lines().count()).unwrap_or(u32::MAX).max(1);
        let end_of_last = || u32::try_from(line(self.text, last).chars().count() + 1).unwrap_or(u32::MAX);
        let at = if at.line > last { Position { line: last, column: end_of_last() } } else { at };
        let told = syntax::explain(info, self.text, at);
        if self.folded.is_some() && !told.is_about_brackets {
            return self.say_folded();
        }
        let span = Span { file: self.file, start: told.start, end: told.end };
        let path = self.path();
        self.report.add(span.at(path), told.problem);
    }
}

/// A line of a text, from 1.
fn line(text: &str, number: u32) -> &str {
    text.lines().nth(number as usize - 1).unwrap_or_default()
}
