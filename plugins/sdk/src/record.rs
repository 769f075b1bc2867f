//! One JSON document, opened only where a plugin looks.
//!
//! A [`Record`] splits the objects on the paths that are touched and keeps all else as the bytes that they are. It is
//! written again only where it was changed; what was not is kept, and nothing is copied back to the engine. Splitting costs
//! a scan of the object's text; nothing is turned into numbers or trees.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::contract::{Outcome, Rejection};
use crate::json::{Split, push_string, split, string_of};

/// A JSON object that came as bytes. Paths name the objects on the way, separated by dots: `context.page.url`.
#[derive(Debug)]
pub struct Record<'a> {
    root: Object<'a>,
    changed: Changed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    No,
    Yes,
}

type Object<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

#[derive(Debug)]
enum Node<'a> {
    /// As it came.
    Raw(&'a RawValue),
    /// Put here by the plugin.
    Set(Box<RawValue>),
    /// An object that was opened.
    Open(Object<'a>),
}

impl<'a> Record<'a> {
    /// Splits a document's outermost object.
    ///
    /// # Errors
    /// `not_json`: it is no JSON object.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        match split::<Node<'a>>(bytes) {
            Ok(Split(root)) => Ok(Record { root, changed: Changed::No }),
            Err(error) => Err(Rejection::new("not_json", format!("the record is no JSON object: {error}"))),
        }
    }

    /// The JSON text at a path; none where there is nothing. An object that was changed below is written anew.
    pub fn get(&mut self, path: &str) -> Option<Cow<'_, str>> {
        let (object, key) = descend(&mut self.root, path)?;
        let (_, node) = object.iter().find(|(name, _)| name == key)?;
        Some(match node {
            Node::Raw(raw) => Cow::Borrowed(raw.get()),
            Node::Set(raw) => Cow::Borrowed(raw.get()),
            Node::Open(object) => {
                let mut text = Vec::new();
                write(object, &mut text);
                Cow::Owned(String::from_utf8(text).expect("it is made of strings"))
            }
        })
    }

    /// The string at a path; none where there is something else, or nothing.
    pub fn get_str(&mut self, path: &str) -> Option<Cow<'_, str>> {
        match self.get(path)? {
            Cow::Borrowed(text) => string_of(text),
            Cow::Owned(text) => string_of(&text).map(|string| Cow::Owned(string.into_owned())),
        }
    }

    /// The value at a path as a type; none where there is nothing, or something else.
    pub fn get_as<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        serde_json::from_str(&self.get(path)?).ok()
    }

    /// Puts a value at a path; makes the objects on the way, also in place of values that are none.
    ///
    /// # Errors
    /// The value cannot be written as JSON: a map whose keys are no strings, or a type whose own serialisation fails.
    pub fn set(&mut self, path: &str, value: &(impl Serialize + ?Sized)) -> Result<(), serde_json::Error> {
        let value = serde_json::value::to_raw_value(value)?;
        let mut object = &mut self.root;
        let mut rest = path;
        while let Some((key, below)) = rest.split_once('.') {
            object = open_or_make(object, key);
            rest = below;
        }
        match object.iter_mut().find(|(name, _)| name == rest) {
            Some((_, node)) => *node = Node::Set(value),
            None => object.push((Cow::Owned(rest.to_owned()), Node::Set(value))),
        }
        self.changed = Changed::Yes;
        Ok(())
    }

    /// Takes away what is at a path, and says whether there was something.
    pub fn remove(&mut self, path: &str) -> bool {
        let Some((object, key)) = descend(&mut self.root, path) else { return false };
        let before = object.len();
        object.retain(|(name, _)| name != key);
        let removed = object.len() < before;
        if removed {
            self.changed = Changed::Yes;
        }
        removed
    }

    /// The names in the object at a path (the outermost one for an empty path), in the order in which they came.
    pub fn keys(&mut self, path: &str) -> Vec<String> {
        let object = if path.is_empty() {
            Some(&mut self.root)
        } else {
            descend(&mut self.root, path).and_then(|(object, key)| open(object, key))
        };
        object.map_or_else(Vec::new, |object| object.iter().map(|(name, _)| name.to_string()).collect())
    }

    /// Whether anything was set or removed.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed == Changed::Yes
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        write(&self.root, &mut out);
        out
    }

    /// Keeps the record where it was not changed, else replaces it.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        if self.is_changed() { Outcome::Replace(self.to_bytes()) } else { Outcome::Keep }
    }
}

/// The object that holds the last name of a path, and that name; opens what is on the way.
fn descend<'o, 'a, 'p>(root: &'o mut Object<'a>, path: &'p str) -> Option<(&'o mut Object<'a>, &'p str)> {
    let (mut object, mut rest) = (root, path);
    while let Some((key, below)) = rest.split_once('.') {
        object = open(object, key)?;
        rest = below;
    }
    Some((object, rest))
}

/// The object under a name, opened; none where there is none.
fn open<'o, 'a>(object: &'o mut Object<'a>, key: &str) -> Option<&'o mut Object<'a>> {
    let (_, node) = object.iter_mut().find(|(name, _)| name == key)?;
    if let Some(opened) = node.split() {
        *node = Node::Open(opened);
    }
    match node {
        Node::Open(object) => Some(object),
        Node::Raw(_) | Node::Set(_) => None,
    }
}

fn open_or_make<'o, 'a>(object: &'o mut Object<'a>, key: &str) -> &'o mut Object<'a> {
    let place = object.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
        object.push((Cow::Owned(key.to_owned()), Node::Open(Vec::new())));
        object.len() - 1
    });
    let node = &mut object[place].1;
    if !matches!(node, Node::Open(_)) {
        *node = Node::Open(node.split().unwrap_or_default());
    }
    match node {
        Node::Open(object) => object,
        Node::Raw(_) | Node::Set(_) => unreachable!("it was opened just before"),
    }
}

impl<'a> From<&'a RawValue> for Node<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Node::Raw(raw)
    }
}

impl<'a> Node<'a> {
    /// The object that this is, where it is one that was not opened yet.
    fn split(&self) -> Option<Object<'a>> {
        match self {
            Node::Raw(raw) => serde_json::from_str::<Split<'a, Node<'a>>>(raw.get()).ok().map(|Split(object)| object),
            // What a plugin put here itself is opened by copying: it is rare, and borrows from nothing.
            Node::Set(raw) => serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(raw.get())
                .ok()
                .map(|object| object.into_iter().map(|(name, value)| (Cow::Owned(name), Node::Set(value))).collect()),
            Node::Open(_) => None,
        }
    }
}

fn write(object: &Object<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (name, node)) in object.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        match node {
            Node::Raw(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Node::Set(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Node::Open(object) => write(object, out),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{ "type":"track", "properties": {"email":"Ann@x","n":1.50,"deep":{"a":[1, 2]}}, "k\"ey":null }"#;

    fn record() -> Record<'static> {
        Record::parse(EVENT.as_bytes()).expect("an object")
    }

    #[test]
    fn reads_open_only_what_is_on_the_path_and_keep_the_record() {
        let mut record = record();
        assert_eq!(record.get("properties.email").as_deref(), Some("\"Ann@x\""));
        assert_eq!(record.get_str("properties.email").as_deref(), Some("Ann@x"));
        assert_eq!(record.get("properties.n").as_deref(), Some("1.50"), "a number keeps its digits");
        assert_eq!(record.get_as::<Vec<u8>>("properties.deep.a"), Some(vec![1, 2]));
        assert_eq!(record.get("k\"ey").as_deref(), Some("null"));
        assert_eq!(record.get("properties.email.x"), None);
        assert_eq!(record.get("nothing.here"), None);
        assert_eq!(record.get_str("properties.n"), None);
        assert_eq!(record.keys("properties"), ["email", "n", "deep"]);
        assert_eq!(record.keys("").len(), 3);
        assert!(!record.remove("properties.none"));
        assert_eq!(record.into_outcome(), Outcome::Keep);
    }

    #[test]
    fn changes_leave_all_else_as_it_was() {
        let check = |change: fn(&mut Record<'_>), want: &str| {
            let mut record = record();
            change(&mut record);
            assert!(record.is_changed());
            let Outcome::Replace(bytes) = record.into_outcome() else { panic!("it was changed") };
            assert_eq!(String::from_utf8(bytes).expect("UTF-8"), want);
        };
        check(
            |record| record.set("properties.email", "ann@x").expect("JSON"),
            r#"{"type":"track","properties":{"email":"ann@x","n":1.50,"deep":{"a":[1, 2]}},"k\"ey":null}"#,
        );
        check(
            |record| assert!(record.remove("properties.deep")),
            r#"{"type":"track","properties":{"email":"Ann@x","n":1.50},"k\"ey":null}"#,
        );
        check(
            |record| {
                record.set("context.page.url", "u").expect("JSON");
                record.set("type.is", &1).expect("JSON");
                record.set("properties", &[("x", 1)].into_iter().collect::<std::collections::BTreeMap<_, _>>()).expect("JSON");
                record.set("properties.y", &2).expect("JSON");
            },
            r#"{"type":{"is":1},"properties":{"x":1,"y":2},"k\"ey":null,"context":{"page":{"url":"u"}}}"#,
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "1", "{", "{\"a\":}", "\u{0}"] {
            assert_eq!(Record::parse(text.as_bytes()).expect_err(text).code, "not_json");
        }
        assert!(Record::parse(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
