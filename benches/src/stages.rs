//! Each stage alone: one process, one thread, the same input at every run. No disk is spared and no queue helps.
//!
//! Each row is measured for about two seconds after a warm-up, and what comes out is checked, so that no work is left out. CPU is
//! what the whole process used, threads of sled and of the runtime among it; on a busy machine it is the column to trust. Plugins
//! run in the sandbox and natively by turns, so that whatever else the machine does meets both.

mod logs;
mod plugins;
mod rules;
mod state;
mod tally;

use weft_domain::event::{Environment, Event};
use weft_domain::input::Input;
use weft_domain::value::Timestamp;
use weft_plugin::{Source as _, testing};

use crate::calls;

/// The stages of a part, or all.
pub(crate) fn all(part: Option<&str>) {
    println!("{}", tally::HEAD);
    for (name, measure) in [("logs", logs::all as fn()), ("rules", rules::all), ("plugins", plugins::all), ("state", state::all)]
    {
        if part.is_none_or(|part| part == name) {
            measure();
        }
    }
}

/// When everything is received: 2026-11-24T12:00:00.000Z.
const NOW: Timestamp = Timestamp(1_795_521_600_000);
/// Enough that nobody comes twice.
const CUSTOMERS_MANY: usize = 10_000_000;

/// The source plugin, native.
fn segment() -> segment::Segment {
    testing::with(|double| double.secrets.insert("key".into(), b"key".to_vec()));
    segment::Segment::open(testing::config(SEGMENT_CONFIG).expect("a valid configuration")).expect("it opens")
}

const SEGMENT_CONFIG: &str = r#"{"write_keys":["key"]}"#;

/// A request that sends a batch, as the plugin gets it. The body is made of the number of its first call.
fn request(first: usize, customers: usize, batch: usize) -> weft_plugin::Request {
    let body = calls::body(first, customers, batch);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    weft_plugin::Request {
        method: "POST".into(),
        path: "/v1/batch".into(),
        query: String::new(),
        headers: vec![
            header("host", "b"),
            header("content-type", "application/json"),
            // `key:`
            header("authorization", "Basic a2V5Og=="),
            header("content-length", &body.len().to_string()),
        ],
        body: weft_plugin::Body::Bytes(body.into_bytes()),
        received_ms: NOW.0.cast_unsigned(),
        remote: "127.0.0.1".into(),
    }
}

/// What the source makes of so many calls.
fn received(first: usize, customers: usize, events: usize) -> Vec<Vec<u8>> {
    let mut segment = segment();
    let mut all = Vec::with_capacity(events);
    while all.len() < events {
        let share = (events - all.len()).min(500);
        all.extend(segment.receive(request(first + all.len(), customers, share)).expect("no failure").events);
    }
    all
}

/// The same as the door completes it.
fn stamped(first: usize, customers: usize, events: usize) -> Vec<Event> {
    received(first, customers, events).iter().map(|json| stamp(json)).collect()
}

fn stamp(json: &[u8]) -> Event {
    let mut event = Event::parse(json).expect("the source gives events");
    event.stamp(NOW, Environment::Production);
    event
}

/// The same as inputs of the fold.
fn inputs(first: usize, customers: usize, events: usize) -> Vec<Input> {
    let input = |(intake, event)| Input::Event { source: "web".into(), intake, event: Box::new(event) };
    (first as u64..).zip(stamped(first, customers, events)).map(input).collect()
}
