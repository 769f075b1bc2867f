//! Which fields of a profile or an event somebody wants: `traits.email,attributes,identifiers`.
//!
//! A field is named by itself or with one of its parts: a name in an object, a type in a list of identifiers. A field that there is not
//! is a mistake of whoever asks; a part that a document does not have is left out of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use weft_domain::attribute::Attribute;
use weft_domain::value::Excerpt;

use crate::config::nearest;
use crate::limits;

/// What is chosen from.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// A profile; the names are those of the workspace's attributes.
    Profile(&'a [&'a str]),
    /// An event.
    Event,
}

/// Fields that are wanted; all, where none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(BTreeMap<String, Wanted>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Parts(BTreeSet<String>),
}

/// Fields of a profile, each with whether it has parts.
const PROFILE: [(&str, bool); 9] = [
    ("customer_id", false),
    ("identifiers", true),
    ("traits", true),
    ("attributes", true),
    ("consent", true),
    ("groups", false),
    ("first_seen", false),
    ("last_seen", false),
    ("events_total", false),
];

/// Fields of an event, in the same way.
const EVENT: [(&str, bool); 15] = [
    ("type", false),
    ("name", false),
    ("message_id", false),
    ("occurred", false),
    ("sent", false),
    ("received", false),
    ("claimed", false),
    ("environment", false),
    ("claims", true),
    ("traits", true),
    ("properties", true),
    ("products", false),
    ("context", true),
    ("consent", true),
    ("group", true),
];

/// The names of attributes; traits that have rules stand among the traits.
#[must_use]
pub fn names_of(attributes: &[Attribute]) -> Vec<&str> {
    attributes.iter().filter(|attribute| !attribute.is_trait).map(|attribute| &*attribute.name).collect()
}

impl Of<'_> {
    fn fields(self) -> &'static [(&'static str, bool)] {
        match self {
            Of::Profile(_) => &PROFILE,
            Of::Event => &EVENT,
        }
    }

    /// What of a document is always there, so that one knows what it is.
    fn always(self) -> &'static str {
        match self {
            Of::Profile(_) => "customer_id",
            Of::Event => "type",
        }
    }
}

impl Selection {
    /// Reads fields with commas between them.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn parse(text: &str, of: Of<'_>) -> Result<Self, String> {
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        let fields: Vec<&str> = text.split(',').map(str::trim).filter(|field| !field.is_empty()).collect();
        if fields.is_empty() {
            return Err("`fields` names no field".into());
        }
        if fields.len() > limits::FIELDS_MAX {
            return Err(format!("`fields` names {} fields, and {} may be named", fields.len(), limits::FIELDS_MAX));
        }
        for field in fields {
            let (name, part) = field.split_once('.').map_or((field, None), |(name, part)| (name, Some(part)));
            let (_, has_parts) = of.fields().iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name, of))?;
            let part = match part {
                Some(_) if !has_parts => return Err(format!("`{name}` has no parts, so there is no `{}`", Excerpt(field))),
                Some("") => return Err(format!("`{}` names no part of `{name}`", Excerpt(field))),
                part => part,
            };
            if let (Of::Profile(attributes), "attributes", Some(part)) = (of, name, part) {
                known_attribute(part, attributes)?;
            }
            let held = wanted.entry(name.to_owned()).or_insert_with(|| Wanted::Parts(BTreeSet::new()));
            match (held, part) {
                (held, None) => *held = Wanted::Whole,
                (Wanted::Parts(parts), Some(part)) => drop(parts.insert(part.to_owned())),
                (Wanted::Whole, Some(_)) => {}
            }
        }
        wanted.insert(of.always().to_owned(), Wanted::Whole);
        Ok(Selection(wanted))
    }

    /// A document with what is wanted of it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn of(&self, document: &impl Serialize) -> serde_json::Result<Box<RawValue>> {
        let whole = to_raw_value(document)?;
        if self.0.is_empty() {
            return Ok(whole);
        }
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(whole.get())?;
        let mut kept: BTreeMap<&str, Cow<'_, RawValue>> = BTreeMap::new();
        for (name, wanted) in &self.0 {
            let Some(value) = fields.get(&**name) else { continue };
            let value = match wanted {
                Wanted::Whole => Cow::Borrowed(*value),
                Wanted::Parts(parts) => Cow::Owned(parts_of(value, parts)?),
            };
            kept.insert(name, value);
        }
        to_raw_value(&kept)
    }
}

/// The named parts of an object, or the elements of a list whose type is among the names.
fn parts_of(value: &RawValue, parts: &BTreeSet<String>) -> serde_json::Result<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    if value.get().starts_with('[') {
        let all: Vec<&RawValue> = serde_json::from_str(value.get())?;
        let is_wanted = |one: &&&RawValue| serde_json::from_str(one.get()).is_ok_and(|Typed { kind }| parts.contains(&*kind));
        return to_raw_value(&all.iter().filter(is_wanted).collect::<Vec<_>>());
    }
    let all: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get())?;
    to_raw_value(&all.into_iter().filter(|(name, _)| parts.contains(&**name)).collect::<BTreeMap<_, _>>())
}

fn unknown(name: &str, of: Of<'_>) -> String {
    let what = if matches!(of, Of::Event) { "an event" } else { "a profile" };
    let names = || of.fields().iter().map(|(name, _)| *name);
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("{what} has no field `{}`: {hint}", Excerpt(name))
}

fn known_attribute(name: &str, attributes: &[&str]) -> Result<(), String> {
    if attributes.contains(&name) {
        return Ok(());
    }
    let near = nearest(name, attributes.iter().copied()).map(|near| format!(": did you mean `attributes.{near}`?"));
    Err(format!("the workspace has no attribute `{}`{}", Excerpt(name), near.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_kept() {
        let document: Box<RawValue> = serde_json::from_str(
            r#"{"customer_id":"c","identifiers":[{"type":"email","value":"a"},{"type":"user_id","value":"u"}],"traits":{"a.b":1.50,"age":7},"groups":["g"]}"#,
        )
        .expect("JSON");
        let check = |fields: &str, want: &str| {
            let selection = Selection::parse(fields, Of::Profile(&["spent"])).expect("fields");
            assert_eq!(selection.of(&document).expect("JSON").get(), want, "{fields}");
        };
        check("traits.age", r#"{"customer_id":"c","traits":{"age":7}}"#);
        check(" traits.a.b , groups", r#"{"customer_id":"c","groups":["g"],"traits":{"a.b":1.50}}"#);
        check("traits.age,traits", r#"{"customer_id":"c","traits":{"a.b":1.50,"age":7}}"#);
        check("identifiers.email", r#"{"customer_id":"c","identifiers":[{"type":"email","value":"a"}]}"#);
        check("attributes.spent,consent", r#"{"customer_id":"c"}"#);
        assert_eq!(Selection::default().of(&document).expect("JSON").get(), document.get());
    }

    #[test]
    fn a_field_that_there_is_not_is_named_with_the_one_that_was_meant() {
        let check = |fields: &str, of: Of<'_>, want: &str| {
            assert_eq!(Selection::parse(fields, of), Err(want.to_owned()), "{fields}");
        };
        let of = Of::Profile(&["spent", "orders"]);
        check("trait.email", of, "a profile has no field `trait`: did you mean `traits`?");
        check(
            "zzz",
            of,
            "a profile has no field `zzz`: it has customer_id, identifiers, traits, attributes, consent, groups, first_seen, last_seen, events_total",
        );
        check("attributes.spend", of, "the workspace has no attribute `spend`: did you mean `attributes.spent`?");
        check("groups.a", of, "`groups` has no parts, so there is no `groups.a`");
        check("traits.", of, "`traits.` names no part of `traits`");
        check(" ,", of, "`fields` names no field");
        check("propertys.total", Of::Event, "an event has no field `propertys`: did you mean `properties`?");
    }
}
