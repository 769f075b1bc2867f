//! Objects as they were sent, read once: fields by name, and new objects from them.

use std::borrow::Cow;

use weft_plugin::{Fields, Json, RawValue, Rejection, Timestamp, fields, is_visible, string, string_or_number};

/// The fields of an object that say something: a null says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(pub(crate) Fields<'a>);

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// It is none. `what` is its name.
    pub(crate) fn read(raw: &'a RawValue, what: &str) -> Result<Self, Rejection> {
        let mut fields = fields(raw).ok_or_else(|| Rejection::new("not_an_object", format!("`{what}` must be an object")))?;
        fields.retain(|(_, value)| value.get() != "null");
        Ok(Object(fields))
    }

    /// A value. Of a name that comes twice the last counts, as in every JavaScript engine.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// An object within; an empty one where there is none.
    ///
    /// # Errors
    /// Something else stands there.
    pub(crate) fn object(&self, name: &str) -> Result<Object<'a>, Rejection> {
        self.get(name).map_or_else(|| Ok(Object::default()), |raw| Object::read(raw, name))
    }

    /// A list within; an empty one where there is none.
    ///
    /// # Errors
    /// Something else stands there.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, Rejection> {
        let Some(raw) = self.get(name) else { return Ok(Vec::new()) };
        serde_json::from_str(raw.get()).map_err(|_| Rejection::new("not_a_list", format!("`{name}` must be a list")))
    }

    /// A string; none where something else stands there.
    pub(crate) fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(string)
    }

    /// A truth; none where something else stands there.
    pub(crate) fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// An id: a string, or a number by its digits. None where there is nothing to see in it.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn id(&self, name: &str, code: &str) -> Result<Option<Cow<'a, str>>, Rejection> {
        self.get(name).map_or(Ok(None), |raw| id(name, raw, code))
    }

    /// A time in milliseconds since 1970. Zero is none: generated clients send it for what was not set.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Rejection> {
        let Some(raw) = self.get(name).filter(|raw| raw.get() != "0") else { return Ok(None) };
        let words = || format!("`{name}` is no number of milliseconds since 1970");
        Timestamp::from_json(raw).map(Some).ok_or_else(|| Rejection::new("bad_timestamp", words()))
    }

    /// The fields whose name is none of these.
    pub(crate) fn without<'o>(&'o self, names: &'o [&str]) -> impl Iterator<Item = (&'o str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value)).filter(|(name, _)| !names.contains(name))
    }
}

/// An id of that name: see [`Object::id`].
pub(crate) fn id<'a>(name: &str, raw: &'a RawValue, code: &str) -> Result<Option<Cow<'a, str>>, Rejection> {
    match string_or_number(raw) {
        Some(text) => Ok(Some(text).filter(|text| is_visible(text))),
        None => Err(Rejection::new(code, format!("`{name}` must be a string or a number"))),
    }
}

/// An object of own fields and of custom attributes beside them; none where there are neither. An attribute that has the name of an own
/// field stays in `custom_attributes`, so that both are kept.
///
/// # Errors
/// The attributes are no object.
pub(crate) fn with_attributes<'a>(
    own: &[(&str, &'a RawValue)],
    attributes: Option<&'a RawValue>,
) -> Result<Option<Json<'static>>, Rejection> {
    let attributes = attributes.map_or_else(|| Ok(Object::default()), |raw| Object::read(raw, "custom_attributes"))?;
    let is_own = |name: &str| own.iter().any(|(known, _)| *known == name);
    let (clashing, free): (Vec<_>, Vec<_>) = attributes.without(&[]).partition(|(name, _)| is_own(name));
    let kept = (!clashing.is_empty()).then(|| Json::object(clashing));
    let kept: Option<&RawValue> = kept.as_ref().and_then(|kept| serde_json::from_str(kept.text()).ok());
    let all: Vec<_> = own.iter().copied().chain(free).chain(kept.map(|kept| ("custom_attributes", kept))).collect();
    Ok((!all.is_empty()).then(|| Json::object(all)))
}
