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
use crate::path::{Path, Step};

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
    /// A list that was opened.
    List(Vec<Node<'a>>),
}

/// What becomes of a value: see [`Record::change`].
#[derive(Debug)]
pub enum Change {
    /// It stays.
    Keep,
    /// It is taken away.
    Remove,
    /// Another in its place, or where there was none.
    Set(Box<RawValue>),
}

impl Change {
    /// Another value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Change::Set)
    }

    /// A string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Change::to(text).expect("a string is always JSON")
    }
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
        Some(node.text())
    }

    /// The JSON text of the first value at a path; none where there is nothing.
    pub fn first(&mut self, path: &Path) -> Option<String> {
        let mut found = None;
        each(&mut self.root, &path.steps, &mut |text| {
            if found.is_none() {
                found = text.map(str::to_owned);
            }
            Change::Keep
        });
        found
    }

    /// Asks of each value at a path what becomes of it, by its JSON text.
    ///
    /// Where an object has no such field, or nobody has an identifier of the type, it is asked of none, and what it then gives is put
    /// there; the objects on the way are made. Elements of lists are not, and what stands where an object would have to be stays.
    pub fn change(&mut self, path: &Path, mut ask: impl FnMut(Option<&str>) -> Change) {
        if each(&mut self.root, &path.steps, &mut ask) == Changed::Yes {
            self.changed = Changed::Yes;
        }
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
    object.iter_mut().find(|(name, _)| name == key)?.1.object()
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
        Node::Raw(_) | Node::Set(_) | Node::List(_) => unreachable!("it was opened just before"),
    }
}

type Ask<'f> = dyn FnMut(Option<&str>) -> Change + 'f;

/// Asks of everything that the steps lead to from an object.
fn each(object: &mut Object<'_>, steps: &[Step], ask: &mut Ask<'_>) -> Changed {
    let Some((Step::Field(key), below)) = steps.split_first() else { return Changed::No };
    let place = object.iter().position(|(name, node)| name == key && (below.is_empty() || !node.is_null()));
    let Some(place) = place else {
        let Some(made) = make(below, ask) else { return Changed::No };
        object.retain(|(name, _)| name != key);
        object.push((Cow::Owned(key.clone()), made));
        return Changed::Yes;
    };
    match each_below(&mut object[place].1, below, ask) {
        Fate::Kept => Changed::No,
        Fate::Changed => Changed::Yes,
        Fate::Removed => {
            object.remove(place);
            Changed::Yes
        }
    }
}

/// What became of a node.
#[derive(PartialEq, Eq)]
enum Fate {
    Kept,
    Changed,
    /// The parent takes it out.
    Removed,
}

/// Asks of everything that the steps lead to from a node.
fn each_below(node: &mut Node<'_>, steps: &[Step], ask: &mut Ask<'_>) -> Fate {
    let Some((step, below)) = steps.split_first() else {
        return match ask(Some(&node.text())) {
            Change::Keep => Fate::Kept,
            Change::Remove => Fate::Removed,
            Change::Set(value) => {
                *node = Node::Set(value);
                Fate::Changed
            }
        };
    };
    let of = |changed: Changed| if changed == Changed::Yes { Fate::Changed } else { Fate::Kept };
    match step {
        Step::Field(_) => node.object().map_or(Fate::Kept, |object| of(each(object, steps, ask))),
        Step::Element(_) | Step::Each => {
            let Some(list) = node.list() else { return Fate::Kept };
            let mut changed = Changed::No;
            let mut place = 0;
            list.retain_mut(|element| {
                let is_meant = *step == Step::Each || *step == Step::Element(place);
                place += 1;
                let fate = if is_meant { each_below(element, below, ask) } else { Fate::Kept };
                if fate != Fate::Kept {
                    changed = Changed::Yes;
                }
                fate != Fate::Removed
            });
            of(changed)
        }
        Step::Claim(kind) => node.list().map_or(Fate::Kept, |claims| of(each_claim(claims, kind, ask))),
    }
}

fn each_claim(claims: &mut Vec<Node<'_>>, kind: &str, ask: &mut Ask<'_>) -> Changed {
    let (mut changed, mut known) = (Changed::No, false);
    let value = [Step::Field("value".to_owned())];
    claims.retain_mut(|claim| {
        let Some(claim) = claim.object() else { return true };
        if !claim.iter().any(|(name, node)| name == "type" && string_of(&node.text()).as_deref() == Some(kind)) {
            return true;
        }
        known = true;
        if each(claim, &value, ask) == Changed::Yes {
            changed = Changed::Yes;
        }
        claim.iter().any(|(name, _)| name == "value")
    });
    if !known && let Change::Set(value) = ask(None) {
        claims.push(Node::claim(kind, value));
        changed = Changed::Yes;
    }
    changed
}

/// What the steps lead to, made anew; none where nothing is to be there, or there is no list to put it into.
fn make<'a>(steps: &[Step], ask: &mut Ask<'_>) -> Option<Node<'a>> {
    match steps.split_first() {
        None => match ask(None) {
            Change::Set(value) => Some(Node::Set(value)),
            Change::Keep | Change::Remove => None,
        },
        Some((Step::Field(name), below)) => Some(Node::Open(vec![(Cow::Owned(name.clone()), make(below, ask)?)])),
        Some((Step::Claim(kind), _)) => match ask(None) {
            Change::Set(value) => Some(Node::List(vec![Node::claim(kind, value)])),
            Change::Keep | Change::Remove => None,
        },
        Some((Step::Element(_) | Step::Each, _)) => None,
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
            Node::Set(raw) => serde_json::from_str::<Split<'_, &RawValue>>(raw.get()).ok().map(|Split(object)| {
                object.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), Node::Set(value.to_owned()))).collect()
            }),
            Node::Open(_) | Node::List(_) => None,
        }
    }

    /// The object that this is, opened; none where it is something else.
    fn object(&mut self) -> Option<&mut Object<'a>> {
        if let Some(opened) = self.split() {
            *self = Node::Open(opened);
        }
        match self {
            Node::Open(object) => Some(object),
            _ => None,
        }
    }

    /// The list that this is, opened; none where it is something else.
    fn list(&mut self) -> Option<&mut Vec<Node<'a>>> {
        let opened: Option<Vec<Node<'a>>> = match self {
            Node::Raw(raw) => serde_json::from_str::<Vec<&RawValue>>(raw.get())
                .ok()
                .map(|elements| elements.into_iter().map(Node::Raw).collect()),
            Node::Set(raw) => serde_json::from_str::<Vec<Box<RawValue>>>(raw.get())
                .ok()
                .map(|elements| elements.into_iter().map(Node::Set).collect()),
            Node::Open(_) | Node::List(_) => None,
        };
        if let Some(opened) = opened {
            *self = Node::List(opened);
        }
        match self {
            Node::List(list) => Some(list),
            _ => None,
        }
    }

    /// An identifier.
    fn claim(kind: &str, value: Box<RawValue>) -> Self {
        let kind = serde_json::value::to_raw_value(kind).expect("a string is always JSON");
        Node::Open(vec![(Cow::Borrowed("type"), Node::Set(kind)), (Cow::Borrowed("value"), Node::Set(value))])
    }

    fn is_null(&self) -> bool {
        matches!(self, Node::Raw(raw) if raw.get() == "null") || matches!(self, Node::Set(raw) if raw.get() == "null")
    }

    /// Its JSON text.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Node::Raw(raw) => Cow::Borrowed(raw.get()),
            Node::Set(raw) => Cow::Borrowed(raw.get()),
            Node::Open(_) | Node::List(_) => {
                let mut text = Vec::new();
                self.write(&mut text);
                Cow::Owned(String::from_utf8(text).expect("it is made of strings"))
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Raw(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Node::Set(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Node::Open(object) => write(object, out),
            Node::List(list) => {
                out.push(b'[');
                for (place, element) in list.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
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
        node.write(out);
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
    fn paths_lead_through_lists_and_identifiers() {
        const EVENT: &str = r#"{"claims":[{"type":"email","value":"A"},{"type":"id","value":"1"},{"type":"email","value":"B","how":"alias"}],"properties":{"items":[{"n":1.50},{"m":2},7],"a.b":true,"none":null,"text":"x"}}"#;
        let check = |path: &str, change: fn(Option<&str>) -> Change, from: &str, to: &str| {
            let mut record = Record::parse(EVENT.as_bytes()).expect("an object");
            record.change(&Path::parse(path).expect("a path"), change);
            let want = EVENT.replace(from, to);
            assert_eq!(record.is_changed(), want != EVENT, "{path}");
            assert_eq!(String::from_utf8(record.to_bytes()).expect("UTF-8"), want, "{path}");
        };
        let number = |_: Option<&str>| Change::to(&9).expect("JSON");
        let lower = |text: Option<&str>| {
            text.map_or(Change::Keep, |text| Change::Set(RawValue::from_string(text.to_lowercase()).expect("JSON")))
        };
        let new = |text: Option<&str>| if text.is_none() { Change::text("new") } else { Change::Keep };
        let gone = |_: Option<&str>| Change::Remove;
        check("claims.email", |_| Change::Keep, "", "");
        check("claims.id", gone, r#"{"type":"id","value":"1"},"#, "");
        check(
            "claims.email",
            lower,
            r#""A"},{"type":"id","value":"1"},{"type":"email","value":"B""#,
            r#""a"},{"type":"id","value":"1"},{"type":"email","value":"b""#,
        );
        check("claims.phone", new, r#""how":"alias"}]"#, r#""how":"alias"},{"type":"phone","value":"new"}]"#);
        check("claims.phone", gone, "", "");
        check("claims", gone, &EVENT[1..EVENT.find("\"properties").expect("there")], "");
        check("properties.items[].n", number, r#"{"n":1.50},{"m":2}"#, r#"{"n":9},{"m":2,"n":9}"#);
        check("properties.items[1]", gone, r#"{"m":2},"#, "");
        check("properties.items[]", gone, r#"{"n":1.50},{"m":2},7"#, "");
        check("properties.items[5].n", number, "", "");
        check("properties[\"a.b\"]", number, "true", "9");
        check("properties.none.deep", new, r#""none":null,"text":"x""#, r#""text":"x","none":{"deep":"new"}"#);
        check("properties.none.deep", gone, "", "");
        check("properties.text.deep", new, "", "");
        check("traits.email", new, r#""text":"x"}"#, r#""text":"x"},"traits":{"email":"new"}"#);
        check("products[].price", number, "", "");
        let mut record = Record::parse(b"{}").expect("an object");
        record.change(&Path::parse("claims.id").expect("a path"), new);
        record.change(&Path::parse("claims.id").expect("a path"), number);
        assert_eq!(record.get("claims").as_deref(), Some(r#"[{"type":"id","value":9}]"#));
        let mut record = Record::parse(EVENT.as_bytes()).expect("an object");
        let mut first = |path: &str| record.first(&Path::parse(path).expect("a path"));
        assert_eq!(first("claims.email").as_deref(), Some("\"A\""));
        assert_eq!(first("properties.items[].n").as_deref(), Some("1.50"));
        assert_eq!((first("properties.none").as_deref(), first("traits.x")), (Some("null"), None));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "1", "{", "{\"a\":}", "\u{0}"] {
            assert_eq!(Record::parse(text.as_bytes()).expect_err(text).code, "not_json");
        }
        assert!(Record::parse(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
