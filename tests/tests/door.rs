//! The door, knocked at by everybody: what is well-formed counts once, what is not is kept with a reason, and nothing harms the engine.
//!
//! One table of requests goes to one engine, which must answer each as Segment documents, count what it counts, and be the same after
//! a stop, a restart and a rebuild. The tests after it are about many senders at once, and about being stopped under load. What real
//! SDKs send is in `peers.rs`, what a kill does in `kill.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace, number};
use weft_tests::wire::{Answer, Framing, Request};

const BATCH: &str = "/segment/v1/batch";
const TRACK: &str = "/segment/v1/track";

/// What is sent, and what must come of it.
struct Case {
    name: &'static str,
    request: Request,
    status: u16,
    /// Events that count from it.
    events: u64,
    /// The reasons of its dead letters, in their order in the alphabet.
    letters: Vec<&'static str>,
}

impl Case {
    fn new(name: &'static str, request: Request) -> Self {
        Case { name, request, status: 200, events: 0, letters: Vec::new() }
    }

    fn takes(mut self, events: u64) -> Self {
        self.events = events;
        self
    }

    /// Answered with 200, and yet not taken: Segment throws such calls away.
    fn buries(mut self, letters: &[&'static str]) -> Self {
        self.letters = letters.to_vec();
        self
    }

    /// Answered with a status, and nothing is kept: the sender is not known, or did not send an event.
    fn answers(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Answered with 400, and kept.
    fn refuses(self, letter: &'static str) -> Self {
        self.answers(400).buries(&[letter])
    }
}

/// A call of a person, with a message id that says whose it is and which.
fn call(user: &str, number: usize) -> Value {
    json!({ "type": "track", "userId": user, "event": "Product Viewed", "messageId": format!("{user}-{number}") })
}

fn with(mut call: Value, name: &str, value: Value) -> Value {
    call[name] = value;
    call
}

fn batch(calls: &[Value]) -> String {
    json!({ "batch": calls, "sentAt": null }).to_string()
}

fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(target, body).header("content-type", "application/json").key(KEY)
}

fn stranger(target: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(target, body).header("content-type", "application/json")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Calls of one person, of a batch with this many bytes or a few more.
fn calls_of(user: &str, bytes: usize) -> String {
    let filler = "x".repeat(20_000);
    let calls: Vec<Value> =
        (0..bytes.div_ceil(20_000)).map(|number| with(call(user, number), "properties", json!({ "filler": filler }))).collect();
    batch(&calls)
}

fn external_ids(count: usize) -> Value {
    let ids: Vec<Value> = (0..count).map(|number| json!({ "id": number.to_string(), "type": "crm" })).collect();
    json!({ "externalIds": ids })
}

/// A call with lists within lists, so many of them. It is written by hand: who makes it from values recurses.
fn deep(user: &str, depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"userId":"{user}","event":"e","messageId":"{user}-1","properties":{{"deep":{open}1{close}}}}}"#)
}

fn bodies() -> Vec<Case> {
    let good = || call("bodies", 1).to_string();
    vec![
        Case::new("no JSON", post(TRACK, "userId=ann&event=e")).refuses("invalid_json"),
        Case::new("JSON that ends too soon", post(TRACK, &good()[..good().len() - 1])).refuses("invalid_json"),
        Case::new("a body of nothing", post(TRACK, "")).refuses("invalid_json"),
        Case::new("a list for a call", post(TRACK, "[1]")).refuses("invalid_json"),
        Case::new("bytes that are no UTF-8", post(TRACK, b"{\"userId\":\"bodies\",\"event\":\"\xff\xfe\"}".as_slice()))
            .refuses("invalid_json"),
        Case::new("a mark at the beginning, as Windows writes it", post(TRACK, format!("\u{feff}{}", call("mark", 1)))).takes(1),
        Case::new("a batch that is no list", post(BATCH, r#"{"batch":{"type":"track"}}"#)).refuses("no_batch"),
        Case::new("no batch at all", post(BATCH, "{}")).refuses("no_batch"),
        Case::new("an empty batch", post(BATCH, batch(&[]))),
        Case::new("a batch of the largest size", post(BATCH, calls_of("large", 480_000))).takes(24),
        Case::new("a batch of 3 MB", post(BATCH, calls_of("bodies", 3_000_000))).refuses("too_large"),
        Case::new("a body over the engine's bound", post(BATCH, calls_of("bodies", 5_000_000))).refuses("unreadable"),
        Case::new("one call that is too large", post(TRACK, with(call("bodies", 2), "x", "x".repeat(40_000).into()).to_string()))
            .refuses("too_large"),
        Case::new("chunks", post(TRACK, call("chunks", 1).to_string()).framed(Framing::Chunks)).takes(1),
        Case::new("a body that breaks off", post(TRACK, good()).framed(Framing::Short(10))).answers(400),
        Case::new("gzip as a form, as RudderStack sends it", {
            let body = gzip(batch(&[call("form", 1), call("form", 2)]).as_bytes());
            let request = Request::post(BATCH, body).key(KEY).header("content-encoding", "gzip");
            request.header("content-type", "application/x-www-form-urlencoded")
        })
        .takes(2),
        Case::new("gzip that is none", post(BATCH, good()).header("content-encoding", "gzip")).refuses("unreadable"),
        Case::new("gzip that ends too soon", {
            let body = gzip(batch(&[call("bodies", 3)]).as_bytes());
            post(BATCH, &body[..body.len() - 12]).header("content-encoding", "gzip")
        })
        .refuses("unreadable"),
        Case::new("a bomb", post(BATCH, gzip(&vec![b' '; 200 << 20])).header("content-encoding", "gzip")).refuses("unreadable"),
        Case::new("an encoding that nobody knows", post(BATCH, good()).header("content-encoding", "br")).refuses("unreadable"),
    ]
}

fn keys() -> Vec<Case> {
    let body = |user: &str, key: &str| with(call(user, 1), "writeKey", key.into()).to_string();
    vec![
        Case::new("a wrong key", stranger(TRACK, call("keys", 1).to_string()).key("wrong")).answers(401),
        Case::new("no key", stranger(TRACK, call("keys", 1).to_string())).answers(401),
        Case::new("no key and no JSON", stranger(TRACK, "{")).answers(401),
        Case::new("no key and far too much", stranger(BATCH, calls_of("keys", 5_000_000))).answers(401),
        Case::new("a wrong key in the body", stranger(TRACK, body("keys", "wrong"))).answers(401),
        Case::new("a right key in the body alone", stranger(TRACK, body("in-body", KEY))).takes(1),
        Case::new("a right key in a batch's body", {
            stranger(BATCH, json!({ "writeKey": KEY, "batch": [call("in-batch", 1)] }).to_string())
        })
        .takes(1),
        Case::new("a key in the query", stranger(&format!("{TRACK}?writeKey={KEY}"), call("in-query", 1).to_string())).takes(1),
        Case::new("a bearer", stranger(TRACK, call("keys", 1).to_string()).header("authorization", &format!("Bearer {KEY}")))
            .answers(401),
    ]
}

fn calls() -> Vec<Case> {
    let alone = |name: &'static str, field: &str, value: Value| {
        Case::new(name, post(TRACK, with(call("calls", 1), field, value).to_string()))
    };
    vec![
        alone("a user id that is an object", "userId", json!({ "id": 1 })).buries(&["bad_identifier"]),
        alone("nobody", "userId", Value::Null).buries(&["no_identity"]),
        alone("a user id of control characters", "userId", json!("\u{0}\u{7}")).buries(&["no_identity"]),
        alone("an event that is a number", "event", json!(7)).buries(&["no_name"]),
        alone("properties that are a list", "properties", json!([1])).buries(&["not_an_object"]),
        alone("a context that is a text", "context", json!("here")).buries(&["not_an_object"]),
        alone("a time that is none", "timestamp", json!("tomorrow")).buries(&["bad_timestamp"]),
        alone("an event of 1970", "timestamp", json!("1970-01-01T00:00:00Z")).takes(1).of("1970"),
        alone("an event of 2099", "timestamp", json!("2099-12-31T23:59:59.999Z")).takes(1).of("2099"),
        alone("an event of the year 10000", "timestamp", json!("+010000-01-01T00:00:00Z")).buries(&["bad_timestamp"]),
        alone("a user id that is a number", "userId", json!(4242)).takes(1),
        alone("a user id without an end", "userId", "u".repeat(2_000).into()).buries(&["identifier_too_long"]),
        alone("a message id without an end", "messageId", "m".repeat(2_000).into()).buries(&["bad_message_id"]),
        alone("a name without an end", "event", "e".repeat(2_000).into()).buries(&["name_too_long"]),
        alone("half a character", "userId", json!("HALF")).replaced("HALF", "\\ud800").buries(&["bad_identifier"]),
        alone("some identifiers", "context", external_ids(20)).takes(1).of("some-ids"),
        alone("a thousand identifiers", "context", external_ids(1_000)).buries(&["too_many_identifiers"]),
        alone("more identifiers than a call may have bytes", "context", external_ids(5_000)).refuses("too_large"),
        Case::new("brackets fifty deep", post(TRACK, deep("deep", 50))).takes(1),
        Case::new("brackets a hundred deep", post(TRACK, deep("deeper", 100))).buries(&["invalid_event"]),
        Case::new("a bad call among good ones", {
            let bad = [json!(7), json!({ "type": "dance", "userId": "among" }), with(call("among", 9), "userId", Value::Null)];
            let calls: Vec<Value> =
                [call("among", 1)].into_iter().chain(bad).chain([call("among", 2), call("among", 3)]).collect();
            post(BATCH, batch(&calls))
        })
        .takes(3)
        .buries(&["bad_type", "no_identity", "not_an_object"]),
        Case::new("one message twice in a batch", post(BATCH, batch(&[call("twice", 1), call("twice", 2), call("twice", 1)])))
            .takes(2),
        Case::new("the same batch again", post(BATCH, batch(&[call("twice", 1), call("twice", 2)]))),
        Case::new("the same message by another path", post(TRACK, call("twice", 2).to_string())),
    ]
}

impl Case {
    /// The same, with other bytes in place of a word: what no value can say.
    fn replaced(mut self, from: &str, to: &str) -> Self {
        self.request = post(TRACK, self.request.body_text().replace(from, to));
        self
    }

    /// The same, of another person, so that the profile can be looked at on its own.
    fn of(mut self, user: &'static str) -> Self {
        let body = self.request.body_text().replace("\"calls\"", &format!("\"{user}\"")).replace("calls-1", &format!("{user}-1"));
        self.request = post(TRACK, body);
        self
    }
}

fn paths() -> Vec<Case> {
    let from_page = |request: Request| request.header("origin", "https://shop.example");
    let mut cases = vec![
        Case::new("a path that is no call", post("/segment/v1/nothing", call("paths", 1).to_string())).answers(404),
        Case::new("a path of no source", post("/nothing", call("paths", 1).to_string())).answers(404),
        Case::new("a path that begins like a source", post("/segmentation/v1/track", call("paths", 1).to_string())).answers(404),
        Case::new("a call that is asked for", Request::new("GET", TRACK).key(KEY)).answers(405),
        Case::new("the settings", Request::new("GET", &format!("/segment/v1/projects/{KEY}/settings"))),
        Case::new("the settings of nobody", Request::new("GET", "/segment/v1/projects/wrong/settings")).answers(404),
        Case::new("a preflight", from_page(preflight())).answers(204),
        Case::new("plain text from a page", {
            from_page(Request::post("/segment/v1/t", call("plain", 1).to_string()).key(KEY)).header("content-type", "text/plain")
        })
        .takes(1),
        Case::new("a beacon: plain text with the key in the body", {
            let body = json!({ "writeKey": KEY, "batch": [call("beacon", 1)] }).to_string();
            from_page(Request::post("/segment/v1/b", body)).header("content-type", "text/plain;charset=UTF-8")
        })
        .takes(1),
    ];
    for (path, kind) in [("t", "track"), ("i", "identify"), ("p", "page"), ("s", "screen"), ("g", "group"), ("a", "alias")] {
        let body = |path: &str| {
            let ids =
                json!({ "userId": "short", "messageId": format!("short-{path}"), "event": "e", "name": "n", "groupId": "g" });
            // Its own id before: an alias that names nobody new.
            with(ids, "previousId", "short".into()).to_string()
        };
        cases.push(Case::new("a short path", post(&format!("/segment/v1/{path}"), body(path))).takes(1));
        cases.push(Case::new("a long path", post(&format!("/segment/v1/{kind}/"), body(kind))).takes(1));
    }
    cases
}

fn preflight() -> Request {
    let request = Request::new("OPTIONS", "/segment/v1/t").header("access-control-request-method", "POST");
    request.header("access-control-request-headers", "authorization,content-type")
}

/// Counts of the engine: events, dead letters, and dead letters by their reason.
fn counts(engine: &Engine) -> (u64, u64, BTreeMap<String, u64>) {
    let status = engine.settle();
    let metrics = engine.send(&Request::new("GET", "/metrics")).text();
    let letter = |line: &str| {
        let (outcome, count) = line.strip_prefix("weft_dead_letters_total{")?.split_once("outcome=\"")?.1.split_once("\"} ")?;
        Some((outcome.to_owned(), count.parse().expect("a count")))
    };
    let by_reason = metrics.lines().filter_map(letter).collect();
    (number(&status, "/totals/events"), number(&status, "/totals/letters"), by_reason)
}

fn reasons_between(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    let more = |(reason, count): (&String, &u64)| vec![reason.clone(); (count - before.get(reason).unwrap_or(&0)) as usize];
    after.iter().flat_map(more).collect()
}

/// Sends each case, and complains of everything that came of it and should not have.
fn check(engine: &Engine, cases: &[Case]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut before = counts(engine);
    for case in cases {
        let answer = case.request.send(engine.address);
        let after = counts(engine);
        let events = after.0 - before.0;
        let letters = reasons_between(&before.2, &after.2);
        let status = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status.to_string());
        if (&*status, events, &letters)
            != (&*case.status.to_string(), case.events, &case.letters.iter().map(|text| (*text).to_owned()).collect())
            || after.1 - before.1 != case.letters.len() as u64
        {
            complaints.push(format!(
                "{}: answered {status}, {events} events, letters {letters:?} (counted {}); must be {}, {}, {:?}",
                case.name,
                after.1 - before.1,
                case.status,
                case.events,
                case.letters
            ));
        }
        let ready = engine.send(&Request::new("GET", "/readyz")).status;
        assert_eq!(ready, 200, "{}: the engine is not ready any more", case.name);
        before = after;
    }
    complaints
}

fn events_of(engine: &Engine, user: &str) -> u64 {
    engine.profile("user_id", user).map_or(0, |page| number(&page, "/profile/events_total"))
}

/// What everybody is known as and by: equal before and after whatever must change nothing.
fn people(engine: &Engine, users: &[&str]) -> Vec<Option<Value>> {
    users.iter().map(|user| engine.profile("user_id", user)).collect()
}

fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["message_id"].as_str().expect("an event has a message id")).collect()
}

const PEOPLE: [(&str, u64); 17] = [
    ("mark", 1),
    ("large", 24),
    ("chunks", 1),
    ("form", 2),
    ("in-body", 1),
    ("in-batch", 1),
    ("in-query", 1),
    ("1970", 1),
    ("2099", 1),
    ("4242", 1),
    ("some-ids", 1),
    ("deep", 1),
    ("among", 3),
    ("twice", 2),
    ("plain", 1),
    ("beacon", 1),
    ("short", 12),
];

/// People of whom nothing was taken.
const NOBODY: [&str; 4] = ["bodies", "keys", "calls", "paths"];

#[test]
fn whatever_is_sent_counts_once_or_is_kept_with_a_reason() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let mut complaints = Vec::new();
    for cases in [bodies(), keys(), calls(), paths()] {
        complaints.extend(check(&engine, &cases));
    }
    for (user, events) in PEOPLE {
        let found = events_of(&engine, user);
        if found != events {
            complaints.push(format!("{user} has {found} events and must have {events}"));
        }
    }
    for user in NOBODY {
        if engine.profile("user_id", user).is_some() {
            complaints.push(format!("{user} is somebody, and sent nothing that could be taken"));
        }
    }
    let users: Vec<&str> = PEOPLE.iter().map(|(user, _)| *user).collect();
    let (before, (events, letters, _)) = (people(&engine, &users), counts(&engine));
    assert_eq!(complaints, Vec::<String>::new(), "\n{}\n", complaints.join("\n"));
    assert_eq!(events, PEOPLE.iter().map(|(_, events)| events).sum::<u64>(), "nothing is lost, and nothing counts twice");
    untrusted_clocks_are_not_believed(&engine);
    engine.stop();

    sound(&workspace);
    let engine = workspace.start();
    assert_eq!(people(&engine, &users), before, "after a restart everybody is who they were");
    assert_eq!(counts(&engine).0, events);
    let again = engine.send(&post(BATCH, batch(&[call("twice", 1), call("form", 2), call("among", 3)])));
    assert_eq!(again.status, 200);
    assert_eq!(counts(&engine).0, events, "what was sent before the restart counts no second time after it");
    let status = engine.settle();
    assert_eq!(number(&status, "/totals/letters"), letters);
    engine.stop();

    let written = workspace.written("events");
    let distinct: BTreeSet<&str> = ids(&written).into_iter().collect();
    assert_eq!((written.len() as u64, distinct.len() as u64), (events, events), "each event is in the files exactly once");

    let rebuilt = workspace.run("rebuild");
    let said = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
    assert!(rebuilt.status.success() && said.contains("the same state"), "{said}{}", String::from_utf8_lossy(&rebuilt.stderr));
    sound(&workspace);
    let engine = workspace.start();
    assert_eq!(people(&engine, &users), before, "a rebuild changes nobody");
    _ = engine.settle();
    engine.stop();
    assert_eq!(workspace.written("events"), written, "a rebuild sends nothing");
}

/// `weft doctor` finds nothing wrong.
fn sound(workspace: &Workspace) {
    let doctor = workspace.run("doctor");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success() && said.ends_with("nothing is wrong\n"), "{said}{}", String::from_utf8_lossy(&doctor.stderr));
}

/// A clock that says 1970 or 2099 moves nobody's first or last day.
fn untrusted_clocks_are_not_believed(engine: &Engine) {
    for (user, said) in [("1970", "1970-01-01"), ("2099", "2099-12-31")] {
        let profile = engine.profile("user_id", user).expect("somebody");
        let event = &engine.page(&format!("/api/v1/profiles/user_id/{user}/events")).1["events"][0]["event"];
        assert_eq!(event["occurred"], event["received"], "{user}");
        assert_eq!(profile["profile"]["first_seen"], event["received"], "{user}");
        assert_eq!(profile["profile"]["last_seen"], event["received"], "{user}");
        let claimed = event["claimed"].as_str().unwrap_or_default();
        assert!(claimed.starts_with(said), "what the sender said is kept: {event}");
    }
}

#[test]
fn a_page_in_a_browser_is_let_in_and_can_read_why_it_is_not() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let origin = "https://shop.example";
    let check = |request: Request, status: u16| -> Answer {
        let answer = engine.send(&request.header("origin", origin));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{status}");
        answer
    };
    let allowed = check(preflight(), 204);
    assert_eq!(allowed.header("access-control-allow-headers"), Some("authorization,content-type"));
    assert!(allowed.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    let settings = check(Request::new("GET", &format!("/segment/v1/projects/{KEY}/settings")), 200);
    let settings: Value = serde_json::from_slice(&settings.body).expect("JSON");
    assert_eq!(settings["integrations"]["Segment.io"]["apiKey"], KEY);
    let taken = check(post(TRACK, call("page", 1).to_string()), 200);
    assert_eq!(taken.text(), r#"{"success":true}"#);
    check(post(TRACK, "{"), 400);
    check(stranger(TRACK, "{}"), 401);
    check(post("/segment/v1/nothing", "{}"), 404);
    assert_eq!(number(&engine.settle(), "/totals/events"), 1);
    engine.stop();
}

#[test]
fn a_wrong_clock_is_put_right_by_when_the_call_was_sent() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    // A clock four years ahead, and ten minutes between the click and the sending.
    let early = with(call("clock", 1), "timestamp", json!("2030-01-01T00:00:00.000Z"));
    let body = json!({ "batch": [early], "sentAt": "2030-01-01T00:10:00.000Z" }).to_string();
    assert_eq!(engine.send(&post(BATCH, body)).status, 200);
    _ = engine.settle();
    let event = &engine.page("/api/v1/profiles/user_id/clock/events").1["events"][0]["event"];
    let (received, occurred) = (millisecond_of_day(&event["received"]), millisecond_of_day(&event["occurred"]));
    assert_eq!((received - occurred).rem_euclid(24 * 3_600_000), 600_000, "{event}");
    engine.stop();
}

/// The time of day of a timestamp such as `2026-03-01T12:00:00.000Z`.
fn millisecond_of_day(timestamp: &Value) -> i64 {
    let text = timestamp.as_str().expect("a timestamp is a text");
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("digits");
    part(11..13) * 3_600_000 + part(14..16) * 60_000 + part(17..19) * 1_000 + part(20..23)
}

#[test]
fn a_folder_has_one_engine_and_commands_that_need_it_alone_say_so() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    assert_eq!(engine.send(&post(TRACK, call("alone", 1).to_string())).status, 200);
    for command in ["run", "doctor", "rebuild"] {
        let output = workspace.run(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        assert!(said.contains("in use by another process"), "{command}: {said}");
    }
    _ = engine.settle();
    assert_eq!(events_of(&engine, "alone"), 1);
    engine.stop();
    sound(&workspace);
}

#[test]
fn those_who_hold_the_line_and_say_nothing_hinder_neither_others_nor_the_end() {
    /// More than there are threads by far, fewer than a process may have files.
    const SILENT: usize = 200;
    let workspace = Workspace::create();
    let engine = workspace.start();
    let connect = |bytes: &[u8]| {
        let mut line = TcpStream::connect(engine.address).expect("the engine listens");
        line.write_all(bytes).expect("the engine takes bytes");
        line
    };
    let mut held: Vec<TcpStream> = (0..SILENT).map(|_| connect(b"")).collect();
    for half in HALVES {
        held.push(connect(half));
    }
    // An SDK keeps its line open after an answer.
    let mut kept = connect(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut first = [0; 12];
    kept.read_exact(&mut first).expect("the engine answers");
    assert_eq!(&first, b"HTTP/1.1 200");

    assert_eq!(engine.send(&post(TRACK, call("others", 1).to_string())).status, 200);
    _ = engine.settle();
    assert_eq!(events_of(&engine, "others"), 1);
    drop(held);
    engine.stop();
    drop(kept);
    sound(&workspace);
}

/// Requests that stop in the middle: of the head, and of the body.
const HALVES: [&[u8]; 2] = [
    b"POST /segment/v1/track HTTP/1.1\r\nhost: a\r\n",
    b"POST /segment/v1/track HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
];

#[test]
fn half_a_request_does_not_keep_the_engine_from_ending() {
    // What `docker stop` waits before it kills.
    const END_TIME_MAX: Duration = Duration::from_secs(10);
    let workspace = Workspace::create();
    for half in HALVES {
        let engine = workspace.start();
        let mut line = TcpStream::connect(engine.address).expect("the engine listens");
        line.write_all(half).expect("the engine takes bytes");
        assert_eq!(engine.send(&post(TRACK, call("whole", half.len()).to_string())).status, 200);
        let began = Instant::now();
        engine.stop();
        assert!(began.elapsed() < END_TIME_MAX, "{}: the end took {:?}", String::from_utf8_lossy(half), began.elapsed());
        drop(line);
    }
    sound(&workspace);
}

#[test]
fn state_that_is_gone_or_cannot_be_read_comes_back_from_history() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    assert_eq!(engine.send(&post(BATCH, batch(&[call("back", 1), call("back", 2)]))).status, 200);
    _ = engine.settle();
    let before = engine.profile("user_id", "back").expect("somebody");
    engine.stop();
    let written = workspace.written("events");
    let state = workspace.path().join("data/state");
    let check = |damage: &str, harm: &dyn Fn()| {
        harm();
        let rebuilt = workspace.run("rebuild");
        assert!(rebuilt.status.success(), "{damage}: {}", String::from_utf8_lossy(&rebuilt.stderr));
        sound(&workspace);
        let engine = workspace.start();
        _ = engine.settle();
        assert_eq!(engine.profile("user_id", "back").as_ref(), Some(&before), "{damage}");
        engine.stop();
        assert_eq!(workspace.written("events"), written, "{damage}: a rebuild sends nothing");
    };
    check("gone", &|| std::fs::remove_dir_all(&state).expect("it was there"));
    check("overwritten", &|| overwrite(&state));
}

/// Puts other bytes into every file below a folder.
fn overwrite(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("it is there").flatten() {
        match entry.path() {
            path if path.is_dir() => overwrite(&path),
            path => std::fs::write(path, b"not what was written here").expect("it takes bytes"),
        }
    }
}

#[test]
fn many_senders_of_the_same_batches_count_each_event_once() {
    const SENDERS: usize = 8;
    const BATCHES: usize = 12;
    const CALLS: usize = 25;
    let workspace = Workspace::create();
    let engine = workspace.start();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..BATCHES {
                    // Two senders each are one SDK that did not hear the answer. Batches come in another order from each.
                    let number = if sender % 2 == 0 { number } else { BATCHES - 1 - number };
                    let user = format!("many-{}", sender / 2);
                    let calls: Vec<Value> = (0..CALLS).map(|place| call(&user, number * CALLS + place)).collect();
                    assert_eq!(engine.send(&post(BATCH, batch(&calls))).status, 200);
                }
            });
        }
    });
    let status = engine.settle();
    let all = (SENDERS / 2 * BATCHES * CALLS) as u64;
    assert_eq!((number(&status, "/totals/events"), number(&status, "/totals/letters")), (all, 0));
    for person in 0..SENDERS / 2 {
        assert_eq!(events_of(&engine, &format!("many-{person}")), (BATCHES * CALLS) as u64);
    }
    engine.stop();
    let written = workspace.written("events");
    assert_eq!((written.len() as u64, ids(&written).into_iter().collect::<BTreeSet<_>>().len() as u64), (all, all));
    sound(&workspace);
}

#[test]
fn what_was_answered_before_a_stop_under_load_is_there_after_it() {
    const SENDERS: usize = 4;
    let workspace = Workspace::create();
    let engine = workspace.start();
    let (address, stopped) = (engine.address, Arc::new(AtomicBool::new(false)));
    let (answered, odd) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(BTreeSet::new())));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (stopped, answered, odd) = (stopped.clone(), answered.clone(), odd.clone());
            thread::spawn(move || {
                for number in 0.. {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let call = call(&format!("load-{sender}"), number);
                    match post(BATCH, batch(std::slice::from_ref(&call))).send(address) {
                        Ok(answer) if answer.status == 200 => {
                            let id = call["messageId"].as_str().expect("it has one").to_owned();
                            answered.lock().expect("nobody panicked").push(id);
                        }
                        // An SDK keeps its events at a 503 and at a line that is closed.
                        Ok(answer) if answer.status == 503 && answer.header("retry-after").is_some() => {}
                        Ok(answer) => _ = odd.lock().expect("nobody panicked").insert(answer.status),
                        Err(_) => {}
                    }
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(700));
    engine.terminate();
    let status = engine.ended();
    stopped.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().expect("a sender does not panic"));
    assert!(status.success(), "the engine ended with {status}");
    assert_eq!(*odd.lock().expect("nobody panicked"), BTreeSet::new(), "a stop is 503 with Retry-After, or no answer");

    let answered = answered.lock().expect("nobody panicked").clone();
    assert!(answered.len() > SENDERS, "{} answers are too few to say anything", answered.len());
    let engine = workspace.start();
    let status = engine.settle();
    engine.stop();
    let written = workspace.written("events");
    let there: BTreeSet<&str> = ids(&written).into_iter().collect();
    let lost: Vec<&String> = answered.iter().filter(|id| !there.contains(id.as_str())).collect();
    assert_eq!(lost, Vec::<&String>::new(), "answered and not there");
    assert_eq!(written.len(), there.len(), "each event is in the files exactly once");
    assert_eq!(number(&status, "/totals/events"), there.len() as u64);
    sound(&workspace);
}

#[test]
fn nothing_that_is_nested_too_deep_for_a_stack_stops_anything() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let mut sent = 0;
    for depth in [200, 2_000, 15_000] {
        sent += 1;
        assert_eq!(engine.send(&post(TRACK, deep("abyss", depth))).status, 200, "{depth}");
        let after = call("after", depth);
        assert_eq!(engine.send(&post(BATCH, batch(&[after]))).status, 200, "{depth}");
        let status = engine.settle();
        assert_eq!(events_of(&engine, "after"), sent, "{depth}: what comes after it passes");
        // It may count or be a dead letter. The second has the first's message id, and counts for nothing.
        let (events, letters) = (number(&status, "/totals/events"), number(&status, "/totals/letters"));
        assert!((1..=sent).contains(&(events - sent + letters)), "{depth}: {events} events, {letters} letters");
    }
    let page = engine.send(&Request::new("GET", "/api/v1/profiles/user_id/after/events"));
    assert_eq!(page.status, 200);
    engine.stop();
    sound(&workspace);
    _ = workspace.start().settle();
}
