//! Secrets are never shown: one is planted wherever one can stand, an engine goes through good days and bad ones, and whatever it has said,
//! answered or kept is searched for them, in every way in which a text is usually written.
//!
//! The other side refuses everything. What it says is its own affair, and is shown: it does not repeat the credentials here.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::engine::{Workspace, plugin};
use weft_tests::wire::Request;

/// The secrets, with the names under which the workspace knows them. Letters that are written otherwise in base64, in an address and in JSON are in each.
fn canaries() -> Vec<(String, String)> {
    let names = [
        "WEB_KEY",
        "BEARER",
        "PASSWORD",
        "HEADER",
        "CLIENT_SECRET",
        "REFRESH",
        "HMAC",
        "AWS_KEY",
        "AWS_SESSION",
        "EXTRA",
        "SIGNING",
        "CLIENT_ID",
        "PROXY",
    ];
    let canary = |(number, name): (usize, &str)| (name.to_owned(), format!("canary{number}/{}+q=Zz9", name.to_lowercase()));
    names.into_iter().enumerate().map(canary).collect()
}

/// What the other side gives as a token: nobody wrote it down, and it is a secret all the same.
const GIVEN: &str = "canary-given/token+q=Zz9";

/// Ways in which a text is written.
fn written(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let hex = |bytes: &mut dyn Iterator<Item = &u8>| bytes.map(|byte| format!("{byte:02x}")).collect::<String>();
    let percent = |byte: &u8| match byte {
        b'/' | b'+' | b'=' => format!("%{byte:02X}"),
        other => char::from(*other).to_string(),
    };
    let mut ways = vec![
        ("as it is", bytes.to_vec()),
        ("percent-encoded", bytes.iter().map(percent).collect::<String>().into_bytes()),
        ("in hexadecimal", hex(&mut bytes.iter()).into_bytes()),
        ("in hexadecimal, backwards", hex(&mut bytes.iter().rev()).into_bytes()),
        ("backwards", bytes.iter().rev().copied().collect()),
    ];
    // In base64, what stands before decides which of three texts it is; the edges are mixed with the neighbours.
    for (shift, from) in [(0, 0), (1, 2), (2, 3)] {
        let encoded = base64(&[&vec![b' '; shift], bytes].concat());
        let inner = &encoded[from..encoded.len() - 4];
        ways.push(("in base64", inner.to_vec()));
        ways.push((
            "in base64 for addresses",
            inner
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                })
                .collect(),
        ));
    }
    ways
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        let letter = |place: usize| if place <= three.len() { ALPHABET[bits >> (18 - 6 * place) & 63] } else { b'=' };
        [letter(0), letter(1), letter(2), letter(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// What has been seen, and where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    fn folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.folder(&path);
            } else {
                self.add(&path.display().to_string(), fs::read(&path).expect("it can be read"));
            }
        }
    }

    /// Every place where a secret stands.
    fn found(&self) -> Vec<String> {
        let secrets: Vec<String> = canaries().into_iter().map(|(_, text)| text).chain([GIVEN.to_owned()]).collect();
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            for secret in &secrets {
                for (way, needle) in written(secret) {
                    if let Some(at) = bytes.windows(needle.len()).position(|part| part == needle) {
                        let around = &bytes[at.saturating_sub(160)..bytes.len().min(at + needle.len() + 40)];
                        found.push(format!("{secret} {way} in {place}: …{}…", String::from_utf8_lossy(around)));
                    }
                }
            }
        }
        found
    }
}

/// The other side: gives tokens, and refuses everything else.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || converse(stream));
        }
    });
    address
}

fn converse(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let target = head.split(' ').nth(1)?.to_owned();
        let (status, answer) = if target.contains("token") {
            ("200 OK", json!({ "access_token": GIVEN, "token_type": "Bearer", "expires_in": 3600 }).to_string())
        } else if target.contains("down") {
            ("503 Service Unavailable", r#"{"error":"down"}"#.to_owned())
        } else {
            ("400 Bad Request", r#"{"error":"no"}"#.to_owned())
        };
        let size = answer.len();
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{answer}").ok()?;
    }
}

/// Connections of every kind of credentials, and a destination behind each.
fn outside(address: SocketAddr) -> Value {
    let token_url = format!("http://{address}/token");
    let auth = [
        ("bearer", json!({ "bearer": "${secret:BEARER}" })),
        ("basic", json!({ "basic": { "user": "shop", "password": "${secret:PASSWORD}" } })),
        ("header", json!({ "header": { "name": "X-Api-Key", "value": "${secret:HEADER}" } })),
        (
            "client",
            json!({ "oauth2_client_credentials": { "token_url": token_url, "client_id": "${secret:CLIENT_ID}", "client_secret": "${secret:CLIENT_SECRET}" } }),
        ),
        (
            "refresh",
            json!({ "oauth2_refresh_token": { "token_url": token_url, "client_id": "me", "refresh_token": "${secret:REFRESH}" } }),
        ),
        ("hmac", json!({ "hmac": { "secret": "${secret:HMAC}", "header": "X-Signature" } })),
        (
            "aws",
            json!({ "aws_v4": { "region": "eu", "service": "s3", "access_key_id": "AKID", "secret_access_key": "${secret:AWS_KEY}", "session_token": "${secret:AWS_SESSION}" } }),
        ),
    ];
    let (mut connections, mut destinations) = (json!({}), json!({}));
    for (name, auth) in auth {
        connections[name] = json!({ "base_url": format!("http://{address}/"), "auth": auth, "headers": { "x-extra": "${secret:EXTRA}" }, "retries": 0 });
        destinations[format!("to-{name}")] = json!({
            "plugin": "webhook-out", "connection": name, "from": { "events": "all" }, "retry": { "attempts": 1 },
            "config": { "path": "refuse", "signature": { "secret": "${secret:SIGNING}" } },
        });
    }
    connections["proxied"] =
        json!({ "base_url": "http://example.com/", "proxy": format!("http://me:${{secret:PROXY}}@{address}"), "retries": 0 });
    for (name, connection, path) in [("to-proxied", "proxied", "refuse"), ("to-down", "bearer", "down")] {
        destinations[name] = json!({
            "plugin": "webhook-out", "connection": connection, "from": { "events": "all" }, "retry": { "attempts": 2 }, "config": { "path": path },
        });
    }
    json!({ "plugins": { "webhook-out": { "path": plugin("webhook-out") } }, "connections": connections, "destinations": destinations })
}

/// Everything that can be looked at while an engine runs.
fn look(workspace: &Workspace, engine: &weft_tests::engine::Engine, seen: &mut Seen) {
    let mut pages = vec![
        "/metrics".to_owned(),
        "/healthz".into(),
        "/readyz".into(),
        "/nothing".into(),
        "/segment/nothing".into(),
        "/api/v1/profiles/nobody".into(),
    ];
    for page in
        ["status", "config", "openapi.json", "dead-letters?limit=500", "profiles/user_id/ann", "profiles/user_id/ann/events"]
    {
        pages.push(format!("/api/v1/{page}"));
    }
    let letters = engine.page("/api/v1/dead-letters?limit=500").1;
    let ids = letters["letters"].as_array().into_iter().flatten().filter_map(|letter| letter["id"].as_str());
    pages.extend(ids.map(|id| format!("/api/v1/dead-letters/{id}")));
    for page in pages {
        seen.add(&page, engine.send(&Request::new("GET", &page)).body);
    }
    for arguments in [
        ["check"].as_slice(),
        &["check", "--json"],
        &["check", "--connect"],
        &["plan"],
        &["plan", "--json"],
        &["status"],
        &["status", "--json"],
        &["graph"],
        &["graph", "--svg"],
        &["graph", "--json"],
        &["top", "--once"],
        &["test"],
        &["reload"],
        &["reload", "--json"],
    ] {
        let output = workspace.ask_with(arguments);
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
    for arguments in
        [["dlq", "list"].as_slice(), &["dlq", "list", "--json"], &["profile", "user_id:ann"], &["events", "user_id:ann"]]
    {
        let output = workspace.ask(arguments);
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
}

#[test]
fn no_secret_is_said_answered_or_kept() {
    let mut workspace = Workspace::create();
    // Half of them are files, half are variables.
    for (number, (name, text)) in canaries().into_iter().enumerate() {
        // As a part of an address it has to be written as one.
        let text = if name == "PROXY" { String::from_utf8(written(&text).swap_remove(1).1).expect("it is ASCII") } else { text };
        let file = workspace.path().join("secrets").join(&name);
        if number % 2 == 0 {
            fs::write(file, text).expect("the folder takes a file");
        } else {
            _ = fs::remove_file(file);
            workspace.variables.push((name, text));
        }
    }
    workspace
        .variables
        .push(("WEFT_LOG".into(), "info,weft=debug,hyper=debug,hyper_util=debug,rustls=debug,lettre=debug".into()));
    let others = workspace.path().join("outside.yaml");
    let good = outside(refusing());
    fs::write(&others, good.to_string()).expect("JSON is YAML");

    let mut seen = Seen::default();
    let engine = workspace.start();
    let key = canaries().remove(0).1;
    let send = |key: &str, body: &str| engine.send(&Request::post("/segment/v1/track", body.as_bytes()).key(key));
    let call =
        |event: &str| json!({ "type": "track", "userId": "ann", "event": event, "properties": { "total": 3 } }).to_string();
    let taken = send(&key, &call("Order Completed"));
    assert_eq!(taken.status, 200, "{}", taken.text());
    for body in ["{", r#"{"type":"track"}"#, &call(&"long ".repeat(500))] {
        seen.add("an answer", send(&key, body).body);
    }
    // A key that is nearly right is the sender's own text, and is not looked for: but the answer to it must not tell the right one.
    seen.add("an answer to a wrong key", send("wrong", &call("Lost")).body);

    // Each destination has refused by now, and said so.
    let mut letters = 0;
    for _ in 0..300 {
        letters = engine.page("/api/v1/dead-letters?limit=500").1["letters"].as_array().map_or(0, Vec::len);
        if letters >= 8 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(letters >= 8, "{letters} dead letters: {}", engine.page("/api/v1/status").1);
    look(&workspace, &engine, &mut seen);

    // A reload that is refused, by each connection, and one that is taken.
    let mut bad = good.clone();
    for (name, connection) in bad["connections"].as_object_mut().expect("connections") {
        connection["rate_limit"] = json!(format!("often, for {name}"));
        connection["base_url"] = json!("https://me:${secret:PASSWORD}@example.com/");
    }
    fs::write(&others, bad.to_string()).expect("JSON is YAML");
    look(&workspace, &engine, &mut seen);
    let mut other = good.clone();
    other["connections"]["bearer"]["auth"] = json!({ "bearer": "${secret:HEADER}" });
    fs::write(&others, other.to_string()).expect("JSON is YAML");
    look(&workspace, &engine, &mut seen);
    engine.stop();

    for arguments in [["doctor"].as_slice(), &["doctor", "--json"], &["plan"], &["rebuild"]] {
        let output = workspace.ask_with(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
    for kept in ["data", "out", ".weft"] {
        seen.folder(&workspace.path().join(kept));
    }
    seen.add("what the engine said", fs::read(workspace.path().join("engine.log")).expect("it said something"));
    let bytes: usize = seen.0.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(seen.0.len() > 80 && bytes > 100_000, "{} places, {bytes} bytes", seen.0.len());
    let found = seen.found();
    assert!(found.is_empty(), "{} times:\n{}", found.len(), found.join("\n"));
}

#[test]
fn what_is_looked_for_would_be_found() {
    let secret = canaries().remove(1).1;
    let basic = base64(format!("user:{secret}").as_bytes());
    let hex: String = secret.bytes().rev().map(|byte| format!("{byte:02x}")).collect();
    let percent = secret.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    for text in [secret.clone().into_bytes(), basic, hex.into_bytes(), percent.into_bytes(), secret.bytes().rev().collect()] {
        let mut seen = Seen::default();
        seen.add("here", [b"before ", &*text, b" after"].concat());
        assert!(!seen.found().is_empty(), "{}", String::from_utf8_lossy(&text));
        seen.0[0].1.truncate(9);
        assert!(seen.found().is_empty());
    }
}
