//! JSON that is opened only where somebody looks: names and raw values.
//!
//! Nothing is copied but names and strings with escapes in them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object, in the order in which they came.
pub type Fields<'v> = Vec<(Cow<'v, str>, &'v RawValue)>;

/// The fields of a document: one scan, which is also the proof that it is JSON.
///
/// # Errors
/// It is no JSON object.
pub fn document(text: &str) -> Result<Fields<'_>, serde_json::Error> {
    serde_json::from_str(text).map(|Opened(fields)| fields)
}

/// The fields of an object; none where it is no object.
#[must_use]
pub fn fields(value: &RawValue) -> Option<Fields<'_>> {
    if value.get().starts_with('{') { document(value.get()).ok() } else { None }
}

/// The elements of a list; none where it is no list.
#[must_use]
pub fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    if value.get().starts_with('[') { serde_json::from_str(value.get()).ok() } else { None }
}

/// A string; none where it is something else.
#[must_use]
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(value.get()).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

struct Opened<'v>(Fields<'v>);

/// A text that is borrowed where nothing in it is escaped.
struct Name<'v>(Cow<'v, str>);

impl<'de> Deserialize<'de> for Opened<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Opened<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Opened<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                Ok(Opened(fields))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_escapes_is_borrowed() {
        let fields = document(r#"{"a":"x","b\n":"\u00e9","a":[1,{}],"bad":"\ud800"}"#).expect("an object");
        let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b\n", "a", "bad"], "in order, also what comes twice");
        assert!(matches!(fields[0].0, Cow::Borrowed(_)) && matches!(string(fields[0].1), Some(Cow::Borrowed("x"))));
        assert_eq!(string(fields[1].1).as_deref(), Some("é"));
        assert_eq!(elements(fields[2].1).map(|elements| elements.len()), Some(2));
        assert_eq!((string(fields[2].1), string(fields[3].1)), (None, None));
        assert!(document("[]").is_err() && document("{").is_err());
    }
}
