//! From any JSON to canonical events, by a mapping that stands in a configuration ([`Spec`]).
//!
//! A payload is what arrived (a request's body, a line, an API's answer), an item what one event is made of: the payload itself, or
//! one of a list in it. A [`Mapping`] is read once, and each item then costs what is looked for in it.
//!
//! A value that is missing, or null, says nothing. One that is there and cannot be what the mapping says is refused, so that
//! it can be replayed under a better mapping.

mod spec;

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

pub use self::spec::{Choice, FixedType, Found, Name, Pairs, Pick, Scalar, Spec, Type, Values};
use crate::contract::{ConfigProblem, Failure, Rejection};
use crate::event::{EventBuilder, Kind};
use crate::json::{Json, fields};
use crate::place::{Place, word};
use crate::time::Timestamp;

/// A mapping with every path read.
#[derive(Debug)]
pub struct Mapping {
    only: Vec<(Path, Vec<Value>)>,
    kind: Either<Kind>,
    name: Option<Either<String>>,
    message_id: Option<Prefixed>,
    occurred: Option<Path>,
    claims: Vec<(String, Path)>,
    traits: Fields,
    properties: Fields,
}

/// Whether what is mapped came with headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// It is a request's body.
    There,
    /// It is not: `$header` is a mistake.
    None,
}

/// What paths are looked up in.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Names in lower case, and values.
    pub headers: &'a [(String, String)],
    /// What arrived.
    pub payload: &'a RawValue,
    /// What one event is made of.
    pub item: &'a RawValue,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Item(Place),
    Payload(Place),
    /// By its name in lower case.
    Header(String),
}

/// What is fixed, or found.
#[derive(Debug)]
enum Either<T> {
    Fixed(T),
    Found(Prefixed),
}

#[derive(Debug)]
struct Prefixed {
    path: Path,
    prefix: String,
}

#[derive(Debug)]
enum Fields {
    None,
    All,
    Some(Vec<(String, Path)>),
}

/// Reads paths, and notes those that are none.
struct Reader {
    headers: Headers,
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn path(&mut self, text: &str, at: &str) -> Option<Path> {
        let path = Path::parse(text);
        match &path {
            None => self.problems.push(ConfigProblem::at(at, format!("`{text}` is no path")).hint(match self.headers {
                Headers::There => "such as customer.email, /customer/e.mail, $.account.id or $header.x-topic",
                Headers::None => "such as customer.email, /customer/e.mail or $.account.id",
            })),
            Some(Path::Header(_)) if self.headers == Headers::None => {
                self.problems.push(ConfigProblem::at(at, "there are no headers here"));
            }
            Some(_) => {}
        }
        path
    }

    fn prefixed(&mut self, pick: &Pick, at: &str) -> Option<Prefixed> {
        let (path, prefix, at) = match pick {
            Pick::Path(path) => (path, "", at.to_owned()),
            Pick::Prefixed(found) => (&found.path, &*found.prefix, format!("{at}/path")),
        };
        Some(Prefixed { path: self.path(path, &at)?, prefix: prefix.to_owned() })
    }

    fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p String, &'p String)>, at: &str) -> Vec<(String, Path)> {
        let mut read = Vec::new();
        for (name, path) in pairs {
            read.extend(self.path(path, &place(at, name)).map(|path| (name.clone(), path)));
        }
        read
    }

    fn fields(&mut self, pairs: &Pairs, at: &str) -> Fields {
        match pairs {
            Pairs::Choice(Choice::All) => Fields::All,
            Pairs::Choice(Choice::None) => Fields::None,
            Pairs::Named(pairs) => Fields::Some(self.pairs(pairs, at)),
        }
    }
}

/// A JSON pointer to a name below a place.
fn place(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(spec: &Spec, headers: Headers) -> Result<Self, Vec<ConfigProblem>> {
        let mut reader = Reader { headers, problems: Vec::new() };
        let mut only = Vec::new();
        for (path, values) in &spec.only {
            only.extend(reader.path(path, &place("/only", path)).map(|path| (path, values.to_list())));
        }
        let kind = match &spec.kind {
            Type::Fixed(kind) => Some(Either::Fixed(kind.to_kind())),
            Type::Found(found) => reader.prefixed(&Pick::Prefixed(found.clone()), "/type").map(Either::Found),
        };
        let name = match &spec.event {
            None => None,
            Some(Name::Fixed(name)) => Some(Either::Fixed(name.clone())),
            Some(Name::Found(found)) => reader.prefixed(&Pick::Prefixed(found.clone()), "/event").map(Either::Found),
        };
        let message_id = spec.message_id.as_ref().and_then(|pick| reader.prefixed(pick, "/message_id"));
        let occurred = spec.occurred.as_ref().and_then(|path| reader.path(path, "/occurred"));
        let claims = reader.pairs(&spec.claims, "/claims");
        let traits = reader.fields(&spec.traits, "/traits");
        let properties = reader.fields(&spec.properties, "/properties");
        let mut problems = reader.problems;
        let is_unnamed = match &spec.event {
            None => true,
            Some(Name::Fixed(name)) => name.is_empty(),
            Some(Name::Found(_)) => false,
        };
        if is_unnamed && matches!(kind, Some(Either::Fixed(Kind::Track))) {
            let hint = "a name such as Order Paid, or { path: … } to where it stands";
            problems.push(ConfigProblem::at("/event", "events of type track need a name").hint(hint));
        }
        match kind {
            Some(kind) if problems.is_empty() => {
                Ok(Mapping { only, kind, name, message_id, occurred, claims, traits, properties })
            }
            _ => Err(problems),
        }
    }

    /// The same, for a configuration that was validated.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn open(spec: &Spec, headers: Headers) -> Result<Self, Failure> {
        Mapping::read(spec, headers)
            .map_err(|problems| Failure::config(problems.into_iter().next().map_or_else(String::new, |problem| problem.message)))
    }

    /// Whether events are made of this at all.
    #[must_use]
    pub fn is_wanted(&self, scope: &Scope<'_>) -> bool {
        self.only.iter().all(|(path, values)| {
            let found = path.find(scope).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
            values.iter().any(|value| is_equal(value, &found))
        })
    }

    /// Whether an item's number is a part of its event's message id.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        self.message_id.as_ref().is_some_and(|found| !matches!(found.path, Path::Item(_)))
    }

    /// The canonical event that an item is, but for what its source adds; `number` is the item's place where the payload has a list
    /// of them.
    ///
    /// # Errors
    /// Why it is none.
    pub fn event<'a>(&'a self, scope: &Scope<'a>, number: Option<usize>) -> Result<EventBuilder<'a>, Rejection> {
        let mut event = EventBuilder::new(self.kind(scope)?);
        event.name = match &self.name {
            None => None,
            Some(Either::Fixed(name)) => Some(name.into()),
            Some(Either::Found(found)) => found.text(scope, "bad_name")?.map(Into::into),
        };
        if let Some(found) = &self.message_id
            && let Some(mut id) = found.text(scope, "bad_message_id")?
        {
            // All items of a payload find the same id there, and would be taken for repetitions of one.
            if let (Some(number), false) = (number, matches!(found.path, Path::Item(_))) {
                id.push_str(&format!("/{number}"));
            }
            event.message_id = Some(id.into());
        }
        if let Some(time) = self.occurred.as_ref().and_then(|path| path.find_some(scope)) {
            let bad = || Rejection::new("bad_timestamp", format!("`occurred` is no time: {}", beginning(&time)));
            event.occurred = Some(Timestamp::from_json(&time).ok_or_else(bad)?);
        }
        for (kind, path) in &self.claims {
            let Some(value) = path.find_some(scope) else { continue };
            let value = word(&value).ok_or_else(|| {
                let message = format!("the {kind} is neither a string nor a whole number: {}", beginning(&value));
                Rejection::new("bad_identifier", message)
            })?;
            if !value.trim().is_empty() {
                event.claim(kind.clone(), value.into_owned());
            }
        }
        self.fill(&mut event, scope)?;
        Ok(event)
    }

    fn kind(&self, scope: &Scope<'_>) -> Result<Kind, Rejection> {
        match &self.kind {
            Either::Fixed(kind) => Ok(*kind),
            Either::Found(found) => {
                let name = found.text(scope, "bad_type")?.unwrap_or_default();
                let known = Kind::of(&name).filter(|kind| !matches!(kind, Kind::Group | Kind::Alias));
                known.ok_or_else(|| {
                    Rejection::new("bad_type", format!("`{name}` is none of track, page, screen, identify and record"))
                })
            }
        }
    }

    /// Traits and properties.
    fn fill<'a>(&'a self, event: &mut EventBuilder<'a>, scope: &Scope<'a>) -> Result<(), Rejection> {
        let no_object = |what: &str| Rejection::new("not_an_object", format!("`{what}: all` needs an object"));
        match &self.traits {
            Fields::None => {}
            Fields::All => {
                for (name, value) in fields(scope.item).ok_or_else(|| no_object("traits"))? {
                    event.fact(name, value);
                }
            }
            Fields::Some(pairs) => {
                for (name, path) in pairs {
                    if let Some(value) = path.find(scope) {
                        event.fact(&**name, json(value));
                    }
                }
            }
        }
        match &self.properties {
            Fields::None => {}
            Fields::All if !scope.item.get().starts_with('{') => return Err(no_object("properties")),
            Fields::All => event.properties = Some(Json::from(scope.item)),
            Fields::Some(pairs) => {
                let found: Vec<_> = pairs.iter().filter_map(|(name, path)| Some((&**name, path.find(scope)?))).collect();
                event.properties = Some(Json::object(found.iter().map(|(name, value)| (*name, &**value))));
            }
        }
        Ok(())
    }
}

impl Path {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("$header.") {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            return (!name.is_empty() && name.bytes().all(token)).then(|| Path::Header(name.to_ascii_lowercase()));
        }
        match text.strip_prefix('$') {
            None => Place::parse(text).map(Path::Item),
            Some("") => Some(Path::Payload(Place::default())),
            Some(rest) => {
                let rest = rest.strip_prefix('.').or_else(|| rest.starts_with('/').then_some(rest))?;
                Place::parse(rest).map(Path::Payload)
            }
        }
    }

    /// The value there; none where there is nothing.
    fn find<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, RawValue>> {
        match self {
            Path::Item(place) => place.find(scope.item).map(Cow::Borrowed),
            Path::Payload(place) => place.find(scope.payload).map(Cow::Borrowed),
            Path::Header(name) => {
                let (_, value) = scope.headers.iter().find(|(header, _)| header == name)?;
                to_raw_value(value).ok().map(Cow::Owned)
            }
        }
    }

    /// The value there; none where there is nothing, or null.
    fn find_some<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, RawValue>> {
        self.find(scope).filter(|value| value.get() != "null")
    }
}

impl Prefixed {
    /// The text there, with its prefix; none where there is nothing to see.
    fn text(&self, scope: &Scope<'_>, code: &str) -> Result<Option<String>, Rejection> {
        let Some(value) = self.path.find_some(scope) else { return Ok(None) };
        let bad = || Rejection::new(code, format!("neither a string nor a whole number: {}", beginning(&value)));
        let text = word(&value).ok_or_else(bad)?;
        Ok((!text.trim().is_empty()).then(|| format!("{}{text}", self.prefix)))
    }
}

fn json(value: Cow<'_, RawValue>) -> Json<'_> {
    match value {
        Cow::Borrowed(value) => Json::from(value),
        Cow::Owned(value) => Json::of(&*value).expect("it is JSON already"),
    }
}

/// Numbers are equal by what they are worth, all else as it stands.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

/// As much of a value as a message should have.
fn beginning(value: &RawValue) -> Cow<'_, str> {
    const LETTERS_MAX: usize = 40;
    match value.get().char_indices().nth(LETTERS_MAX) {
        None => Cow::Borrowed(value.get()),
        Some((end, _)) => Cow::Owned(format!("{}…", &value.get()[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_at_the_item_the_payload_or_a_header() {
        let payload: &RawValue = serde_json::from_str(r#"{"id":1,"items":[{"a":2}],"~/":4}"#).expect("JSON");
        let item: &RawValue = serde_json::from_str(r#"{"a":2,"n":null}"#).expect("JSON");
        let headers = [("x-topic".to_owned(), "a\"b".to_owned())];
        let check = |path: &str, want: Option<&str>| {
            let scope = Scope { headers: &headers, payload, item };
            let found = Path::parse(path).and_then(|path| path.find(&scope));
            assert_eq!(found.as_ref().map(|value| value.get()), want, "{path}");
        };
        check("a", Some("2"));
        check("n", Some("null"));
        check("id", None);
        check("$.id", Some("1"));
        check("$.items.0.a", Some("2"));
        check("$/~0~1", Some("4"));
        check("$", Some(payload.get()));
        check("$header.X-Topic", Some(r#""a\"b""#));
        check("$header.x-none", None);
        for wrong in ["", "a..b", "$a", "$.", "$header.", "$header.a b"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_mapping_that_says_nothing_is_the_default() {
        assert_eq!(serde_json::from_str::<Spec>("{}").expect("a mapping"), Spec::default());
    }

    #[test]
    fn headers_are_a_mistake_where_there_are_none() {
        let spec: Spec = serde_json::from_str(r#"{"event":"E","claims":{"id":"$header.x","a/b":".."}}"#).expect("a mapping");
        let paths = |headers| -> Vec<String> {
            Mapping::read(&spec, headers).expect_err("wrong").into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(paths(Headers::There), ["/claims/a~1b"]);
        assert_eq!(paths(Headers::None), ["/claims/a~1b", "/claims/id"]);
    }
}
