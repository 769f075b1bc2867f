//! What names a person, in bytes that are no event of history: dead letters, values of plugins' stores, messages.
//!
//! An event names whom it claims. Anything else is looked through for the person's identifiers: JSON value by value, other text line by
//! line. A short value, such as the user id `7`, counts only where it is all there is, in JSON under a key that tells of an identifier; a
//! longer one also between other words.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use percent_encoding::percent_decode_str;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use url::form_urlencoded;
use weft_domain::event::{Event, Identifier, is_too_deep};
use weft_domain::input::Head;

/// Bytes below which a value counts only where it is all there is: a shorter one stands in too many words by chance.
const LONG_VALUE_BYTES: usize = 5;

/// What names a person.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Types and values, the values plain.
    identifiers: BTreeSet<(String, String)>,
    /// Values, plain.
    values: BTreeSet<String>,
}

/// What is left of bytes without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of it: the person is not named.
    All,
    /// What is of others.
    Some(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl Names {
    /// Of these identifiers.
    pub(crate) fn of<'a>(identifiers: impl IntoIterator<Item = &'a (String, String)>) -> Names {
        let identifiers: BTreeSet<_> = identifiers.into_iter().map(|(kind, value)| (kind.clone(), plain(value))).collect();
        let values = identifiers.iter().map(|(_, value)| value.clone()).filter(|value| !value.is_empty()).collect();
        Names { identifiers, values }
    }

    /// And by these values, whatever their type.
    pub(crate) fn with(mut self, values: impl IntoIterator<Item = String>) -> Names {
        self.values.extend(values.into_iter().map(|value| plain(&value)));
        self
    }

    /// Whether claims name the person.
    pub(crate) fn claimed(&self, claims: &[Identifier]) -> bool {
        claims.iter().any(|one| self.identifiers.contains(&(one.kind.clone(), plain(&one.value))))
    }

    /// Whether a text names the person.
    pub(crate) fn in_text(&self, text: &str) -> bool {
        let text = plain(text);
        self.values.contains(&text) || self.values.iter().any(|value| value.len() >= LONG_VALUE_BYTES && stands_in(value, &text))
    }

    /// Whether bytes name the person.
    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> bool {
        self.without(bytes) != Left::All
    }

    /// What is left of bytes without the person: an event is the person's or is not; of a list in JSON, what is of others stays, and so do
    /// lines of a text.
    pub(crate) fn without(&self, bytes: &[u8]) -> Left {
        if let Some(plain) = unpacked(bytes) {
            return self.without(&plain);
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            let named = self.in_text(&String::from_utf8_lossy(bytes));
            return if named { Left::Nothing } else { Left::All };
        };
        match Event::parse(bytes) {
            Ok(event) if !event.claims.is_empty() => {
                return if self.claimed(&event.claims) { Left::Nothing } else { Left::All };
            }
            _ => (),
        }
        if !is_too_deep(bytes)
            && let Ok(json) = serde_json::from_str::<&RawValue>(text)
        {
            return self.without_json("", json).map_or(Left::Nothing, |left| match left {
                None => Left::All,
                Some(left) => Left::Some(left.into_bytes()),
            });
        }
        let kept: Vec<&str> = text.split_inclusive('\n').filter(|line| !self.in_text(line) && !self.in_cells(line)).collect();
        match kept.concat() {
            left if left.len() == text.len() => Left::All,
            left if left.trim().is_empty() => Left::Nothing,
            left => Left::Some(left.into_bytes()),
        }
    }

    /// Whether the head of a request names the person: its path, its query, a header.
    pub(crate) fn in_head(&self, head: &Head) -> bool {
        let path = percent_decode_str(&head.path).decode_utf8_lossy();
        let in_query = |(key, value): (Cow<'_, str>, Cow<'_, str>)| {
            self.in_text(&value) && (plain(&value).len() >= LONG_VALUE_BYTES || self.tells_of_identifiers(&key))
        };
        path.split('/').any(|part| self.in_text(part))
            || form_urlencoded::parse(head.query.as_bytes()).any(in_query)
            || head.headers.iter().any(|(_, value)| value.len() >= LONG_VALUE_BYTES && self.in_text(value))
    }

    /// Whether a cell of a line is a value: so short ones are found in rows of a file.
    fn in_cells(&self, line: &str) -> bool {
        line.split([',', ';', '\t']).any(|cell| self.values.contains(&plain(cell.trim().trim_matches('"'))))
    }

    /// JSON under a key, without what names the person: none where it is the person's as a whole, else what it has become, where it has changed.
    fn without_json(&self, key: &str, json: &RawValue) -> Option<Option<String>> {
        let text = json.get();
        if text.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let left: Vec<(bool, String)> = elements
                .iter()
                .filter_map(|one| {
                    self.without_json(key, one).map(|left| (left.is_some(), left.unwrap_or_else(|| one.get().to_owned())))
                })
                .collect();
            let has_changed = left.len() < elements.len() || left.iter().any(|(changed, _)| *changed);
            if left.is_empty() && !elements.is_empty() {
                return None;
            }
            let left: Vec<String> = left.into_iter().map(|(_, text)| text).collect();
            return Some(has_changed.then(|| format!("[{}]", left.join(","))));
        }
        if text.starts_with('{') {
            return self.without_object(text);
        }
        let value: String = serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
        let is_short = plain(&value).len() < LONG_VALUE_BYTES;
        // A text may be JSON itself, as queues wrap it.
        let named = (self.in_text(&value) && (!is_short || self.tells_of_identifiers(key))) || self.in_embedded(&value);
        (!named).then_some(None)
    }

    /// Whether a key is one that identifiers stand under: the name of their type, or something like `userId`.
    fn tells_of_identifiers(&self, key: &str) -> bool {
        let bare = |text: &str| -> String {
            text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let key = bare(key);
        key.ends_with("id")
            || key.ends_with("ids")
            || key.ends_with("user")
            || self.identifiers.iter().any(|(kind, _)| bare(kind) == key)
    }

    fn in_embedded(&self, text: &str) -> bool {
        let nested = text.starts_with(['{', '[']) && !is_too_deep(text.as_bytes());
        nested && serde_json::from_str::<&RawValue>(text).is_ok_and(|json| !matches!(self.without_json("", json), Some(None)))
    }

    fn without_object(&self, text: &str) -> Option<Option<String>> {
        let Entries(entries) = serde_json::from_str(text).ok()?;
        let (mut left, mut has_changed) = (Vec::with_capacity(entries.len()), false);
        for (key, value) in &entries {
            if self.in_text(key) {
                has_changed = true;
                continue;
            }
            let is_list = value.get().starts_with('[');
            let value = match self.without_json(key, value) {
                Some(None) => value.get().to_owned(),
                Some(Some(changed)) => {
                    has_changed = true;
                    changed
                }
                // A list that is empty now is of nobody; anything else that names the person makes all of this the person's.
                None if is_list => {
                    has_changed = true;
                    "[]".to_owned()
                }
                None => return None,
            };
            left.push(format!("{}:{value}", serde_json::Value::from(&**key)));
        }
        if has_changed && left.is_empty() {
            return None;
        }
        Some(has_changed.then(|| format!("{{{}}}", left.join(","))))
    }
}

/// A JSON object's entries in order, the values as they are written.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Bytes that were packed by gzip, zlib or zstd, which tell of themselves how they begin (RFC 1952, 1950 and 8878); none for any others. More
/// than a request may hold is cut off: no door took it.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let max = crate::limits::BODY_INFLATED_BYTES_MAX as u64;
    let read = match bytes {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(bytes).take(max).read_to_end(&mut plain),
        [0x78, ..] => ZlibDecoder::new(bytes).take(max).read_to_end(&mut plain),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::stream::read::Decoder::new(bytes).ok()?.take(max).read_to_end(&mut plain),
        _ => return None,
    };
    // What begins so by chance is no packed text.
    (read.is_ok() && !plain.is_empty()).then_some(plain)
}

/// A value as it is compared: trimmed, in small letters.
fn plain(value: &str) -> String {
    value.trim().to_lowercase()
}

/// Whether a value stands in a text with no letter or digit right before or behind it.
fn stands_in(value: &str, text: &str) -> bool {
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(value)
        .any(|(at, _)| !is_word(text[..at].chars().next_back()) && !is_word(text[at + value.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_others_stays() {
        let identifiers =
            [("email", "ann@shop.example"), ("user_id", "7")].map(|(kind, value)| (kind.to_owned(), value.to_owned()));
        let names = Names::of(&identifiers);
        let check = |bytes: &str, want: Option<&str>| {
            let want = match want {
                Some(want) if want == bytes => Left::All,
                Some(want) => Left::Some(want.as_bytes().to_vec()),
                None => Left::Nothing,
            };
            assert_eq!(names.without(bytes.as_bytes()), want, "{bytes}");
        };
        for same in [
            "",
            "{}",
            "[]",
            "17 joanne@shop.example",
            r#"{"n":70,"s":"x7x","id":70,"sent":7}"#,
            r#"["bann@shop.example"]"#,
            "a,70,b\n",
        ] {
            check(same, Some(same));
        }
        check(r#"{"user":"7","note":1}"#, None);
        check(r#"{"to":"<Ann@Shop.example>"}"#, None);
        check(
            r#"{"batch":[{"user":7,"x":1},{"user":8,"sum":1.10}],"sent":2}"#,
            Some(r#"{"batch":[{"user":8,"sum":1.10}],"sent":2}"#),
        );
        check(r#"{"batch":[{"user":7}],"sent":2}"#, Some(r#"{"batch":[],"sent":2}"#));
        check(r#"{"ann@shop.example":1,"bob@shop.example":2}"#, Some(r#"{"bob@shop.example":2}"#));
        check(r#"[{"user":7}]"#, None);
        check("id,mail\n7,x@x\n8,y@y\n", Some("id,mail\n8,y@y\n"));
        check("mail to ann@shop.example failed", None);
        check(r#"{"body":"{\"email\":\"ann@shop.example\"}"}"#, None);
        check(
            r#"{"type":"track","name":"7","claims":[{"type":"user_id","value":"8"}]}"#,
            Some(r#"{"type":"track","name":"7","claims":[{"type":"user_id","value":"8"}]}"#),
        );
        check(
            r#"{"type":"track","name":"x","claims":[{"type":"user_id","value":"8"},{"type":"email","value":"ANN@shop.example"}]}"#,
            None,
        );
        assert_eq!(names.without(b"\xff ann@shop.example"), Left::Nothing);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, br#"[{"user":7},{"user":8}]"#).expect("it is in memory");
        let packed = packed.finish().expect("it is in memory");
        assert_eq!(names.without(&packed), Left::Some(br#"[{"user":8}]"#.to_vec()));
        let head = |path: &str, query: &str| {
            let (method, headers, remote) = ("GET".to_owned(), Vec::new(), "127.0.0.1".to_owned());
            Head { method, path: path.into(), query: query.into(), headers, remote, whole: true }
        };
        assert!(names.in_head(&head("/pixel", "x=1&uid=7")) && names.in_head(&head("/of/ann%40shop.example", "")));
        assert!(!names.in_head(&head("/pixel", "n=7")));
        assert!(names.in_text("no mailbox for ann@shop.example.") && !names.in_text("error 7 at 70"));
    }
}
