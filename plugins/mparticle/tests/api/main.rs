//! The source as its senders see it: requests in, answers and canonical events out.
//!
//! Every event is read by the engine's own reader, and compared in the text that the engine keeps.

mod door;
mod identity;
mod mapping;

use serde_json::Value;
use weft_domain::event::Event;
use weft_plugin::{Body, Received, Request, Source, testing};

/// A server's key, whose secret is [`SECRET`].
const KEY: &str = "shop";
const SECRET: &str = "s3cret";
/// A web page's key.
const WEB: &str = "web-key-1";

const CONFIG: &str = r#"{"keys":{"shop":"shop-secret","site":{"key":"site-key"},
    "lab":{"key":"lab-key","secret":"lab-secret","environment":"development"}}}"#;

/// When requests come in.
const RECEIVED_MS: u64 = 1_772_357_400_000;

fn open(config: &str) -> mparticle::MParticle {
    testing::reset();
    testing::with(|double| {
        for (handle, secret) in [("shop-secret", SECRET), ("site-key", WEB), ("lab-key", "lab-1"), ("lab-secret", "l4b")] {
            double.secrets.insert(handle.into(), secret.as_bytes().to_vec());
        }
    });
    let config = testing::config(config).expect("a valid configuration");
    mparticle::MParticle::open(config).expect("it opens")
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Body::Bytes(body.to_vec()),
        received_ms: RECEIVED_MS,
        remote: "203.0.113.9".into(),
    }
}

fn basic(key: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}")))
}

/// What a server sends.
fn server(path: &str, body: &str) -> Received {
    open(CONFIG).receive(request("POST", path, &[("authorization", &basic(KEY, SECRET))], body.as_bytes())).expect("no failure")
}

/// What a web page sends.
fn page(path: &str, body: &str) -> Received {
    let headers = [("x-mp-key", WEB), ("origin", "https://shop.example"), ("user-agent", "Mozilla/5.0")];
    open(CONFIG).receive(request("POST", path, &headers, body.as_bytes())).expect("no failure")
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

fn answer(received: &Received) -> Value {
    serde_json::from_slice(&received.response.body).expect("an answer in JSON")
}
