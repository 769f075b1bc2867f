//! The three kinds of plugins.
//!
//! Each has constants about itself, a configuration type, `open` to begin and its own calls; what is optional has a default.
//! An instance is opened once and then called, often for a single batch: whatever must be remembered is in the state that
//! the engine hands back ([`Source`]), in [`crate::kv`], or nowhere ([`Transform`]).

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::about::About;
use crate::contract::{Batch, ConfigProblem, Failure, Outcome, Receipt, Received, Request};
use crate::record::Record;

/// Bytes to events. Without state of its own.
pub trait Source: Sized + 'static {
    /// What it says about itself.
    const ABOUT: About;
    /// The block under `config:`. Its doc comments become the descriptions in its JSON Schema.
    type Config: DeserializeOwned + JsonSchema;

    /// Begins with a configuration that was validated.
    ///
    /// # Errors
    /// Why it cannot begin.
    fn open(config: Self::Config) -> Result<Self, Failure>;

    /// What the JSON Schema cannot say. Nothing is lent.
    fn validate(_config: &Self::Config) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// Whether the outside is there and lets us in.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Webhooks and SDKs: a request at the source's path.
    ///
    /// # Errors
    /// A failure of the whole call: the sender is answered 503. A bad request is an answer and not a failure.
    fn receive(&mut self, _request: Request) -> Result<Received, Failure> {
        Err(Failure::internal("this source takes no requests"))
    }

    /// APIs: emits pages through [`crate::output`], and returns when there is no more for now.
    ///
    /// # Errors
    /// Why it stopped before the end.
    fn poll(&mut self, _state: Option<String>) -> Result<(), Failure> {
        Err(Failure::internal("this source does not poll"))
    }

    /// Files and streams: reads a chunk, emits through [`crate::output`], and returns as its state what is left over of a
    /// record that is not yet complete. `last` is true for the final chunk, which may be empty.
    ///
    /// # Errors
    /// Why the chunk cannot be read.
    fn decode(&mut self, _chunk: Vec<u8>, _last: bool, _state: Option<String>) -> Result<Option<String>, Failure> {
        Err(Failure::internal("this source decodes nothing"))
    }
}

/// Events to events: pure. The same events and configuration always come to the same outcome.
pub trait Transform: Sized + 'static {
    /// What it says about itself.
    const ABOUT: About;
    /// The block under `config:`. Its doc comments become the descriptions in its JSON Schema.
    type Config: DeserializeOwned + JsonSchema;

    /// Begins with a configuration that was validated.
    ///
    /// # Errors
    /// Why it cannot begin.
    fn open(config: Self::Config) -> Result<Self, Failure>;

    /// What the JSON Schema cannot say. Nothing is lent.
    fn validate(_config: &Self::Config) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// One record. Change it and give it back with [`Record::into_outcome`], which keeps what was not changed.
    fn apply(&mut self, record: Record<'_>) -> Outcome;

    /// A batch: one outcome for each record, in order. Override it to look at records together.
    ///
    /// # Errors
    /// A failure of the whole batch.
    fn apply_all(&mut self, records: &[Vec<u8>]) -> Result<Vec<Outcome>, Failure> {
        Ok(records.iter().map(|record| Record::parse(record).map_or_else(Outcome::Reject, |record| self.apply(record))).collect())
    }
}

/// Deliveries to the outside.
pub trait Destination: Sized + 'static {
    /// What it says about itself.
    const ABOUT: About;
    /// The block under `config:`. Its doc comments become the descriptions in its JSON Schema.
    type Config: DeserializeOwned + JsonSchema;

    /// Begins with a configuration that was validated.
    ///
    /// # Errors
    /// Why it cannot begin.
    fn open(config: Self::Config) -> Result<Self, Failure>;

    /// What the JSON Schema cannot say. Nothing is lent.
    fn validate(_config: &Self::Config) -> Vec<ConfigProblem> {
        Vec::new()
    }

    /// Whether the outside is there and lets us in.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// One receipt for each record, in order.
    ///
    /// # Errors
    /// A failure of the whole batch: none of it is known to be delivered, and it comes again with the same key.
    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure>;
}

/// The manifest of a source, as the engine gets it.
#[must_use]
pub fn manifest_of_source<P: Source>() -> String {
    P::ABOUT.manifest::<P::Config>("source")
}

/// The manifest of a transform, as the engine gets it.
#[must_use]
pub fn manifest_of_transform<P: Transform>() -> String {
    P::ABOUT.manifest::<P::Config>("transform")
}

/// The manifest of a destination, as the engine gets it.
#[must_use]
pub fn manifest_of_destination<P: Destination>() -> String {
    P::ABOUT.manifest::<P::Config>("destination")
}

/// Reads a configuration; a mistake comes with the place where it is.
pub(crate) fn read_config<C: DeserializeOwned>(json: &str) -> Result<C, ConfigProblem> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        use serde_path_to_error::Segment;
        let mut path = String::new();
        for segment in error.path().iter() {
            match segment {
                Segment::Seq { index } => path.push_str(&format!("/{index}")),
                Segment::Map { key } | Segment::Enum { variant: key } => {
                    path.push('/');
                    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Segment::Unknown => {}
            }
        }
        ConfigProblem::at(path, without_position(&error.inner().to_string()))
    })
}

/// The parser's words without its line and column, which mean nothing to somebody who wrote YAML.
fn without_position(words: &str) -> &str {
    words.rfind(" at line ").map_or(words, |end| &words[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[allow(dead_code, reason = "only read")]
        columns: Vec<u8>,
    }

    #[test]
    fn a_mistake_in_a_configuration_comes_with_its_place() {
        let check = |json: &str, path: &str, words: &str| {
            let problem = read_config::<Config>(json).expect_err(json);
            assert_eq!(problem.path, path, "{json}");
            assert!(problem.message.contains(words) && !problem.message.contains("line"), "{json}: {}", problem.message);
        };
        check(r#"{"columns":[1,"two"]}"#, "/columns/1", "invalid type");
        check(r#"{"columns":[],"colour":1}"#, "/colour", "unknown field");
        check("{}", "", "missing field");
        assert_eq!(read_config::<Config>(r#"{"columns":[7]}"#).expect("valid").columns, [7]);
    }
}
