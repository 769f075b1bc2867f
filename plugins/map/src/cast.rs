//! What becomes of a value that is to be of another type. By its text: no number passes through binary floating point.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::to_raw_value;
use weft_plugin::{Json, RawValue, Timestamp};

/// A type to cast to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// Of numbers and truth values their text.
    String,
    /// Of strings the number that they are in JSON's form; white space around it and a leading `+` are left out.
    Number,
    /// A number without a fraction. `12.00` is 12; nothing is rounded.
    Integer,
    /// Of `true`, `yes`, `on`, `1` and their opposites, as strings in any case, and of the numbers 1 and 0.
    Boolean,
    /// RFC 3339 in UTC, of ISO 8601 with or without an offset (then it is UTC), and of seconds or milliseconds since 1970.
    Timestamp,
}

/// What becomes of a value that cannot be cast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The event becomes a dead letter, with the code `not_castable`.
    #[default]
    Reject,
    /// The value stays as it is.
    Leave,
    /// The value is taken away.
    Drop,
}

impl To {
    pub(crate) fn name(self) -> &'static str {
        match self {
            To::String => "string",
            To::Number => "number",
            To::Integer => "integer",
            To::Boolean => "truth value",
            To::Timestamp => "timestamp",
        }
    }

    /// The value as this type; none where it cannot be. Both are JSON texts.
    pub(crate) fn cast(self, json: &str) -> Option<String> {
        if json.starts_with(['{', '[', 'n']) {
            return None;
        }
        let string = Json::parse(json).ok()?.as_str().map(|text| text.trim().to_owned());
        match self {
            To::String if string.is_some() => Some(json.to_owned()),
            To::String => Some(quoted(json)),
            To::Number => number(string.as_deref().unwrap_or(json)).map(str::to_owned),
            To::Integer => number(string.as_deref().unwrap_or(json)).and_then(whole).map(str::to_owned),
            To::Boolean => boolean(string.as_deref().unwrap_or(json)).map(str::to_owned),
            To::Timestamp => {
                let raw: &RawValue = serde_json::from_str(json).ok()?;
                Timestamp::from_json(raw).map(|at| quoted(&at.to_string()))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    to_raw_value(text).expect("a string is always JSON").get().to_owned()
}

/// The JSON number that a text is.
fn number(whole: &str) -> Option<&str> {
    let text = whole.strip_prefix('+').unwrap_or(whole);
    let digits = if text.len() < whole.len() { text } else { text.strip_prefix('-').unwrap_or(text) };
    (digits.starts_with(|first: char| first.is_ascii_digit()) && serde_json::from_str::<&RawValue>(text).is_ok()).then_some(text)
}

/// The digits before the point of a number that has nothing behind it.
fn whole(number: &str) -> Option<&str> {
    let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_whole = !digits.contains(['e', 'E']) && fraction.bytes().all(|digit| digit == b'0');
    is_whole.then_some(if digits == "-0" { "0" } else { digits })
}

fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some("true"),
        "false" | "no" | "off" | "0" => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: To, table: &[(&str, Option<&str>)]) {
        for (json, want) in table {
            assert_eq!(to.cast(json).as_deref(), *want, "{json} to {to:?}");
        }
    }

    #[test]
    fn strings_are_what_was_written() {
        check(
            To::String,
            &[
                ("\" a \"", Some("\" a \"")),
                ("1.50", Some("\"1.50\"")),
                ("true", Some("\"true\"")),
                ("null", None),
                ("[1]", None),
                ("{}", None),
            ],
        );
    }

    #[test]
    fn numbers_keep_their_digits() {
        check(
            To::Number,
            &[
                ("\"19.90\"", Some("19.90")),
                ("\" +3 \"", Some("3")),
                ("\"-0.000000000000000000000000000001\"", Some("-0.000000000000000000000000000001")),
                ("12345678901234567890.12", Some("12345678901234567890.12")),
                ("\"1e3\"", Some("1e3")),
                ("\"1,50\"", None),
                ("\"007\"", None),
                ("\"$3\"", None),
                ("\"+-3\"", None),
                ("\"\"", None),
                ("\"NaN\"", None),
                ("\"1 2\"", None),
                ("true", None),
            ],
        );
        check(
            To::Integer,
            &[
                ("12", Some("12")),
                ("\"12.00\"", Some("12")),
                ("-0.0", Some("0")),
                ("9007199254740993", Some("9007199254740993")),
                ("12.5", None),
                ("1e3", None),
                ("1.0e3", None),
            ],
        );
    }

    #[test]
    fn truth_values_are_said_in_several_ways() {
        check(
            To::Boolean,
            &[
                ("true", Some("true")),
                ("\"Yes\"", Some("true")),
                ("0", Some("false")),
                ("\"off\"", Some("false")),
                ("2", None),
                ("\"\"", None),
                ("1.0", None),
            ],
        );
    }

    #[test]
    fn instants_become_those_of_the_engine() {
        check(
            To::Timestamp,
            &[
                ("\"2026-03-01 10:30:00+01:00\"", Some("\"2026-03-01T09:30:00.000Z\"")),
                ("1772357400", Some("\"2026-03-01T09:30:00.000Z\"")),
                ("\"1772357400123\"", Some("\"2026-03-01T09:30:00.123Z\"")),
                ("\"yesterday\"", None),
                ("true", None),
            ],
        );
    }
}
