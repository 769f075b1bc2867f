//! Places in an event by their paths, such as `properties.total`.
//!
//! A path is read once from the configuration, which is when a wrong one is told from a right one: what stands at the top of an
//! event, in its context and in a product is known. `docs/events.md` says what an event has.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A field of an object.
    Field(String),
    /// An element of a list, from 0.
    Element(usize),
    /// Every element of a list.
    Each,
}

/// What an event has at its top.
const TOP: [&str; 16] = [
    "type",
    "name",
    "message_id",
    "occurred",
    "sent",
    "received",
    "claimed",
    "environment",
    "claims",
    "traits",
    "properties",
    "products",
    "context",
    "consent",
    "group",
    "in_response_to",
];
const CONTEXT: [&str; 11] =
    ["device", "app", "place", "campaign", "page", "zone", "locale", "ip", "user_agent", "library", "extra"];
const PRODUCT: [&str; 11] =
    ["id", "sku", "name", "brand", "category", "variant", "price", "quantity", "coupon", "position", "properties"];

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let steps = steps(&text)?;
        known(&steps)?;
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

/// Checks the steps against what an event has.
fn known(steps: &[Step]) -> Result<(), String> {
    use Step::{Each, Element, Field};
    let [Field(top), below @ ..] = steps else { return Err("the path does not begin with a name".into()) };
    is_field("an event", top)?;
    match (top.as_str(), below) {
        (_, []) => Ok(()),
        ("context", [Field(name), ..]) => one_of("the context", name, &CONTEXT),
        ("products", [Each | Element(_), Field(name), ..]) => one_of("a product", name, &PRODUCT),
        ("products" | "claims", [Each | Element(_), ..]) => Ok(()),
        ("products" | "claims", _) => Err(format!("`{top}` is a list: write `{top}[]` for all of them")),
        ("traits" | "properties" | "consent" | "group" | "in_response_to", [Field(_), ..]) => Ok(()),
        ("context" | "traits" | "properties" | "consent" | "group" | "in_response_to", _) => {
            Err(format!("`{top}` is an object: its parts have names"))
        }
        _ => Err(format!("`{top}` has no parts")),
    }
}

/// Whether something stands at the top of an event under this name.
///
/// # Errors
/// What is wrong with it, and what was probably meant.
pub(crate) fn is_field(of: &str, name: &str) -> Result<(), String> {
    one_of(of, name, &TOP)
}

fn one_of(of: &str, name: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&name) {
        return Ok(());
    }
    let near =
        nearest(name, names).map_or_else(|| format!("it has {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
    Err(format!("{of} has no `{}`: {near}", Excerpt(name)))
}

/// The name that a wrong one was probably meant to be.
pub(crate) fn nearest<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    let folded = wrong.to_lowercase().replace(['-', '_'], "");
    let distance = |name: &str| strsim::damerau_levenshtein(&name.replace('_', ""), &folded);
    names.iter().map(|name| (distance(name), *name)).filter(|(distance, _)| *distance <= 2).min().map(|(_, name)| name)
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
        check("properties..a", "the path `properties..a` has a part without a name");
        check(
            "properties.a[x]",
            "what stands in brackets is no place: `[]` is every element, `[0]` the first, `[\"a.b\"]` a name",
        );
    }
}
