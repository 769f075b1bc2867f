//! Places in an event by their paths, such as `properties.total`.
//!
//! A path is read once from the configuration, which is when a wrong one is told from a right one: what an event has is known
//! ([`weft_conditions::shape`]), and `docs/events.md` says it.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use weft_conditions::shape::{self, Step};

use crate::document::{Document, Fields, elements, fields};
use crate::limits;
use crate::value::Excerpt;

/// A place in an event, or several that are alike.
///
/// | Path | Place |
/// | --- | --- |
/// | `name`, `properties.total`, `context.page.url` | fields of objects |
/// | `products[].price`, `properties.items[0].sku` | every element of a list; one of them, counted from 0 |
/// | `properties["utm.source"]` | a name with dots or brackets in it |
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

impl TryFrom<String> for Path {
    type Error = String;

    /// Reads a path that somebody wrote; the error says what is wrong with it.
    fn try_from(text: String) -> Result<Self, String> {
        let steps = steps(&text)?;
        shape::check(&steps).map_err(|wrong| wrong.to_string())?;
        Ok(Path { text, steps })
    }
}

/// What was written down before is read as it was then, wherever an event has something today.
impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let steps = steps(&text).map_err(D::Error::custom)?;
        Ok(Path { text, steps })
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.text
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// Whether it leads to one place at most.
    #[must_use]
    pub fn is_single(&self) -> bool {
        !self.steps.contains(&Step::Each)
    }

    /// Calls `each` with what stands at the path, in the order of the event; null is as nothing.
    pub fn visit<'d>(&self, document: &'d Document<'_>, each: &mut dyn FnMut(&'d RawValue)) {
        let Some((Step::Field(name), rest)) = self.steps.split_first() else { return };
        if let Some(value) = find(document.fields(), name) {
            descend(value, rest, each);
        }
    }
}

fn find<'v>(fields: Fields<'v>, name: &str) -> Option<&'v RawValue> {
    fields.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn descend<'v>(value: &'v RawValue, steps: &[Step], each: &mut dyn FnMut(&'v RawValue)) {
    let Some((step, rest)) = steps.split_first() else {
        if value.get() != "null" {
            each(value);
        }
        return;
    };
    let list = || elements(value).unwrap_or_default();
    match step {
        Step::Field(name) => {
            if let Some(value) = fields(value).and_then(|fields| find(fields, name)) {
                descend(value, rest, each);
            }
        }
        Step::Element(place) => {
            if let Some(value) = list().get(*place) {
                descend(value, rest, each);
            }
        }
        Step::Each => list().into_iter().for_each(|value| descend(value, rest, each)),
    }
}

/// Splits a path into its steps, whatever they lead to.
fn steps(text: &str) -> Result<Vec<Step>, String> {
    if text.is_empty() {
        return Err("the path is empty".into());
    }
    if text.len() > limits::PATH_BYTES_MAX {
        return Err(format!("the path is longer than {} bytes", limits::PATH_BYTES_MAX));
    }
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = match rest.strip_prefix('[') {
            Some(inner) if !steps.is_empty() => bracket(inner, &mut steps)?,
            _ => {
                let rest = if steps.is_empty() { rest } else { rest.strip_prefix('.').unwrap_or_default() };
                let (name, rest) = rest.split_at(rest.find(['.', '[', ']']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return Err(format!("the path `{}` has a part without a name", Excerpt(text)));
                }
                steps.push(Step::Field(name.to_owned()));
                rest
            }
        };
    }
    if steps.len() > limits::PATH_STEPS_MAX {
        return Err(format!("the path has more than {} parts", limits::PATH_STEPS_MAX));
    }
    Ok(steps)
}

/// Reads what follows a `[`, and returns what follows its `]`.
fn bracket<'t>(inner: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, String> {
    let wrong = || "what stands in brackets is no place: `[]` is every element, `[0]` the first, `[\"a.b\"]` a name".to_owned();
    if let Some(quoted) = inner.strip_prefix('"') {
        let (name, rest) = quoted.split_once("\"]").ok_or_else(wrong)?;
        steps.push(Step::Field(name.to_owned()));
        return Ok(rest);
    }
    let (index, rest) = inner.split_once(']').ok_or_else(wrong)?;
    steps.push(match index {
        "" => Step::Each,
        index => Step::Element(index.parse().map_err(|_| wrong())?),
    });
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_path_finds_what_stands_there() {
        let event = br#"{"type":"track","name":"Order","properties":{"total":19.90,"a.b":[1,null,[2]],"none":null},"products":[{"price":1},{"id":"x"},{"price":2.50}],"context":{"page":{"url":"u"}}}"#;
        let event = Event::parse(event).expect("valid");
        let check = |path: &str, want: &[&str]| {
            let document = Document::of(&event);
            let mut found = Vec::new();
            Path::try_from(path.to_owned()).expect(path).visit(&document, &mut |value| found.push(value.get().to_owned()));
            assert_eq!(found, want, "{path}");
        };
        check("name", &["\"Order\""]);
        check("properties.total", &["19.90"]);
        check("properties[\"a.b\"]", &["[1,null,[2]]"]);
        check("properties[\"a.b\"][]", &["1", "[2]"]);
        check("properties[\"a.b\"][2][0]", &["2"]);
        check("properties.none", &[]);
        check("properties.total.cents", &[]);
        check("products[].price", &["1", "2.50"]);
        check("products[1].id", &["\"x\""]);
        check("context.page.url", &["\"u\""]);
        check("traits.email", &[]);
    }

    #[test]
    fn a_path_to_where_an_event_has_nothing_is_refused() {
        let check = |path: &str, want: &str| assert_eq!(Path::try_from(path.to_owned()), Err(want.to_owned()));
        check("", "the path is empty");
        check("propertys.total", "an event has no `propertys`: did you mean `properties`?");
        check("messageId", "an event has no `messageId`: did you mean `message_id`?");
        check("context.pgae", "the context has no `pgae`: did you mean `page`?");
        check("products.price", "`products` is a list: write `products[]` for all of them");
        check("products[].prize", "a product has no `prize`: did you mean `price`?");
        check("properties[]", "`properties` is an object: its parts have names");
        check("name.first", "`name` has no parts");
        check("group.name", "a group has no `name`: it has id, traits");
        check("claims.email", "`claims` is a list: write `claims[]` for all of them");
        check("context.ip.v4", "`ip` has no parts");
        check("properties..a", "the path `properties..a` has a part without a name");
        check(
            "properties.a[x]",
            "what stands in brackets is no place: `[]` is every element, `[0]` the first, `[\"a.b\"]` a name",
        );
    }

    #[test]
    fn what_was_written_down_is_read_as_it_was() {
        // As if a group had had a name once.
        let path: Path = serde_json::from_value("group.name".into()).expect("a path");
        assert_eq!(
            (path.to_string(), serde_json::to_value(&path).expect("JSON")),
            ("group.name".to_owned(), "group.name".into())
        );
        assert!(serde_json::from_value::<Path>("group..name".into()).is_err());
    }
}
