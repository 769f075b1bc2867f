//! A transform that takes personal data out of events: by field, and where a text has something that looks like it.
//!
//! Rules are taken in their order. Identifiers are left alone unless a path names them, and are never masked: that would make strangers
//! equal. What is looked for costs time in proportion to the text, whatever a text is. `rule.rs` has what a rule does, `find.rs` what an
//! address, a number of a phone or of a card looks like.
#![deny(clippy::unwrap_used)]

mod find;
mod rule;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, ConfigProblem, Example, Failure, For, Outcome, Record, Transform};

/// What is taken out, in this order.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rules.
    #[schemars(length(min = 1, max = 64))]
    pub rules: Vec<Rule>,
}

/// What is looked for, where, and what becomes of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which events the rule is for. Default: all.
    #[serde(rename = "for", default)]
    pub only: Option<For>,
    /// Fields, such as `traits.email`, or `*.email` for every field of that name at any depth, in upper or lower case.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What is looked for in texts.
    #[serde(default)]
    pub find: Vec<Find>,
    /// Regular expressions that are looked for in texts, in the syntax of Rust's `regex` without Unicode classes.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub patterns: Vec<String>,
    /// Where is looked: by `*.…`, `find` and `patterns`.
    #[serde(rename = "in", default = "everywhere")]
    pub within: Vec<String>,
    /// What becomes of what is found.
    pub action: Action,
}

/// Something that has a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Find {
    /// E-mail addresses, also with `%40` in place of `@`.
    Email,
    /// Phone numbers: international ones, and national ones in their usual groups.
    Phone,
    /// Numbers of payment cards: of a length and a beginning that a network has, with the right check digit (Luhn).
    Card,
    /// IPv4 and IPv6 addresses.
    Ip,
}

/// What becomes of what is found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is taken away: a field as a whole, of a text the part.
    Drop,
    /// All but some letters become `*`.
    Mask(Mask),
    /// The SHA-256 in its place, as 64 hexadecimal digits.
    Hash(Hash),
    /// A text in its place.
    Replace(String),
}

/// How much of it stays. What is not longer than that is masked as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mask {
    /// Letters that stay at the beginning.
    pub first: usize,
    /// Letters that stay at the end.
    pub last: usize,
}

/// How it is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hash {
    /// The key of an HMAC. It stands in the configuration and is no secret.
    pub salt: Option<String>,
}

fn everywhere() -> Vec<String> {
    ["traits", "properties", "products", "context", "group"].map(str::to_owned).to_vec()
}

/// The plugin.
#[derive(Debug)]
pub struct Redact {
    rules: Vec<rule::Rule>,
}

impl Transform for Redact {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "What nobody meant to send", config: include_str!("../examples/texts.json") },
            Example { title: "Fields by their names", config: include_str!("../examples/fields.json") },
        ],
        // Patterns are compiled once, and not for every batch.
        reuse: true,
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let rules = rule::compile(&config).map_err(|problems| Failure::config(problems[0].message.clone()))?;
        Ok(Redact { rules })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        rule::compile(config).err().unwrap_or_default()
    }

    fn apply(&mut self, mut event: Record<'_>) -> Outcome {
        for rule in &self.rules {
            if let Err(rejection) = rule.take(&mut event) {
                return Outcome::Reject(rejection);
            }
        }
        event.into_outcome()
    }
}

weft_plugin::transform!(Redact);
