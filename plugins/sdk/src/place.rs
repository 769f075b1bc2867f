//! Places in any JSON, by dotted paths or JSON pointers.
//!
//! For what is nobody's event yet (a payload, a line, an answer) and for destinations' records. Whoever changes events reads
//! [`crate::Path`]s, which know what an event has.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{Fields, fields, string};

/// The names, and the places in lists, on the way to a value. Without any, it is the value itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<String>);

impl Place {
    /// Reads `customer.email`, `lines.0.sku`, or `/customer/e.mail` (RFC 6901), which a name with a dot needs.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        let good = text.starts_with('/') || steps.iter().all(|step| !step.trim().is_empty());
        (good && !text.is_empty()).then_some(Place(steps))
    }

    /// What is there, null as well; none where there is nothing.
    #[must_use]
    pub fn find<'a>(&self, root: &'a RawValue) -> Option<&'a RawValue> {
        self.0.iter().try_fold(root, |value, step| down(value, step))
    }

    /// What is there in an object whose fields these are; none where there is nothing, or null.
    #[must_use]
    pub fn find_in<'a>(&self, object: &Fields<'a>) -> Option<&'a RawValue> {
        let (first, rest) = self.0.split_first()?;
        let value = rest.iter().try_fold(field(object, first)?, |value, step| down(value, step))?;
        (value.get() != "null").then_some(value)
    }
}

fn down<'a>(value: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    match value.get().as_bytes().first()? {
        b'{' => field(&fields(value)?, step),
        b'[' => item(value, step),
        _ => None,
    }
}

/// An item of a list by its place; or, since claims and identifiers are lists, the value of the first whose type this is.
fn item<'a>(list: &'a RawValue, step: &str) -> Option<&'a RawValue> {
    let items: Vec<&'a RawValue> = serde_json::from_str(list.get()).ok()?;
    if let Ok(place) = step.parse::<usize>() {
        return items.get(place).copied();
    }
    items.into_iter().filter_map(fields).find_map(|item| {
        let kind = string(field(&item, "type")?)?;
        if kind == step { field(&item, "value") } else { None }
    })
}

/// A field of an object.
#[must_use]
pub fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// A value as text: a string as it is, all else as its JSON.
#[must_use]
pub fn plain(value: &RawValue) -> Cow<'_, str> {
    string(value).unwrap_or(Cow::Borrowed(value.get()))
}

/// What a value is as an identifier: a string as it is, a whole number as its digits; none where it is neither.
#[must_use]
pub fn word(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let is_whole = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
    string(value).or_else(|| is_whole.then_some(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values_and_nothing_else() {
        let root = r#"{"a":{"b.c":1,"d":[10,{"e":"x"}],"n":null},"f~/":2,"E Mail":3,"claims":[{"type":"email","value":"a@b"},{"type":"id","value":"7"}]}"#;
        let root: &RawValue = serde_json::from_str(root).expect("JSON");
        let check = |path: &str, want: Option<&str>| {
            let place = Place::parse(path).expect(path);
            assert_eq!(place.find(root).map(RawValue::get), want, "{path}");
            let fields = fields(root).expect("an object");
            assert_eq!(place.find_in(&fields).map(RawValue::get), want.filter(|text| *text != "null"), "{path}");
        };
        check("a.d.0", Some("10"));
        check("a.d.1.e", Some("\"x\""));
        check("/a/b.c", Some("1"));
        check("a.b.c", None);
        check("/f~0~1", Some("2"));
        check("E Mail", Some("3"));
        check("claims.id", Some("\"7\""));
        check("claims.email", Some("\"a@b\""));
        check("claims.phone", None);
        check("a.n", Some("null"));
        check("a.d.2", None);
        check("a.d.0.e", None);
        assert_eq!(Place::default().find(root).map(RawValue::get), Some(root.get()));
        for wrong in ["", "a..b", ".", "a. .b"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn strings_and_whole_numbers_are_words() {
        let check = |json: &str, want: Option<&str>| {
            assert_eq!(word(serde_json::from_str(json).expect("JSON")).as_deref(), want, "{json}");
        };
        check(r#""a\nb""#, Some("a\nb"));
        check("42", Some("42"));
        check("-42", Some("-42"));
        check("4.2", None);
        check("1e3", None);
        check("true", None);
        check("{}", None);
    }
}
