//! A source: requests in, events out, and an answer to the sender. The engine answers only once the events are durable.

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{
    About, Body, Capability, EventBuilder, Example, Failure, Kind, Received, Reads, Request, Response, Secret, Source,
};

/// What is under `config:` in a workspace. The doc comments become the descriptions in its JSON Schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What senders prove to be who they are by: `authorization: Bearer TOKEN`.
    token: Secret,
}

/// What senders post. What they say beside it is let pass.
#[derive(Deserialize)]
struct Posted {
    id: Option<String>,
    event: Option<String>,
    email: Option<String>,
    properties: Option<weft_plugin::Json>,
}

/// Takes events that are posted by who knows a token.
pub struct MyPlugin(Config);
