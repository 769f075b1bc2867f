//! Places in a canonical event, by their paths.
//!
//! A [`Path`] is read once from a configuration, which is when a wrong one is told from a right one: what stands at the top of an event,
//! and in its context, is known. [`Record::first`](crate::Record::first) reads what is there,
//! [`Record::change`](crate::Record::change) changes it. Which events a rule is for says a [`For`].

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::contract::ConfigProblem;
use crate::event::Kind;
use crate::record::Record;

/// Longer is no path that somebody wrote.
const BYTES_MAX: usize = 512;
/// As deep as a parser of JSON is willing to go, with a wide margin.
const DEPTH_MAX: usize = 16;

/// A place in an event, or several that are alike.
///
/// | Path | Place |
/// | --- | --- |
/// | `name`, `properties.total`, `context.page.url` | fields of objects |
/// | `products[].price`, `properties.items[0].sku` | every element of a list; one of them, counted from 0 |
/// | `properties["utm.source"]` | a name with dots or brackets in it |
/// | `claims.email` | the values of all identifiers of a type |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    pub(crate) steps: Vec<Step>,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field of an object.
    Field(String),
    /// An element of a list, from 0.
    Element(usize),
    /// Every element of a list.
    Each,
    /// Of a list of identifiers the value of each that has this type.
    Claim(String),
}

/// Why a text is no path of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// It is none, or leads to where an event has nothing.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let steps = steps(text)?;
        let steps = known(steps)?;
        Ok(Path { text: text.to_owned(), steps })
    }

    /// The path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it goes through every element of a list, so that it may be many places.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// The type of the identifiers that it is about; none where it is about something else.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        match self.steps.last() {
            Some(Step::Claim(kind)) => Some(kind),
            _ => None,
        }
    }

    /// The field at the top of the event under which the place is.
    #[must_use]
    pub fn top(&self) -> &str {
        match self.steps.first() {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }

    /// Whether it is a field at the top of the event, as a whole.
    #[must_use]
    pub fn is_top(&self) -> bool {
        self.steps.len() == 1
    }

    /// Splits it behind its first `[]`: where the elements are, and the place within each. None where it goes through no list, or ends there.
    #[must_use]
    pub fn within_each(&self) -> Option<(Path, Path)> {
        let each = self.steps.iter().position(|step| *step == Step::Each)?;
        let (list, below) = self.steps.split_at(each + 1);
        let end = self.text.find("[]")? + 2;
        let rest = self.text[end..].trim_start_matches('.');
        let path = |text: &str, steps: &[Step]| Path { text: text.to_owned(), steps: steps.to_vec() };
        matches!(below.first(), Some(Step::Field(_))).then(|| (path(&self.text[..end], list), path(rest, below)))
    }

    /// Whether only the engine may say what is there.
    #[must_use]
    pub fn is_the_engines(&self) -> bool {
        matches!(self.top(), "received" | "claimed")
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PathError {
    fn new(message: impl Into<String>) -> Self {
        PathError { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same as a mistake in a configuration, at a JSON pointer.
    #[must_use]
    pub fn at(self, pointer: impl Into<String>) -> ConfigProblem {
        ConfigProblem { path: pointer.into(), message: self.message, hint: self.hint }
    }
}

/// Splits a path into its steps, whatever they lead to.
fn steps(text: &str) -> Result<Vec<Step>, PathError> {
    if text.is_empty() {
        return Err(PathError::new("the path is empty").hint("such as properties.total"));
    }
    if text.len() > BYTES_MAX {
        return Err(PathError::new(format!("the path is longer than {BYTES_MAX} bytes")));
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
                    return Err(PathError::new(format!("the path `{text}` has a part without a name")));
                }
                steps.push(Step::Field(name.to_owned()));
                rest
            }
        };
    }
    if steps.len() > DEPTH_MAX {
        return Err(PathError::new(format!("the path has more than {DEPTH_MAX} parts")));
    }
    Ok(steps)
}

/// Reads what follows a `[`, and returns what follows its `]`.
fn bracket<'t>(inner: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, PathError> {
    let wrong =
        || PathError::new("what stands in brackets is no place").hint("[] is every element, [0] the first, [\"a.b\"] a name");
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
const GROUP: [&str; 2] = ["id", "traits"];
const ANSWER: [&str; 2] = ["delivery", "action"];
const CLAIM: [&str; 3] = ["type", "value", "how"];
const PRODUCT: [&str; 11] =
    ["id", "sku", "name", "brand", "category", "variant", "coupon", "price", "quantity", "position", "properties"];

/// What others call it, and what it is here.
const ELSEWHERE: [(&str, &str); 10] = [
    ("event", "name"),
    ("timestamp", "occurred"),
    ("messageid", "message_id"),
    ("userid", "claims.user_id"),
    ("anonymousid", "claims.anonymous_id"),
    ("identifiers", "claims"),
    ("email", "traits.email or claims.email"),
    ("phone", "traits.phone or claims.phone"),
    ("url", "context.page.url"),
    ("ip", "context.ip"),
];

/// Checks the steps against what an event has, and makes of `claims.email` what it means.
fn known(mut steps: Vec<Step>) -> Result<Vec<Step>, PathError> {
    use Step::{Claim, Each, Element, Field};
    let field = |of: &str, name: &str, names: &[&str]| {
        if names.contains(&name) {
            return Ok(());
        }
        let error = PathError::new(format!("{of} has no `{name}`"));
        Err(match nearest(name, names) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("it has {}", names.join(", "))),
        })
    };
    let Some((Field(top), below)) = steps.split_first() else { return Err(PathError::new("the path begins with no name")) };
    let folded: String = top.chars().filter(|letter| *letter != '_' && *letter != '-').flat_map(char::to_lowercase).collect();
    if let (false, Some((_, here))) = (TOP.contains(&top.as_str()), ELSEWHERE.iter().find(|(there, _)| *there == folded)) {
        return Err(PathError::new(format!("an event has no `{top}`")).hint(format!("did you mean {here}?")));
    }
    field("an event", top, &TOP)?;
    match (top.as_str(), below) {
        (_, []) | ("traits" | "properties" | "consent", [Field(_), ..]) => {}
        ("claims", [Field(_), ..]) => {
            // A type may have dots in it: all that follows is its name.
            let mut kind = String::new();
            for step in below {
                let Field(part) = step else {
                    return Err(PathError::new("an identifier has no parts").hint("such as claims.email"));
                };
                kind += if kind.is_empty() { "" } else { "." };
                kind += part;
            }
            steps = vec![Field("claims".to_owned()), Claim(kind)];
        }
        ("claims", [Each | Element(_), rest @ ..]) => match rest {
            [] => {}
            [Field(name)] => field("an identifier", name, &CLAIM)?,
            _ => return Err(PathError::new("an identifier's parts have no parts").hint("such as claims.email")),
        },
        ("products", [Each | Element(_), rest @ ..]) => match rest {
            [] => {}
            [Field(name), rest @ ..] => {
                field("a product", name, &PRODUCT)?;
                if name != "properties" && !rest.is_empty() {
                    return Err(PathError::new(format!("a product's `{name}` has no parts")));
                }
            }
            _ => return Err(PathError::new("a product is no list").hint("such as products[].price")),
        },
        ("products", _) => return Err(PathError::new("`products` is a list").hint("such as products[].price")),
        ("context", [Field(name), rest @ ..]) => {
            field("the context", name, &CONTEXT)?;
            if matches!(name.as_str(), "zone" | "locale" | "ip" | "user_agent") && !rest.is_empty() {
                return Err(PathError::new(format!("`context.{name}` has no parts")));
            }
        }
        ("group", [Field(name), rest @ ..]) => {
            field("a group", name, &GROUP)?;
            if name == "id" && !rest.is_empty() {
                return Err(PathError::new("`group.id` has no parts"));
            }
        }
        ("in_response_to", [Field(name)]) => field("an answer", name, &ANSWER)?,
        ("traits" | "properties" | "consent" | "context" | "group" | "in_response_to", _) => {
            return Err(PathError::new(format!("`{top}` is an object, and its parts have names")));
        }
        _ => return Err(PathError::new(format!("`{top}` has no parts"))),
    }
    Ok(steps)
}

/// The name that was probably meant: a third of its letters may be wrong.
fn nearest<'n>(wrong: &str, names: &[&'n str]) -> Option<&'n str> {
    let room = (wrong.chars().count() / 3).clamp(1, 3);
    let near = names.iter().map(|name| (strsim::damerau_levenshtein(&wrong.to_lowercase(), name), *name)).min()?;
    (near.0 <= room).then_some(near.1)
}

/// Which events a rule is for. Without any of it: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct For {
    /// Types of events, such as `track`. Without any: all.
    pub types: Vec<Kind>,
    /// Names of events, such as `Order Completed`; compared as they are. Without any: all, also events without a name.
    pub names: Vec<String>,
}

impl For {
    /// Whether an event is one of them.
    #[must_use]
    pub fn takes(&self, event: &mut Record<'_>) -> bool {
        let kind = |event: &mut Record<'_>| event.get_str("type").as_deref().and_then(Kind::of);
        (self.types.is_empty() || kind(event).is_some_and(|kind| self.types.contains(&kind)))
            && (self.names.is_empty() || event.get_str("name").is_some_and(|name| self.names.iter().any(|known| *known == name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_paths_are_read() {
        for text in [
            "name",
            "claims",
            "properties.a.b.c",
            "properties.items[0].sku",
            "properties[\"utm.source\"].x",
            "context.page.url",
            "context.extra.deep[].x",
            "products[].price",
            "products[2].properties.gift",
            "products[]",
            "group.traits.plan",
            "claims[].value",
            "consent.marketing",
            "in_response_to.action",
        ] {
            assert_eq!(Path::parse(text).map(|path| path.text().to_owned()), Ok(text.to_owned()));
        }
        let path = Path::parse("claims.acme.id").expect("a path");
        assert_eq!((path.claim(), path.top(), path.is_many()), (Some("acme.id"), "claims", false));
        assert!(Path::parse("products[].id").expect("a path").is_many());
        assert!(Path::parse("received").expect("a path").is_the_engines());
        let split = |text: &str| Path::parse(text).expect("a path").within_each().map(|(list, rest)| (list.text, rest.text));
        assert_eq!(split("products[].properties.a"), Some(("products[]".to_owned(), "properties.a".to_owned())));
        assert_eq!(split("properties.a[][\"b.c\"]"), Some(("properties.a[]".to_owned(), "[\"b.c\"]".to_owned())));
        assert_eq!((split("products[]"), split("products[0].id"), split("name")), (None, None, None));
    }

    #[test]
    fn wrong_paths_say_what_was_meant() {
        let check = |text: &str, message: &str, hint: &str| {
            let error = Path::parse(text).expect_err(text);
            assert_eq!((error.message.as_str(), error.hint.as_deref().unwrap_or_default()), (message, hint), "{text}");
        };
        check("", "the path is empty", "such as properties.total");
        check("propertys.total", "an event has no `propertys`", "did you mean `properties`?");
        check("Trait.email", "an event has no `Trait`", "did you mean `traits`?");
        check("userId", "an event has no `userId`", "did you mean claims.user_id?");
        check("event", "an event has no `event`", "did you mean name?");
        check("context.pages.url", "the context has no `pages`", "did you mean `page`?");
        check("context.utm", "the context has no `utm`", &format!("it has {}", CONTEXT.join(", ")));
        check("group.name", "a group has no `name`", "it has id, traits");
        check("products.price", "`products` is a list", "such as products[].price");
        check("products[].prize", "a product has no `prize`", "did you mean `price`?");
        check("products[].price.x", "a product's `price` has no parts", "");
        check("name.first", "`name` has no parts", "");
        check("context.ip.v4", "`context.ip` has no parts", "");
        check("properties[0]", "`properties` is an object, and its parts have names", "");
        check("properties..a", "the path `properties..a` has a part without a name", "");
        check("properties.a.", "the path `properties.a.` has a part without a name", "");
        check("claims.email[0]", "an identifier has no parts", "such as claims.email");
        let brackets = "[] is every element, [0] the first, [\"a.b\"] a name";
        check("properties.a[x]", "what stands in brackets is no place", brackets);
        check("properties.a[0", "what stands in brackets is no place", brackets);
        check("properties.a[\"b]", "what stands in brackets is no place", brackets);
        assert!(Path::parse("]").is_err() && Path::parse("[0]").is_err() && Path::parse("properties.a]b").is_err());
        assert!(Path::parse(&format!("properties{}", ".a".repeat(16))).is_err());
        assert!(Path::parse(&format!("properties.{}", "a".repeat(512))).is_err());
        assert!(Path::parse("xylophone").expect_err("none").hint.expect("all of them").starts_with("it has type, name"));
    }

    #[test]
    fn an_event_has_here_what_it_has_in_the_engine() {
        let engine = |text: &str| weft_domain::path::Path::try_from(text.to_owned()).map(drop);
        let check = |above: &str, names: &[&str]| {
            let path = |name: &str| format!("{above}{}{name}", if above.is_empty() { "" } else { "." });
            for name in names {
                assert_eq!(engine(&path(name)), Ok(()), "only here");
            }
            let told = engine(&path("xylophone")).expect_err("no event has it");
            let mut there: Vec<&str> = told.rsplit("it has ").next().unwrap_or_default().split(", ").collect();
            let mut here = names.to_vec();
            there.sort_unstable();
            here.sort_unstable();
            assert_eq!(there, here, "{above}");
        };
        check("", &TOP);
        check("context", &CONTEXT);
        check("group", &GROUP);
        check("in_response_to", &ANSWER);
        check("claims[]", &CLAIM);
        check("products[]", &PRODUCT);
    }

    #[test]
    fn a_rule_is_for_the_events_that_it_names() {
        let check = |only: &str, event: &str, want: bool| {
            let only: For = serde_json::from_str(only).expect("a selection");
            assert_eq!(only.takes(&mut Record::parse(event.as_bytes()).expect("an object")), want, "{event}");
        };
        let (order, page) = (r#"{"type":"track","name":"Order"}"#, r#"{"type":"page"}"#);
        check("{}", order, true);
        check("{}", page, true);
        check(r#"{"types":["page"]}"#, page, true);
        check(r#"{"types":["page","screen"]}"#, order, false);
        check(r#"{"names":["Order"]}"#, order, true);
        check(r#"{"names":["order"]}"#, order, false);
        check(r#"{"names":["Order"]}"#, page, false);
        check(r#"{"names":["Order"],"types":["page"]}"#, order, false);
        assert!(serde_json::from_str::<For>(r#"{"type":["page"]}"#).is_err());
    }
}
