//! The OpenAPI document: it is what the code says, names every page, and every page answers as it says, whoever asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft::api::openapi;
use weft::clock::Clock;
use weft::config::alone::document_of;
use weft::config::connection::Tls;
use weft::config::{Duration as Span, OpenDsr, Scope, Secret, Token};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::events::Who;
use weft::intake::Arrived;
use weft::matcher::Rules;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Named};
use weft_domain::plan::Plan;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/openapi.json")
}

#[test]
fn the_kept_document_is_what_the_code_says() {
    let text = openapi::text();
    if std::env::var_os("WEFT_BLESS").is_some() {
        std::fs::write(kept(), &text).expect("it can be written");
    }
    let kept = std::fs::read_to_string(kept()).unwrap_or_default();
    assert!(kept == text, "schemas/openapi.json is not what the code says; WEFT_BLESS=1 writes it");
}

fn token(text: &str, scope: Scope) -> Token {
    Token { hash: Sha256::digest(text).into(), scopes: vec![scope] }
}

/// An engine with one token for each scope, two events of one customer, and a dead letter.
async fn start(data: &Path) -> Engine {
    let scopes = [("t-ingest", Scope::Ingest), ("t-read", Scope::Read), ("t-rights", Scope::Rights), ("t-admin", Scope::Admin)];
    let tokens = scopes.map(|(text, scope)| token(text, scope)).to_vec();
    let fields = document_of(Path::new("fields.yaml"), "compare: { city: text }").expect("is right");
    let plan = Plan { matching: true, ..Plan::default() };
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms { tokens, plan, matching: Rules::of(&fields), opendsr: Some(Arc::new(opendsr())), ..Terms::default() },
        clock: Clock::at("2026-03-01T12:00:00Z".parse().expect("valid")),
    };
    let engine = Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts");
    let mut arrived = Arrived::default();
    let json =
        r#"{"type":"identify","message_id":"m1","claims":[{"type":"email","value":"ann@example.com"}],"traits":{"city":"Bonn"}}"#;
    let mut event = Event::parse(json.as_bytes()).expect("valid");
    event.stamp("2026-03-01T12:00:00Z".parse().expect("valid"), Environment::Production);
    arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
    arrived.push(&Arrival::Refused { source: "web", code: "bad", message: "it is bad", coming: "", bytes: b"{\"a\":1}" });
    engine.intake().append(arrived).await.expect("intake takes them");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
    engine
}

/// How requests of people are taken: erasures can be called off for a while.
fn opendsr() -> OpenDsr {
    OpenDsr {
        domain: "privacy.acme.example".into(),
        controller: "acme".into(),
        key: Secret::new(include_str!("egress/rsa-of-tests.pem")),
        certificate: "-----BEGIN CERTIFICATE-----\n".into(),
        identities: BTreeMap::from([("email".to_owned(), "email".to_owned())]),
        identifiers: vec!["email".into()],
        erasure_wait: Span::from_ms(60_000),
        complete_within: Span::from_ms(60_000),
        results_kept: Span::from_ms(60_000),
        tls: Tls::default(),
        proxy: None,
        allow_private: false,
        files: Vec::new(),
    }
}

fn right(number: u32, kind: &str) -> String {
    json!({
        "regulation": "gdpr",
        "subject_request_id": format!("a7551968-d5d6-44b2-9831-{number:012}"),
        "subject_request_type": kind,
        "submitted_time": "2026-03-01T12:00:00Z",
        "subject_identities": [{ "identity_type": "email", "identity_value": "stranger@example.com", "identity_format": "raw" }],
    })
    .to_string()
}

struct Answer {
    status: u16,
    kind: String,
    body: String,
}

async fn ask(engine: &Engine, verb: &str, path: &str, token: Option<&str>, body: &str) -> Answer {
    let mut stream = TcpStream::connect(engine.address().expect("it listens")).await.expect("connects");
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n{token}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece).await.expect("is answered") {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
        // A tail has no end; its head is enough.
        if answer.windows(31).any(|part| part == b"content-type: text/event-stream") {
            break;
        }
    }
    let answer = String::from_utf8(answer).expect("is UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("has a status");
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().to_owned();
    Answer { status, kind, body: body.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_as_the_document_says_and_lets_in_whom_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    // Nobody looks after a workspace here.
    drop(engine.wanted());
    let document = openapi::document();
    let served = ask(&engine, "GET", "/api/v1/openapi.json", None, "").await;
    assert_eq!(serde_json::from_str::<Value>(&served.body).expect("JSON"), document);

    let page = ask(&engine, "GET", "/api/v1/profiles/email/ann@example.com", Some("t-read"), "").await;
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    let (customer, claim) = (page["profile"]["customer_id"].clone(), page["claims"][0]["claim"].clone());
    let letters = ask(&engine, "GET", "/api/v1/dead-letters", Some("t-read"), "").await;
    let letter = serde_json::from_str::<Value>(&letters.body).expect("JSON")["letters"][0]["id"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let stranger = Who::Identifier("email".into(), "nobody@example.com".into());
    let erasure = engine.eraser().ask(&[stranger], "a test".into()).await.expect("is asked for").id;

    for (number, kind) in [(1, "access"), (2, "erasure")] {
        assert_eq!(ask(&engine, "POST", "/opendsr/v3/requests", Some("t-rights"), &right(number, kind)).await.status, 201);
    }
    let (access, pending) = ("a7551968-d5d6-44b2-9831-000000000001", "a7551968-d5d6-44b2-9831-000000000002");
    let result = loop {
        let shown = ask(&engine, "GET", &format!("/opendsr/v3/requests/{access}"), Some("t-rights"), "").await;
        let shown: Value = serde_json::from_str(&shown.body).expect("JSON");
        match shown["results_url"].as_str() {
            Some(url) => break url.rsplit('/').next().expect("it has parts").to_owned(),
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };

    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (verb, operation) in operations.as_object().expect("operations") {
            let id = match path {
                path if path.contains("/claims/") || path.contains("/held/") => text(&claim),
                path if path.contains("/dead-letters/") => text(&letter),
                path if path.contains("/erasures/") => erasure.clone(),
                path if path.contains("/results/") => access.to_owned(),
                path if path.contains("/opendsr/") || path.contains("/rights/") => pending.to_owned(),
                _ => text(&customer),
            };
            let path = path.replace("{id}", &id).replace("{type}", "email").replace("{value}", "ann@example.com");
            let path = path.replace("{name}", "nobody").replace("{secret}", &result);
            let path = if operation["operationId"] == "opendsr_group" { format!("{path}?group_id=march") } else { path };
            let path = if path == "/api/v1/explain" { format!("{path}?a={id}&b={id}") } else { path };
            let body = match operation["operationId"].as_str().expect("a name") {
                "retract" | "accept" | "refuse" => json!({ "reason": "a test" }).to_string(),
                // What joins nothing and is apart from nothing, so that nothing changes and the order of the pages does not matter.
                "split" => json!({ "claims": [claim], "reason": "a test" }).to_string(),
                "decide_match" => json!({ "a": "email:ann@example.com", "b": customer }).to_string(),
                "restore_split" => json!({ "identifiers": ["email:ann@example.com"] }).to_string(),
                // One that is not there, so that the order of the pages does not matter.
                "drop_dead_letters" => json!({ "letters": ["999999-0"], "reason": "a test" }).to_string(),
                "erase" => json!({ "who": "email:nobody@example.com", "reason": "a test" }).to_string(),
                "lift" => json!({ "who": "email:nobody@example.com" }).to_string(),
                "opendsr_request" => right(3, "erasure"),
                "retry_dead_letters" => json!({ "letters": ["999999-0"] }).to_string(),
                _ => String::new(),
            };
            let verb = verb.to_uppercase();
            let allowed = operation["x-weft-scope"].as_str();
            let done = [200, 201, 202].into_iter().find(|status| operation["responses"].get(status.to_string()).is_some());
            let done = done.expect("each page has an answer");
            let tokens = [
                (None, ""),
                (Some("wrong"), ""),
                (Some("t-ingest"), "ingest"),
                (Some("t-read"), "read"),
                (Some("t-rights"), "rights"),
            ];
            for (token, scope) in tokens {
                let want = match (allowed, token) {
                    (None, _) => done,
                    (Some(_), None | Some("wrong")) => 401,
                    (Some(allowed), _) if allowed == scope => done,
                    _ => 403,
                };
                // What changes something is asked once, by the one who may.
                if want == done && verb != "GET" {
                    continue;
                }
                let answer = ask(&engine, &verb, &path, token, &body).await;
                assert_eq!(answer.status, want, "{verb} {path} with {token:?}: {}", answer.body);
                agrees(&document, operation, &answer, &path);
            }
            let answer = ask(&engine, &verb, &path, Some("t-admin"), &body).await;
            let want = match &*path {
                path if path.ends_with("/reload") => 503,
                path if path.contains("/destinations/") => 404,
                // The claim is neither held nor split, and joins nothing; and from one customer nothing is learned.
                path if path.contains("/identity/") && verb == "POST" => 409,
                _ => done,
            };
            assert_eq!(answer.status, want, "{verb} {path}: {}", answer.body);
            agrees(&document, operation, &answer, &path);
            checked += 1;
        }
    }
    assert!(checked >= 17, "{checked} pages");
    engine.stop().await.expect("an orderly stop");
}

/// An answer has a status, a media type and a shape that the document names.
fn agrees(document: &Value, operation: &Value, answer: &Answer, path: &str) {
    let status = answer.status.to_string();
    let content = &operation["responses"][&status]["content"];
    let media = content.get(&answer.kind).unwrap_or_else(|| panic!("{path}: {status} {} is not in the document", answer.kind));
    if answer.kind.ends_with("/json") || answer.kind.ends_with("+json") {
        let mut schema = media["schema"].clone();
        schema["components"] = document["components"].clone();
        let schema = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{path}: {error}"));
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body));
        let wrong: Vec<String> = schema.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{path} {status}: {wrong:#?}\n{body:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_take_what_the_document_names_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    for (path, operations) in openapi::document()["paths"].as_object().expect("paths") {
        let Some(operation) =
            operations.get("get").filter(|operation| operation["parameters"].to_string().contains(r#""in":"query""#))
        else {
            continue;
        };
        let path = path.replace("{type}", "email").replace("{value}", "ann@example.com");
        // Who asks why wants two at once; another test does.
        if path.contains("{id}") || path == "/api/v1/explain" {
            continue;
        }
        for parameter in operation["parameters"].as_array().expect("a list") {
            let (Some(name), "query") = (parameter["name"].as_str(), parameter["in"].as_str().expect("a place")) else {
                continue;
            };
            let value = match (name, path.contains("/events")) {
                ("limit", _) => "7",
                ("after", _) if path.contains("/held") => "00000000000000000000000000000000",
                ("after", _) if path.contains("/matches") => "00000000000000000000000000000000,00000000000000000000000000000001",
                ("after", _) if path.ends_with("/profiles") => "00000000000000000000000000000000-7",
                ("after", _) if path.contains("/export/") => "0",
                ("after", _) if path.contains("/rights/") => "1772366400000-a7551968-d5d6-44b2-9831-000000000001",
                ("status", _) => "in_progress",
                ("fields", _) if path.ends_with("/export/events") => "properties.total",
                ("fields", _) => "traits.city,identifiers",
                ("from" | "to" | "since" | "until" | "as_of" | "changed_since", _) => "2026-03-01T12:00:00Z",
                ("after", true) => "1772366400000-1",
                ("after", false) => "1-0",
                ("order", _) => "oldest",
                ("type", _) => "track",
                ("customer", _) => "email:ann@example.com",
                _ => "something",
            };
            let answer = ask(&engine, "GET", &format!("{path}?{name}={value}"), Some("t-admin"), "").await;
            assert_eq!(answer.status, 200, "{path}?{name}={value}: {}", answer.body);
        }
        let answer = ask(&engine, "GET", &format!("{path}?nothing=1"), Some("t-admin"), "").await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    engine.stop().await.expect("an orderly stop");
}
