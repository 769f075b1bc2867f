//! Texts with places for what a record has: `Order {{ event.properties.order_id }}`. For destinations, whose records are events or
//! profiles; what changes events reads [`crate::Path`]s.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{Fields, fields, string};

/// The names, and the places in lists, on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Vec<String>);

impl Place {
    /// Reads `properties.total`, which may have `event.` or `profile.` in front, or `/properties/total` (RFC 6901). A name
    /// with a dot needs the pointer.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => {
                let bare = text.strip_prefix("event.").or_else(|| text.strip_prefix("profile.")).unwrap_or(text);
                bare.split('.').map(str::to_owned).collect()
            }
        };
        let good = text.starts_with('/') || steps.iter().all(|step| !step.is_empty() && !step.contains(char::is_whitespace));
        (good && !text.is_empty()).then_some(Place(steps))
    }

    /// The value in a record whose outermost fields these are; none where there is nothing, or null.
    #[must_use]
    pub fn find<'a>(&self, record: &Fields<'a>) -> Option<&'a RawValue> {
        let (first, rest) = self.0.split_first()?;
        let mut value = field(record, first)?;
        for step in rest {
            value = match value.get().as_bytes().first()? {
                b'{' => field(&fields(value)?, step)?,
                b'[' => item(value, step)?,
                _ => return None,
            };
        }
        (value.get() != "null").then_some(value)
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

/// A text with places for values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it was written.
    Text(String),
    /// What is at a path.
    Value(Place),
}

impl Template {
    /// Reads a text with `{{ path }}` in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((path, behind)) = after.split_once("}}") else { return Err("a `{{` has no `}}`".into()) };
            let path = path.trim();
            parts.push(Part::Value(Place::parse(path).ok_or_else(|| format!("`{path}` is no path"))?));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

/// A value as text: a string as it is, all else as its JSON.
#[must_use]
pub fn plain(value: &RawValue) -> Cow<'_, str> {
    string(value).unwrap_or(Cow::Borrowed(value.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values_and_nothing_else() {
        let record = r#"{"a":{"b.c":1,"d":[10,{"e":"x"}],"n":null},"f~/":2,"claims":[{"type":"email","value":"a@b"},{"type":"id","value":"7"}]}"#;
        let check = |path: &str, want: Option<&str>| {
            let fields = fields(serde_json::from_str(record).expect("JSON")).expect("an object");
            assert_eq!(Place::parse(path).and_then(|path| path.find(&fields)).map(RawValue::get), want, "{path}");
        };
        check("a.d.0", Some("10"));
        check("event.a.d.1.e", Some("\"x\""));
        check("profile.a.d.0", Some("10"));
        check("/a/b.c", Some("1"));
        check("/f~0~1", Some("2"));
        check("claims.id", Some("\"7\""));
        check("event.claims.email", Some("\"a@b\""));
        check("claims.phone", None);
        check("a.n", None);
        check("a.d.2", None);
        check("a.d.0.e", None);
        for wrong in ["", "a..b", ".", "event.", "a b"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn templates_are_texts_and_paths() {
        let check = |text: &str, want: &[Result<&str, &str>]| {
            let part = |part: &Result<&str, &str>| match part {
                Ok(text) => Part::Text((*text).to_owned()),
                Err(path) => Part::Value(Place::parse(path).expect("a path")),
            };
            assert_eq!(Template::parse(text).expect("a template").parts(), want.iter().map(part).collect::<Vec<_>>(), "{text}");
        };
        check("", &[]);
        check("a } b", &[Ok("a } b")]);
        check("a {{ event.x.y }} b{{z}}", &[Ok("a "), Err("x.y"), Ok(" b"), Err("z")]);
        assert_eq!(Template::parse("a {{ b"), Err("a `{{` has no `}}`".into()));
        assert_eq!(Template::parse("{{ a b }}"), Err("`a b` is no path".into()));
    }
}
