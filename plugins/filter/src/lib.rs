//! A transform that keeps or drops events by a condition in CEL, the Common Expression Language.
//!
//! The condition is compiled once for an instance, and looks at an event without changing it: what is kept is kept byte for byte. There are no
//! clocks and no patterns in it, and what it costs is bounded by the event. What it means is `weft-conditions`', as in the engine.
#![deny(clippy::unwrap_used)]

use schemars::JsonSchema;
use serde::Deserialize;
use weft_conditions::{Condition, Mistake};
use weft_plugin::{About, ConfigProblem, Example, Failure, Outcome, Record, Rejection, Transform, document};

/// Which events are kept: `keep` or `drop`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A condition in CEL. Events that meet it are kept, all others dropped.
    pub keep: Option<String>,
    /// A condition in CEL. Events that meet it are dropped, all others kept.
    pub drop: Option<String>,
    /// What an event does that a condition fails over, such as one that lacks a field which the condition reads.
    pub on_failure: OnFailure,
}

/// What becomes of an event that the condition fails over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It does not meet the condition.
    #[default]
    Unmet,
    /// It becomes a dead letter, with the code `condition_failed`.
    Reject,
}

/// The plugin.
#[derive(Debug)]
pub struct Filter {
    condition: Condition,
    met: Outcome,
    unmet: Outcome,
    on_failure: OnFailure,
}

impl Config {
    /// The condition, and where it stands.
    fn condition(&self) -> Result<(&'static str, &str), ConfigProblem> {
        match (&self.keep, &self.drop) {
            (Some(keep), None) => Ok(("/keep", keep)),
            (None, Some(drop)) => Ok(("/drop", drop)),
            (None, None) => Err(ConfigProblem::at("", "there is no condition").hint("it needs `keep` or `drop`")),
            (Some(_), Some(_)) => {
                Err(ConfigProblem::at("", "there are two conditions").hint("one of `keep` and `drop`: join them by `&& !( … )`"))
            }
        }
    }
}

impl Transform for Filter {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Orders that are worth something", config: include_str!("../examples/orders.json") },
            Example { title: "No robots", config: include_str!("../examples/robots.json") },
        ],
        // The condition is compiled once, and not for every batch.
        reuse: true,
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let (at, source) = config.condition().map_err(|problem| Failure::config(problem.message))?;
        let condition = Condition::parse(source).map_err(|mistakes| Failure::config(mistakes[0].to_string()))?;
        let (met, unmet) = if at == "/keep" { (Outcome::Keep, Outcome::Drop) } else { (Outcome::Drop, Outcome::Keep) };
        Ok(Filter { condition, met, unmet, on_failure: config.on_failure })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        match config.condition() {
            Err(problem) => vec![problem],
            Ok((at, source)) => {
                let mistakes = Condition::parse(source).err().unwrap_or_default();
                let problem =
                    |mistake: Mistake| ConfigProblem { path: at.into(), message: mistake.message(), hint: mistake.hint };
                mistakes.into_iter().map(problem).collect()
            }
        }
    }

    fn apply(&mut self, event: Record<'_>) -> Outcome {
        self.decide(&event.to_bytes())
    }

    fn apply_all(&mut self, events: &[Vec<u8>]) -> Result<Vec<Outcome>, Failure> {
        Ok(events.iter().map(|event| self.decide(event)).collect())
    }
}

impl Filter {
    fn decide(&self, event: &[u8]) -> Outcome {
        let fields = match document(event) {
            Ok(fields) => fields,
            Err(error) => return Outcome::reject("not_json", format!("the record is no JSON object: {error}")),
        };
        match (self.condition.ask(fields), self.on_failure) {
            (Ok(true), _) => self.met.clone(),
            (Ok(false), _) | (Err(_), OnFailure::Unmet) => self.unmet.clone(),
            (Err(message), OnFailure::Reject) => Outcome::Reject(Rejection::new("condition_failed", message)),
        }
    }
}

weft_plugin::transform!(Filter);
