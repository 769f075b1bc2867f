//! JSON that is carried and not looked into.
//!
//! A plugin that moves a value from here to there needs neither its tree nor its numbers: it needs its text, and that the text is
//! valid. [`Json`] is such a text, borrowed wherever it can be.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The text of one JSON value, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// The text of a value that can be written as JSON.
    ///
    /// # Errors
    /// It cannot: a map whose keys are no strings, or a type whose own serialisation fails.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Json<'static>, serde_json::Error> {
        serde_json::to_string(value).map(|text| Json(Cow::Owned(text)))
    }

    /// Checks a text.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(Json::from)
    }

    /// An object of these fields. A name that comes twice is written twice.
    #[must_use]
    pub fn object<'f>(fields: impl IntoIterator<Item = (&'f str, &'f RawValue)>) -> Json<'static> {
        let mut out = vec![b'{'];
        for (name, value) in fields {
            if out.len() > 1 {
                out.push(b',');
            }
            push_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Json(Cow::Owned(String::from_utf8(out).expect("it is made of strings")))
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Json(Cow::Borrowed(raw.get()))
    }
}

/// The fields of an object, in the order in which they came, their values left as they are.
pub type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The fields of a raw value; none where it is no object.
#[must_use]
pub fn fields(raw: &RawValue) -> Option<Fields<'_>> {
    if !raw.get().starts_with('{') {
        return None;
    }
    serde_json::from_str::<Split<&RawValue>>(raw.get()).ok().map(|Split(fields)| fields)
}

/// The fields of a document that came as bytes: one scan, which is also the proof that it is JSON.
///
/// # Errors
/// It is no JSON object.
pub fn document(bytes: &[u8]) -> Result<Fields<'_>, serde_json::Error> {
    split(bytes).map(|Split(fields)| fields)
}

/// Splits a document that came as bytes. They are looked over for UTF-8 once and as a whole, which is faster than value by value.
pub(crate) fn split<'a, T: From<&'a RawValue>>(bytes: &'a [u8]) -> Result<Split<'a, T>, serde_json::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        // Fails as well, and says where.
        Err(_) => serde_json::from_slice(bytes),
    }
}

/// The string that a raw value is, without a copy where it has no escapes; none where it is no string.
#[must_use]
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    string_of(raw.get())
}

/// A string, or a number's own text; none for anything else. Senders write ids either way.
#[must_use]
pub fn string_or_number(raw: &RawValue) -> Option<Cow<'_, str>> {
    let is_number = raw.get().starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if is_number { Some(Cow::Borrowed(raw.get())) } else { string(raw) }
}

/// Whether there is anything to see in a text: a letter that is more than white space, a control character, or of no width. A text
/// without one names nobody.
#[must_use]
pub fn is_visible(text: &str) -> bool {
    let has_no_width = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().any(|letter| !letter.is_whitespace() && !letter.is_control() && !has_no_width(letter))
}

/// A string to deserialise, borrowed where it has no escapes. (`Cow` alone always copies.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// An object read as names and what their raw values become, in order.
pub(crate) struct Split<'a, T>(pub(crate) Vec<(Cow<'a, str>, T)>);

impl<'de, T: From<&'de RawValue>> Deserialize<'de> for Split<'de, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: From<&'de RawValue>> Visitor<'de> for Pairs<T> {
            type Value = Split<'de, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(Text(name)) = map.next_key()? {
                    fields.push((name, map.next_value::<&RawValue>()?.into()));
                }
                Ok(Split(fields))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// The string that a JSON text is, without a copy where it has no escapes; none where it is no string.
#[must_use]
pub(crate) fn string_of(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(text).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

impl Json<'_> {
    /// The string that this is; none where it is no string.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        string_of(&self.0)
    }
}

/// A number that the engine's exact decimals can hold, as a JSON number or as a string of one; its text without quotes.
///
/// The engine reads an amount of at most 28 significant digits and refuses the whole event otherwise, so that a source must
/// put elsewhere what is none.
#[must_use]
pub(crate) fn amount_of(text: &str) -> Option<&str> {
    let text = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'))?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let count = whole.len() + fraction.map_or(0, str::len);
    (all(whole) && fraction.is_none_or(all) && !leading_zero && count <= crate::limits::AMOUNT_DIGITS_MAX).then_some(text)
}

/// Appends a string as JSON.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    if needs_escape(text.as_bytes()) {
        serde_json::to_writer(out, text).expect("a string is always JSON, and a vector always takes it");
    } else {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

/// Whether a byte has to be escaped in a JSON string. Eight bytes at a time: this looks at every text that is written.
fn needs_escape(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    /// The classic test for a zero byte. It may also mark the byte after one, never a word without one.
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let one = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (words, rest) = bytes.as_chunks::<8>();
    let word = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        (control | zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64))) & HIGHS != 0
    };
    words.iter().any(word) || rest.iter().copied().any(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(string_of("\"añn\""), Some(Cow::Borrowed("añn"))));
        assert_eq!(string_of(r#""a\"\u00e9""#).as_deref(), Some("a\"é"));
        assert_eq!(string_of("12"), None);
        let all: String = (0..0x250).filter_map(char::from_u32).collect();
        let each = all.chars().flat_map(|letter| {
            [format!("{letter}"), format!("0123456{letter}"), format!("{letter}1234567"), format!("01{letter}34567")]
        });
        for text in each.chain([all.clone(), String::new()]) {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            assert_eq!(out, serde_json::to_vec(&text).expect("JSON"), "{text:?}");
        }
    }

    #[test]
    fn amounts_are_what_the_engine_reads() {
        let check = |text: &str, want: bool| {
            assert_eq!(amount_of(text).is_some(), want, "{text}");
            if want {
                let read: Result<weft_domain::value::Amount, _> = serde_json::from_str(amount_of(text).expect("checked"));
                assert!(read.is_ok(), "the engine refuses {text}");
            }
        };
        check("19.90", true);
        check("\"19.90\"", true);
        check("-3", true);
        check("0.1", true);
        check("1234567890123456789012345678", true);
        check("12345678901234567890123456789", false);
        check("1e3", false);
        check("\"$19\"", false);
        check("\"\"", false);
        check("\"007\"", false);
        check("null", false);
        check("\"1.\"", false);
        check("true", false);
    }
}
