//! A transform that changes events step by step: rename, set, default, drop, keep, cast, hash, lower, upper, trim.
//!
//! Steps are taken in their order, each by each event that it is for. A value that no step touches stays byte for byte as it came, and
//! a number keeps its digits. Nothing is computed over several events or looked up elsewhere. `step.rs` has what a step does,
//! `cast.rs` what becomes of a value that is to be of another type.
#![deny(clippy::unwrap_used)]

mod cast;
mod step;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use weft_plugin::{About, ConfigProblem, Example, Failure, For, Outcome, RawValue, Record, Transform};

use crate::cast::{Otherwise, To};

/// What is done to each event, in this order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The steps.
    #[schemars(length(min = 1, max = 256))]
    pub steps: Vec<Step>,
}

/// One thing that is done, and to which events.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Which events the step is for. Default: all.
    #[serde(rename = "for")]
    pub only: Option<For>,
    /// Moves a value to another place, over what is there. Where there is no such value, nothing is done.
    pub rename: Option<Rename>,
    /// Writes a value, over what is there.
    pub set: Option<Write>,
    /// Writes a value where there is none, or null.
    pub default: Option<Write>,
    /// Takes what is at these paths away.
    pub drop: Option<Vec<String>>,
    /// Takes all away but what is listed.
    pub keep: Option<Keep>,
    /// Makes values another type.
    pub cast: Option<Cast>,
    /// Puts the SHA-256 in place of values.
    pub hash: Option<Hash>,
    /// Writes the strings at these paths in lower case.
    pub lower: Option<Vec<String>>,
    /// Writes the strings at these paths in upper case.
    pub upper: Option<Vec<String>>,
    /// Takes white space around the strings at these paths away.
    pub trim: Option<Vec<String>>,
}

/// From where to where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The path of the value, such as `properties.orderId`.
    pub from: String,
    /// The path where it is to be, such as `properties.order_id`.
    pub to: String,
}

/// What is written where: `value` or `from`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Where, such as `properties.currency`.
    pub path: String,
    /// A value of any type.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub value: Option<Box<RawValue>>,
    /// The path that the value is copied from. Where there is none, nothing is written.
    #[serde(default)]
    pub from: Option<String>,
}

/// What stays of an object.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The path of the object, such as `properties`; or `claims`.
    #[serde(rename = "in")]
    pub within: String,
    /// Names of what stays in it; of claims the types.
    pub names: Vec<String>,
}

/// Which values become which type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// Where the values are.
    pub paths: Vec<String>,
    /// What they are to be.
    pub to: To,
    /// What becomes of a value that cannot be that.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// Which values are hashed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// Where the values are.
    pub paths: Vec<String>,
    /// The key of an HMAC. It stands in the configuration and is no secret: it keeps digests from being looked up in tables,
    /// not from somebody who has it.
    #[serde(default)]
    pub salt: Option<String>,
}

/// Reads a null as a value, and not as none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// The plugin.
#[derive(Debug)]
pub struct Map {
    steps: Vec<step::Step>,
}

impl Transform for Map {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "One shop's names to ours", config: include_str!("../examples/shop.json") },
            Example { title: "Hashed e-mail addresses", config: include_str!("../examples/hash.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let steps = step::compile(&config).map_err(|problems| Failure::config(problems[0].message.clone()))?;
        Ok(Map { steps })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        step::compile(config).err().unwrap_or_default()
    }

    fn apply(&mut self, mut event: Record<'_>) -> Outcome {
        for step in &self.steps {
            if let Err(rejection) = step.take(&mut event) {
                return Outcome::Reject(rejection);
            }
        }
        event.into_outcome()
    }
}

weft_plugin::transform!(Map);
