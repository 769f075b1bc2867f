//! A transform: events in, events out. It must be pure: the same event with the same configuration always comes to the same outcome.

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, Example, Failure, Outcome, Record, Transform};

/// What is under `config:` in a workspace. The doc comments become the descriptions in its JSON Schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names of properties.
    properties: Vec<String>,
}

/// Takes properties out of events.
pub struct MyPlugin(Config);

impl Transform for MyPlugin {
    const ABOUT: About = About {
        docs: include_str!("../README.md"),
        examples: &[Example { title: "Without card numbers", config: r#"{ "properties": ["card"] }"# }],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(MyPlugin(config))
    }

    fn apply(&mut self, mut event: Record<'_>) -> Outcome {
        for name in &self.0.properties {
            event.remove(&format!("properties.{name}"));
        }
        // An event that was not changed is kept, and nothing is copied.
        event.into_outcome()
    }
}

weft_plugin::transform!(MyPlugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_taken_out() {
        let mut plugin = MyPlugin(Config { properties: vec!["card".into()] });
        let outcome = plugin.apply(Record::parse(br#"{"type":"page","properties":{"card":"4111","n":1}}"#).expect("an event"));
        assert_eq!(outcome, Outcome::Replace(br#"{"type":"page","properties":{"n":1}}"#.to_vec()));
    }
}
