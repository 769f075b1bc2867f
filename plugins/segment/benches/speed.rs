//! How long a track call of a browser takes, alone and in batches: `cargo bench -p segment`. It measures and asserts no time.
//!
//! Natively, so without the sandbox: the floor to compare the engine's own figures with.
#![allow(clippy::print_stdout, reason = "it is what a bench is for")]

use std::time::Instant;

use weft_plugin::{Body, Request, Source, testing};

/// 840 bytes, as `@segment/analytics-next` sends it.
const TRACK: &str = include_str!("track.json");

fn main() {
    testing::with(|double| double.secrets.insert("key".into(), b"wk_123".to_vec()));
    let config = testing::config(r#"{"write_keys":["key"]}"#).expect("a valid configuration");
    let mut source = segment::Segment::open(config).expect("it opens");
    let track = TRACK.trim_end();
    for calls in [1, 64, 256] {
        let (path, body) = match calls {
            1 => ("/v1/t", track.to_owned()),
            _ => ("/v1/batch", format!(r#"{{"batch":[{}],"sentAt":"2026-03-01T09:30:00.000Z"}}"#, vec![track; calls].join(","))),
        };
        let request = Request {
            method: "POST".into(),
            path: path.into(),
            query: String::new(),
            // `wk_123:`
            headers: vec![("authorization".into(), "Basic d2tfMTIzOg==".into())],
            body: Body::Bytes(body.into_bytes()),
            received_ms: 1_772_357_400_000,
            remote: "203.0.113.9".into(),
        };
        let rounds = 20_000 / calls;
        let best = (0..20)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..rounds {
                    let received = source.receive(request.clone()).expect("no failure");
                    assert_eq!(received.events.len(), calls);
                    std::hint::black_box(received);
                }
                start.elapsed().as_nanos() / (rounds * calls) as u128
            })
            .min();
        println!("{calls:>4} calls of {} bytes in a request: {} ns each", track.len(), best.unwrap_or_default());
    }
}
