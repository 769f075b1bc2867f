//! A transform that adds to events what a table in the configuration has of them: the category of a product, the segment of an account.
//!
//! The table is read once for an instance, and looked into by the text of a value of the event. Nothing is asked of anybody, so that the same
//! event always gets the same. `table.rs` reads the table, `join.rs` brings the two together.
#![deny(clippy::unwrap_used)]

mod join;
mod table;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, ConfigProblem, Example, Failure, For, Outcome, RawValue, Record, Transform};

/// A table, and how it is joined to events.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The table as text.
    pub table: String,
    /// How the table is written.
    #[serde(default)]
    pub format: Format,
    /// The column by which rows are found. Its values are all different.
    pub key: String,
    /// The path of the value that is looked for in that column, such as `properties.sku` or `products[].sku`.
    pub on: String,
    /// What is added: by the path where it is to be, the column that it is from.
    #[schemars(length(min = 1))]
    pub add: BTreeMap<String, String>,
    /// Whether `A` and `a` are the same key.
    #[serde(default)]
    pub case: Case,
    /// What happens where the table has no such key.
    #[serde(default)]
    pub missing: Missing,
    /// What happens where there is something already.
    #[serde(default)]
    pub existing: Existing,
    /// Which events it is for. Default: all.
    #[serde(rename = "for", default)]
    pub only: Option<For>,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values (RFC 4180), with the names of the columns in the first line. All values are strings, empty ones none.
    #[default]
    Csv,
    /// A JSON object on each line. Values keep their types, nulls are none.
    Ndjson,
}

/// Whether upper and lower case differ in keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// They do.
    #[default]
    Sensitive,
    /// They do not.
    Ignored,
}

/// What happens where the table has no such key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nothing is added.
    #[default]
    Leave,
    /// The event becomes a dead letter, with the code `not_in_table`.
    Reject,
    /// These values are added: by the path where they are to be.
    Default(#[schemars(with = "BTreeMap<String, serde_json::Value>")] BTreeMap<String, Box<RawValue>>),
}

/// What happens where there is something already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// The table's value takes its place.
    #[default]
    Replace,
    /// It stays.
    Keep,
}

/// The plugin.
#[derive(Debug)]
pub struct Enrich(join::Join);

impl Transform for Enrich {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "The category of each product", config: include_str!("../examples/products.json") },
            Example { title: "Whose account it is", config: include_str!("../examples/accounts.json") },
        ],
        // The table is read once, and not for every batch.
        reuse: true,
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        join::compile(&config).map(Enrich).map_err(|problems| Failure::config(problems[0].message.clone()))
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        join::compile(config).err().unwrap_or_default()
    }

    fn apply(&mut self, mut event: Record<'_>) -> Outcome {
        match self.0.apply(&mut event) {
            Ok(()) => event.into_outcome(),
            Err(rejection) => Outcome::Reject(rejection),
        }
    }
}

weft_plugin::transform!(Enrich);
