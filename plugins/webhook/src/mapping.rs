//! What becomes of a payload: the mapping of the configuration, read once, and the events that it makes.
//!
//! A value that is missing, or null, says nothing. One that is there and cannot be what the mapping says is refused, so that
//! it can be replayed under a better mapping.

use std::borrow::Cow;

use serde_json::Value;
use weft_plugin::{ConfigProblem, EventBuilder, Failure, Json, Kind, RawValue, Rejection, Timestamp, fields};

use crate::path::{Path, Scope, word};
use crate::{Choice, Config, Name, Pairs, Pick, Type};

/// The configuration's mapping, with every path read.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) each: Option<Path>,
    only: Vec<(Path, Vec<Value>)>,
    kind: Either<Kind>,
    name: Option<Either<String>>,
    message_id: Option<Prefixed>,
    occurred: Option<Path>,
    claims: Vec<(String, Path)>,
    traits: Fields,
    properties: Fields,
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
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn path(&mut self, text: &str, at: &str) -> Option<Path> {
        let path = Path::parse(text);
        if path.is_none() {
            let hint = "such as customer.email, /customer/e.mail, $.account.id or $header.x-topic";
            self.problems.push(ConfigProblem::at(at, format!("`{text}` is no path")).hint(hint));
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
    /// Reads the mapping of a configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<ConfigProblem>> {
        let mut reader = Reader { problems: Vec::new() };
        let each = config.each.as_ref().and_then(|path| reader.path(path, "/each"));
        let mut only = Vec::new();
        for (path, values) in &config.only {
            only.extend(reader.path(path, &place("/only", path)).map(|path| (path, values.to_list())));
        }
        let kind = match &config.kind {
            Type::Fixed(kind) => Some(Either::Fixed(kind.to_kind())),
            Type::Found(found) => reader.prefixed(&Pick::Prefixed(found.clone()), "/type").map(Either::Found),
        };
        let name = match &config.event {
            None => None,
            Some(Name::Fixed(name)) => Some(Either::Fixed(name.clone())),
            Some(Name::Found(found)) => reader.prefixed(&Pick::Prefixed(found.clone()), "/event").map(Either::Found),
        };
        let message_id = config.message_id.as_ref().and_then(|pick| reader.prefixed(pick, "/message_id"));
        let occurred = config.occurred.as_ref().and_then(|path| reader.path(path, "/occurred"));
        let claims = reader.pairs(&config.claims, "/claims");
        let traits = reader.fields(&config.traits, "/traits");
        let properties = reader.fields(&config.properties, "/properties");
        let mut problems = reader.problems;
        let is_unnamed = match &config.event {
            None => true,
            Some(Name::Fixed(name)) => name.is_empty(),
            Some(Name::Found(_)) => false,
        };
        if is_unnamed && matches!(kind, Some(Either::Fixed(Kind::Track))) {
            let hint = "a name such as Order Paid, or { path: … } to where it stands";
            problems.push(ConfigProblem::at("/event", "events of type track need a name").hint(hint));
        }
        if each.as_ref().is_some_and(Path::is_header) {
            problems.push(ConfigProblem::at("/each", "a header holds no list"));
        }
        match kind {
            Some(kind) if problems.is_empty() => {
                Ok(Mapping { each, only, kind, name, message_id, occurred, claims, traits, properties })
            }
            _ => Err(problems),
        }
    }

    /// The same, for a configuration that was validated.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        Mapping::read(config)
            .map_err(|problems| Failure::config(problems.into_iter().next().map_or_else(String::new, |problem| problem.message)))
    }

    /// Whether events are made of this at all.
    pub(crate) fn is_wanted(&self, scope: &Scope<'_>) -> bool {
        self.only.iter().all(|(path, values)| {
            let found = path.find(scope).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null);
            values.iter().any(|value| is_equal(value, &found))
        })
    }

    /// The canonical event that an item is; `number` is its place among the payload's.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn event(&self, scope: &Scope<'_>, number: usize) -> Result<Vec<u8>, Rejection> {
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
            if self.each.is_some() && found.path.is_outside_of_items() {
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
        event.finish()
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
