//! Paths into a record: dotted, or a JSON pointer (RFC 6901).

use std::borrow::Cow;

use weft_plugin::{Fields, RawValue, fields, string};

/// The names, and the places in lists, on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<String>);

impl Path {
    /// Reads `properties.total` or `/properties/total`. A name with a dot needs the pointer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        let good = text.starts_with('/') || steps.iter().all(|step| !step.is_empty());
        (good && !text.is_empty()).then_some(Path(steps))
    }

    /// The value in a record whose outermost fields these are.
    pub(crate) fn find<'a>(&self, record: &Fields<'a>) -> Option<&'a RawValue> {
        let (first, rest) = self.0.split_first()?;
        let mut value = field(record, first)?;
        for step in rest {
            value = match value.get().as_bytes().first()? {
                b'{' => field(&fields(value)?, step)?,
                b'[' => serde_json::from_str::<Vec<&'a RawValue>>(value.get()).ok()?.get(step.parse::<usize>().ok()?).copied()?,
                _ => return None,
            };
        }
        Some(value)
    }
}

fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// The string in the first of some outermost fields that is there.
pub(crate) fn text_at<'a>(record: &Fields<'a>, names: &[&str]) -> Option<Cow<'a, str>> {
    names.iter().find_map(|name| field(record, name)).and_then(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values_and_nothing_else() {
        let record = r#"{"a":{"b.c":1,"d":[10,{"e":"x"}]},"f~/":2,"":3}"#;
        let check = |path: &str, want: Option<&str>| {
            let fields = fields(serde_json::from_str(record).expect("JSON")).expect("an object");
            assert_eq!(Path::parse(path).and_then(|path| path.find(&fields)).map(RawValue::get), want, "{path}");
        };
        check("a.d.0", Some("10"));
        check("a.d.1.e", Some("\"x\""));
        check("/a/d/1/e", Some("\"x\""));
        check("/a/b.c", Some("1"));
        check("/f~0~1", Some("2"));
        check("/", Some("3"));
        check("a.b.c", None);
        check("a.d.2", None);
        check("a.d.e", None);
        check("a.d.0.e", None);
        check("", None);
        check("a..b", None);
        check(".", None);
    }
}
