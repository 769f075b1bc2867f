//! The line between an SDK and the engine, which fails as it is told: 503, 429 with `Retry-After`, and answers that are lost.
//!
//! Only requests that carry events fail. What is said before them (settings, who is there, preflights) goes through, since SDKs that are
//! refused there do not begin.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use weft_tests::wire::{split, unchunked};

/// What the proxy does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 at once: the engine hears nothing of it.
    Unavailable,
    /// 429 with `Retry-After: 1`: the engine hears nothing of it.
    TooMany,
    /// The engine takes the batch, and the sender is told 503.
    AnswerLost,
    /// None.
    None,
}

/// A proxy, and what it noted.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

/// What passed.
#[derive(Default)]
pub(crate) struct Seen {
    /// Requests with events.
    pub(crate) requests: usize,
    /// Status codes that the engine itself answered them with.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// How often the engine was given each event, by its id.
    pub(crate) handed: BTreeMap<String, usize>,
    pub(crate) gzipped: usize,
}

impl Proxy {
    /// Starts one whose first requests fare so, and all others well. It ends with the process: a test's proxy has nothing to put in order.
    pub(crate) fn start(engine: SocketAddr, faults: &'static [Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = seen.clone();
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || pass(line, engine, faults, &shared));
            }
        });
        Proxy { address, seen }
    }
}

/// Passes one request on, or not, and closes the line.
fn pass(mut line: TcpStream, engine: SocketAddr, faults: &[Fault], seen: &Mutex<Seen>) -> Option<()> {
    let request = read_message(&mut line)?;
    let (events, is_gzip) = events_of(&request);
    if events.is_empty() {
        return line.write_all(&hand_on(&request, engine)?.1).ok();
    }
    let fault = {
        let mut seen = seen.lock().expect("no thread panics with it");
        let fault = faults.get(seen.requests).copied().unwrap_or(Fault::None);
        seen.requests += 1;
        fault
    };
    let hand_on = || {
        let (status, answer) = hand_on(&request, engine)?;
        let mut seen = seen.lock().expect("no thread panics with it");
        *seen.answers.entry(status).or_default() += 1;
        seen.gzipped += usize::from(is_gzip);
        for id in events {
            *seen.handed.entry(id).or_default() += 1;
        }
        Some(answer)
    };
    let answer = match fault {
        Fault::Unavailable => refusal("503 Service Unavailable", ""),
        Fault::TooMany => refusal("429 Too Many Requests", "retry-after: 1\r\n"),
        Fault::AnswerLost => {
            hand_on()?;
            refusal("503 Service Unavailable", "")
        }
        Fault::None => hand_on()?,
    };
    line.write_all(&answer).ok()
}

/// Like the engine's own, which does not know of origins: a page is not told the status, but that it was not heard.
fn refusal(status: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

/// Gives a request to the engine; its status, and its answer with the line's end said.
fn hand_on(request: &[u8], engine: SocketAddr) -> Option<(u16, Vec<u8>)> {
    let mut line = TcpStream::connect(engine).ok()?;
    line.write_all(request).ok()?;
    let answer = read_message(&mut line)?;
    let (first, headers, body) = split(&answer)?;
    let mut passed = format!("{first}\r\n");
    for (name, value) in headers {
        if !matches!(&*name, "connection" | "keep-alive" | "content-length" | "transfer-encoding") {
            passed.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    passed.push_str(&format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()));
    Some((first.get(9..12)?.parse().ok()?, [passed.as_bytes(), body].concat()))
}

/// A message with a length (RFC 9112, 6.3), or in chunks, as it came.
pub(crate) fn read_message(line: &mut TcpStream) -> Option<Vec<u8>> {
    line.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some((_, headers, body)) = split(&bytes) {
            let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let length = header("content-length").map_or(0, |length| length.parse().unwrap_or(0));
            let is_whole = match header("transfer-encoding") {
                Some(_) => body.ends_with(b"0\r\n\r\n"),
                None => body.len() >= length,
            };
            if is_whole {
                return Some(bytes);
            }
        }
        match line.read(&mut piece).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// The ids of the events in a request, and whether it was compressed.
fn events_of(request: &[u8]) -> (Vec<String>, bool) {
    let Some((_, headers, body)) = split(request) else {
        return (Vec::new(), false);
    };
    let has = |name: &str, value: &str| headers.iter().any(|(known, said)| known == name && said.eq_ignore_ascii_case(value));
    let body = if has("transfer-encoding", "chunked") { unchunked(body).unwrap_or_default() } else { body.to_vec() };
    let is_gzip = has("content-encoding", "gzip");
    let mut json = Vec::new();
    if is_gzip {
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut json).expect("the SDK's gzip is gzip");
    } else {
        json = body;
    }
    if json.is_empty() {
        return (Vec::new(), false);
    }
    (ids(&serde_json::from_slice(&json).expect("the SDK's JSON is JSON")), is_gzip)
}

/// What tells events apart: Segment's message ids; at mParticle those of events, else their words. A batch without events is one.
fn ids(said: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(id) = text(&said["messageId"]) {
        return vec![id];
    }
    if let Value::Array(batches) = said {
        return batches.iter().flat_map(ids).collect();
    }
    let event = |event: &Value| {
        let id = text(&event["messageId"]).or_else(|| text(&event["data"]["source_message_id"]));
        id.unwrap_or_else(|| event.to_string())
    };
    match said["batch"].as_array().or(said["events"].as_array()) {
        Some(events) if !events.is_empty() => events.iter().map(event).collect(),
        _ => text(&said["source_request_id"]).into_iter().collect(),
    }
}
