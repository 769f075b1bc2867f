//! A destination that posts a message to Slack for each record.
//!
//! It reads nothing from Slack but its answers. `message.rs` makes messages, `answer.rs` reads answers, the SDK's `template` finds values.
//! Order is kept: a message that has to wait holds up those behind it.
#![deny(clippy::unwrap_used)]

mod answer;
mod message;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use weft_plugin::{About, Batch, Capability, ConfigProblem, Destination, Example, Failure, Limits, Receipt, document, http};

use crate::answer::{Api, Fate, fate};
use crate::message::Message;

/// Where messages go, and what they say. `{{ event.properties.total }}` stands for a value of the record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The channel, by its id or its name: `C0123456789`, `#sales`. The connection has a bot's token.
    #[serde(default)]
    pub channel: Option<String>,
    /// Instead of a channel: the path of an incoming webhook, `services/T…/B…/…`, below `https://hooks.slack.com/`.
    #[serde(default)]
    pub incoming_webhook: Option<String>,
    /// The message in Slack's markup; with blocks, what notifications show.
    #[schemars(length(min = 1))]
    pub text: String,
    /// Blocks of Slack's Block Kit. Texts in them may have values of the record too.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub blocks: Vec<Map<String, Value>>,
}

/// The plugin.
#[derive(Debug)]
pub struct Slack {
    api: Api,
    target: String,
    message: Message,
}

impl Destination for Slack {
    const ABOUT: About = About {
        accepts: &["events", "profiles"],
        capabilities: &[Capability::Http],
        reuse: true,
        // As many as the engine tries a batch: however often Slack interrupts it, no message is given up for its neighbours.
        limits: Limits { batch_records: Some(8), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "A line for each order", config: include_str!("../examples/line.json") },
            Example { title: "Blocks", config: include_str!("../examples/blocks.json") },
            Example { title: "An incoming webhook", config: include_str!("../examples/incoming.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let message = Message::read(&config, &mut problems);
        if let Some(problem) = problems.into_iter().next() {
            return Err(Failure::config(problem.message));
        }
        let (api, target) = match config.incoming_webhook {
            Some(path) => (Api::IncomingWebhook, path),
            None => (Api::Web, "chat.postMessage".into()),
        };
        Ok(Slack { api, target, message })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        Message::read(config, &mut problems);
        if config.text.trim().is_empty() {
            problems.push(ConfigProblem::at("/text", "a message needs a text: notifications show it where there are blocks"));
        }
        match (&config.channel, &config.incoming_webhook) {
            (None, None) => {
                problems.push(ConfigProblem::at("", "nothing says where messages go").hint("name a `channel`"));
            }
            (Some(_), Some(_)) => {
                problems.push(
                    ConfigProblem::at("/channel", "an incoming webhook has its channel already").hint("name one of the two"),
                );
            }
            (Some(channel), None) if channel.trim().is_empty() => {
                problems.push(ConfigProblem::at("/channel", "the channel is empty"))
            }
            (None, Some(path)) if !is_path(path) => {
                let hint = "what follows https://hooks.slack.com/, such as services/T…/B…/…; the connection has the host";
                problems.push(ConfigProblem::at("/incoming_webhook", "not the path of an incoming webhook").hint(hint));
            }
            _ => {}
        }
        problems
    }

    fn check(&mut self) -> Result<(), Failure> {
        match self.api {
            // There is nothing to ask a webhook but to post.
            Api::IncomingWebhook => Ok(()),
            Api::Web => match fate(http::send(http::Request::post_json("auth.test", "{}")), Api::Web) {
                Fate::Posted => Ok(()),
                Fate::Waits(failure) => Err(failure),
                Fate::Refused(rejection) => Err(Failure::config(rejection.message)),
            },
        }
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        let mut receipts = Vec::with_capacity(batch.records.len());
        for bytes in &batch.records {
            let record = match document(bytes) {
                Ok(record) => record,
                Err(error) => {
                    receipts.push(Receipt::reject("not_json", format!("the record is no JSON object: {error}")));
                    continue;
                }
            };
            let mut request = http::Request::post_json(&*self.target, self.message.of(&record));
            // Slack warns where the charset is not said.
            request.headers = vec![("content-type".into(), "application/json; charset=utf-8".into())];
            match fate(http::send(request), self.api) {
                Fate::Posted => receipts.push(Receipt::Ok),
                Fate::Refused(rejection) => receipts.push(Receipt::Reject(rejection)),
                // The first of a batch: a failure, at which the engine waits for as long as it takes.
                Fate::Waits(failure) if receipts.is_empty() => return Err(failure),
                // Those before it are posted. It comes again first, and those behind it after it.
                Fate::Waits(failure) => {
                    receipts.resize(batch.records.len(), Receipt::Retry(failure.retry_after_ms.unwrap_or(0)));
                    break;
                }
            }
        }
        Ok(receipts)
    }
}

/// Whether this can be the path of a webhook, and is not its whole address.
fn is_path(text: &str) -> bool {
    let path = text.strip_prefix('/').unwrap_or(text);
    !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte)) && !path.starts_with('/')
}

weft_plugin::destination!(Slack);
