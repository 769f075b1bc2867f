//! Dead letters as the engine's pages show them: each with its reason and its bytes, wherever those are kept, and page after page.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::limits;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Coming, DeadLetter, Input, Named, Receipts, Rejected, Stream, Withheld};
use weft_domain::plan::Plan;

const NOON: &str = "2026-03-01T12:00:00.000Z";

async fn start(data: &Path) -> Engine {
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms { plan: Plan::default(), ..Terms::default() },
        clock: Clock::at(NOON.parse().expect("valid")),
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Puts bytes into intake that a source refused, as a door would.
async fn refuse(engine: &Engine, letters: &[(&str, &str, &[u8])]) {
    let mut arrived = Arrived::default();
    for (source, code, bytes) in letters {
        arrived.push(&Arrival::Refused { source, code, message: &format!("it is {code}\nand no event"), coming: "", bytes });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

async fn get(engine: &Engine, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(engine.address().expect("it listens")).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("is answered");
    let answer = String::from_utf8(answer).expect("is UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("has a status");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

async fn list(engine: &Engine, query: &str) -> Value {
    let (status, list) = get(engine, &format!("/api/v1/dead-letters{query}")).await;
    assert_eq!(status, 200, "{query}: {list}");
    list
}

fn ids(list: &Value) -> Vec<&str> {
    list["letters"].as_array().expect("a list").iter().map(|letter| letter["id"].as_str().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_has_its_reason_and_every_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    assert_eq!(list(&engine, "").await, json!({ "letters": [] }));

    let calls: [(&str, &str, &[u8]); 3] = [
        ("web", "no_identity", br#"{"type":"track","received":"1999-01-01T00:00:00Z"}"#),
        ("web", "not_json", b"{\"type\":"),
        ("web", "unreadable", b"\x1f\x8b\x00\xff"),
    ];
    refuse(&engine, &calls).await;
    let first: u64 = ids(&list(&engine, "").await)[0].trim_end_matches("-0").parse().expect("a number");
    let id = |number: u64| format!("{}-0", first + number);
    let want = |number: u64, code: &str, original: Value| {
        let message = format!("it is {code}\nand no event");
        json!({ "id": id(number), "stage": "web", "code": code, "message": message, "attempts": 1, "original": original })
    };
    let all = [
        want(0, "no_identity", json!({ "bytes": 50, "json": { "type": "track", "received": "1999-01-01T00:00:00Z" } })),
        want(1, "not_json", json!({ "bytes": 8, "text": "{\"type\":" })),
        want(2, "unreadable", json!({ "bytes": 4, "base64": "H4sA/w==" })),
    ];
    assert_eq!(list(&engine, "").await, json!({ "letters": all }));
    for (number, letter) in (0..).zip(all) {
        assert_eq!(get(&engine, &format!("/api/v1/dead-letters/{}", id(number))).await, (200, letter));
    }
    for (path, status) in [("0-7", 404), ("99999-0", 404), ("0", 400), ("first", 400), ("00-0", 400), ("-1-0", 400)] {
        let (answered, problem) = get(&engine, &format!("/api/v1/dead-letters/{path}")).await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("dead letter")), "{problem}");
    }
    for query in ["?after=first", "?limit=many", "?stages=web"] {
        let (answered, problem) = get(&engine, &format!("/api/v1/dead-letters{query}")).await;
        assert_eq!((answered, &problem["status"]), (400, &json!(400)), "{query}: {problem}");
    }
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_chosen_by_when_they_were_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let mut arrived = Arrived::default();
    for at in [None, Some("2026-03-01T10:00:00Z"), Some("2026-03-01T11:00:00Z"), Some(NOON)] {
        let coming = Coming { at: at.map(|at| at.parse().expect("a time")), carrier: None };
        let coming = at.map(|_| serde_json::to_string(&coming).expect("it has string keys")).unwrap_or_default();
        arrived.push(&Arrival::Refused { source: "web", code: "bad", message: "it is bad", coming: &coming, bytes: b"{" });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    refuse(&engine, &[]).await;
    // A transform of this engine's own gives up now: by its clock.
    let mut broken = Arrived::default();
    broken.push(&Arrival::Event { source: "web", named: Named::BySender, json: br#"{"type":"what"}"# });
    engine.intake().append(broken).await.expect("intake takes it");
    refuse(&engine, &[]).await;

    let times = async |query: &str| -> Vec<String> {
        let list = list(&engine, query).await;
        let letters = list["letters"].as_array().expect("a list").iter();
        letters.map(|letter| letter["set_aside"].as_str().map_or("?", |at| &at[11..16]).to_owned()).collect()
    };
    assert_eq!(times("").await, ["?", "10:00", "11:00", "12:00", "12:00"]);
    assert_eq!(times("?since=2026-03-01T11:00:00Z").await, ["11:00", "12:00", "12:00"]);
    assert_eq!(times("?until=2026-03-01T11:00:00Z").await, ["?", "10:00"]);
    assert_eq!(times("?since=2026-03-01T10:30:00Z&until=2026-03-01T11:30:00Z&code=bad").await, ["11:00"]);
    let (status, problem) = get(&engine, "/api/v1/dead-letters?since=2h").await;
    assert!(status == 400 && problem["detail"].as_str().is_some_and(|why| why.contains("RFC 3339")), "{problem}");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_found_where_they_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let mut event =
        Event::parse(br#"{"type":"page","message_id":"m1","claims":[{"type":"user_id","value":"ann"}]}"#).expect("valid");
    event.stamp(NOON.parse().expect("valid"), Environment::Production);
    let json: Value = serde_json::from_slice(&event.to_json()).expect("is JSON");

    // A transform gave up on it: the letter's own record has it.
    let letter = DeadLetter {
        stage: "tidy".into(),
        code: "plugin_trapped".into(),
        message: "unreachable".into(),
        source: Some("web".into()),
        intake: None,
        at: None,
        carrier: None,
        bytes: event.to_json(),
    };
    engine.ledger().log(Input::DeadLetter(letter)).await.expect("logged");
    // A destination would not have it: the event is in history.
    let mut arrived = Arrived::default();
    arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
    engine.intake().append(arrived).await.expect("intake takes it");
    refuse(&engine, &[]).await;
    let position = engine.ledger().state().position() - 1;
    let rejected = |position, code: &str| Rejected { position, code: code.into(), message: "no".into(), attempts: 8 };
    let receipts = |stream, rejected| Receipts {
        lane: "crm".into(),
        stream,
        through: 0,
        rejected,
        again: Vec::new(),
        at: None,
        withheld: Withheld::default(),
    };
    let gone = vec![rejected(position, "retries_exhausted"), rejected(u64::MAX, "lost")];
    engine.ledger().log(Input::Receipts(receipts(Stream::Events, gone))).await.expect("logged");
    engine.ledger().log(Input::Receipts(receipts(Stream::Profiles, vec![rejected(0, "bad")]))).await.expect("logged");

    let list = list(&engine, "").await;
    let letters = list["letters"].as_array().expect("a list");
    let codes: Vec<&Value> = letters.iter().map(|letter| &letter["code"]).collect();
    assert_eq!(codes, ["plugin_trapped", "retries_exhausted", "lost", "bad"]);
    for letter in &letters[..2] {
        assert_eq!((&letter["original"]["json"], &letter["received"]), (&json, &json!(NOON)));
    }
    assert_eq!(letters[1]["attempts"], 8);
    assert!(letters[2]["id"].as_str().is_some_and(|id| id.ends_with("-1")), "the second of its record");
    assert!(letters[2].get("original").is_none(), "{}", letters[2]);
    assert!(letters[2]["missing"].as_str().is_some_and(|why| why.contains("does not exist")), "{}", letters[2]);
    // Kept in state itself; of a delivery that was not there any more, nothing.
    assert_eq!(letters[3]["original"], json!({ "bytes": 0, "text": "" }));
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_over_memory_and_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let letters = |from: usize| -> Vec<(&str, &str, Vec<u8>)> {
        let one = |number: usize| {
            let stage = if number.is_multiple_of(3) { "app" } else { "web" };
            (stage, if number.is_multiple_of(2) { "even" } else { "odd" }, number.to_string().into_bytes())
        };
        (from..from + 600).map(one).collect()
    };
    for from in [0, 600] {
        let letters = letters(from);
        let letters: Vec<(&str, &str, &[u8])> = letters.iter().map(|(stage, code, bytes)| (*stage, *code, &**bytes)).collect();
        refuse(&engine, &letters).await;
        // The second half stays in memory for the time being.
        if from == 0 {
            engine.ledger().commit().await;
        }
    }
    let originals = async |engine: &Engine, filter: &str, limit: usize| -> (Vec<usize>, usize) {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = list(engine, &format!("?limit={limit}{filter}{after}")).await;
            let texts = page["letters"].as_array().expect("a list").iter().map(|letter| letter["original"]["text"].as_str());
            found.extend(texts.map(|text| text.expect("a text").parse::<usize>().expect("a number")));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return (found, pages),
            }
        }
    };
    let check = async |engine: &Engine| {
        let (all, pages) = originals(engine, "", 500).await;
        assert!(all.iter().copied().eq(0..1_200), "in order, each once");
        assert_eq!(pages, 3);
        assert_eq!(originals(engine, "", 400).await.1, 3, "the last page says itself that it is the last");
        let (odd, pages) = originals(engine, "&code=odd&stage=app", 150).await;
        assert!(odd.iter().copied().eq((3..1_200).step_by(6)), "{odd:?}");
        assert_eq!(pages, 2);
        assert_eq!(originals(engine, "&stage=nobody", 10).await, (Vec::new(), 1));
        // Bounds: at least one, and never more than there may be.
        assert_eq!(ids(&list(engine, "?limit=0").await).len(), 1);
        assert_eq!(ids(&list(engine, "?limit=100000").await).len(), limits::LETTERS_SHOWN_MAX);
        assert_eq!(ids(&list(engine, "").await).len(), limits::LETTERS_SHOWN);
    };
    check(&engine).await;
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder.path()).await;
    check(&engine).await;
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_the_beginning_of_what_is_large_and_stops_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let large = format!("[\"{}\"]", "ü".repeat(2 << 20));
    for _ in 0..10 {
        refuse(&engine, &[("web", "too_large", large.as_bytes())]).await;
    }
    let first = list(&engine, "").await;
    let original = &first["letters"][0]["original"];
    assert_eq!((&original["bytes"], &original["shortened"]), (&json!(large.len()), &json!(true)));
    let text = original["text"].as_str().expect("a text");
    assert!(
        large.starts_with(text) && (limits::LETTER_BYTES_SHOWN_MAX - 1..=limits::LETTER_BYTES_SHOWN_MAX).contains(&text.len())
    );
    let shown = ids(&first);
    assert!(shown.len() < 10, "a list reads no more than its bound");
    let rest = list(&engine, &format!("?after={}", first["next"].as_str().expect("there is more"))).await;
    assert_eq!((shown.len() + ids(&rest).len(), rest.get("next")), (10, None));

    let (status, whole) = get(&engine, &format!("/api/v1/dead-letters/{}", shown[0])).await;
    assert_eq!((status, whole["original"].get("shortened")), (200, None));
    assert_eq!(whole["original"]["json"][0].as_str().map(str::len), Some(4 << 20));
    engine.stop().await.expect("an orderly stop");
}
