//! A destination that sends an e-mail for each record.
//!
//! `message.rs` makes messages; the engine writes and sends them. A recipient that has to wait does not hold up the others of its batch; a server
//! that has to be waited for holds up all.
#![deny(clippy::unwrap_used)]

mod message;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, Batch, Capability, ConfigProblem, Destination, Example, Failure, Limits, Receipt, document, email};

use crate::message::Message;

/// Who is written to, and what. `{{ event.properties.total }}` stands for a value of the record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sender: an address, or a name and an address, `Acme Shop <shop@acme.example>`.
    pub from: String,
    /// The recipient, in the same way: `{{ event.traits.name }} <{{ event.claims.email }}>`.
    pub to: String,
    /// Who is shown to have it as well.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub cc: Vec<String>,
    /// Who has it and is not shown.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub bcc: Vec<String>,
    /// To whom answers go.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// The subject.
    #[schemars(length(min = 1))]
    pub subject: String,
    /// The message as plain text. With HTML, what readers without it show.
    #[serde(default)]
    pub text: Option<String>,
    /// The message as HTML. Values in it are escaped.
    #[serde(default)]
    pub html: Option<String>,
    /// Further headers, such as `List-Unsubscribe`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, String>,
}

/// The plugin.
#[derive(Debug)]
pub struct Email {
    message: Message,
}

impl Destination for Email {
    const ABOUT: About = About {
        accepts: &["events", "profiles"],
        capabilities: &[Capability::Email],
        reuse: true,
        // As many as the engine tries a batch: however often the server interrupts it, no message is given up for its neighbours.
        limits: Limits { batch_records: Some(8), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "A confirmation of each order", config: include_str!("../examples/order.json") },
            Example { title: "A note to the team", config: include_str!("../examples/team.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let message = Message::read(&config, &mut problems);
        match problems.into_iter().next() {
            Some(problem) => Err(Failure::config(problem.message)),
            None => Ok(Email { message }),
        }
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        Message::read(config, &mut problems);
        if config.text.is_none() && config.html.is_none() {
            problems.push(ConfigProblem::at("", "the message has neither `text` nor `html`").hint("write at least one of them"));
        }
        for name in config.headers.keys() {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_name {
                let at = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
                problems.push(ConfigProblem::at(at, "not the name of a header").hint("letters, digits and dashes"));
            }
        }
        problems
    }

    fn check(&mut self) -> Result<(), Failure> {
        email::check()
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        let mut receipts = Vec::with_capacity(batch.records.len());
        for (bytes, position) in batch.records.iter().zip(&batch.positions) {
            let record = match document(bytes) {
                Ok(record) => record,
                Err(error) => {
                    receipts.push(Receipt::reject("not_json", format!("the record is no JSON object: {error}")));
                    continue;
                }
            };
            let message = match self.message.of(&record, &batch.stream, *position) {
                Ok(message) => message,
                Err(rejection) => {
                    receipts.push(Receipt::Reject(rejection));
                    continue;
                }
            };
            match email::send(message) {
                Ok(email::Outcome::Accepted) => receipts.push(Receipt::Ok),
                Ok(email::Outcome::Later(wait_ms)) => receipts.push(Receipt::Retry(wait_ms)),
                Ok(email::Outcome::Refused(rejection)) => receipts.push(Receipt::Reject(rejection)),
                // The first of a batch: a failure, at which the engine waits for as long as it takes.
                Err(failure) if receipts.is_empty() => return Err(failure),
                // Those before it have their receipts. It comes again first, and those behind it after it.
                Err(failure) => {
                    receipts.resize(batch.records.len(), Receipt::Retry(failure.retry_after_ms.unwrap_or(0)));
                    break;
                }
            }
        }
        Ok(receipts)
    }
}

weft_plugin::destination!(Email);
