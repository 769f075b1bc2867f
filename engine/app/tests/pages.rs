//! The engine's pages about events: a customer's by time, page after page, and those that come, as they come.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::limits;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Named};
use weft_domain::value::Timestamp;

const NOON: &str = "2026-03-01T12:00:00.000Z";

async fn start(data: &Path) -> Engine {
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms::default(),
        clock: Clock::at(NOON.parse().expect("valid")),
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Puts events into intake, as the door of a source would, and waits until they are durable and folded.
async fn tell(engine: &Engine, source: &str, events: &[String]) {
    let received: Timestamp = NOON.parse().expect("valid");
    let mut arrived = Arrived::default();
    for json in events {
        let mut event = Event::parse(json.as_bytes()).expect("a valid event");
        event.stamp(received, Environment::Production);
        arrived.push(&Arrival::Event { source, named: Named::ByPlace, json: &event.to_json() });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

/// An event that occurred so many seconds after ten o'clock.
fn event(second: u32, who: &str, name: &str) -> String {
    let (kind, value) = who.split_once(':').expect("a type and a value");
    let (minute, second) = (second / 60, second % 60);
    format!(
        r#"{{"type":"track","name":"{name}","occurred":"2026-03-01T10:{minute:02}:{second:02}.000Z","claims":[{{"type":"{kind}","value":"{value}"}}]}}"#
    )
}

async fn ask(engine: &Engine, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(engine.address().expect("it listens")).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    stream
}

async fn get(engine: &Engine, path: &str) -> (u16, Value) {
    let mut answer = String::new();
    ask(engine, path, "").await.read_to_string(&mut answer).await.expect("is answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("has a status");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

/// The names of the events in an answer, and where it goes on.
async fn names(engine: &Engine, path: &str) -> (Vec<String>, Option<String>) {
    let (status, list) = get(engine, path).await;
    assert_eq!(status, 200, "{path}: {list}");
    let name = |shown: &Value| shown["event"]["name"].as_str().expect("a name").to_owned();
    let names = list["events"].as_array().expect("events").iter().map(name).collect();
    (names, list["next"].as_str().map(str::to_owned))
}

const ANN: &str = "/api/v1/profiles/email/ann@example.com/events";

#[tokio::test(flavor = "multi_thread")]
async fn all_events_of_a_customer_are_paged_in_either_order_while_others_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    // 300 events fill several pages of the index, for two claims that one event joins; they arrive in no order of time.
    let whose = |place: u32| if place.is_multiple_of(3) { "anonymous_id:a1" } else { "email:ann@example.com" };
    let events: Vec<String> = (0..300).map(|place| place * 7 % 300).map(|at| event(at, whose(at), &at.to_string())).collect();
    tell(&engine, "web", &events).await;
    let joining = r#"{"type":"identify","name":"joined","occurred":"2026-03-01T09:00:00.000Z","claims":[{"type":"anonymous_id","value":"a1"},{"type":"email","value":"ann@example.com"}]}"#;
    tell(&engine, "crm", &[joining.to_owned()]).await;

    for order in ["newest", "oldest"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (names, next) = names(&engine, &format!("{ANN}?order={order}&limit=70{after}")).await;
            seen.extend(names);
            // What arrives between two pages, older and newer than everything, is no reason to see anything twice or not at all.
            if seen.len() == 140 {
                let late = [event(3_000, "email:ann@example.com", "late"), event(0, "email:ann@example.com", "early")];
                tell(&engine, order, &late).await;
            }
            match next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let new = if order == "newest" { "early" } else { "late" };
        let numbers: Vec<u32> = seen.iter().filter_map(|name| name.parse().ok()).collect();
        let mut want: Vec<u32> = (0..300).collect();
        if order == "newest" {
            want.reverse();
        }
        assert_eq!(numbers, want, "{order}");
        assert!(seen.iter().any(|name| name == new), "{order}: what comes where nobody has been yet is seen");
        assert!(seen.iter().any(|name| name == "joined"));
    }
    let (some, next) = names(&engine, &format!("{ANN}?from=2026-03-01T10:01:00Z&to=2026-03-01T10:01:03Z&order=oldest")).await;
    assert_eq!((some, next), (vec!["60".into(), "61".into(), "62".into()], None), "from is included, to is not");

    let (_, profile) = get(&engine, "/api/v1/profiles/email/ann@example.com").await;
    let id = profile["profile"]["customer_id"].as_str().expect("an id");
    let by_id = names(&engine, &format!("/api/v1/profiles/{id}/events?limit=3")).await;
    assert_eq!(by_id, names(&engine, &format!("{ANN}?limit=3")).await);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, "web", &[event(1, "email:ann@example.com", "a")]).await;
    let check = async |path: &str, status: u16, says: &str| {
        let (got, page) = get(&engine, path).await;
        assert_eq!(got, status, "{path}: {page}");
        assert!(page["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{path}: {page}");
    };
    check(&format!("{ANN}?from=yesterday"), 400, "RFC 3339").await;
    check(&format!("{ANN}?after=7"), 400, "is no place among events").await;
    check(&format!("{ANN}?limits=7"), 400, "unknown field").await;
    check(&format!("{ANN}?order=best"), 400, "unknown variant").await;
    check("/api/v1/profiles/email/bob@example.com/events", 404, "nobody").await;
    check("/api/v1/profiles/00000000000000000000000000000000/events", 404, "nobody").await;
    check("/api/v1/profiles/user_id/events", 404, "nobody").await;
    check("/api/v1/tail?customer=ann", 400, "neither TYPE:VALUE").await;
    check("/api/v1/tail?type=click", 400, "unknown variant").await;
    engine.stop().await.expect("an orderly stop");
}

/// A tail that is read.
struct Reader(BufReader<TcpStream>);

impl Reader {
    /// Opens a tail and waits until it is there.
    async fn open(engine: &Engine, query: &str, headers: &str) -> Reader {
        let mut reader = Reader(BufReader::new(ask(engine, &format!("/api/v1/tail{query}"), headers).await));
        let first = reader.line().await.expect("a status");
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        while reader.line().await.expect("a comment") != ": from here on" {}
        reader
    }

    /// The next line; none where the tail ends.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await.expect("something comes");
        (read.expect("is read") > 0).then(|| line.trim_end().to_owned())
    }

    /// The next message: what it is, and what it says.
    async fn message(&mut self) -> (String, Value) {
        let mut event = String::new();
        loop {
            let line = self.line().await.expect("goes on");
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (event, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    async fn name(&mut self) -> String {
        let (event, data) = self.message().await;
        assert_eq!(event, "event", "{data}");
        data["event"]["name"].as_str().expect("a name").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_show_what_was_asked_for_and_go_on_where_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, "web", &[event(0, "email:ann@example.com", "before")]).await;
    let mut all = Reader::open(&engine, "", "").await;
    let mut ann = Reader::open(&engine, "?customer=anonymous_id:a1", "").await;
    let mut crm = Reader::open(&engine, "?source=crm&type=track", "").await;
    let mut named = Reader::open(&engine, "?name=c", "").await;
    let joining = r#"{"type":"identify","name":"joined","claims":[{"type":"anonymous_id","value":"a1"},{"type":"email","value":"ann@example.com"}]}"#;
    tell(&engine, "crm", &[joining.to_owned(), event(1, "email:bob@example.com", "b")]).await;
    tell(&engine, "web", &[event(2, "email:ann@example.com", "c")]).await;
    assert_eq!([all.name().await, all.name().await, all.name().await], ["joined", "b", "c"]);
    assert_eq!([ann.name().await, ann.name().await], ["joined", "c"], "of a customer by another identifier than the event's");
    assert_eq!((crm.name().await, named.name().await), ("b".into(), "c".into()));
    drop((all, ann, crm, named));

    let first = engine.ledger().history().start();
    let mut again = Reader::open(&engine, "", &format!("last-event-id: {first}\r\n")).await;
    let seen = [again.name().await, again.name().await];
    assert!(seen == ["before", "joined"] || seen == ["joined", "b"], "what came meanwhile is not lost: {seen:?}");
    engine.stop().await.expect("an orderly stop");
    while again.line().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tail_leaves_out_is_counted_and_the_engine_never_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let mut few = Reader::open(&engine, "?limit=5", "").await;
    // Nobody reads this one.
    let idle = Reader::open(&engine, &format!("?limit={}", limits::TAIL_EVENTS_MAX), "").await;
    let padding = "x".repeat(20_000);
    for round in 0..10 {
        let padded = |event: String| event.replacen('{', &format!(r#"{{"properties":{{"p":"{padding}"}},"#), 1);
        let events: Vec<String> = (0..200).map(|place| padded(event(place, "user_id:u1", &format!("r{round}")))).collect();
        tell(&engine, "web", &events).await;
    }
    let (mut shown, mut left_out) = (0, 0);
    while shown + left_out < 2_000 {
        match few.message().await {
            (event, _) if event == "event" => shown += 1,
            (_, data) => left_out += data["events"].as_u64().expect("a number"),
        }
    }
    assert!(shown >= 5 && left_out > 1_000, "{shown} shown, {left_out} left out");
    drop(idle);

    // The task of a reader who has gone may not know it yet.
    let mut open = Vec::new();
    for _ in 1..limits::TAILS_MAX {
        open.push(tokio::time::timeout(Duration::from_secs(20), patient(&engine)).await.expect("there is room again"));
    }
    let refused = loop {
        let mut answer = BufReader::new(ask(&engine, "/api/v1/tail", "").await);
        let mut line = String::new();
        answer.read_line(&mut line).await.expect("is answered");
        if !line.starts_with("HTTP/1.1 200") {
            break line;
        }
        open.push(Reader(answer));
        assert!(open.len() <= limits::TAILS_MAX, "more than there is room for");
    };
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    engine.stop().await.expect("an orderly stop");
}

/// A tail, as soon as there is room for one.
async fn patient(engine: &Engine) -> Reader {
    loop {
        let mut reader = BufReader::new(ask(engine, "/api/v1/tail", "").await);
        let mut line = String::new();
        reader.read_line(&mut line).await.expect("is answered");
        if line.starts_with("HTTP/1.1 200") {
            return Reader(reader);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
