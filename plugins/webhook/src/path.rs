//! Paths into a request: into the payload, into one item of it, or to a header.

use std::borrow::Cow;

use weft_plugin::serde_json::value::to_raw_value;
use weft_plugin::{RawValue, Request, fields, string};

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    root: Root,
    /// Names, and places in lists.
    steps: Vec<String>,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    /// What one event is made of: an item of `each`, or the payload.
    Item,
    /// The payload as a whole.
    Payload,
    /// A header, by its name in lower case.
    Header(String),
}

/// What paths are looked up in.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) request: &'a Request,
    pub(crate) payload: &'a RawValue,
    pub(crate) item: &'a RawValue,
}

impl Path {
    /// Reads `customer.email` or `/customer/email` (RFC 6901, for names with a dot), both within the item; `$` and
    /// `$.customer.email`, within the payload; or `$header.x-topic`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("$header.") {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_name = !name.is_empty() && name.bytes().all(token);
            return is_name.then(|| Path { root: Root::Header(name.to_ascii_lowercase()), steps: Vec::new() });
        }
        let (root, text) = match text.strip_prefix('$') {
            Some("") => return Some(Path { root: Root::Payload, steps: Vec::new() }),
            Some(rest) => (Root::Payload, rest.strip_prefix('.').or_else(|| rest.starts_with('/').then_some(rest))?),
            None => (Root::Item, text),
        };
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        let good = text.starts_with('/') || steps.iter().all(|step| !step.is_empty());
        (good && !text.is_empty()).then_some(Path { root, steps })
    }

    /// Whether this is a header.
    pub(crate) fn is_header(&self) -> bool {
        matches!(self.root, Root::Header(_))
    }

    /// Whether all items of a payload find the same there.
    pub(crate) fn is_outside_of_items(&self) -> bool {
        self.root != Root::Item
    }

    /// The value there; none where there is nothing.
    pub(crate) fn find<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, RawValue>> {
        Some(match &self.root {
            Root::Item => Cow::Borrowed(walk(scope.item, &self.steps)?),
            Root::Payload => Cow::Borrowed(walk(scope.payload, &self.steps)?),
            Root::Header(name) => Cow::Owned(to_raw_value(scope.request.header(name)?).ok()?),
        })
    }

    /// The value there; none where there is nothing, or null.
    pub(crate) fn find_some<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, RawValue>> {
        self.find(scope).filter(|value| value.get() != "null")
    }

    /// The list there; none where there is something else, or nothing.
    pub(crate) fn list<'a>(&self, payload: &'a RawValue) -> Option<Vec<&'a RawValue>> {
        match self.root {
            Root::Header(_) => None,
            Root::Item | Root::Payload => serde_json::from_str(walk(payload, &self.steps)?.get()).ok(),
        }
    }
}

fn walk<'a>(root: &'a RawValue, steps: &[String]) -> Option<&'a RawValue> {
    let mut value = root;
    for step in steps {
        value = match value.get().as_bytes().first()? {
            b'{' => fields(value)?.into_iter().find(|(name, _)| name == step)?.1,
            b'[' => serde_json::from_str::<Vec<&'a RawValue>>(value.get()).ok()?.get(step.parse::<usize>().ok()?).copied()?,
            _ => return None,
        };
    }
    Some(value)
}

/// What a value is as an identifier: a string as it is, a whole number as its digits; none where it is neither.
pub(crate) fn word(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let is_whole = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
    string(value).or_else(|| is_whole.then_some(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_plugin::Body;

    #[test]
    fn paths_find_values_and_nothing_else() {
        let payload = r#"{"id":1,"items":[{"a":{"b.c":2,"n":null}},[3]],"~/":4}"#;
        let payload: &RawValue = serde_json::from_str(payload).expect("JSON");
        let item: &RawValue = serde_json::from_str(r#"{"a":{"b.c":2,"n":null},"l":[5]}"#).expect("JSON");
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: vec![("x-topic".into(), "a\"b".into())],
            body: Body::Bytes(Vec::new()),
            received_ms: 0,
            remote: String::new(),
        };
        let check = |path: &str, want: Option<&str>| {
            let scope = Scope { request: &request, payload, item };
            let found = Path::parse(path).and_then(|path| path.find(&scope));
            assert_eq!(found.as_ref().map(|value| value.get()), want, "{path}");
        };
        check("l.0", Some("5"));
        check("/a/b.c", Some("2"));
        check("a.b.c", None);
        check("a.n", Some("null"));
        check("id", None);
        check("$.id", Some("1"));
        check("$.items.1.0", Some("3"));
        check("$/~0~1", Some("4"));
        check("$", Some(payload.get()));
        check("$header.X-Topic", Some(r#""a\"b""#));
        check("$header.x-none", None);
        for wrong in ["", "a..b", ".", "$a", "$.", "$header.", "$header.a b"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
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
