//! What a row means: the configuration's mapping, read once, and bound to the columns that a file has.

use serde_json::value::{RawValue, to_raw_value};
use weft_plugin::place::plain;
use weft_plugin::{ConfigProblem, EventBuilder, Failure, Json, Kind, Rejection, hash};

use crate::cast::{Caster, is_format, zone_minutes};
use crate::config::{Column, Config, Empty, Id, Name, Prefixed, Rest};

/// Names that are claims in the short form.
const SHORT_CLAIMS: [&str; 4] = ["user_id", "anonymous_id", "email", "phone"];
/// Of these, names that are traits as well: messages are addressed by them.
const SHORT_TRAITS_TOO: [&str; 2] = ["email", "phone"];
/// As much of a value as a message should have, in letters.
const VALUE_LETTERS_MAX: usize = 40;
/// Names of columns that a message lists at most.
const NAMES_SHOWN_MAX: usize = 20;
/// Digits of a hash in an id: 96 bits, which do not meet by chance.
const ID_DIGITS: usize = 24;

/// The configuration's mapping, with every column known by its place in `columns`.
#[derive(Debug)]
pub(crate) struct Mapping {
    kind: Kind,
    columns: Vec<Wanted>,
    name: Option<Text>,
    message_id: Option<Found>,
    occurred: Option<(usize, Caster)>,
    claims: Vec<(String, Source)>,
    traits: Vec<(String, Source)>,
    properties: Vec<(String, Source)>,
    rest: Rest,
    empty: Empty,
    absent: Vec<String>,
    trim: bool,
}

/// A column that the mapping names.
#[derive(Debug)]
struct Wanted {
    name: String,
    optional: bool,
}

#[derive(Debug)]
enum Text {
    Fixed(String),
    Found(Found),
}

#[derive(Debug)]
struct Found {
    column: usize,
    prefix: String,
}

#[derive(Debug)]
enum Source {
    Column(usize, Caster),
    Constant(Box<RawValue>),
}

/// A mapping's columns among those of a file.
#[derive(Debug)]
pub(crate) struct Bound {
    /// For each column of the mapping its place in a row; none where the file does without it.
    places: Vec<Option<usize>>,
    /// Columns that nothing names, where they are kept.
    others: Vec<(String, usize)>,
    /// What tells files with other columns apart.
    names_hash: String,
}

/// One row under a mapping.
struct Row<'r> {
    mapping: &'r Mapping,
    bound: &'r Bound,
    /// Its fields, trimmed; empty ones are none.
    values: Vec<Option<&'r str>>,
}

/// Reads the parts of a configuration that name columns.
struct Reader {
    columns: Vec<Wanted>,
    problems: Vec<ConfigProblem>,
    zone_minutes: i64,
}

impl Reader {
    fn column(&mut self, name: &str, optional: bool) -> usize {
        if let Some(place) = self.columns.iter().position(|column| column.name == name) {
            // Whoever needs it needs it.
            self.columns[place].optional &= optional;
            return place;
        }
        self.columns.push(Wanted { name: name.to_owned(), optional });
        self.columns.len() - 1
    }

    fn prefixed(&mut self, found: &Prefixed) -> Found {
        Found { column: self.column(&found.column, false), prefix: found.prefix.clone() }
    }

    fn source(&mut self, column: &Column, at: &str) -> Source {
        match column {
            Column::Text(name) => Source::Column(self.column(name, false), Caster::text()),
            Column::Constant(constant) => {
                Source::Constant(to_raw_value(&constant.value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
            }
            Column::Typed(typed) => {
                for (place, format) in typed.formats.iter().enumerate().filter(|(_, format)| !is_format(format)) {
                    let problem = ConfigProblem::at(format!("{at}/formats/{place}"), format!("`{format}` is no format"));
                    self.problems.push(problem.hint("such as %d.%m.%Y %H:%M, in the letters of strftime"));
                }
                if typed.separator.is_empty() {
                    self.problems.push(ConfigProblem::at(format!("{at}/separator"), "the separator is empty"));
                }
                Source::Column(self.column(&typed.column, typed.optional), Caster::new(typed, self.zone_minutes))
            }
        }
    }

    fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p String, &'p Column)>, at: &str) -> Vec<(String, Source)> {
        let place = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        pairs.into_iter().map(|(name, column)| (name.clone(), self.source(column, &place(name)))).collect()
    }
}

impl Mapping {
    /// Reads the mapping of a configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<ConfigProblem>> {
        let zone = config.zone.as_deref().map(zone_minutes);
        let mut reader = Reader { columns: Vec::new(), problems: Vec::new(), zone_minutes: zone.flatten().unwrap_or(0) };
        if zone == Some(None) {
            let hint = "UTC or an offset such as +02:00; where summer time is kept, let files have times with an offset";
            reader.problems.push(ConfigProblem::at("/zone", "this is no offset").hint(hint));
        }
        let name = config.event.as_ref().map(|name| match name {
            Name::Fixed(name) => Text::Fixed(name.clone()),
            Name::Found(found) => Text::Found(reader.prefixed(found)),
        });
        let message_id = config.message_id.as_ref().map(|id| match id {
            Id::Column(column) => Found { column: reader.column(column, false), prefix: String::new() },
            Id::Prefixed(found) => reader.prefixed(found),
        });
        let mut occurred = None;
        if let Some(column) = &config.occurred {
            match reader.source(column, "/occurred") {
                Source::Column(column, caster) => occurred = Some((column, caster)),
                Source::Constant(_) => {
                    reader.problems.push(ConfigProblem::at("/occurred", "rows did not all happen at the same time"));
                }
            }
        }
        let (mut claims, mut traits) = (reader.pairs(&config.claims, "/claims"), reader.pairs(&config.traits, "/traits"));
        let properties = reader.pairs(&config.properties, "/properties");
        for (name, column) in &config.short {
            let is_claim = SHORT_CLAIMS.contains(&name.as_str());
            let column = reader.column(column, false);
            if is_claim {
                claims.push((name.clone(), Source::Column(column, Caster::text())));
            }
            if !is_claim || SHORT_TRAITS_TOO.contains(&name.as_str()) {
                traits.push((name.clone(), Source::Column(column, Caster::text())));
            }
        }
        let (columns, mut problems) = (reader.columns, reader.problems);
        let kind = config.kind.to_kind();
        if kind == Kind::Track && !matches!(&name, Some(Text::Found(_))) && config.event.is_none() {
            let hint = "a name such as Order Completed, or { column: … }";
            problems.push(ConfigProblem::at("/event", "events of type track need a name").hint(hint));
        }
        if kind == Kind::Record && !claims.is_empty() {
            problems.push(ConfigProblem::at("/claims", "a record is about nobody").hint("use `type: identify` or `track`"));
        }
        if columns.is_empty() && config.rest == Rest::Drop {
            let hint = "such as `email: E-Mail`, the name here and the name of the column";
            problems.push(ConfigProblem::at("", "no column is read").hint(hint));
        }
        if let Some(names) = &config.columns {
            for wanted in columns.iter().filter(|wanted| !names.contains(&wanted.name)) {
                problems.push(ConfigProblem::at("/columns", format!("there is no column `{}` here", wanted.name)));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (rest, empty, absent, trim) = (config.rest, config.empty, config.absent.clone(), config.trim);
        Ok(Mapping { kind, columns, name, message_id, occurred, claims, traits, properties, rest, empty, absent, trim })
    }

    /// How many of the columns that the mapping names are among these.
    pub(crate) fn known(&self, names: &[&str]) -> usize {
        self.columns.iter().filter(|wanted| names.contains(&wanted.name.as_str())).count()
    }

    /// Finds the mapping's columns among those of a file.
    ///
    /// # Errors
    /// One is missing, or there twice.
    pub(crate) fn bind(&self, names: &[String]) -> Result<Bound, Failure> {
        let mut places = Vec::with_capacity(self.columns.len());
        for wanted in &self.columns {
            let mut found = names.iter().enumerate().filter(|(_, name)| **name == wanted.name).map(|(place, _)| place);
            let place = found.next();
            if place.is_none() && !wanted.optional {
                return Err(Failure::config(missing(&wanted.name, names)));
            }
            if found.next().is_some() {
                return Err(Failure::config(format!("the file has two columns `{}`", wanted.name)));
            }
            places.push(place);
        }
        let mut others: Vec<(String, usize)> = Vec::new();
        if self.rest != Rest::Drop {
            for (place, name) in names.iter().enumerate().filter(|(place, _)| !places.contains(&Some(*place))) {
                let name = if name.is_empty() { format!("column_{}", place + 1) } else { name.clone() };
                let again = others.iter().any(|(known, _)| *known == name);
                others.push((if again { format!("{name}_{}", place + 1) } else { name }, place));
            }
        }
        Ok(Bound { places, others, names_hash: hash::sha256(&names.join("\u{1f}"), None) })
    }

    /// The canonical event that a row is; none where there is nothing in it. `number` is its place in the file.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn event(&self, bound: &Bound, fields: &[&str], number: u64) -> Result<Option<Vec<u8>>, Rejection> {
        let row = Row { mapping: self, bound, values: fields.iter().map(|field| self.value(field)).collect() };
        if row.values.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut event = EventBuilder::new(self.kind);
        event.name = match &self.name {
            None => None,
            Some(Text::Fixed(name)) => Some(name.into()),
            Some(Text::Found(found)) => row.prefixed(found).map(Into::into),
        };
        event.message_id = Some(match &self.message_id {
            None => format!("csv/{}/{number}", hashed(bound, fields)).into(),
            Some(found) => {
                let empty = || Rejection::new("bad_message_id", format!("`{}` is empty", self.columns[found.column].name));
                row.prefixed(found).ok_or_else(empty)?.into()
            }
        });
        if let Some((column, caster)) = &self.occurred
            && let Some(text) = row.text(*column)
        {
            let words = || format!("`{}` is no time: {}", self.columns[*column].name, beginning(text));
            event.occurred = Some(caster.instant(text).ok_or_else(|| Rejection::new("bad_timestamp", words()))?);
        }
        row.claims(&mut event)?;
        row.traits(&mut event)?;
        row.properties(&mut event)?;
        event.finish().map(Some)
    }

    fn value<'r>(&self, field: &'r str) -> Option<&'r str> {
        let text = if self.trim { field.trim() } else { field };
        (!text.is_empty() && !self.absent.iter().any(|absent| absent == text)).then_some(text)
    }
}

impl<'r> Row<'r> {
    fn text(&self, column: usize) -> Option<&'r str> {
        *self.values.get(self.bound.places[column]?)?
    }

    fn prefixed(&self, found: &Found) -> Option<String> {
        self.text(found.column).map(|text| format!("{}{text}", found.prefix))
    }

    /// A value; none where its field is empty.
    fn json(&self, source: &Source) -> Result<Option<Box<RawValue>>, Rejection> {
        match source {
            Source::Constant(value) => Ok(Some(value.clone())),
            Source::Column(column, caster) => {
                let Some(text) = self.text(*column) else { return Ok(None) };
                let name = &self.mapping.columns[*column].name;
                let words = || format!("`{name}` is not {}: {}", caster.what(), beginning(text));
                caster.json(text).map(Some).ok_or_else(|| Rejection::new("bad_value", words()))
            }
        }
    }

    fn claims(&self, event: &mut EventBuilder<'r>) -> Result<(), Rejection> {
        let mut found = false;
        for (kind, source) in &self.mapping.claims {
            if let Some(value) = self.json(source)? {
                event.claim(&**kind, plain(&value).into_owned());
                // What is the same in every row says nothing about this one.
                found |= matches!(source, Source::Column(..));
            }
        }
        if event.kind == Kind::Identify && !found && !self.mapping.claims.is_empty() {
            let names: Vec<&str> = self.mapping.claims.iter().map(|(kind, _)| &**kind).collect();
            return Err(Rejection::new("no_identity", format!("the row has no {}", names.join(" and no "))));
        }
        Ok(())
    }

    fn traits(&self, event: &mut EventBuilder<'r>) -> Result<(), Rejection> {
        for (name, source) in &self.mapping.traits {
            let is_there = |source: &Source| !matches!(source, Source::Column(column, _) if self.bound.places[*column].is_none());
            match self.json(source)? {
                Some(value) => _ = event.fact(&**name, owned(&value)),
                None if self.mapping.empty == Empty::Null && is_there(source) => {
                    event.fact(&**name, Json::from(RawValue::NULL));
                }
                None => {}
            }
        }
        if self.mapping.rest == Rest::Traits {
            for (name, value) in self.others() {
                event.fact(name, owned(&value));
            }
        }
        Ok(())
    }

    fn properties(&self, event: &mut EventBuilder<'r>) -> Result<(), Rejection> {
        let mut properties: Vec<(&str, Box<RawValue>)> = Vec::new();
        for (name, source) in &self.mapping.properties {
            properties.extend(self.json(source)?.map(|value| (&**name, value)));
        }
        if self.mapping.rest == Rest::Properties {
            properties.extend(self.others());
        }
        if !properties.is_empty() {
            event.properties = Some(Json::object(properties.iter().map(|(name, value)| (*name, &**value))));
        }
        Ok(())
    }

    /// What stands in columns that nothing names.
    fn others(&self) -> impl Iterator<Item = (&'r str, Box<RawValue>)> {
        let other = |(name, place): &'r (String, usize)| {
            let text = self.values.get(*place).copied().flatten()?;
            Some((&**name, to_raw_value(text).ok()?))
        };
        self.bound.others.iter().filter_map(other)
    }
}

/// JSON that does not hang on the row.
fn owned(json: &RawValue) -> Json<'static> {
    Json::of(json).expect("it is JSON already")
}

/// What a row says under which names, as digits.
fn hashed(bound: &Bound, fields: &[&str]) -> String {
    let mut digits = hash::sha256(&format!("{}\u{1e}{}", bound.names_hash, fields.join("\u{1f}")), None);
    digits.truncate(ID_DIGITS);
    digits
}

/// That a column is missing, what there is, and what was probably meant.
fn missing(wanted: &str, names: &[String]) -> String {
    let folded = wanted.to_lowercase();
    let distance = |name: &&String| strsim::damerau_levenshtein(&name.to_lowercase(), &folded);
    let near = names.iter().min_by_key(distance).filter(|name| distance(name) * 3 <= folded.chars().count());
    let mut shown: Vec<&str> = names.iter().map(String::as_str).take(NAMES_SHOWN_MAX).collect();
    if shown.len() < names.len() {
        shown.push("…");
    }
    match near {
        Some(near) => format!("the file has no column `{wanted}`; did you mean `{near}`?"),
        None => format!("the file has no column `{wanted}`; it has {}", shown.join(", ")),
    }
}

/// As much of a value as a message should have.
fn beginning(text: &str) -> String {
    let mut letters = text.chars();
    let beginning: String = letters.by_ref().take(VALUE_LETTERS_MAX).collect();
    if letters.next().is_some() { beginning + "…" } else { beginning }
}
