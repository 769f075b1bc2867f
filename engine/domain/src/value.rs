//! Values that cross every border: instants, exact decimals, and JSON kept as the text it arrived in.
//!
//! Nothing here interprets what a value means. Numbers are never turned into binary floats: a sum computed in the stream and
//! the same sum computed over a file must agree to the last cent.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use jiff::fmt::temporal::DateTimePrinter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An instant, in milliseconds since 1970-01-01 UTC. As text it is RFC 3339 in UTC with three decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant and `ms` milliseconds more; saturates at the ends of time.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Timestamp(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let Ok(instant) = jiff::Timestamp::from_millisecond(self.0) else {
            return write!(f, "{} ms", self.0);
        };
        f.write_str(&PRINTER.timestamp_to_string(&instant))
    }
}

impl FromStr for Timestamp {
    type Err = String;

    /// Reads RFC 3339, with any offset.
    fn from_str(text: &str) -> Result<Self, String> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| format!("`{}` is not an RFC 3339 time such as 2026-03-01T09:30:00.000Z", Excerpt(text)))?;
        Ok(Timestamp(instant.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Timestamp);
        }
        deserializer.deserialize_str(Written)
    }
}

/// An instant as text, read where it stands.
struct Written;

impl Visitor<'_> for Written {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant as RFC 3339 writes it")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339; written in UTC with milliseconds" })
    }
}

/// An exact decimal: 28 significant digits. As JSON it is a number with every digit that it was given; it is read from a
/// number or from a string of digits, since shops send both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub rust_decimal::Decimal);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{}` is not a decimal number of at most 28 digits", Excerpt(text));
        let decimal = if text.contains(['e', 'E']) {
            rust_decimal::Decimal::from_scientific(text).map_err(wrong)?
        } else {
            rust_decimal::Decimal::from_str_exact(text).map_err(wrong)?
        };
        Ok(Amount(decimal))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&text);
        }
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            <&RawValue>::deserialize(deserializer)?.get().trim_matches('"').parse().map_err(D::Error::custom)
        } else {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        }
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"], "description": "an exact decimal of at most 28 digits, as a number or as a string" })
    }
}

/// Any JSON value, kept as its text without white space. Equal texts are equal values; `1.0` and `1` are not equal.
#[derive(Clone, Debug)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Checks and compacts a JSON text.
    ///
    /// # Errors
    /// The parser's words, where the text is not JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The JSON text of a string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Json(serde_json::value::to_raw_value(text).expect("a string is JSON"))
    }

    /// The compact JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Whether this is JSON's null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// Whether this is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text().starts_with('{')
    }

    /// The elements, where this is a list.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Json>> {
        if self.text().starts_with('[') { serde_json::from_str(self.text()).ok() } else { None }
    }

    /// The string, where this is one.
    #[must_use]
    pub fn as_string(&self) -> Option<String> {
        if self.text().starts_with('"') { serde_json::from_str(self.text()).ok() } else { None }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Json {}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Json) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Json) -> Ordering {
        self.text().cmp(other.text())
    }
}

impl Hash for Json {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.text().hash(hasher);
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.0.serialize(serializer) } else { serializer.serialize_str(self.text()) }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return RawValue::from_string(text).map(Json).map_err(D::Error::custom);
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        match compact(raw.get()) {
            None => Ok(Json(raw.to_owned())),
            Some(text) => RawValue::from_string(text).map(Json).map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

/// A JSON text that is known to be valid, without the white space between its parts; none where there is none.
fn compact(text: &str) -> Option<String> {
    let (mut kept, mut from, mut inside, mut escaped) = (String::new(), 0, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            b' ' | b'\n' | b'\r' | b'\t' if !inside => {
                kept.push_str(&text[from..place]);
                from = place + 1;
            }
            _ => (),
        }
    }
    (from > 0).then(|| kept + &text[from..])
}

/// The beginning of a text that somebody sent, short enough for a message.
pub struct Excerpt<'a>(pub &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: usize = 60;
        let mut letters = self.0.chars();
        for letter in letters.by_ref().take(LETTERS) {
            write!(f, "{}", letter.escape_debug())?;
        }
        if letters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compacted_outside_strings_only() {
        let check = |from: &str, to: &str| assert_eq!(Json::parse(from).expect("valid").text(), to);
        check("1", "1");
        check(" { \"a b\" : [ 1 , \"x \\\" y\\\\\" ] }\n", "{\"a b\":[1,\"x \\\" y\\\\\"]}");
        check("\"\\\\\" ", "\"\\\\\"");
        assert!(Json::parse("{\"a\":}").is_err());
    }

    #[test]
    fn amounts_keep_every_digit() {
        let check = |from: &str, to: &str| {
            let amount: Amount = serde_json::from_str(from).expect("valid");
            assert_eq!(serde_json::to_string(&amount).expect("serialises"), to);
        };
        check("19.90", "19.90");
        check("\"0.1\"", "0.1");
        check("9007199254740993.01", "9007199254740993.01");
        check("1e3", "1000");
        assert!(serde_json::from_str::<Amount>("\"twelve\"").is_err());
        assert!(serde_json::from_str::<Amount>("123456789012345678901234567890.5").is_err());
    }

    #[test]
    fn timestamps_read_offsets_and_write_utc() {
        let check = |from: &str, to: &str| assert_eq!(from.parse::<Timestamp>().expect("valid").to_string(), to);
        check("2026-03-01T10:30:00+01:00", "2026-03-01T09:30:00.000Z");
        check("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("2026-03-01T10:30:00".parse::<Timestamp>().is_err(), "a time without an offset is not an instant");
    }
}
