//! A source: requests in, events out, and an answer to the sender. The engine answers only once the events are durable.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use weft_plugin::{
    About, Body, Capability, EventBuilder, Example, Failure, Json, Kind, Reads, Received, Refused, Rejection, Request, Response,
    Secret, Source,
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
struct Posted<'a> {
    id: Option<String>,
    event: Option<String>,
    email: Option<String>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// Takes events that are posted by who knows a token.
pub struct MyPlugin(Config);

impl Source for MyPlugin {
    const ABOUT: About = About {
        reads: &[Reads::Receive],
        capabilities: &[Capability::Crypto],
        docs: include_str!("../README.md"),
        examples: &[Example { title: "One token for all senders", config: r#"{ "token": "${secret:TOKEN}" }"# }],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(MyPlugin(config))
    }

    fn receive(&mut self, request: Request) -> Result<Received, Failure> {
        // First of all: nothing of a stranger's is kept.
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.0.token.equals(token.as_bytes())) {
            return Ok(Received::answer(Response::json(401, r#"{"error":"unauthorized"}"#)));
        }
        let bytes = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Unreadable(_) => return Ok(Received::answer(Response::json(400, r#"{"error":"unreadable"}"#))),
        };
        let (events, refused) = match event(&bytes) {
            Ok(event) => (vec![event], Vec::new()),
            // It is kept with its reason, and can be looked at and given again.
            Err(rejection) => (Vec::new(), vec![Refused { rejection, bytes: None }]),
        };
        Ok(Received { response: Response::json(200, r#"{"ok":true}"#), events, refused })
    }
}

fn event(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    let posted: Posted<'_> = serde_json::from_slice(bytes).map_err(|error| Rejection::new("not_json", error.to_string()))?;
    let mut event = EventBuilder::new(Kind::Track);
    event.name = Some(
        posted.event.filter(|name| !name.is_empty()).ok_or_else(|| Rejection::new("no_event", "the event has no name"))?.into(),
    );
    // The sender's own id, so that the same event sent twice counts once; prefixed, since other sources count too.
    event.message_id = posted.id.map(|id| format!("my-plugin/{id}").into());
    event.properties = posted.properties.map(Json::from).filter(Json::is_object);
    if let Some(email) = posted.email.filter(|email| !email.is_empty()) {
        event.claim("email", email);
    }
    event.finish()
}

weft_plugin::source!(MyPlugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_senders_id() {
        let event = event(br#"{"id":"7","event":"Signed Up","email":"ann@example.com"}"#).expect("an event");
        let text = String::from_utf8(event).expect("text");
        assert!(text.contains(r#""message_id":"my-plugin/7""#) && text.contains("ann@example.com"), "{text}");
    }
}
