//! How it is worked out who is who, as it is written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weft_domain::identity::{IdentifierRule, Pattern, Rules};

/// How it is worked out who is who. What is absent has the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentitySpec {
    /// The types of identifiers that name a person, the strongest first. Other types stay on the event and name nobody.
    /// Default: user_id, email, phone, anonymous_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Identifiers>,
    /// Values that name nobody: exact, or `/a regular expression/`. Default: what broken trackers send, such as `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Vec<BlockedValue>>,
}

/// Types of identifiers in the order of their strength, which is the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers(pub Vec<(String, IdentifierSpec)>);

/// One type of identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierSpec {
    /// How many of this type one person may have. Absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub limit: Option<u32>,
    /// Whether it proves a sign-in. Only an event that carries one joins a known person with another.
    #[serde(default)]
    pub login: bool,
}

/// A value, or `/a regular expression/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BlockedValue(pub String);

text_schema!(BlockedValue, { "type": "string", "minLength": 1, "format": "weft-pattern" });

impl JsonSchema for Identifiers {
    fn schema_name() -> Cow<'static, str> {
        "Identifiers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = super::named::<IdentifierSpec>(generator);
        schema.remove("default");
        schema.insert("minProperties".into(), 1.into());
        schema
    }
}

impl Serialize for Identifiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, spec) in &self.0 {
            map.serialize_entry(name, spec)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Identifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Identifiers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of types")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Identifiers, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    list.push(entry);
                }
                Ok(Identifiers(list))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl IdentitySpec {
    /// The rules for the fold.
    ///
    /// # Errors
    /// A regular expression that is none; the schema refuses it before.
    pub fn rules(&self) -> Result<Rules, String> {
        let default = Rules::default();
        let rule =
            |(kind, spec): &(String, IdentifierSpec)| IdentifierRule { kind: kind.clone(), limit: spec.limit, login: spec.login };
        let identifiers = self.identifiers.as_ref().map_or(default.identifiers, |list| list.0.iter().map(rule).collect());
        let block = match &self.block {
            Some(block) => block.iter().map(|value| Pattern::try_from(value.0.clone())).collect::<Result<_, _>>()?,
            None => default.block,
        };
        Ok(Rules { identifiers, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_writing_is_the_order_of_strength() {
        let spec: IdentitySpec =
            serde_json::from_str(r#"{"identifiers":{"zeta":{"limit":1,"login":true},"alpha":{}}}"#).expect("reads");
        let rules = spec.rules().expect("valid");
        assert_eq!((rules.priority("zeta"), rules.priority("alpha"), rules.priority("email")), (Some(0), Some(1), None));
        assert!(rules.blocks("null"), "the default block list stays");
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(IdentitySpec::default().rules(), Ok(Rules::default()));
    }
}
