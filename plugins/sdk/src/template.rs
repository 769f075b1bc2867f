//! Texts with places for what a record has: `Order {{ event.properties.order_id }}`. For destinations, whose records are events or
//! profiles.

use crate::place::Place;

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
            parts.push(Part::Value(in_record(path).ok_or_else(|| format!("`{path}` is no path"))?));
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

/// Reads a path in a record, which may have `event.` or `profile.` in front: that is what a record is.
#[must_use]
pub fn in_record(path: &str) -> Option<Place> {
    let bare = path.strip_prefix("event.").or_else(|| path.strip_prefix("profile.")).unwrap_or(path);
    if bare.contains(char::is_whitespace) && !bare.starts_with('/') { None } else { Place::parse(bare) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_say_that_it_is_in_a_record() {
        assert_eq!(in_record("event.a.b"), Place::parse("a.b"));
        assert_eq!(in_record("profile.a"), Place::parse("a"));
        assert_eq!(in_record("/event/a b"), Place::parse("/event/a b"));
        assert!(in_record("event.").is_none() && in_record("a b").is_none());
    }

    #[test]
    fn templates_are_texts_and_paths() {
        let check = |text: &str, want: &[Result<&str, &str>]| {
            let part = |part: &Result<&str, &str>| match part {
                Ok(text) => Part::Text((*text).to_owned()),
                Err(path) => Part::Value(in_record(path).expect("a path")),
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
