//! How it is worked out who is who, as it is written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weft_domain::identity::{IdentifierRule, MergeLimit, OnLogin, OnLogout, Pattern, Quarantine, Rules, Strategy};

use super::super::units::Duration;
use super::matching::MatchingSpec;

/// How it is worked out who is who. What is absent is as the strategy says; without one, as the engine's default is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentitySpec {
    /// A set of rules by its name at mParticle. What is said beside it holds instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The types of identifiers that name a person, the strongest first. Other types stay on the event and name nobody.
    /// Default: user_id, email, phone, anonymous_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifiers: Option<Identifiers>,
    /// Values that name nobody: exact, or `/a regular expression/`. Default: what broken trackers send, such as `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Vec<BlockedValue>>,
    /// What becomes of an anonymous person who signs in. Default: `join`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_login: Option<OnLogin>,
    /// Whose a device is when nobody is signed in on it. Default: `stay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_logout: Option<OnLogout>,
    /// How much may make one person. Default: what the engine can hold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_limit: Option<MergeLimitSpec>,
    /// What is held until somebody decides: `weft identity held` lists it. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineSpec>,
    /// How people are told apart and found who share no identifier. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<MatchingSpec>,
}

/// Types of identifiers in the order of their strength, which is the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers(pub Vec<(String, IdentifierSpec)>);

/// One type of identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierSpec {
    /// How many of this type one person may have: ever, or of those that came within some time. Absent: as the strategy says;
    /// without one, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitSpec>,
    /// Whether it proves a sign-in. Only an event that carries one joins a known person with another. Default: as the strategy
    /// says; without one, no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<bool>,
    /// Whether a value that another person has goes to the one who signs in with it, where the two may not be one. Default: as the
    /// strategy says; without one, no: it stays with whom it was first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// Whether a person keeps the first value for good, also against an alias. It must prove a sign-in and be unique. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// Whether it names a device or a browser, which several people may use one after the other. Default: yes for `anonymous_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<bool>,
}

/// How many of a type one person may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum LimitSpec {
    /// Ever.
    Ever(u32),
    /// Of those that came within some time.
    Within(WindowSpec),
}

/// A limit over a sliding window of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// How many.
    #[schemars(range(min = 1, max = 10_000))]
    pub count: u32,
    /// Of those that came to the person so long before, such as `7d`.
    pub within: Duration,
}

impl LimitSpec {
    fn count(self) -> u32 {
        match self {
            LimitSpec::Ever(count) | LimitSpec::Within(WindowSpec { count, .. }) => count,
        }
    }

    fn within_ms(self) -> Option<u64> {
        match self {
            LimitSpec::Ever(_) => None,
            LimitSpec::Within(window) => Some(window.within.as_ms()),
        }
    }
}

impl JsonSchema for LimitSpec {
    fn schema_name() -> Cow<'static, str> {
        "LimitSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let window = generator.subschema_for::<WindowSpec>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 10_000 }, window] })
    }
}

/// How much may make one person. What is past it is set aside, and the person goes on as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeLimitSpec {
    /// How many times two people may have become one in it. Segment has 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub merges: Option<u32>,
    /// How many identifiers it may have. Segment has 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_384))]
    pub identifiers: Option<u32>,
}

/// Which claims are held instead of making two people one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineSpec {
    /// Those that would join two people who both signed in.
    #[serde(default)]
    pub known_with_known: bool,
    /// Those that would make a person of more identifiers than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_384))]
    pub larger_than: Option<u32>,
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
        let preset = self.strategy.map_or_else(Rules::default, Strategy::rules);
        let identifiers = match &self.identifiers {
            Some(list) => list.0.iter().map(|(kind, spec)| self.rule(&preset, kind, spec)).collect(),
            None => preset.identifiers,
        };
        let block = match &self.block {
            Some(block) => block.iter().map(|value| Pattern::try_from(value.0.clone())).collect::<Result<_, _>>()?,
            None => preset.block,
        };
        let MergeLimitSpec { merges, identifiers: most } = self.merge_limit.unwrap_or_default();
        let QuarantineSpec { known_with_known, larger_than } = self.quarantine.unwrap_or_default();
        Ok(Rules {
            identifiers,
            block,
            on_login: self.on_login.unwrap_or(preset.on_login),
            on_logout: self.on_logout.unwrap_or(preset.on_logout),
            merge_limit: MergeLimit { merges, identifiers: most },
            quarantine: Quarantine { known_with_known, larger_than },
        })
    }

    /// The rule for a type: what is said of it, then what the strategy says of types of this name.
    fn rule(&self, preset: &Rules, kind: &str, spec: &IdentifierSpec) -> IdentifierRule {
        let usual = preset.rule(kind).cloned().unwrap_or_else(|| IdentifierRule::named(kind));
        let by_strategy = match self.strategy {
            Some(_) => usual.clone(),
            None => IdentifierRule::named(kind),
        };
        IdentifierRule {
            kind: kind.to_owned(),
            limit: spec.limit.map_or(by_strategy.limit, |limit| Some(limit.count())),
            within_ms: spec.limit.and_then(LimitSpec::within_ms),
            login: spec.login.unwrap_or(by_strategy.login),
            unique: spec.unique.unwrap_or(by_strategy.unique),
            immutable: spec.immutable.unwrap_or(false),
            device: spec.device.unwrap_or(usual.device),
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_domain::limits::{CUSTOMER_IDENTIFIERS_MAX, MERGES_MAX};

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
    fn the_schema_has_the_engines_bounds() {
        let schema = serde_json::to_value(schemars::schema_for!(IdentitySpec)).expect("a schema is JSON");
        let most = |spec: &str, key: &str| schema["$defs"][spec]["properties"][key]["maximum"].as_u64();
        assert_eq!(most("MergeLimitSpec", "merges"), Some(u64::from(MERGES_MAX)));
        for (spec, key) in [("MergeLimitSpec", "identifiers"), ("QuarantineSpec", "larger_than")] {
            assert_eq!(most(spec, key), Some(u64::from(CUSTOMER_IDENTIFIERS_MAX)), "{spec}.{key}");
        }
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(IdentitySpec::default().rules(), Ok(Rules::default()));
    }

    #[test]
    fn what_is_said_holds_instead_of_what_the_strategy_says() {
        let rules = |json: &str| serde_json::from_str::<IdentitySpec>(json).expect("reads").rules().expect("valid");
        assert_eq!(rules(r#"{"strategy":"profile_link"}"#), Strategy::ProfileLink.rules());
        let some = rules(
            r#"{"strategy":"profile_link","identifiers":{"user_id":{"immutable":true},"email":{"login":false},"fax":{}},"on_login":"new"}"#,
        );
        let said = |kind: &str| some.rule(kind).map(|rule| (rule.limit, rule.login, rule.unique, rule.immutable));
        assert_eq!(said("user_id"), Some((Some(1), true, true, true)));
        assert_eq!(said("email"), Some((Some(5), false, true, false)));
        assert_eq!(said("fax"), Some((None, false, false, false)));
        assert_eq!((some.on_login, some.on_logout), (OnLogin::New, OnLogout::New));
        // Without a strategy what is absent is off, as it always was.
        let own = rules(r#"{"identifiers":{"user_id":{"login":true},"anonymous_id":{"limit":{"count":5,"within":"7d"}}}}"#);
        assert_eq!((own.identifiers[0].limit, own.identifiers[0].unique), (None, false));
        assert_eq!((own.identifiers[1].limit, own.identifiers[1].within_ms), (Some(5), Some(604_800_000)));
        assert!(own.identifiers[1].device && !own.identifiers[0].device);
    }
}
