//! A destination: batches of records in, a receipt for each record out. The connection that its stage names has the address and the credentials.

use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::{About, Batch, Capability, Destination, Example, Failure, Limits, Receipt, http};

/// What is under `config:` in a workspace. The doc comments become the descriptions in its JSON Schema.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The path of the API, below the `base_url` of the connection.
    #[schemars(length(min = 1))]
    target: String,
}

/// Posts each event to an API.
pub struct MyPlugin(Config);

impl Destination for MyPlugin {
    const ABOUT: About = About {
        accepts: &["events"],
        capabilities: &[Capability::Http],
        // Each record is a request, and a batch should be done within a call.
        limits: Limits { batch_records: Some(50), ..weft_plugin::about!().limits },
        docs: include_str!("../README.md"),
        examples: &[Example { title: "An API that takes one event at a time", config: r#"{ "target": "events" }"# }],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        Ok(MyPlugin(config))
    }

    fn deliver(&mut self, batch: Batch) -> Result<Vec<Receipt>, Failure> {
        let mut receipts = Vec::with_capacity(batch.records.len());
        for (record, position) in batch.records.iter().zip(&batch.positions) {
            let mut request = http::Request::post_json(&*self.0.target, record.clone());
            // Stream and position name a record for ever: an API that honours the key takes it once, however often it comes.
            request.headers = vec![
                ("content-type".into(), "application/json".into()),
                ("idempotency-key".into(), format!("{}-{position}", batch.stream)),
            ];
            match posted(http::send(request)) {
                Ok(receipt) => receipts.push(receipt),
                // Nothing is delivered yet: the whole batch waits, for as long as it takes.
                Err(failure) if receipts.is_empty() => return Err(failure),
                // What was delivered stays so; this record and those behind it come again, in order.
                Err(failure) => {
                    receipts.resize(batch.records.len(), Receipt::Retry(failure.retry_after_ms.unwrap_or(1_000)));
                    break;
                }
            }
        }
        Ok(receipts)
    }
}

/// What an answer means: for this record, or for all of them.
fn posted(answer: Result<http::Response, Failure>) -> Result<Receipt, Failure> {
    let answer = answer?;
    match answer.status {
        200..=299 => Ok(Receipt::Ok),
        401 | 403 => Err(Failure::credentials(format!("the API answers {}", answer.status))),
        429 => {
            let seconds = answer.header("retry-after").and_then(|after| after.parse::<u64>().ok()).unwrap_or(10);
            Err(Failure::rate_limited("the API asks for patience", Some(seconds.saturating_mul(1_000))))
        }
        500.. => Err(Failure::unavailable(format!("the API answers {}", answer.status))),
        status => Ok(Receipt::reject("refused", format!("the API answers {status}"))),
    }
}

weft_plugin::destination!(MyPlugin);

#[cfg(test)]
mod tests {
    use weft_plugin::testing;

    use super::*;

    #[test]
    fn each_record_has_a_key_of_its_own() {
        testing::with(|double| {
            double.peer = Some(Box::new(|request| {
                assert!(request.headers.contains(&("idempotency-key".into(), "events-7".into())));
                Ok(http::Response { status: 204, headers: Vec::new(), body: Vec::new() })
            }));
        });
        let batch = Batch { stream: "events".into(), key: "k".into(), records: vec![b"{}".to_vec()], positions: vec![7] };
        assert_eq!(MyPlugin(Config { target: "events".into() }).deliver(batch), Ok(vec![Receipt::Ok]));
    }
}
