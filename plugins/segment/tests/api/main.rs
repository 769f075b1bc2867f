//! The source as its senders see it: requests in, answers and canonical events out.
//!
//! Every event is read by the engine's own reader, and compared in the text that the engine keeps.

mod door;
mod mapping;

use weft_domain::event::Event;
use weft_plugin::{Body, Received, Request, Source, testing};

const KEY: &str = "wk_123";

/// A source with two keys.
fn open(config: &str) -> segment::Segment {
    testing::reset();
    testing::with(|double| {
        double.secrets.insert("first".into(), b"other".to_vec());
        double.secrets.insert("second".into(), KEY.as_bytes().to_vec());
    });
    let config = testing::config(config).expect("a valid configuration");
    segment::Segment::open(config).expect("it opens")
}

const CONFIG: &str = r#"{"write_keys":["first","second"]}"#;

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Body::Bytes(body.to_vec()),
        received_ms: 1_772_357_400_000,
        remote: "203.0.113.9".into(),
    }
}

/// `Authorization` for a write key, with an empty password.
fn basic(key: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

fn post(target: &str, body: &str) -> Received {
    let request = request("POST", target, &[("authorization", &basic(KEY))], body.as_bytes());
    open(CONFIG).receive(request).expect("no failure")
}

/// The events as the engine keeps them.
fn kept(received: &Received) -> Vec<String> {
    let text = |bytes: &Vec<u8>| {
        let event = Event::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
        String::from_utf8(event.to_json()).expect("UTF-8")
    };
    received.events.iter().map(text).collect()
}

fn codes(received: &Received) -> Vec<&str> {
    received.refused.iter().map(|refused| refused.rejection.code.as_str()).collect()
}
