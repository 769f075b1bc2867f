//! A transform that holds events to a tracking plan: a JSON Schema for each event's name, or for all events of a type.
//!
//! An event that violates its part of the plan is refused with all violations, dropped, or passed on with them noted. Events are never repaired, and
//! values are never said: violations stand in places that others read. `plan.rs` finds the schemas of an event, `schema.rs` reads and checks
//! them, `number.rs` compares numbers by their digits.
#![deny(clippy::unwrap_used)]

mod number;
mod plan;
mod schema;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, ConfigProblem, Example, Failure, Outcome, RawValue, Record, Rejection, Transform};

/// The plan, and what becomes of events that are not as it says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What events are to be.
    pub plan: Plan,
    /// What becomes of an event that violates the plan.
    #[serde(default)]
    pub violations: Violations,
    /// What becomes of a track event that the plan does not know.
    #[serde(default)]
    pub unplanned: Unplanned,
}

/// What events are to be.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// By the event's name, such as `Order Completed`, whatever its type.
    pub events: BTreeMap<String, Parts>,
    /// By the event's type, such as `identify`: for events whose name is not among `events`.
    pub types: BTreeMap<String, Parts>,
}

/// A JSON Schema for each part of an event. A part without one may be anything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parts {
    /// Of the event's properties, an object.
    #[schemars(with = "Option<serde_json::Value>")]
    pub properties: Option<Box<RawValue>>,
    /// Of the person's traits, an object.
    #[schemars(with = "Option<serde_json::Value>")]
    pub traits: Option<Box<RawValue>>,
    /// Of the products, a list.
    #[schemars(with = "Option<serde_json::Value>")]
    pub products: Option<Box<RawValue>>,
    /// Of the context, an object.
    #[schemars(with = "Option<serde_json::Value>")]
    pub context: Option<Box<RawValue>>,
}

/// What becomes of an event that violates the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Violations {
    /// It becomes a dead letter, with the code `plan_violated` and all violations.
    #[default]
    Reject,
    /// It is dropped.
    Drop,
    /// It goes on, with the violations in `context.extra.violations`.
    Note,
}

/// What becomes of a track event that the plan does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unplanned {
    /// It goes on.
    #[default]
    Allow,
    /// It is dropped.
    Drop,
    /// It becomes a dead letter, with the code `unplanned`.
    Reject,
}

/// Violations that are told of one event.
const TOLD_MAX: usize = 50;

/// The plugin.
#[derive(Debug)]
pub struct TrackingPlan {
    plan: plan::Plan,
    violations: Violations,
    unplanned: Unplanned,
}

impl Transform for TrackingPlan {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "A shop's orders and customers", config: include_str!("../examples/shop.json") },
            Example { title: "Only what is planned, with violations noted", config: include_str!("../examples/note.json") },
        ],
        // Schemas are read once, and not for every batch.
        reuse: true,
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let plan = plan::compile(&config.plan).map_err(|problems| Failure::config(problems[0].message.clone()))?;
        Ok(TrackingPlan { plan, violations: config.violations, unplanned: config.unplanned })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        plan::compile(&config.plan).err().unwrap_or_default()
    }

    fn apply(&mut self, mut event: Record<'_>) -> Outcome {
        let name = event.get_str("name").unwrap_or_default().into_owned();
        let kind = event.get_str("type").unwrap_or_default().into_owned();
        let Some(parts) = self.plan.of(&kind, &name) else {
            return match self.unplanned {
                Unplanned::Drop if kind == "track" => Outcome::Drop,
                Unplanned::Reject if kind == "track" => Outcome::reject("unplanned", format!("the plan has no event `{name}`")),
                _ => Outcome::Keep,
            };
        };
        let found = parts.check(&mut event);
        match self.violations {
            _ if found.is_empty() => Outcome::Keep,
            Violations::Drop => Outcome::Drop,
            Violations::Reject => Outcome::Reject(Rejection::new("plan_violated", found.told().join("; "))),
            Violations::Note => match event.set("context.extra.violations", &found.told()) {
                Ok(()) => event.into_outcome(),
                Err(error) => Outcome::reject("not_json", error.to_string()),
            },
        }
    }
}

weft_plugin::transform!(TrackingPlan);
