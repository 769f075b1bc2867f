//! What somebody must have agreed to before a destination is told of them, as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use weft_domain::consent::{Assumed, Need, Purpose, Rule, Unsaid};

/// What somebody must have agreed to: a purpose, a list of which all are needed, or more than that.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ConsentSpec {
    /// This purpose, under no regulation.
    Purpose(String),
    /// All of these.
    All(Vec<NeedSpec>),
    /// What is needed, and what counts where nothing was said.
    Rule(RuleSpec),
}

/// Something that is needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum NeedSpec {
    /// This purpose, under no regulation.
    Purpose(String),
    /// All of what stands there.
    Needs(NeedsSpec),
}

/// What is needed, and what counts where nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct RuleSpec {
    /// What counts where nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless_said: Option<UnsaidSpec>,
    /// What is needed.
    #[serde(flatten)]
    pub needs: NeedsSpec,
}

/// What is needed, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NeedsSpec {
    /// All of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<NeedSpec>>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<NeedSpec>>,
    /// Purposes by the regulation that they fall under.
    #[serde(flatten)]
    pub under: BTreeMap<String, PurposesSpec>,
}

/// A purpose of a regulation, or several that are all needed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum PurposesSpec {
    /// This one.
    One(String),
    /// All of these.
    Several(Vec<String>),
}

/// What counts where nothing was said: of every purpose, or by regulation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum UnsaidSpec {
    /// Of every purpose.
    Everywhere(Assumed),
    /// Of the purposes of these regulations. Of all others it is as if they were refused.
    Under(BTreeMap<String, Assumed>),
}

/// The keys of a rule that are no regulations.
pub const WORDS: [&str; 3] = ["all", "any", "unless_said"];

impl ConsentSpec {
    /// As the engine judges by it.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            ConsentSpec::Purpose(name) => Rule { needs: Need::Purpose(Purpose::of(None, name)), unless_said: Unsaid::default() },
            ConsentSpec::All(needs) => Rule { needs: all(needs.iter().map(NeedSpec::need)), unless_said: Unsaid::default() },
            ConsentSpec::Rule(RuleSpec { unless_said, needs }) => {
                let unless_said = match unless_said {
                    None => Unsaid::default(),
                    Some(UnsaidSpec::Everywhere(usually)) => Unsaid { usually: *usually, under: BTreeMap::new() },
                    Some(UnsaidSpec::Under(under)) => Unsaid { usually: Assumed::Refuse, under: under.clone() },
                };
                Rule { needs: needs.need(), unless_said }
            }
        }
    }
}

impl NeedSpec {
    fn need(&self) -> Need {
        match self {
            NeedSpec::Purpose(name) => Need::Purpose(Purpose::of(None, name)),
            NeedSpec::Needs(needs) => needs.need(),
        }
    }
}

impl NeedsSpec {
    fn need(&self) -> Need {
        let mut needs: Vec<Need> = self.all.iter().flatten().map(NeedSpec::need).collect();
        needs.extend(self.any.as_ref().map(|any| Need::Any(any.iter().map(NeedSpec::need).collect())));
        for (regulation, purposes) in &self.under {
            let of = |name: &String| Need::Purpose(Purpose::of(Some(regulation), name));
            match purposes {
                PurposesSpec::One(name) => needs.push(of(name)),
                PurposesSpec::Several(names) => needs.extend(names.iter().map(of)),
            }
        }
        all(needs)
    }
}

/// All of some needs; of one, that one.
fn all(needs: impl IntoIterator<Item = Need>) -> Need {
    let mut needs: Vec<Need> = needs.into_iter().collect();
    match needs.len() {
        1 => needs.remove(0),
        _ => Need::All(needs),
    }
}

fn purpose() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": weft_domain::limits::PURPOSE_NAME_BYTES_MAX })
}

/// The properties of what is needed, and those of a rule.
fn properties(generator: &mut SchemaGenerator, has_unless: bool) -> Schema {
    let need = generator.subschema_for::<NeedSpec>();
    let list = |what: &str| json_schema!({ "description": what, "type": "array", "items": need, "minItems": 1 });
    let mut properties = serde_json::Map::from_iter([
        ("all".to_owned(), serde_json::Value::from(list("All of these."))),
        ("any".to_owned(), serde_json::Value::from(list("One of these."))),
    ]);
    if has_unless {
        let assumed = serde_json::Value::from(generator.subschema_for::<Assumed>());
        properties.insert(
            "unless_said".to_owned(),
            serde_json::json!({
                "description": "What counts where nothing was said: of every purpose, or of those of a regulation. Default: `refuse`.",
                "anyOf": [assumed, { "type": "object", "additionalProperties": assumed, "minProperties": 1 }],
            }),
        );
    }
    let purpose = purpose();
    json_schema!({
        "type": "object",
        "properties": properties,
        "additionalProperties": {
            "description": "A purpose that falls under this regulation, or several that are all needed.",
            "anyOf": [purpose, { "type": "array", "items": purpose, "minItems": 1 }],
        },
        "minProperties": 1,
    })
}

impl JsonSchema for NeedSpec {
    fn schema_name() -> Cow<'static, str> {
        "NeedSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [purpose(), properties(generator, false)] })
    }
}

impl JsonSchema for ConsentSpec {
    fn schema_name() -> Cow<'static, str> {
        "ConsentSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let need = generator.subschema_for::<NeedSpec>();
        json_schema!({
            "description": "What somebody must have agreed to: a purpose, a list of which all are needed, or purposes under regulations.",
            "anyOf": [purpose(), { "type": "array", "items": need, "minItems": 1 }, properties(generator, true)],
        })
    }
}
