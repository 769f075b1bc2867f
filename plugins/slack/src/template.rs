//! Paths into a record, and texts with places for what they find: `Order {{ event.properties.order_id }}`.

use std::borrow::Cow;

use weft_plugin::{Fields, RawValue, fields, string};

/// The names, and the places in lists, on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<String>);

impl Path {
    /// Reads `properties.total`, which may have `event.` or `profile.` in front, or `/properties/total` (RFC 6901). A name
    /// with a dot needs the pointer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => {
                let bare = text.strip_prefix("event.").or_else(|| text.strip_prefix("profile.")).unwrap_or(text);
                bare.split('.').map(str::to_owned).collect()
            }
        };
        let good = text.starts_with('/') || steps.iter().all(|step| !step.is_empty() && !step.contains(char::is_whitespace));
        (good && !text.is_empty()).then_some(Path(steps))
    }

    /// The value in a record whose outermost fields these are; none where there is nothing, or null.
    pub(crate) fn find<'a>(&self, record: &Fields<'a>) -> Option<&'a RawValue> {
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
pub(crate) fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// A text with places for values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it was written.
    Text(String),
    /// What is at a path.
    Value(Path),
}

impl Template {
    /// Reads a text with `{{ path }}` in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((path, behind)) = after.split_once("}}") else { return Err("a `{{` has no `}}`".into()) };
            let path = path.trim();
            parts.push(Part::Value(Path::parse(path).ok_or_else(|| format!("`{path}` is no path"))?));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// Its parts, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }
}

/// A value as text: a string as it is, all else as its JSON.
pub(crate) fn plain(value: &RawValue) -> Cow<'_, str> {
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
            assert_eq!(Path::parse(path).and_then(|path| path.find(&fields)).map(RawValue::get), want, "{path}");
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
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn templates_are_texts_and_paths() {
        let check = |text: &str, want: &[Result<&str, &str>]| {
            let part = |part: &Result<&str, &str>| match part {
                Ok(text) => Part::Text((*text).to_owned()),
                Err(path) => Part::Value(Path::parse(path).expect("a path")),
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
