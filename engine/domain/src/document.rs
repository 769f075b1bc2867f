//! An event's JSON, opened only where somebody looks.
//!
//! [`crate::path`] takes values out of it and [`crate::condition`] asks about them. Both read the event as it stands in the logs, so that
//! what a configuration names is what `docs/events.md` describes. Nothing is copied but names and strings with escapes in them.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::Event;

/// An event that is written down as JSON when somebody first looks into it, and then once.
pub struct Document<'e> {
    event: &'e Event,
    json: OnceCell<String>,
}

/// The fields of an object, in the order in which they came.
pub type Fields<'v> = Vec<(Cow<'v, str>, &'v RawValue)>;

impl<'e> Document<'e> {
    /// The document of an event.
    #[must_use]
    pub fn of(event: &'e Event) -> Self {
        Document { event, json: OnceCell::new() }
    }

    /// What stands at the top of the event.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        let write = || String::from_utf8(self.event.to_json()).expect("serde_json writes UTF-8");
        read(self.json.get_or_init(write)).unwrap_or_default()
    }
}

/// The fields of an object; none where it is no object.
#[must_use]
pub fn fields(value: &RawValue) -> Option<Fields<'_>> {
    read(value.get())
}

/// The elements of a list; none where it is no list.
#[must_use]
pub fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    if value.get().starts_with('[') { serde_json::from_str(value.get()).ok() } else { None }
}

/// A string; none where it is something else.
#[must_use]
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let Name(text) = serde_json::from_str(value.get()).ok()?;
    Some(text)
}

fn read(json: &str) -> Option<Fields<'_>> {
    let Opened(fields) = serde_json::from_str(json).ok()?;
    Some(fields)
}

struct Opened<'v>(Fields<'v>);

/// A text that is borrowed where nothing in it is escaped.
struct Name<'v>(Cow<'v, str>);

impl<'de> Deserialize<'de> for Opened<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
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

        deserializer.deserialize_map(Fields)
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
