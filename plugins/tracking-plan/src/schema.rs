//! A JSON Schema: the keywords of 2020-12 that a tracking plan needs, read once and checked against values as they came.
//!
//! A keyword that is not known is told when the schema is read, so that nothing that somebody wrote is silently left out. Nothing refers to elsewhere.
//! What a check costs is bounded by the schema and the value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use weft_plugin::{ConfigProblem, RawValue, Timestamp, fields, string};

use crate::TOLD_MAX;
use crate::number::Number;
use crate::plan::escaped;

/// How deep schemas stand in each other: deeper than any event.
const DEPTH_MAX: usize = 64;
/// Schemas in a plan, those in schemas among them.
const SCHEMAS_MAX: usize = 20_000;
/// A compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 32 * 1024;

/// What a value is to be. Without any of it: anything.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// `false`: nothing is allowed.
    is_never: bool,
    types: Vec<Type>,
    one_of_values: Option<Vec<Box<RawValue>>>,
    properties: BTreeMap<String, Schema>,
    required: Vec<String>,
    additional: Option<Box<Schema>>,
    items: Option<Box<Schema>>,
    pattern: Option<Regex>,
    format: Option<Format>,
    bounds: Vec<(Bound, Number)>,
    all_of: Vec<Schema>,
    any_of: Option<Vec<Schema>>,
    one_of: Option<Vec<Schema>>,
    not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DateTime,
    Date,
    Email,
    Uri,
    Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
    MinLength,
    MaxLength,
    MinItems,
    MaxItems,
}

const TYPES: [(&str, Type); 7] = [
    ("null", Type::Null),
    ("boolean", Type::Boolean),
    ("integer", Type::Integer),
    ("number", Type::Number),
    ("string", Type::String),
    ("array", Type::Array),
    ("object", Type::Object),
];
const FORMATS: [(&str, Format); 5] = [
    ("date-time", Format::DateTime),
    ("date", Format::Date),
    ("email", Format::Email),
    ("uri", Format::Uri),
    ("uuid", Format::Uuid),
];
const BOUNDS: [(&str, Bound); 8] = [
    ("minimum", Bound::Minimum),
    ("maximum", Bound::Maximum),
    ("exclusiveMinimum", Bound::ExclusiveMinimum),
    ("exclusiveMaximum", Bound::ExclusiveMaximum),
    ("minLength", Bound::MinLength),
    ("maxLength", Bound::MaxLength),
    ("minItems", Bound::MinItems),
    ("maxItems", Bound::MaxItems),
];
/// What says something to people and nothing to us.
const REMARKS: [&str; 9] =
    ["$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly"];
const KNOWN: &str = "type, enum, const, properties, required, additionalProperties, items, pattern, format, minimum, maximum, \
                     exclusiveMinimum, exclusiveMaximum, minLength, maxLength, minItems, maxItems, allOf, anyOf, oneOf, not";

/// Reads schemas, and gathers what is wrong with them.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<ConfigProblem>,
    depth: usize,
    schemas: usize,
}

impl Reader {
    pub(crate) fn problem(&mut self, at: &str, message: impl Into<String>) {
        self.problems.push(ConfigProblem::at(at, message));
    }

    /// Reads a schema that stands at a JSON pointer.
    pub(crate) fn schema(&mut self, at: &str, json: &RawValue) -> Schema {
        let mut schema = Schema::default();
        self.schemas += 1;
        if self.schemas > SCHEMAS_MAX || self.depth > DEPTH_MAX {
            let message = format!("a plan has at most {SCHEMAS_MAX} schemas, {DEPTH_MAX} deep");
            if self.problems.last().is_none_or(|last| last.message != message) {
                self.problem(at, message);
            }
            return schema;
        }
        match json.get() {
            "true" => return schema,
            "false" => {
                schema.is_never = true;
                return schema;
            }
            _ => {}
        }
        let Some(keywords) = fields(json) else {
            self.problem(at, "a schema is an object, or true or false");
            return schema;
        };
        self.depth += 1;
        for (keyword, value) in keywords {
            let at = format!("{at}/{}", escaped(&keyword));
            if self.keyword(&at, &keyword, value, &mut schema).is_none() {
                self.problem(&at, format!("`{keyword}` cannot be this"));
            }
        }
        self.depth -= 1;
        schema
    }

    /// Reads a keyword; none where its value is of the wrong type.
    fn keyword(&mut self, at: &str, keyword: &str, value: &RawValue, schema: &mut Schema) -> Option<()> {
        match keyword {
            "type" => {
                let one = string(value).map(|_| vec![value]);
                for name in one.or_else(|| list(value))? {
                    schema.types.push(named(&TYPES, &string(name)?)?);
                }
            }
            "enum" => schema.one_of_values = Some(list(value)?.into_iter().map(ToOwned::to_owned).collect()),
            "const" => schema.one_of_values = Some(vec![value.to_owned()]),
            "properties" => {
                for (name, value) in fields(value)? {
                    let below = self.schema(&format!("{at}/{}", escaped(&name)), value);
                    schema.properties.insert(name.into_owned(), below);
                }
            }
            "required" => {
                schema.required = list(value)?.into_iter().map(|name| string(name).map(Cow::into_owned)).collect::<Option<_>>()?
            }
            "additionalProperties" => schema.additional = Some(Box::new(self.schema(at, value))),
            "items" => schema.items = Some(Box::new(self.schema(at, value))),
            "not" => schema.not = Some(Box::new(self.schema(at, value))),
            "allOf" => schema.all_of = self.schemas(at, value)?,
            "anyOf" => schema.any_of = Some(self.schemas(at, value)?),
            "oneOf" => schema.one_of = Some(self.schemas(at, value)?),
            "pattern" => match RegexBuilder::new(&string(value)?).size_limit(PATTERN_BYTES_MAX).build() {
                Ok(pattern) => schema.pattern = Some(pattern),
                Err(error) => self.problem(at, format!("no pattern: {error}")),
            },
            "format" => match named(&FORMATS, &string(value)?) {
                Some(format) => schema.format = Some(format),
                None => {
                    let problem = ConfigProblem::at(at, "the format is not known here");
                    self.problems.push(problem.hint("date-time, date, email, uri, uuid; or a `pattern`"));
                }
            },
            bound if named(&BOUNDS, bound).is_some() => schema.bounds.push((named(&BOUNDS, bound)?, Number::read(value.get())?)),
            remark if REMARKS.contains(&remark) => {}
            other => {
                let problem = ConfigProblem::at(at, format!("the keyword `{other}` is not known here"));
                self.problems.push(problem.hint(format!("known are {KNOWN}")));
            }
        }
        Some(())
    }

    fn schemas(&mut self, at: &str, value: &RawValue) -> Option<Vec<Schema>> {
        let schemas = list(value)?.into_iter().enumerate();
        Some(schemas.map(|(place, schema)| self.schema(&format!("{at}/{place}"), schema)).collect())
    }
}

fn named<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, named)| *named)
}

fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// The violations of one event.
#[derive(Debug, Default)]
pub(crate) struct Found {
    told: Vec<String>,
    more: usize,
}

impl Found {
    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// In words, one for each.
    pub(crate) fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        self.told
    }

    fn add(&mut self, path: &str, words: &str) {
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("`{path}` {words}"));
        } else {
            self.more += 1;
        }
    }
}

impl Schema {
    /// Adds how a value at a path violates it. The value itself is never said.
    pub(crate) fn check(&self, value: &RawValue, path: &str, found: &mut Found) {
        if self.is_never {
            return found.add(path, "is not in the plan");
        }
        let json = value.get();
        let number = Number::read(json);
        let kind = kind(json);
        let is_of = |wanted: &Type| match (wanted, kind) {
            (Type::Integer, Type::Number) => number.as_ref().is_some_and(Number::is_whole),
            (wanted, kind) => *wanted == kind,
        };
        if !self.types.is_empty() && !self.types.iter().any(is_of) {
            let wanted: Vec<&str> = self.types.iter().map(|wanted| in_words(*wanted)).collect();
            return found.add(path, &format!("is {}, and is to be {}", in_words(kind), wanted.join(" or ")));
        }
        if let Some(values) = &self.one_of_values
            && !values.iter().any(|known| are_equal(known, value))
        {
            let values: Vec<&str> = values.iter().map(|known| known.get()).collect();
            found.add(path, &format!("is to be {}", shortened(&values.join(" or "))));
        }
        match kind {
            Type::Object => self.check_object(&fields(value).unwrap_or_default(), path, found),
            Type::Array => self.check_list(&list(value).unwrap_or_default(), path, found),
            Type::String => self.check_text(&string(value).unwrap_or_default(), path, found),
            _ => {}
        }
        if let Some(number) = &number {
            for (bound, limit) in &self.bounds {
                let (is_within, words) = match bound {
                    Bound::Minimum => (number >= limit, "is too small"),
                    Bound::Maximum => (number <= limit, "is too large"),
                    Bound::ExclusiveMinimum => (number > limit, "is too small"),
                    Bound::ExclusiveMaximum => (number < limit, "is too large"),
                    _ => continue,
                };
                if !is_within {
                    found.add(path, words);
                }
            }
        }
        self.check_combined(value, path, found);
    }

    fn check_object(&self, object: &[(Cow<'_, str>, &RawValue)], path: &str, found: &mut Found) {
        for name in &self.required {
            if !object.iter().any(|(field, _)| field == name) {
                found.add(&below(path, name), "is missing");
            }
        }
        for (name, value) in object {
            let schema = self.properties.get(name.as_ref()).or(self.additional.as_deref());
            if let Some(schema) = schema {
                schema.check(value, &below(path, name), found);
            }
        }
    }

    fn check_list(&self, list: &[&RawValue], path: &str, found: &mut Found) {
        self.check_count(
            list.len(),
            [Bound::MinItems, Bound::MaxItems],
            ["has too few elements", "has too many elements"],
            path,
            found,
        );
        if let Some(items) = &self.items {
            for (place, value) in list.iter().enumerate() {
                items.check(value, &format!("{path}[{place}]"), found);
            }
        }
    }

    fn check_text(&self, text: &str, path: &str, found: &mut Found) {
        self.check_count(
            text.chars().count(),
            [Bound::MinLength, Bound::MaxLength],
            ["is too short", "is too long"],
            path,
            found,
        );
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(text)
        {
            found.add(path, &format!("does not match {}", shortened(pattern.as_str())));
        }
        if let Some(format) = self.format
            && !format.fits(text)
        {
            let name = FORMATS.iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name);
            found.add(path, &format!("is no {name}"));
        }
    }

    fn check_count(&self, count: usize, [least, most]: [Bound; 2], [few, many]: [&str; 2], path: &str, found: &mut Found) {
        let Some(count) = Number::read(&count.to_string()) else { return };
        for (bound, limit) in &self.bounds {
            if *bound == least && count < *limit {
                found.add(path, few);
            }
            if *bound == most && count > *limit {
                found.add(path, many);
            }
        }
    }

    fn check_combined(&self, value: &RawValue, path: &str, found: &mut Found) {
        let fits = |schema: &Schema| {
            let mut found = Found::default();
            schema.check(value, path, &mut found);
            found.is_empty()
        };
        self.all_of.iter().for_each(|schema| schema.check(value, path, found));
        if self.any_of.as_ref().is_some_and(|schemas| !schemas.iter().any(fits)) {
            found.add(path, "is none of what it may be");
        }
        if self.one_of.as_ref().is_some_and(|schemas| schemas.iter().filter(|schema| fits(schema)).count() != 1) {
            found.add(path, "is not exactly one of what it may be");
        }
        if self.not.as_ref().is_some_and(|schema| fits(schema)) {
            found.add(path, "is what it may not be");
        }
    }
}

impl Format {
    fn fits(self, text: &str) -> bool {
        let digits =
            |range: std::ops::Range<usize>| text.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        match self {
            // RFC 3339 wants an offset; ours of events do, too.
            Format::DateTime => {
                let has_offset = text.ends_with(['Z', 'z']) || text.get(19..).is_some_and(|rest| rest.contains(['+', '-']));
                text.len() >= 20 && matches!(text.as_bytes()[10], b'T' | b't') && has_offset && Timestamp::parse(text).is_some()
            }
            Format::Date => text.len() == 10 && text.as_bytes()[4] == b'-' && digits(0..4) && Timestamp::parse(text).is_some(),
            Format::Email => text.split_once('@').is_some_and(|(local, domain)| {
                let is_plain =
                    |part: &str| !part.is_empty() && !part.contains(|letter: char| letter.is_whitespace() || letter == '@');
                is_plain(local) && local.len() <= 64 && is_plain(domain) && !domain.starts_with('.') && !domain.ends_with('.')
            }),
            Format::Uri => text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                    && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
                    && !rest.is_empty()
                    && !rest.contains(|letter: char| letter.is_whitespace() || letter.is_control())
            }),
            Format::Uuid => {
                text.len() == 36
                    && text.bytes().enumerate().all(|(place, byte)| match place {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
        }
    }
}

/// Whether two values are the same: numbers by their value, objects whatever the order of their fields.
fn are_equal(one: &RawValue, other: &RawValue) -> bool {
    match (kind(one.get()), kind(other.get())) {
        (Type::Number, Type::Number) => Number::read(one.get()) == Number::read(other.get()),
        (Type::String, Type::String) => string(one) == string(other),
        (Type::Array, Type::Array) => {
            let (one, other) = (list(one).unwrap_or_default(), list(other).unwrap_or_default());
            one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| are_equal(one, other))
        }
        (Type::Object, Type::Object) => {
            let (one, other) = (fields(one).unwrap_or_default(), fields(other).unwrap_or_default());
            let has =
                |name: &str, value: &RawValue| other.iter().any(|(known, theirs)| known == name && are_equal(value, theirs));
            one.len() == other.len() && one.iter().all(|(name, value)| has(name, value))
        }
        _ => one.get() == other.get(),
    }
}

fn kind(json: &str) -> Type {
    match json.as_bytes().first() {
        Some(b'"') => Type::String,
        Some(b'{') => Type::Object,
        Some(b'[') => Type::Array,
        Some(b't' | b'f') => Type::Boolean,
        Some(b'n') => Type::Null,
        _ => Type::Number,
    }
}

fn in_words(kind: Type) -> &'static str {
    match kind {
        Type::Null => "null",
        Type::Boolean => "true or false",
        Type::Integer => "an integer",
        Type::Number => "a number",
        Type::String => "a string",
        Type::Array => "a list",
        Type::Object => "an object",
    }
}

fn below(path: &str, name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{path}.{shown}")
}

/// What stands in a message of the plan's own words.
fn shortened(words: &str) -> Cow<'_, str> {
    match words.char_indices().nth(100) {
        Some((end, _)) => Cow::Owned(format!("{} …", &words[..end])),
        None => Cow::Borrowed(words),
    }
}
