//! What stands in YAML: the file's dialect, and which columns make the event.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_plugin::ConfigProblem;
use weft_plugin::mapping::FixedType;

/// The dialect of the files, and what becomes of a row. Whatever other name stands here is a column: `first_name: Vorname`. `user_id`,
/// `anonymous_id`, `email` and `phone` are claims, the last two traits as well, and every other name is a trait.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Config {
    /// What stands between fields: one ASCII character, or `tab`. Without it, found out by the first row: `,`, `;`, tab or `|`.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// What stands around fields that have the delimiter or a line break in them: one ASCII character, or nothing.
    #[serde(default = "quote")]
    #[schemars(length(max = 1))]
    pub quote: String,
    /// How letters are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// Names of the columns, of a file that has no header.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Whether white space around values is left out.
    #[serde(default = "yes")]
    pub trim: bool,
    /// Texts that stand for nothing, as an empty field does.
    #[serde(default)]
    pub absent: Vec<String>,
    /// What an empty field says of a trait.
    #[serde(default)]
    pub empty: Empty,
    /// The zone of times that have no offset: `UTC`, or an offset such as `+02:00`.
    #[serde(default)]
    pub zone: Option<String>,
    /// The kind of event.
    #[serde(default = "identify", rename = "type")]
    pub kind: FixedType,
    /// The event's name: a text, or `{ column: … }`.
    #[serde(default)]
    pub event: Option<Name>,
    /// The column of the row's own id, by which a repetition is known. Without it, an id is made of what the row says and its number.
    #[serde(default)]
    pub message_id: Option<Id>,
    /// The column of when it happened.
    #[serde(default)]
    pub occurred: Option<Column>,
    /// Types of identifiers, and columns.
    #[serde(default)]
    pub claims: BTreeMap<String, Column>,
    /// What is true of the person: names and columns.
    #[serde(default)]
    pub traits: BTreeMap<String, Column>,
    /// What is true of the event: names and columns.
    #[serde(default)]
    pub properties: BTreeMap<String, Column>,
    /// Where columns go that are not named here.
    #[serde(default)]
    pub rest: Rest,
    /// Claims and traits, in short.
    #[serde(flatten)]
    pub short: BTreeMap<String, String>,
}

fn quote() -> String {
    "\"".into()
}

fn yes() -> bool {
    true
}

fn identify() -> FixedType {
    FixedType::Identify
}

/// How letters are written. A byte order mark at the beginning of a file goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// Also UTF-16, where the file begins with its mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, the low byte first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, the high byte first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// What Western spreadsheets write; ISO 8859-1 is a part of it.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

/// What an empty field says of a trait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Nothing.
    #[default]
    Absent,
    /// That it is true no more: the trait is taken away.
    Null,
}

/// Where columns go that are not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Nowhere.
    #[default]
    Drop,
    /// To the traits, under the columns' names.
    Traits,
    /// To the properties, under the columns' names.
    Properties,
}

/// The event's name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Name {
    /// The same for all.
    Fixed(String),
    /// Where it stands.
    Found(Prefixed),
}

/// The column of an id.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    /// As it stands.
    Column(String),
    /// With something before it.
    Prefixed(Prefixed),
}

/// A column, and what is put before its text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prefixed {
    /// Its name.
    pub column: String,
    /// Such as `crm/`.
    #[serde(default)]
    pub prefix: String,
}

/// Where a value is from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// A column, as text.
    Text(String),
    /// A column, and what it is.
    Typed(Typed),
    /// The same in every row.
    Constant(Constant),
}

/// A column, and what it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// Its name.
    pub column: String,
    /// What its text is.
    #[serde(default, rename = "as")]
    pub cast: Cast,
    /// Of dates and times: how they are written, in the letters of `strftime`. The first that fits counts. Without any: ISO 8601,
    /// and of times also seconds or milliseconds since 1970.
    #[serde(default)]
    pub formats: Vec<String>,
    /// Of numbers: what stands before the fraction.
    #[serde(default)]
    pub decimal: Decimal,
    /// Of lists: what stands between items.
    #[serde(default = "separator")]
    pub separator: String,
    /// Whether a file may do without this column.
    #[serde(default)]
    pub optional: bool,
}

fn separator() -> String {
    ",".into()
}

/// The same in every row.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Any JSON.
    pub value: Value,
}

/// What the text of a field is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cast {
    /// Text.
    #[default]
    Text,
    /// A number; every digit is kept.
    Number,
    /// `true`, `yes`, `y`, `on`, `1`, or their opposites, in any case.
    Bool,
    /// A day, written as `2026-03-01`.
    Date,
    /// An instant, written in UTC.
    Time,
    /// Texts with a separator between them.
    List,
    /// JSON.
    Json,
}

/// What stands before the fraction of a number. The other one may stand between thousands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Decimal {
    /// As in 1,234.50.
    #[default]
    #[serde(rename = ".")]
    Point,
    /// As in 1.234,50.
    #[serde(rename = ",")]
    Comma,
}

/// Options, with which a misspelt one is compared: it would be taken for a column.
const OPTIONS: [&str; 17] = [
    "delimiter",
    "quote",
    "encoding",
    "columns",
    "trim",
    "absent",
    "empty",
    "zone",
    "type",
    "event",
    "message_id",
    "occurred",
    "claims",
    "traits",
    "properties",
    "rest",
    "header",
];

/// Letters of an option that is taken for a misspelt one.
const NEAR_LETTERS_MIN: usize = 5;

impl Config {
    /// The delimiter's byte; none where it is to be found out, an error where it is none.
    pub(crate) fn delimiter_byte(&self) -> Result<Option<u8>, ()> {
        match self.delimiter.as_deref() {
            None => Ok(None),
            Some("tab") => Ok(Some(b'\t')),
            Some(text) => match text.as_bytes() {
                [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | b'"') => Ok(Some(*byte)),
                _ => Err(()),
            },
        }
    }

    /// The quote's byte; none where there are no quotes, an error where it is none.
    pub(crate) fn quote_byte(&self) -> Result<Option<u8>, ()> {
        match self.quote.as_bytes() {
            [] => Ok(None),
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(Some(*byte)),
            _ => Err(()),
        }
    }

    /// What is wrong with the dialect, and with names.
    pub(crate) fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let (delimiter, quote) = (self.delimiter_byte(), self.quote_byte());
        if delimiter.is_err() {
            let hint = "such as \";\" or tab; leave it out, and it is found out";
            problems.push(ConfigProblem::at("/delimiter", "the delimiter is not one ASCII character").hint(hint));
        }
        if quote.is_err() {
            problems.push(ConfigProblem::at("/quote", "the quote is not one ASCII character"));
        }
        if let (Ok(Some(delimiter)), Ok(Some(quote))) = (delimiter, quote)
            && delimiter == quote
        {
            problems.push(ConfigProblem::at("/quote", "the quote is the delimiter"));
        }
        if let Some(columns) = &self.columns {
            if columns.is_empty() {
                problems.push(ConfigProblem::at("/columns", "there are no columns").hint("leave it out for files with a header"));
            }
            let again = |(place, name): (usize, &String)| columns[..place].contains(name).then_some((place, name.clone()));
            for (place, name) in columns.iter().enumerate().filter_map(again) {
                problems.push(ConfigProblem::at(format!("/columns/{place}"), format!("there is a column `{name}` already")));
            }
        }
        for name in self.short.keys() {
            let folded = name.to_lowercase().replace('-', "_");
            // Short words are near to too many others.
            let near = OPTIONS.into_iter().filter(|option| option.len() >= NEAR_LETTERS_MIN || *option == folded);
            let near = near.into_iter().find(|option| strsim::damerau_levenshtein(option, &folded) <= 1);
            if let Some(option) = near {
                let hint = match option {
                    "header" => "files have a header unless `columns` says otherwise".to_owned(),
                    option => format!("did you mean `{option}`? a trait of that name goes under `traits`"),
                };
                let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                problems.push(ConfigProblem::at(at, format!("`{name}` is near an option and no column")).hint(hint));
            }
        }
        problems
    }
}
