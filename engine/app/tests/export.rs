//! All customers and all events, as somebody takes them: page by page and as exports, while others send.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event, Identifier};
use weft_domain::input::{Arrival, Named};
use weft_domain::value::{Json, Timestamp};

const NOON: &str = "2026-03-01T12:00:00Z";

async fn start(data: &Path) -> Engine {
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms::default(),
        clock: Clock::at(NOON.parse().expect("valid")),
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

fn event(words: &str, received: Timestamp) -> Vec<u8> {
    let mut event = Event::parse(br#"{"type":"identify"}"#).expect("valid");
    for word in words.split(' ') {
        match word.split_once(':').expect("kind:value") {
            ("city", city) => drop(event.traits.insert("city".into(), Json::string(city))),
            (kind, value) => event.claims.push(Identifier::observed(if kind == "u" { "user_id" } else { "anonymous_id" }, value)),
        }
    }
    event.stamp(received, Environment::Production);
    event.to_json()
}

/// Tells events that came in at a time, written `u:ann a:1 city:Bonn`, and waits until they are folded.
async fn tell(engine: &Engine, received: &str, events: impl IntoIterator<Item = String>) {
    let received: Timestamp = received.parse().expect("valid");
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let mut arrived = Arrived::default();
        for words in events.by_ref().take(1_000) {
            arrived.push(&Arrival::Event { source: "web", named: Named::ByPlace, json: &event(&words, received) });
        }
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

async fn open(engine: &Engine, path: &str) -> Response<Incoming> {
    let stream = TcpStream::connect(engine.address().expect("it listens")).await.expect("connects");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "weft").body(Full::new(Bytes::new())).expect("valid");
    sender.send_request(request).await.expect("is answered")
}

/// A page: its status and its JSON.
async fn page(engine: &Engine, path: &str) -> (u16, Value) {
    let response = open(engine, path).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

/// The lines of the rest of an export.
async fn lines(response: Response<Incoming>) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let text = std::str::from_utf8(&body).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON in each line")).collect()
}

fn id(profile: &Value) -> String {
    profile["customer_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_out_of_a_list_while_customers_become_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    const ALL: usize = 3_000;
    tell(&engine, NOON, (0..ALL).map(|number| format!("a:v{number} city:Bonn"))).await;
    engine.ledger().commit().await;
    let (mut seen, mut shown): (Vec<String>, BTreeSet<String>) = Default::default();
    let (mut after, mut pages) = (String::new(), 0);
    loop {
        let (status, list) = page(&engine, &format!("/api/v1/profiles?limit=400&fields=identifiers{after}")).await;
        assert_eq!(status, 200, "{list}");
        let profiles = list["profiles"].as_array().expect("profiles");
        assert!(profiles.iter().all(|profile| profile["traits"].is_null() && profile["identifiers"].is_array()));
        seen.extend(profiles.iter().map(id));
        let values = profiles.iter().flat_map(|profile| profile["identifiers"].as_array().expect("a list"));
        shown.extend(values.filter_map(|one| one["value"].as_str()).map(str::to_owned));
        // The first thousand become pairs meanwhile.
        let pairs = (pages * 100..pages * 100 + 100).filter(|number| *number < 500);
        tell(&engine, NOON, pairs.map(|number| format!("u:p{number} a:v{} a:v{}", 2 * number, 2 * number + 1))).await;
        pages += 1;
        match list["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(pages >= 7, "{pages} pages");
    let once = seen.iter().collect::<BTreeSet<_>>().len();
    assert!(
        seen.len() - once <= 500,
        "only who was joined after it was shown is shown again: {} of {}",
        seen.len() - once,
        seen.len()
    );
    let missing: Vec<usize> = (0..ALL).filter(|number| !shown.contains(&format!("v{number}"))).collect();
    assert_eq!(missing, [0_usize; 0], "nobody is left out");
    assert!(once < ALL, "some had become one before their place came");

    for (path, want) in [
        ("/api/v1/profiles?fields=trait.city", "a profile has no field `trait`: did you mean `traits`?"),
        ("/api/v1/profiles/anonymous_id/v1?fields=attributes.spent", "the workspace has no attribute `spent`"),
        ("/api/v1/export/events?fields=propertys", "an event has no field `propertys`: did you mean `properties`?"),
    ] {
        let (status, problem) = page(&engine, path).await;
        assert_eq!((status, problem["detail"].as_str()), (400, Some(want)));
    }
    let (_, chosen) = page(&engine, "/api/v1/profiles/anonymous_id/v2999?fields=traits.city,events_total").await;
    let profile = chosen["profile"].as_object().expect("a profile");
    assert_eq!(
        (profile.len(), &profile["traits"]["city"], chosen.as_object().map(|all| all.len())),
        (3, &"Bonn".into(), Some(1))
    );
    assert_eq!(page(&engine, "/api/v1/profiles?after=nonsense").await.0, 400);
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_since_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let since = async |at: &str| {
        let (_, list) = page(&engine, &format!("/api/v1/profiles?changed_since={at}&fields=identifiers")).await;
        let profiles = list["profiles"].as_array().expect("profiles").clone();
        let values = |profile: &Value| {
            let all = profile["identifiers"].as_array().expect("a list").iter();
            all.filter_map(|one| one["value"].as_str()).collect::<Vec<_>>().join("+")
        };
        profiles.iter().map(values).collect::<BTreeSet<_>>()
    };
    let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
    tell(&engine, NOON, ["a:a1", "a:b1", "u:cy a:c1", "a:d1"].map(str::to_owned)).await;
    engine.ledger().commit().await;
    assert_eq!(since("2026-03-01T11:00:00Z").await.len(), 4);
    assert_eq!(since("2026-03-01T12:30:00Z").await, set(&[]));
    tell(&engine, "2026-03-01T13:00:00Z", ["a:a1 city:Bonn", "u:cy a:d1"].map(str::to_owned)).await;
    let want = set(&["a1", "c1+d1+cy"]);
    assert_eq!(since("2026-03-01T12:30:00Z").await, want, "before it is committed");
    engine.ledger().commit().await;
    assert_eq!(since("2026-03-01T12:30:00Z").await, want, "and after");
    assert_eq!(since("2026-03-01T13:30:00Z").await, set(&[]));
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn stretches_of_time_that_adjoin_have_each_event_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    for minute in 0..30 {
        let at = format!("2026-03-01T10:{minute:0>2}:00Z");
        tell(&engine, &at, (0..7).map(|number| format!("a:v{minute}-{number}"))).await;
    }
    let all = lines(open(&engine, "/api/v1/export/events").await).await;
    let position = |line: &Value| line["position"].as_u64().expect("a position");
    assert_eq!(all.len(), 210);
    assert!(all.iter().all(|line| line["source"] == "web" && line["event"]["type"] == "identify"));
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    for (from, to) in [("09:00", "10:05"), ("10:05", "10:06"), ("10:06", "10:20"), ("10:20", "11:00")] {
        let path = format!("/api/v1/export/events?since=2026-03-01T{from}:00Z&until=2026-03-01T{to}:00Z&fields=received");
        for line in lines(open(&engine, &path).await).await {
            *seen.entry(position(&line)).or_default() += 1;
            let received = line["event"]["received"].as_str().expect("a time");
            assert!((&received[11..16] >= from) && (&received[11..16] < to), "{received} in {from} to {to}");
            assert!(line["event"]["claims"].is_null());
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all.iter().map(|line| (position(line), 1)).collect::<Vec<_>>());
    let rest = lines(open(&engine, &format!("/api/v1/export/events?after={}", position(&all[99]))).await).await;
    assert_eq!(rest, all[100..]);
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_is_slow_holds_nobody_up_and_half_an_export_does_not_pass_for_a_whole_one() {
    const ALL: usize = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, NOON, (0..ALL).map(|number| format!("a:v{number} city:Bonn"))).await;

    // Four who do not read: what they have not taken waits, and a fifth is told to come again.
    let mut slow = Vec::new();
    for _ in 0..weft::limits::EXPORTS_MAX {
        slow.push(open(&engine, "/api/v1/export/profiles").await);
    }
    let total = slow[0].headers()["weft-total"].to_str().expect("a number").to_owned();
    assert_eq!((total, slow[0].headers()["weft-began"].to_str().expect("a time")), (ALL.to_string(), "2026-03-01T12:00:00.000Z"));
    let refused = open(&engine, "/api/v1/export/profiles").await;
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, true));
    tell(&engine, NOON, (0..5_000).map(|number| format!("a:later{number}"))).await;
    engine.ledger().commit().await;

    let mut ids = BTreeSet::new();
    for profile in lines(slow.pop().expect("four")).await {
        assert!(ids.insert(id(&profile)), "no customer is there twice");
    }
    assert!(ids.len() >= ALL, "{} of {ALL}", ids.len());
    let quiet = {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let (_, list) = page(&engine, &format!("/api/v1/profiles?limit=1000&fields=customer_id{after}")).await;
            ids.extend(list["profiles"].as_array().expect("profiles").iter().map(id));
            let Some(next) = list["next"].as_str() else { break ids };
            after = format!("&after={next}");
        }
    };
    assert_eq!((quiet.len(), quiet.is_sorted()), (ALL + 5_000, true), "where nothing happens, each is listed once, by the ids");
    let middle = ids.iter().nth(60_000).expect("so many");
    let rest = lines(open(&engine, &format!("/api/v1/export/profiles?after={middle}&fields=customer_id")).await).await;
    assert!(rest.iter().all(|profile| id(profile) > *middle) && rest.len() >= ids.len() - 60_001, "it goes on after a place");

    engine.stop().await.expect("stops");
    let broken = slow.pop().expect("three").into_body().collect().await;
    assert!(broken.is_err(), "the reader sees that it broke off");
}
