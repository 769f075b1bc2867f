//! Consent: what somebody agreed to or refused, and what must have been agreed to before a destination is told of them.
//!
//! Consent is said of a [`Purpose`], under a regulation (`gdpr`, `ccpa`, any name) or under none. Of several statements of one purpose the latest
//! holds, by the time at which it was made and never by arrival; which that is, [`crate::profile`] finds in the claims of a customer. A [`Rule`]
//! judges what was said. It knows no destination and no event.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;
use crate::value::{Excerpt, Timestamp};

/// What consent is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Purpose {
    /// The law that it falls under, such as `gdpr`; none where nobody said.
    pub regulation: Option<String>,
    /// Its name, such as `marketing`.
    pub name: String,
}

impl Purpose {
    /// A purpose under a regulation, or under none.
    #[must_use]
    pub fn of(regulation: Option<&str>, name: &str) -> Self {
        Purpose { regulation: regulation.map(str::to_owned), name: name.to_owned() }
    }

    /// Whether its names are there and within their bounds.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn check(&self) -> Result<(), String> {
        let parts = [("a regulation", self.regulation.as_deref()), ("a purpose", Some(&*self.name))];
        for (what, name) in parts.into_iter().filter_map(|(what, name)| Some((what, name?))) {
            match name.len() {
                0 => return Err(format!("{what} of `consent` needs a name")),
                bytes if bytes > limits::PURPOSE_NAME_BYTES_MAX => {
                    let (name, max) = (Excerpt(name), limits::PURPOSE_NAME_BYTES_MAX);
                    return Err(format!("the name of {what} (`{name}`) has {bytes} bytes, and {max} are allowed"));
                }
                _ => (),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.regulation.iter().try_for_each(|regulation| write!(f, "{regulation}/"))?;
        f.write_str(&self.name)
    }
}

/// What an event says of a purpose. In JSON `true` or `false`, or an object where there is more to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Whether the person agreed.
    pub granted: bool,
    /// When the person said so, where that was before the event: a sender may repeat what was said long ago.
    pub at: Option<Timestamp>,
    /// What it was said in.
    pub proof: Proof,
}

/// In what consent was said, and where: what somebody needs who has to prove it. The fields are those of mParticle's `consent_state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Proof {
    /// The document or its version that the person agreed to or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where the person said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The device on which the person said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hardware_id: Option<String>,
}

impl Proof {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Proof::default()
    }

    /// Whether it is within its bounds.
    ///
    /// # Errors
    /// What is not, in words.
    pub fn check(&self) -> Result<(), String> {
        let fields = [("document", &self.document), ("location", &self.location), ("hardware_id", &self.hardware_id)];
        for (what, text) in fields.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?))) {
            let (bytes, max) = (text.len(), limits::PROOF_BYTES_MAX);
            if bytes > max {
                return Err(format!("the `{what}` of a consent has {bytes} bytes, and {max} are allowed"));
            }
        }
        Ok(())
    }
}

/// A statement with everything that can be said.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    /// Whether the person agreed.
    granted: bool,
    /// When the person said so, where that was before the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// The document or its version that the person agreed to or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    /// Where the person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// The device on which the person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hardware_id: Option<String>,
}

impl From<bool> for Statement {
    fn from(granted: bool) -> Self {
        Statement { granted, ..Statement::default() }
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Statement { granted, at, proof: Proof { document, location, hardware_id } } = self.clone();
        if at.is_none() && self.proof.is_empty() {
            return granted.serialize(serializer);
        }
        Full { granted, at, document, location, hardware_id }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Statement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Statement;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false`, or an object with `granted`")
            }
            fn visit_bool<E>(self, granted: bool) -> Result<Statement, E> {
                Ok(granted.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Statement, A::Error> {
                let Full { granted, at, document, location, hardware_id } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Statement { granted, at, proof: Proof { document, location, hardware_id } })
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

impl JsonSchema for Statement {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<Full>();
        json_schema!({ "description": "Whether the person agreed: `true` or `false`, or an object where there is more to say.", "anyOf": [{ "type": "boolean" }, full] })
    }
}

/// Something by purpose. In JSON, purposes under no regulation stand beside the regulations, and those of a regulation in an object under its
/// name: `{"newsletter": true, "gdpr": {"marketing": false}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purposes<T>(pub BTreeMap<Purpose, T>);

impl<T> Default for Purposes<T> {
    fn default() -> Self {
        Purposes(BTreeMap::new())
    }
}

impl<T> Purposes<T> {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Purposes<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut under: BTreeMap<&str, BTreeMap<&str, &T>> = BTreeMap::new();
        let mut map = serializer.serialize_map(None)?;
        for (Purpose { regulation, name }, said) in &self.0 {
            match regulation {
                Some(regulation) => drop(under.entry(regulation).or_default().insert(name, said)),
                None => map.serialize_entry(name, said)?,
            }
        }
        under.iter().try_for_each(|(regulation, said)| map.serialize_entry(regulation, said))?;
        map.end()
    }
}

/// What stands under a key: what is said of a purpose under no regulation, or a regulation's purposes.
enum Under<T> {
    Said(bool),
    Regulation(BTreeMap<String, T>),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Under<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Visit<T> {
            type Value = Under<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or `false` of a purpose, or an object of purposes under a regulation")
            }
            fn visit_bool<E>(self, said: bool) -> Result<Under<T>, E> {
                Ok(Under::Said(said))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Under<T>, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Under::Regulation)
            }
        }
        deserializer.deserialize_any(Visit(PhantomData))
    }
}

impl<'de, T: DeserializeOwned + From<bool>> Deserialize<'de> for Purposes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::new();
        for (key, under) in BTreeMap::<String, Under<T>>::deserialize(deserializer)? {
            match under {
                Under::Said(said) => drop(all.insert(Purpose { regulation: None, name: key }, said.into())),
                Under::Regulation(said) => {
                    let of = |name| Purpose { regulation: Some(key.clone()), name };
                    all.extend(said.into_iter().map(|(name, said)| (of(name), said)));
                }
            }
        }
        if all.len() > limits::PURPOSES_MAX {
            let (count, max) = (all.len(), limits::PURPOSES_MAX);
            return Err(D::Error::custom(format_args!("`consent` has {count} purposes, and {max} are allowed")));
        }
        Ok(Purposes(all))
    }
}

impl<T: JsonSchema> JsonSchema for Purposes<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Purposes_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let under = generator.subschema_for::<T>();
        json_schema!({
            "description": "By purpose. Those under a regulation stand in an object under its name.",
            "type": "object",
            "additionalProperties": { "anyOf": [{ "type": "boolean" }, { "type": "object", "additionalProperties": under }] },
        })
    }
}

/// What somebody agreed to (`true`) and refused (`false`). A purpose of which nothing was said is not there.
pub type Given = BTreeMap<Purpose, bool>;

/// What somebody must have agreed to before a destination is told of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What is needed.
    pub needs: Need,
    /// What counts where nothing was said.
    #[serde(default, skip_serializing_if = "Unsaid::is_usual")]
    pub unless_said: Unsaid,
}

/// What is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// This purpose.
    Purpose(Purpose),
    /// All of these.
    All(Vec<Need>),
    /// One of these.
    Any(Vec<Need>),
}

/// What counts where nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsaid {
    /// Of a purpose, whatever it falls under.
    pub usually: Assumed,
    /// Of the purposes of a regulation.
    pub under: BTreeMap<String, Assumed>,
}

impl Unsaid {
    fn is_usual(&self) -> bool {
        *self == Unsaid::default()
    }

    fn of(&self, purpose: &Purpose) -> Assumed {
        let own = purpose.regulation.as_ref().and_then(|regulation| self.under.get(regulation));
        own.copied().unwrap_or(self.usually)
    }
}

/// What is assumed of somebody who said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assumed {
    /// That they would refuse: consent is asked for first, as under the GDPR.
    #[default]
    Refuse,
    /// That they agree until they refuse, as under the CCPA.
    Grant,
}

/// Why somebody is not told of: the first purpose that is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The purpose.
    pub purpose: Purpose,
    /// Whether it was refused, or nothing was said of it.
    pub refused: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.purpose, if self.refused { "refused" } else { "not said" })
    }
}

impl Rule {
    /// Whether a destination may be told of somebody who said this.
    ///
    /// # Errors
    /// [`Missing`], where it may not.
    pub fn judge(&self, given: &Given) -> Result<(), Missing> {
        self.is_met(&self.needs, given)
    }

    fn is_met(&self, need: &Need, given: &Given) -> Result<(), Missing> {
        match need {
            Need::Purpose(purpose) => match given.get(purpose) {
                Some(true) => Ok(()),
                None if self.unless_said.of(purpose) == Assumed::Grant => Ok(()),
                said => Err(Missing { purpose: purpose.clone(), refused: said.is_some() }),
            },
            Need::All(needs) => needs.iter().try_for_each(|need| self.is_met(need, given)),
            Need::Any(needs) => {
                let mut first = None;
                for need in needs {
                    match self.is_met(need, given) {
                        Ok(()) => return Ok(()),
                        Err(missing) => first = first.or(Some(missing)),
                    }
                }
                first.map_or(Ok(()), Err)
            }
        }
    }

    /// The purposes that it asks for.
    #[must_use]
    pub fn purposes(&self) -> Vec<&Purpose> {
        fn all<'a>(need: &'a Need, found: &mut Vec<&'a Purpose>) {
            match need {
                Need::Purpose(purpose) => found.push(purpose),
                Need::All(needs) | Need::Any(needs) => needs.iter().for_each(|need| all(need, found)),
            }
        }
        let mut found = Vec::new();
        all(&self.needs, &mut found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(text: &str) -> Purpose {
        let (regulation, name) = text.split_once('/').map_or((None, text), |(regulation, name)| (Some(regulation), name));
        Purpose::of(regulation, name)
    }

    #[test]
    fn statements_read_back_as_they_were_said() {
        let check = |json: &str, want: Option<&str>| {
            let read = serde_json::from_str::<Purposes<Statement>>(json);
            let again = read.map(|said| serde_json::to_string(&said).expect("JSON")).map_err(|error| error.to_string());
            match want {
                None => assert_eq!(again.as_deref(), Ok(json)),
                Some(want) => assert!(again.as_ref().is_err_and(|error| error.contains(want)), "{again:?}"),
            }
        };
        check("{}", None);
        check(r#"{"newsletter":true,"gdpr":{"ads":false,"marketing":true}}"#, None);
        check(
            r#"{"gdpr":{"marketing":{"granted":true,"at":"2026-03-01T12:00:00.000Z","document":"v3","location":"Bonn","hardware_id":"d"}}}"#,
            None,
        );
        check(r#"{"newsletter":"yes"}"#, Some("`true` or `false` of a purpose, or an object of purposes under a regulation"));
        check(r#"{"gdpr":{"marketing":1}}"#, Some("`true`, `false`, or an object with `granted`"));
        check(r#"{"gdpr":{"marketing":{"document":"v3"}}}"#, Some("missing field `granted`"));
        check(r#"{"gdpr":{"marketing":{"granted":true,"documnt":"v3"}}}"#, Some("unknown field `documnt`"));
        let many: Vec<String> = (0..=limits::PURPOSES_MAX).map(|number| format!("\"p{number}\":true")).collect();
        check(&format!("{{{}}}", many.join(",")), Some("purposes, and 64 are allowed"));
    }

    #[test]
    fn a_rule_says_what_is_missing() {
        let said = Given::from([(purpose("gdpr/ads"), true), (purpose("gdpr/mail"), false), (purpose("mail"), true)]);
        let need = |text: &str| Need::Purpose(purpose(text));
        let check = |needs: Need, unless_said: &Unsaid, want: Option<&str>| {
            let judged = Rule { needs: needs.clone(), unless_said: unless_said.clone() }.judge(&said);
            assert_eq!(judged.err().map(|missing| missing.to_string()).as_deref(), want, "{needs:?}");
        };
        let all = |texts: &[&str]| Need::All(texts.iter().map(|text| need(text)).collect());
        let any = |texts: &[&str]| Need::Any(texts.iter().map(|text| need(text)).collect());
        let (refuse, grant) = (Unsaid::default(), Unsaid { usually: Assumed::Grant, ..Unsaid::default() });
        let ccpa = Unsaid { under: BTreeMap::from([("ccpa".to_owned(), Assumed::Grant)]), ..Unsaid::default() };
        check(need("gdpr/ads"), &refuse, None);
        check(need("ads"), &refuse, Some("ads not said"));
        check(need("gdpr/mail"), &grant, Some("gdpr/mail refused"));
        check(need("gdpr/sms"), &refuse, Some("gdpr/sms not said"));
        check(need("gdpr/sms"), &grant, None);
        check(all(&["gdpr/ads", "mail"]), &refuse, None);
        check(all(&["gdpr/ads", "gdpr/mail", "sms"]), &refuse, Some("gdpr/mail refused"));
        check(any(&["gdpr/mail", "gdpr/ads"]), &refuse, None);
        check(any(&["gdpr/mail", "sms"]), &refuse, Some("gdpr/mail refused"));
        check(all(&["gdpr/ads", "ccpa/data_sale"]), &ccpa, None);
        check(all(&["gdpr/sms", "ccpa/data_sale"]), &ccpa, Some("gdpr/sms not said"));
        check(Need::All(vec![any(&["sms", "mail"]), need("gdpr/ads")]), &refuse, None);
    }
}
